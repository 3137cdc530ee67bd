"""A port that reads all that is there, on the loopback interface."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IReadDescriptor, ISystemHandle
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram import batch_port
from twisted_p2p.datagram.batch_port import BatchPort
from twisted_p2p.datagram.shared_socket import SharedSocket


class Collector(DatagramProtocol):
    """Keeps what comes, in its batches, and tells when there is as much as it waits for."""

    def __init__(self, wanted: int = 1) -> None:
        self.batches: list[list[bytes]] = []
        self.senders: set[tuple[str, int]] = set()
        self.complete: Deferred[None] = Deferred()
        self.stopped = 0
        self._wanted = wanted

    def datagrams_received(self, datagrams: list[bytes], addr: tuple[str, int]) -> None:
        self.batches.append(datagrams)
        self.senders.add(addr)
        if len(self.datagrams) == self._wanted:
            self.complete.callback(None)

    def stopProtocol(self) -> None:
        self.stopped += 1

    @property
    def datagrams(self) -> list[bytes]:
        return [data for batch in self.batches for data in batch]


class BatchPortTests(TestCase):
    def listen(self, collector: Any, interface: str = "127.0.0.1") -> BatchPort:
        port = BatchPort(reactor, collector, interface, 0)
        port.startListening()
        self.addCleanup(port.stopListening)
        return port

    def sending_socket(self) -> socket.socket:
        sender = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        sender.bind(("127.0.0.1", 0))
        return sender

    def send_all(self, datagrams: list[bytes], port: BatchPort) -> SharedSocket:
        sender = SharedSocket(reactor, "127.0.0.1")
        sender.start()
        self.addCleanup(sender.stop)
        address = HostPort("127.0.0.1", port.getHost().port)
        sender.send_all(datagrams, DatagramPath(sender.address, address))
        return sender

    def test_it_provides_what_it_claims(self) -> None:
        port = self.listen(Collector())
        for interface in (IListeningPort, IReadDescriptor, ISystemHandle):
            self.assertTrue(verifyObject(interface, port))
        self.assertEqual(port.getHandle().getsockname(), ("127.0.0.1", port.getHost().port))
        self.assertEqual(port.logPrefix(), "Collector (UDP)")
        self.assertIn("Collector", repr(port))

    async def test_runs_of_datagrams_arrive_whole_and_in_order(self) -> None:
        datagrams = [bytes([number]) * 1_200 for number in range(100)]
        datagrams += [b"short", b"", b"", b"a" * 900, b"b" * 900, b"c" * 2_000]
        collector = Collector(len(datagrams))
        sender = self.send_all(datagrams, self.listen(collector))
        await collector.complete
        self.assertEqual(collector.datagrams, datagrams)
        self.assertEqual(collector.senders, {sender.address})
        self.assertEqual(sender.unsent, {})

    def test_a_link_local_sender_is_known_by_its_scope_too(self) -> None:
        (index, name), *_ = socket.if_nameindex()
        for addr, source in (
            (("127.0.0.1", 5), ("127.0.0.1", 5)),
            (("2a00::1", 5, 0, 0), ("2a00::1", 5)),
            (("fe80::1", 5, 0, index), (f"fe80::1%{name}", 5)),
            (("fe80::1", 5, 0, 1 << 30), ("fe80::1", 5)),
        ):
            self.assertEqual(batch_port._source(addr), source)

    async def test_one_turn_reads_what_is_there_and_stops_for_others(self) -> None:
        collector = Collector(8)
        port = self.listen(collector)
        sender = self.sending_socket()
        for _ in range(8):
            sender.sendto(b"", port.getHandle().getsockname())
        port.doRead()
        self.assertEqual(collector.datagrams, [b""] * 8)
        self.patch(batch_port, "_BYTES_PER_TURN", 100)
        for _ in range(8):
            sender.sendto(bytes(30), port.getHandle().getsockname())
        port.doRead()
        self.assertEqual(len(collector.datagrams), 10)

    async def test_a_broken_receiver_loses_its_own_datagrams_alone(self) -> None:
        collector = Collector()
        receive = collector.datagrams_received

        def fail_first(datagrams: list[bytes], addr: tuple[str, int]) -> None:
            collector.datagrams_received = receive  # type: ignore[method-assign]
            raise LookupError

        collector.datagrams_received = fail_first  # type: ignore[method-assign]
        port = self.listen(collector)
        sender = self.sending_socket()
        for data in (b"first", b"second"):
            sender.sendto(data, port.getHandle().getsockname())
        await collector.complete
        self.assertEqual(collector.datagrams, [b"second"])
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)

    async def test_a_receiver_may_close_it(self) -> None:
        collector = Collector()
        port = self.listen(collector)
        collector.complete.addCallback(lambda _: port.stopListening())
        sender = self.sending_socket()
        for data in (b"first", b"second"):
            sender.sendto(data, port.getHandle().getsockname())
        await collector.complete
        self.assertEqual(collector.datagrams, [b"first"])
        self.assertEqual(collector.stopped, 1)

    def test_it_closes_once_and_also_when_the_reactor_gives_it_up(self) -> None:
        collector = Collector()
        port = self.listen(collector)
        port.connectionLost(None)  # type: ignore[arg-type]
        self.successResultOf(port.stopListening())
        self.assertEqual(collector.stopped, 1)
        port.doRead()
        self.assertEqual(collector.batches, [])

    async def test_where_the_system_knows_no_runs_datagrams_are_read_one_by_one(self) -> None:
        self.patch(batch_port, "_UDP_GRO", 9_999)
        datagrams = [bytes(1_200)] * 20
        collector = Collector(len(datagrams))
        self.send_all(datagrams, self.listen(collector))
        await collector.complete
        self.assertEqual(collector.batches, [[data] for data in datagrams])
