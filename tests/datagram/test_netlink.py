from __future__ import annotations

import socket
import sys
from struct import pack
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twisted_p2p.datagram import netlink
from twisted_p2p.datagram.netlink import NetlinkWatch

NEW_LINK, NEW_ADDRESS = 16, 20
UP, RUNNING = 0x1, 0x40


def message(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return pack("=LHHLL", 16 + len(body), kind, 0, 0, 0) + padded


def link(index: int, flags: int) -> bytes:
    """Return what is told of a link, with an attribute of five bytes behind it."""
    return message(NEW_LINK, pack("=BxHiII", 0, 1, index, flags, 0) + pack("=HHc", 5, 3, b"e"))


class Readers:
    def __init__(self) -> None:
        self.readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)


class NetlinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.system, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.system.close)
        ours.setblocking(False)
        self.patch(netlink, "open_socket", lambda: ours)
        self.told: list[bool] = []
        self.reactor = Readers()
        self.watch = NetlinkWatch(self.reactor, self.told.append)
        self.addCleanup(self.watch.connectionLost, Failure(Exception()))

    def tell(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.system.send(datagram)
        self.watch.doRead()

    def test_it_is_a_reader_until_it_is_stopped(self) -> None:
        verifyObject(IReadDescriptor, self.watch)
        self.assertEqual(self.reactor.readers, [self.watch])
        self.assertGreater(self.watch.fileno(), 0)
        self.assertEqual(self.watch.logPrefix(), "netlink")
        self.watch.stop()
        self.assertEqual(self.reactor.readers, [])
        self.assertEqual(self.watch.fileno(), -1)

    def test_an_address_that_comes_or_goes_is_told(self) -> None:
        self.tell(message(NEW_ADDRESS, bytes(8)), message(NEW_ADDRESS + 1, bytes(8)))
        self.assertEqual(self.told, [False])

    def test_a_link_that_comes_up_is_told_apart(self) -> None:
        self.tell(link(2, UP | RUNNING))
        self.tell(link(2, UP))
        self.tell(link(2, UP | RUNNING))
        self.tell(link(2, UP | RUNNING))  # as each wireless event is
        self.tell(message(NEW_ADDRESS, bytes(8)) + link(3, UP) + link(2, UP) + link(3, RUNNING))
        self.assertEqual(self.told, [True, False, True, False, True])

    def test_what_cannot_be_read_may_be_anything(self) -> None:
        self.tell(b"?")
        self.tell(pack("=LHHLL", 4, NEW_LINK, 0, 0, 0))
        self.assertEqual(self.told, [True, True])

    def test_more_than_the_system_keeps_may_be_anything(self) -> None:
        class Overflowing:
            def recv(self, size: int) -> bytes:
                raise OSError("No buffer space available")

        kept, self.watch._socket = self.watch._socket, Overflowing()  # type: ignore[assignment]
        self.watch.doRead()
        self.watch._socket = kept
        self.assertEqual(self.told, [True])


class RealSocketTests(SynchronousTestCase):
    if sys.platform != "linux":
        skip = "only Linux has netlink sockets"

    def test_nothing_is_told_where_nothing_changes(self) -> None:
        opened = netlink.open_socket()
        self.addCleanup(opened.close)
        self.assertFalse(opened.getblocking())
