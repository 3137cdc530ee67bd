"""One socket for everything, on the loopback interface and in the simulated internet."""

from __future__ import annotations

import errno
import os
from unittest.mock import Mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.requirements import require_ipv6
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.local_addresses import local_address_towards
from twisted_p2p.datagram.segmentation import SegmentSender
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.errors import PortInUse
from twisted_p2p.testing import SimulatedInternet

STUN = bytes.fromhex("000100002112a442") + bytes(12)
QUIC = b"\x40" + bytes(20)
OTHER = b"\x10" + bytes(20)


def expect(receiver: SharedSocket) -> Deferred[tuple[bytes, DatagramPath]]:
    """Return what the socket receives next and is neither STUN nor QUIC."""
    received: Deferred[tuple[bytes, DatagramPath]] = Deferred()
    receiver.other_received = lambda data, path: received.callback((data, path))
    return received


class RealSocketTests(TestCase):
    def start(self, interface: str = "127.0.0.1", port: int = 0) -> SharedSocket:
        started = SharedSocket(reactor, interface, port)
        started.start()
        self.addCleanup(started.stop)
        return started

    async def assert_crosses(self, sender: SharedSocket, receiver: SharedSocket) -> None:
        received = expect(receiver)
        sender.send(OTHER, DatagramPath(sender.address, receiver.address))
        data, path = await received
        self.assertEqual(data, OTHER)
        self.assertEqual(path, DatagramPath(receiver.address, sender.address))
        self.assertIsInstance(path.remote, HostPort)

    async def test_a_datagram_crosses(self) -> None:
        await self.assert_crosses(self.start(), self.start())

    async def test_a_datagram_crosses_by_ipv6(self) -> None:
        require_ipv6()
        await self.assert_crosses(self.start("::1"), self.start("::1"))

    def test_both_families_can_have_the_same_port(self) -> None:
        require_ipv6()
        ipv4 = self.start("")
        ipv6 = self.start("::", ipv4.address.port)
        self.assertEqual(ipv4.address, ("0.0.0.0", ipv6.address.port))
        self.assertEqual(ipv6.address.host, "::")

    def test_a_port_in_use_is_said_to_be(self) -> None:
        first = self.start()
        with self.assertRaises(PortInUse):
            SharedSocket(reactor, "127.0.0.1", first.address.port).start()

    def test_an_ipv6_port_in_use_is_said_to_be(self) -> None:
        require_ipv6()
        first = self.start("::1")
        with self.assertRaises(PortInUse):
            SharedSocket(reactor, "::1", first.address.port).start()

    def test_an_address_that_is_not_ours_is_another_error(self) -> None:
        for interface in ("203.0.113.1", "2001:db8::1"):
            with self.assertRaises(CannotListenError) as caught:
                SharedSocket(reactor, interface).start()
            self.assertNotIsInstance(caught.exception, PortInUse)

    def test_what_cannot_be_sent_is_counted_and_raises_nothing(self) -> None:
        sender = self.start()
        sender.send(bytes(70_000), DatagramPath(sender.address, sender.address))
        sender.send(b"", DatagramPath(sender.address, HostPort("8.8.8.8", 53)))
        sender.send(b"", DatagramPath(sender.address, HostPort("::1", 53)))
        self.assertEqual(sender.unsent.pop("EMSGSIZE"), 1)
        # A socket bound to loopback cannot send abroad; and the families do not mix.
        self.assertEqual(sender.unsent.pop("EINVAL"), 1)
        self.assertEqual(sum(sender.unsent.values()), 1)

    async def test_a_closed_port_of_the_peer_is_no_error(self) -> None:
        gone = self.start()
        address = gone.address
        await gone.stop()
        sender, receiver = self.start(), self.start()
        sender.send(OTHER, DatagramPath(sender.address, address))
        await self.assert_crosses(sender, receiver)

    async def test_a_stopped_socket_sends_nothing(self) -> None:
        stopped = self.start()
        await stopped.stop()
        await stopped.stop()
        stopped.send(OTHER, DatagramPath(stopped.address, stopped.address))
        self.assertEqual(stopped.unsent, {"closed": 1})

    def test_the_local_address_towards_loopback_is_loopback(self) -> None:
        towards = local_address_towards(reactor, HostPort("127.0.0.1", 9))
        self.assertEqual(towards.host, "127.0.0.1")


class FailingTransport:
    """A bound port whose every write fails in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, data: bytes, addr: tuple[str, int]) -> None:
        raise self.error

    def getHost(self) -> HostPort:
        return HostPort("127.0.0.1", 1)


class FailingReactor:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def listenUDP(self, port: int, protocol: SharedSocket, *_: object) -> FailingTransport:
        transport = FailingTransport(self.error)
        protocol.makeConnection(transport)
        return transport


class SimulatedSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.near = self.internet.add_host("near", "11.0.0.1", "2400::1")
        self.far = self.internet.add_host("far", "11.0.0.2", "2400::2")

    def test_datagrams_are_handed_on_by_kind(self) -> None:
        near, far = SharedSocket(self.near.reactor), SharedSocket(self.far.reactor, port=9)
        near.start()
        far.start()
        received: list[tuple[str, bytes]] = []
        far.stun_received = lambda data, _: received.append(("stun", data))
        far.quic_received = lambda batch, _: received.extend(("quic", data) for data in batch)
        far.other_received = lambda data, _: received.append(("other", data))
        for data in (STUN, QUIC, OTHER):
            near.send(data, DatagramPath(near.address, HostPort("11.0.0.2", 9)))
        self.internet.run_for(1.0)
        self.assertEqual(received, [("stun", STUN), ("quic", QUIC), ("other", OTHER)])

    def test_unwanted_datagrams_are_counted_by_kind(self) -> None:
        near, far = SharedSocket(self.near.reactor), SharedSocket(self.far.reactor, port=9)
        near.start()
        far.start()
        for data in (STUN, QUIC, OTHER, OTHER):
            near.send(data, DatagramPath(near.address, HostPort("11.0.0.2", 9)))
        self.internet.run_for(1.0)
        self.assertEqual(far.dropped, {"stun": 1, "quic": 1, "other": 2})

    def test_ipv6_works_alike(self) -> None:
        near = SharedSocket(self.near.reactor, "::")
        far = SharedSocket(self.far.reactor, "::", port=9)
        near.start()
        far.start()
        near.send(OTHER, DatagramPath(near.address, HostPort("2400::2", 9)))
        received = expect(far)
        self.assertEqual(self.internet.run_until(received)[1].remote.host, "2400::1")

    def test_a_port_in_use_is_said_to_be(self) -> None:
        SharedSocket(self.near.reactor, port=9).start()
        with self.assertRaises(PortInUse):
            SharedSocket(self.near.reactor, port=9).start()

    def test_what_cannot_be_sent_is_counted_and_raises_nothing(self) -> None:
        near = SharedSocket(self.near.reactor)
        near.start()
        near.send(bytes(70_000), DatagramPath(near.address, HostPort("11.0.0.2", 9)))
        near.send(b"", DatagramPath(near.address, HostPort("2400::2", 9)))
        self.assertEqual(near.unsent, {"EMSGSIZE": 1, "EAFNOSUPPORT": 1})

    def test_errors_of_the_system_are_counted_by_name(self) -> None:
        for number in (errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.ENETUNREACH):
            error = OSError(number, os.strerror(number))
            failing = SharedSocket(FailingReactor(error))
            failing.start()
            failing.send(b"", DatagramPath(failing.address, HostPort("11.0.0.2", 9)))
            self.assertEqual(failing.unsent, {errno.errorcode[number]: 1})

    def test_a_run_that_the_system_does_not_send_is_counted_by_datagrams(self) -> None:
        handle = Mock(sendmsg=Mock(side_effect=BlockingIOError(errno.EAGAIN, "full")))
        socket = SharedSocket(self.near.reactor)
        socket.start()
        socket._segments = SegmentSender(handle)
        socket.send_all([b"1", b"2"], DatagramPath(socket.address, HostPort("11.0.0.2", 9)))
        self.assertEqual(socket.unsent, {"EAGAIN": 2})

    def test_the_memory_of_senders_is_bounded(self) -> None:
        far = SharedSocket(self.far.reactor)
        far.start()
        for number in range(10_000):
            far.datagramReceived(OTHER, (f"11.1.{number >> 8}.{number & 255}", 9))
        self.assertEqual(far.dropped["other"], 10_000)
        self.assertLessEqual(len(far._paths), 4_096)

    def test_a_socket_has_no_address_before_it_is_started(self) -> None:
        with self.assertRaises(RuntimeError):
            _ = SharedSocket(self.near.reactor).address

    def test_a_socket_never_started_stops(self) -> None:
        self.assertIsNone(self.successResultOf(SharedSocket(self.near.reactor).stop()))

    def test_the_local_address_is_that_of_the_family_of_the_remote(self) -> None:
        for remote, local in [("11.0.0.2", "11.0.0.1"), ("2400::2", "2400::1")]:
            towards = local_address_towards(self.near.reactor, HostPort(remote, 9))
            self.assertEqual(towards.host, local)
        self.internet.run_for(1.0)
        self.assertEqual(list(self.internet.log), [])
        self.assertEqual(self.near.reactor.getDelayedCalls(), [])

    def test_no_route_has_no_local_address(self) -> None:
        lonely = self.internet.add_host("lonely", "11.0.0.3")
        with self.assertRaises(OSError):
            local_address_towards(lonely.reactor, HostPort("2400::2", 9))

    def test_no_socket_has_no_local_address(self) -> None:
        class Exhausted:
            def listenUDP(self, *_: object) -> None:
                raise CannotListenError("", 0, OSError(errno.EMFILE, "too many open files"))

        with self.assertRaises(OSError):
            local_address_towards(Exhausted(), HostPort("11.0.0.2", 9))
