"""`p2p` on machines of one switch that have nothing else: no tracker, no router, no server."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.kernel.programs import P2P, Program
from tests.kernel.switch import INTERFACE, SwitchLab
from tests.requirements import require_namespaces
from twisted_p2p.identity.keys import IdentityKey
from twisted_p2p.network_namespaces.namespace import Namespace

SIZE = 8 << 20


class SwitchTests(TestCase):
    timeout = 200

    def setUp(self) -> None:
        require_namespaces()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.lab = SwitchLab(2)
        self.left, self.right = self.lab.machines
        self.started: list[Program] = []
        self.addCleanup(lambda: Deferred.fromCoroutine(self.close()))

    async def close(self) -> None:
        for program in self.started:
            await program.kill()
        self.lab.close()

    def start_p2p(self, machine: Namespace, *words: str) -> Program:
        """Start a command with an identity of its own."""
        identity = self.folder / machine.address / f"{len(self.started)}.pem"
        program = Program(machine, *P2P, "--identity", str(identity), "--json", *words)
        self.started.append(program)
        return program

    async def test_listen_connect_and_ping(self) -> None:
        listening = self.start_p2p(self.right, "listen", "echo", "--to", "tcp:127.0.0.1:9")
        ready = await listening.event("ready")
        pinging = self.start_p2p(self.left, "ping", ready["peer"], "-c", "2")
        await pinging.ended()
        self.assertEqual(pinging.exit_status, 0, pinging.complaints)
        for pong in pinging.results():
            self.assertEqual((pong["path"]["kind"], pong["accepting"]), ("lan", True))
            self.assertTrue(pong["path"]["remote"].endswith(f":{ready['udp_port']}"))
        connecting = self.start_p2p(self.left, "connect", ready["peer"], "echo")
        connected = await connecting.event("connected")
        self.assertEqual((connected["path"]["kind"], connected["strategy"]), ("lan", "lan"))
        self.assertEqual(connected["path"]["remote"], f"{self.right.address}:{ready['udp_port']}")

    async def test_peers(self) -> None:
        listening = self.start_p2p(self.right, "listen", "echo", "--to", "tcp:127.0.0.1:9")
        ready = await listening.event("ready")
        watching = self.start_p2p(self.left, "peers", "--lan", "--watch")
        await watching.said("echo")
        peers = self.start_p2p(self.left, "peers", "--lan")
        await peers.ended()
        self.assertEqual(peers.exit_status, 0, peers.complaints)
        expected = {
            "event": "peer",
            "peer": ready["peer"],
            "source": "lan",
            "services": ["echo"],
            "accepting": True,
        }
        self.assertEqual(peers.results(), [expected])
        listening.transport.signalProcess("INT")
        await watching.said("peer_lost")
        self.assertEqual(watching.results()[0], expected)

    async def test_an_unlinkable_peer_is_reached_but_not_seen(self) -> None:
        words = ("--unlinkable", "listen", "echo", "--to", "tcp:127.0.0.1:9")
        listening = self.start_p2p(self.right, *words)
        ready = await listening.event("ready")
        peers = self.start_p2p(self.left, "peers", "--lan")
        pinging = self.start_p2p(self.left, "ping", ready["peer"], "-c", "1")
        for command in (peers, pinging):
            await command.ended()
            self.assertEqual(command.exit_status, 0, command.complaints)
        self.assertEqual(peers.results(), [])
        self.assertEqual(pinging.results()[0]["path"]["kind"], "lan")

    async def test_link_local_addresses_are_enough(self) -> None:
        for machine in self.lab.machines:
            machine.run(["ip", "-4", "address", "flush", "dev", INTERFACE])
        listening = self.start_p2p(self.right, "listen", "x")
        ready = await listening.event("ready")
        connecting = self.start_p2p(self.left, "connect", ready["peer"], "x")
        connected = await connecting.event("connected")
        self.assertEqual(connected["path"]["kind"], "lan")
        self.assertTrue(connected["path"]["remote"].startswith("[fe80::"), connected)
        self.assertIn(f"%{INTERFACE}]:", connected["path"]["remote"])
        connecting.transport.write(bytes(1 << 20))
        await listening.received(1 << 20)

    async def test_send_and_receive(self) -> None:
        (self.folder / "big").write_bytes(os.urandom(SIZE))
        sender = self.start_p2p(self.left, "send", str(self.folder / "big"))
        await sender.said("}")
        ticket = sender.results()[0]["ticket"]
        into = self.folder / "into"
        receiver = self.start_p2p(self.right, "receive", ticket, "--into", str(into))
        for side in (receiver, sender):
            await side.ended()
            self.assertEqual(side.exit_status, 0, side.complaints)
        self.assertEqual((into / "big").read_bytes(), (self.folder / "big").read_bytes())

    async def test_a_stream_follows_a_machine_that_is_given_another_address(self) -> None:
        listening = self.start_p2p(self.right, "listen", "x")
        peer = (await listening.event("ready"))["peer"]
        connecting = self.start_p2p(self.left, "connect", peer, "x")
        await connecting.event("connected")
        connecting.transport.write(b"here")
        await listening.received(4)
        for change in ("del 192.168.7.1/24", "add 192.168.7.77/24"):
            self.left.run(["ip", "address", *change.split(), "dev", INTERFACE])
        connecting.transport.write(b"and there")
        await listening.received(13)
        moved = await listening.event("path_changed")
        self.assertTrue(moved["path"]["remote"].startswith("192.168.7.77:"), moved)

    async def test_without_a_network_it_says_that_it_waits_for_one(self) -> None:
        self.right.run(["ip", "link", "set", INTERFACE, "down"])
        self.right.run(["ip", "address", "flush", "dev", INTERFACE])
        listening = self.start_p2p(self.right, "listen", "echo", "--to", "tcp:127.0.0.1:9")
        self.assertEqual((await listening.event("waiting"))["code"], "no_network")
        address = f"{self.right.address}/24"
        self.right.run(["ip", "address", "add", address, "dev", INTERFACE])
        self.right.run(["ip", "link", "set", INTERFACE, "up"])
        await listening.event("ready")

    async def test_who_is_not_there_is_offline(self) -> None:
        pinging = self.start_p2p(self.left, "ping", IdentityKey.generate().peer_id)
        await pinging.ended()
        self.assertEqual(pinging.exit_status, 4, pinging.complaints)

    async def test_a_cable_that_is_pulled_and_put_in_again(self) -> None:
        listening = self.start_p2p(self.right, "listen", "echo", "--to", "tcp:127.0.0.1:9")
        ready = await listening.event("ready")
        for machine, interface in ((self.lab.switch, "port2"), (self.right, INTERFACE)):
            machine.run(["ip", "link", "set", interface, "down"])
            lost = self.start_p2p(self.left, "ping", ready["peer"], "-c", "1")
            await lost.ended()
            self.assertEqual(lost.exit_status, 4, lost.complaints)
            machine.run(["ip", "link", "set", interface, "up"])
            found = self.start_p2p(self.left, "ping", ready["peer"], "-c", "1")
            await found.ended()
            self.assertEqual(found.exit_status, 0, found.complaints)
            self.assertEqual(found.results()[0]["path"]["kind"], "lan")
