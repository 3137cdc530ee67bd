"""Nodes, Debian's avahi and python-zeroconf on one switch."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.kernel import avahi, lan_node
from tests.kernel.programs import Program
from tests.kernel.switch import INTERFACE, SwitchLab
from tests.lan.dns_host import peer_id
from tests.requirements import leave_out, require_ipv6, require_namespaces
from twisted_p2p.network_namespaces.namespace import Namespace

FOLDER = Path(__file__).parent
NODE = (sys.executable, str(FOLDER / "lan_node.py"))
ZEROCONF = (sys.executable, str(FOLDER / "zeroconf_node.py"))
ME, OTHER = peer_id(1), peer_id(2)
TEXT = ("txtvers=1", f"id={OTHER}", "services=print", "accepting=1")
TOLD = {"txtvers": "1", "id": ME, "services": "chat,file", "accepting": "1"}


class SwitchTestCase(TestCase):
    timeout = 120
    machines = 2

    def setUp(self) -> None:
        require_namespaces()
        require_ipv6()
        self.require()
        self.lab = SwitchLab(self.machines)
        self.addCleanup(self.lab.close)
        self.here, self.there = self.lab.machines[:2]

    def require(self) -> None:
        """Leave the test out if something else is missing."""

    def start(self, machine: Namespace, *arguments: str) -> Program:
        program = Program(machine, *arguments)
        self.addCleanup(program.kill)
        return program

    async def announced(self, machine: Namespace, number: int = 1) -> Program:
        program = self.start(machine, *NODE, "announce", str(number))
        await self.event(program, "announced")
        return program

    async def event(self, program: Program, name: str, count: int = 1) -> dict[str, Any]:
        """Return one of the events of a name that a program has put out, the last of so many."""
        await program._until(lambda: len(self.events(program, name)) >= count)
        return self.events(program, name)[count - 1]

    def events(self, program: Program, name: str) -> list[dict[str, Any]]:
        lines = program._beginning.decode().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each for each in found if each["event"] == name]

    async def end(self, program: Program) -> None:
        program.transport.signalProcess("TERM")
        await program.ended()


class NodesTests(SwitchTestCase):
    async def test_they_find_and_lose_each_other(self) -> None:
        browsing = self.start(self.here, *NODE, "browse")
        await browsing.said('"started"')
        node = await self.announced(self.there)
        peer = await self.event(browsing, "found")
        self.assertEqual((peer["peer_id"], peer["services"]), (ME, ["chat", "file"]))
        hosts = [host for host, _ in peer["addresses"]]
        self.assertEqual(hosts[0], self.there.address)
        self.assertRegex(hosts[1], rf"^fe80::.*%{INTERFACE}$")
        self.assertEqual({port for _, port in peer["addresses"]}, {lan_node.PORT})
        await self.end(node)
        await self.event(browsing, "lost")

    async def test_several_on_one_machine_are_all_found(self) -> None:
        for number in (1, 2):
            await self.announced(self.there, number)
        for machine in (self.here, self.there):
            browsing = self.start(machine, *NODE, "browse")
            found = [await self.event(browsing, "found", count) for count in (1, 2)]
            self.assertEqual({peer["peer_id"] for peer in found}, {ME, OTHER})


class AvahiTests(SwitchTestCase):
    def require(self) -> None:
        avahi.require_avahi()

    async def start_avahi(self, machine: Namespace) -> int:
        daemon = self.start(machine, *avahi.START)
        await daemon.said(avahi.STARTED)
        pid: Any = daemon.transport.pid
        return int(pid)

    async def publish(self, machine: Namespace, daemon: int, instance: str, *text: str) -> Program:
        command = ("avahi-publish", "-s", instance, "_p2p._udp", str(lan_node.PORT), *text)
        program = self.start(machine, *avahi.beside(daemon, *command))
        await program._until(lambda: "Established under name" in program.complaints)
        return program

    async def test_avahi_sees_a_node_as_it_is(self) -> None:
        daemon = await self.start_avahi(self.there)
        await self.announced(self.here)
        seen = avahi.browse(self.there, daemon)
        self.assertEqual({each.protocol for each in seen}, {"IPv4", "IPv6"})
        for each in seen:
            self.assertEqual((each.instance, each.port), (ME, lan_node.PORT))
            self.assertEqual(each.text, {f"{key}={value}" for key, value in TOLD.items()})
        self.assertIn(self.here.address, [each.address for each in seen])

    async def test_and_no_more_when_it_has_gone(self) -> None:
        daemon = await self.start_avahi(self.there)
        node = await self.announced(self.here)
        browsing = self.start(
            self.there, *avahi.beside(daemon, "stdbuf", "-oL", "avahi-browse", "-p", "_p2p._udp")
        )
        for protocol in ("IPv4", "IPv6"):
            await browsing.said(f"+;{INTERFACE};{protocol};{ME};")
        await self.end(node)
        for protocol in ("IPv4", "IPv6"):
            await browsing.said(f"-;{INTERFACE};{protocol};{ME};")

    async def test_our_type_of_service_is_among_all(self) -> None:
        daemon = await self.start_avahi(self.there)
        await self.announced(self.here)
        command = avahi.beside(daemon, "avahi-browse", "-atp")
        self.assertIn(f";{ME};_p2p._udp;local", self.there.run(command))

    async def test_a_node_finds_what_avahi_publishes(self) -> None:
        daemon = await self.start_avahi(self.there)
        browsing = self.start(self.here, *NODE, "browse")
        published = await self.publish(self.there, daemon, "A printer", *TEXT)
        peer = await self.event(browsing, "found")
        self.assertEqual(
            (peer["peer_id"], peer["services"], peer["accepting"], peer["instance"]),
            (OTHER, ["print"], True, "A printer"),
        )
        self.assertIn([self.there.address, lan_node.PORT], peer["addresses"])
        await self.end(published)
        await self.event(browsing, "lost")

    async def test_a_name_that_avahi_has_is_not_taken(self) -> None:
        daemon = await self.start_avahi(self.there)
        await self.publish(self.there, daemon, ME, *TEXT)
        node = await self.announced(self.here)
        self.assertEqual(self.events(node, "announced")[0]["instance"], f"{ME}-2")

    async def test_avahi_does_not_take_that_of_a_node(self) -> None:
        daemon = await self.start_avahi(self.there)
        await self.announced(self.here)
        published = await self.publish(self.there, daemon, ME, *TEXT)
        self.assertIn(f"{ME} #2", published.complaints)

    async def test_a_node_shares_a_machine_with_avahi(self) -> None:
        daemon = await self.start_avahi(self.there)
        await self.announced(self.there)
        await self.publish(self.there, daemon, "beside", *TEXT)
        browsing = self.start(self.here, *NODE, "browse")
        found = [await self.event(browsing, "found", count) for count in (1, 2)]
        self.assertEqual({peer["peer_id"] for peer in found}, {ME, OTHER})
        self.assertIn(ME, [each.instance for each in avahi.browse(self.there, daemon)])


class ZeroconfTests(SwitchTestCase):
    def require(self) -> None:
        if find_spec("zeroconf") is None:
            leave_out("The package `zeroconf` is missing (pip install zeroconf).")

    async def test_zeroconf_sees_a_node_as_it_is(self) -> None:
        browsing = self.start(self.there, *ZEROCONF, "browse")
        await browsing.said('"started"')
        node = await self.announced(self.here)
        seen = await self.event(browsing, "found")
        self.assertEqual((seen["instance"], seen["port"]), (ME, lan_node.PORT))
        self.assertEqual(seen["text"], TOLD)
        self.assertIn(self.here.address, seen["addresses"])
        await self.end(node)
        await self.event(browsing, "lost")

    async def test_a_node_finds_what_zeroconf_publishes(self) -> None:
        browsing = self.start(self.here, *NODE, "browse")
        await browsing.said('"started"')
        published = self.start(
            self.there, *ZEROCONF, "announce", "A printer", self.there.address, *TEXT
        )
        peer = await self.event(browsing, "found")
        self.assertEqual((peer["peer_id"], peer["instance"]), (OTHER, "A printer"))
        self.assertEqual(peer["addresses"], [[self.there.address, lan_node.PORT]])
        await self.end(published)
        await self.event(browsing, "lost")
