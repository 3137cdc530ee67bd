"""Sockets of groups on the loopback interface of this machine, which knows them for IPv4 alone.

`tests.kernel.test_lan_counterparts` has the others.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import TestCase

from twisted_p2p.addresses import DatagramPath, HostPort, NetworkInterface
from twisted_p2p.datagram.multicast_socket import MulticastSocket
from twisted_p2p.datagram.network_interfaces import network_interfaces

LOOPBACK = NetworkInterface("lo", socket.if_nametoindex("lo"), ("127.0.0.1/8", "::1/128"))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class MulticastSocketTests(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.port = free_port()
        self.sockets: list[MulticastSocket] = []
        self.addCleanup(lambda: gatherResults([each.stop() for each in self.sockets]))

    def listen(self, host: str) -> tuple[MulticastSocket, Deferred[tuple[bytes, DatagramPath]]]:
        """Open a socket; return it and what fires with the first datagram it hears."""
        heard: Deferred[tuple[bytes, DatagramPath]] = Deferred()
        group = HostPort(host, self.port)
        opened = MulticastSocket(
            group, LOOPBACK, host, lambda data, path: heard.callback((data, path))
        )
        opened.start(reactor)
        self.sockets.append(opened)
        return opened, heard

    async def exchange(self, group: str, source: str) -> None:
        """See that two hear the group, and that it is all they hear."""
        (one, heard_by_one), (_, heard_by_two) = self.listen(group), self.listen(group)
        for host in (source, group):
            one.send(host.encode(), DatagramPath(group, HostPort(host, self.port)))
        for heard in (heard_by_one, heard_by_two):
            data, path = await heard
            self.assertEqual(data, group.encode())
            self.assertEqual(path, DatagramPath(group, HostPort(source, self.port)))
        self.assertEqual(one.unsent, {})

    async def test_ipv4(self) -> None:
        await self.exchange("224.0.0.251", "127.0.0.1")

    def test_an_interface_that_is_not_there(self) -> None:
        gone = NetworkInterface("gone", 9_999, ("192.0.2.1/24",))
        for host in ("224.0.0.251", "ff02::fb"):
            nothing: Any = None
            with self.assertRaises(CannotListenError):
                MulticastSocket(HostPort(host, self.port), gone, host, nothing).start(reactor)


class NetworkInterfacesTests(TestCase):
    def test_loopback_is_among_them(self) -> None:
        (loopback,) = (each for each in network_interfaces() if each.name == "lo")
        self.assertIn("127.0.0.1/8", loopback.addresses)
        self.assertEqual(loopback.index, LOOPBACK.index)
