"""Tests of simulated sockets: the system calls and their errors."""

from __future__ import annotations

import socket as system
import struct
from collections.abc import Callable
from errno import (
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EALREADY,
    EBADF,
    ECONNREFUSED,
    ECONNRESET,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
    EWOULDBLOCK,
)

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.testing import SimulatedInternet
from twisted_p2p.testing.tcp.socket import SimulatedSocket

SERVER = ("11.0.0.2", 80)


class SocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.internet = SimulatedInternet()
        self.a = self.internet.add_host("a", "11.0.0.1")
        self.b = self.internet.add_host("b", "11.0.0.2")
        self.client = self.a.tcp.socket(system.AF_INET)
        self.listener = self.b.tcp.socket(system.AF_INET)

    def assert_error(self, number: int, call: Callable[..., object], *arguments: object) -> None:
        with self.assertRaises(OSError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.errno, number)

    def connected(self) -> SimulatedSocket:
        """Connect the client; return the server's socket."""
        self.listener.bind(SERVER)
        self.listener.listen(5)
        self.assertEqual(self.client.connect_ex(SERVER), EINPROGRESS)
        self.internet.run_for(1)
        return self.listener.accept()[0]

    def test_connecting_tells_how_it_goes(self) -> None:
        self.assert_error(ENOTCONN, self.client.send, b"x")
        self.assert_error(ENOTCONN, self.client.recv, 1)
        self.listener.bind(SERVER)
        self.listener.listen(5)
        self.assertEqual(self.client.connect_ex(SERVER), EINPROGRESS)
        self.assertEqual(self.client.connect_ex(SERVER), EALREADY)
        self.assert_error(EWOULDBLOCK, self.client.send, b"x")
        self.assert_error(ENOTCONN, self.client.getpeername)
        self.assert_error(ENOTCONN, self.client.shutdown, system.SHUT_RDWR)
        self.assert_error(EWOULDBLOCK, self.listener.accept)
        self.internet.run_for(1)
        self.assertEqual(self.client.connect_ex(SERVER), 0)
        self.assertEqual(self.client.connect_ex(SERVER), EISCONN)
        self.assertEqual(self.client.getpeername(), SERVER)

    def test_errors_are_told_once(self) -> None:
        self.client.connect_ex(SERVER)
        self.internet.run_for(1)
        self.assertTrue(self.client.is_readable and self.client.is_writable)
        error = (system.SOL_SOCKET, system.SO_ERROR)
        self.assertEqual(self.client.getsockopt(*error), ECONNREFUSED)
        self.assertEqual(self.client.getsockopt(*error), 0)

    def test_addresses_are_checked(self) -> None:
        self.assert_error(EADDRNOTAVAIL, self.client.bind, ("11.0.0.2", 0))
        self.assert_error(EADDRNOTAVAIL, self.client.bind, ("example", 0))
        self.assert_error(EAFNOSUPPORT, self.client.bind, ("::1", 0))
        self.assertEqual(self.a.tcp.socket(system.AF_INET6).connect_ex(("2a00::1", 1)), ENETUNREACH)
        self.client.bind(("", 0))
        self.assert_error(EINVAL, self.client.bind, ("", 0))
        self.assert_error(EINVAL, self.client.accept)
        with self.assertRaises(OverflowError):
            self.client.connect(("11.0.0.2", 65_536))

    def test_no_host_stands_for_this_one(self) -> None:
        self.listener.bind(("", 80))
        self.listener.listen(1)
        client = self.b.tcp.socket(system.AF_INET)
        self.assert_error(EINPROGRESS, client.connect, ("0.0.0.0", 80))
        self.internet.run_for(1)
        self.assertEqual(client.getpeername(), ("127.0.0.1", 80))

    def test_one_connection_between_two_addresses(self) -> None:
        self.connected()
        other = self.a.tcp.socket(system.AF_INET)
        for each in (self.client, other):
            each.setsockopt(system.SOL_SOCKET, system.SO_REUSEPORT, 1)
        port = self.client.getsockname()[1]
        self.assert_error(98, other.bind, ("", port))
        self.assertEqual(other.connect_ex(("11.0.0.77", 1)), EINPROGRESS)

    def test_a_reset_is_an_error_then_the_end(self) -> None:
        server = self.connected()
        server.send(b"last")
        self.internet.run_for(1)
        server.setsockopt(system.SOL_SOCKET, system.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        self.internet.run_for(1)
        self.assertEqual(self.client.recv(10), b"last")
        self.assert_error(ECONNRESET, self.client.send, b"x")
        self.assert_error(EPIPE, self.client.send, b"x")
        self.assertEqual(self.client.recv(10), b"")

    def test_each_direction_is_shut_down_by_itself(self) -> None:
        server = self.connected()
        self.client.shutdown(system.SHUT_WR)
        self.assert_error(EPIPE, self.client.send, b"x")
        self.assertTrue(self.client.is_writable)
        self.assert_error(EWOULDBLOCK, self.client.recv, 1)
        self.internet.run_for(1)
        self.assertEqual(server.recv(1), b"")
        server.shutdown(system.SHUT_RD)
        self.assertEqual(server.send(b"x"), 1)

    def test_a_closed_socket_is_none(self) -> None:
        self.client.close()
        self.client.close()
        self.assertEqual(self.client.fileno(), -1)
        self.assert_error(EBADF, self.client.getsockname)

    def test_closing_a_listener_resets_what_waits(self) -> None:
        self.listener.bind(SERVER)
        self.listener.listen(5)
        self.client.connect_ex(SERVER)
        self.internet.run_for(1)
        self.listener.close()
        self.internet.run_for(1)
        self.assert_error(ECONNRESET, self.client.recv, 1)

    def test_options_are_kept(self) -> None:
        server = self.connected()
        for option in (system.SO_SNDBUF, system.SO_RCVBUF, system.SO_KEEPALIVE):
            self.client.setsockopt(system.SOL_SOCKET, option, 1_000)
            self.assertEqual(self.client.getsockopt(system.SOL_SOCKET, option), 1_000)
        self.client.setsockopt(system.IPPROTO_TCP, system.TCP_NODELAY, 1)
        for _ in range(3):
            self.client.send(b"x")
        self.internet.run_for(0.05)
        self.assertEqual(server.recv(10), b"xxx")
