"""A socket of a simulated host: the system calls that Twisted's TCP makes."""

from __future__ import annotations

import socket as system
import struct
from collections import deque
from errno import (
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EALREADY,
    EBADF,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EPIPE,
    EWOULDBLOCK,
)
from os import strerror
from typing import TYPE_CHECKING

from attrs import evolve

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.ip import (
    UNSPECIFIED_IPV4,
    canonical_address,
    is_same_family,
    is_unspecified,
)
from twisted_p2p.testing.tcp.host_connection import HostConnection
from twisted_p2p.testing.tcp.state import TCPState

if TYPE_CHECKING:
    from twisted_p2p.testing.tcp.stack import TCPStack

_CLOSED_DESCRIPTOR = -1
_HIGHEST_PORT = 65_535
_REUSE_ADDRESS = (system.SOL_SOCKET, system.SO_REUSEADDR)
_REUSE_PORT = (system.SOL_SOCKET, system.SO_REUSEPORT)
_LINGER = (system.SOL_SOCKET, system.SO_LINGER)
_NO_DELAY = (system.IPPROTO_TCP, system.TCP_NODELAY)
_SEND_BUFFER = (system.SOL_SOCKET, system.SO_SNDBUF)
_RECEIVE_BUFFER = (system.SOL_SOCKET, system.SO_RCVBUF)

Address = tuple[str, int] | tuple[str, int, int, int]


class SimulatedSocket:
    """A stream socket that never blocks; its methods are those of `socket.socket`.

    Errors are OSErrors with the numbers that Linux gives.
    """

    type = system.SOCK_STREAM

    def __init__(self, stack: TCPStack, family: int, descriptor: int) -> None:
        self.family = family
        self.settings = stack.settings
        any_host = UNSPECIFIED_IPV4 if family == system.AF_INET else "::"
        self.local = HostPort(any_host, 0)
        """The bound address; port 0: none."""
        self.is_listening = False
        self._stack = stack
        self._descriptor = descriptor
        self._any_host = any_host
        self._connection: HostConnection | None = None
        self._is_connecting = False
        self._reads_no_more = False
        self._options: dict[tuple[int, int], int] = {}
        self._resets_on_close = False
        self._backlog = 0
        self._half_open: dict[HostConnection, None] = {}
        self._acceptable: deque[HostConnection] = deque()

    # What the stack and the reactor ask

    @property
    def reuses_address(self) -> bool:
        """Whether SO_REUSEADDR is set."""
        return bool(self._options.get(_REUSE_ADDRESS))

    @property
    def reuses_port(self) -> bool:
        """Whether SO_REUSEPORT is set."""
        return bool(self._options.get(_REUSE_PORT))

    @property
    def has_full_backlog(self) -> bool:
        """Whether no more connections can wait to be accepted."""
        return len(self._half_open) + len(self._acceptable) > self._backlog

    @property
    def is_readable(self) -> bool:
        """Whether `recv` or `accept` would not say EWOULDBLOCK."""
        if self._connection is None:
            return bool(self._acceptable)
        machine = self._connection.machine
        is_over = machine.is_read_ended or machine.state is TCPState.CLOSED
        return len(machine.received) > 0 or is_over or self._reads_no_more

    @property
    def is_writable(self) -> bool:
        """Whether there is room for much, or `send` would raise another error than EWOULDBLOCK."""
        if self._connection is None:
            return False
        machine = self._connection.machine
        if machine.is_established and not machine.sending.is_ended:
            return machine.sending.room * 3 >= machine.sending.capacity
        return machine.is_established or machine.state is TCPState.CLOSED

    def add_half_open(self, connection: HostConnection) -> None:
        """Take a connection that began here."""
        self._half_open[connection] = None

    def connection_changed(self, connection: HostConnection) -> None:
        """Take notice that something has happened to the connection, or to one that began here."""
        if connection in self._half_open:
            if connection.machine.is_established:
                self._acceptable.append(connection)
            elif connection.machine.state is not TCPState.CLOSED:
                return
            del self._half_open[connection]
        self._stack.socket_changed(self)

    # System calls

    def fileno(self) -> int:
        """Return a number that is no descriptor of the system; -1 after `close`."""
        return self._descriptor

    def setblocking(self, blocking: bool) -> None:
        """Accept that it never blocks."""
        assert not blocking, "a simulated socket cannot block"

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option; those that mean nothing here are kept and do nothing."""
        key = (level, option)
        if key == _LINGER:
            assert isinstance(value, bytes)
            self._resets_on_close = struct.unpack("ii", value) == (1, 0)
            return
        assert isinstance(value, int)
        self._options[key] = int(value)
        if key == _SEND_BUFFER:
            self.settings = evolve(self.settings, send_buffer=value)
        elif key == _RECEIVE_BUFFER:
            self.settings = evolve(self.settings, receive_buffer=value)
        elif key == _NO_DELAY and self._connection is not None:
            self._connection.machine.no_delay = bool(value)
            self._connection.flush()

    def getsockopt(self, level: int, option: int) -> int:
        """Return an option; SO_ERROR is the latest error, and is told once."""
        if (level, option) == (system.SOL_SOCKET, system.SO_ERROR):
            return self._take_error()
        return self._options.get((level, option), 0)

    def bind(self, address: Address) -> None:
        """Take an address; port 0 stands for any."""
        if self.local.port:
            raise _error(EINVAL)
        self.local = self._stack.bind(self, self._checked("bind", address))

    def listen(self, backlog: int) -> None:
        """Accept connections, of which some more than ``backlog`` may wait."""
        self._bind_anywhere()
        self._stack.check_conflicts(self, self.local)
        self.is_listening = True
        self._backlog = backlog

    def accept(self) -> tuple[SimulatedSocket, Address]:
        """Return the socket and the remote address of a connection that waits."""
        if not self.is_listening:
            raise _error(EINVAL)
        if not self._acceptable:
            raise _error(EWOULDBLOCK)
        connection = self._acceptable.popleft()
        accepted = self._stack.socket(self.family)
        accepted._options = dict(self._options)
        accepted._attach(connection)
        return accepted, self._tuple(connection.remote)

    def connect_ex(self, address: Address) -> int:
        """Begin to connect, or tell how that went; return the number of an error, or 0."""
        if self._connection is not None:
            return self._connecting_error()
        try:
            remote = self._checked("connect_ex", address)
            if is_unspecified(remote.host):
                loopback = "127.0.0.1" if self.family == system.AF_INET else "::1"
                remote = remote._replace(host=loopback)
            self._bind_anywhere()
            connection = self._stack.connect(self, remote)
        except OSError as error:
            return error.errno or EINVAL
        self._is_connecting = True
        self._attach(connection)
        connection.flush()
        return EINPROGRESS

    def connect(self, address: Address) -> None:
        """Begin to connect; that is an error too, EINPROGRESS."""
        error = self.connect_ex(address)
        if error:
            raise _error(error)

    def recv(self, size: int) -> bytes:
        """Return what has arrived; nothing at the end."""
        connection = self._connected()
        data = connection.machine.read(size)
        if data:
            connection.flush()
            return data
        error = self._take_error()
        if error:
            raise _error(error)
        machine = connection.machine
        if machine.is_read_ended or machine.state is TCPState.CLOSED or self._reads_no_more:
            return b""
        raise _error(EWOULDBLOCK)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as there is room for, and return how much that is."""
        connection = self._connected()
        machine = connection.machine
        error = self._take_error()
        if error:
            raise _error(error)
        if machine.state is TCPState.CLOSED or machine.sending.is_ended:
            raise _error(EPIPE)
        if not machine.is_established or not machine.sending.room:
            raise _error(EWOULDBLOCK)
        count = machine.write(data)
        connection.flush()
        return count

    def shutdown(self, how: int) -> None:
        """End one direction, or both."""
        connection = self._connected()
        if not connection.machine.is_established:
            raise _error(ENOTCONN)
        if how != system.SHUT_WR:
            self._reads_no_more = True
        if how != system.SHUT_RD:
            connection.machine.end_writing()
        connection.flush()

    def close(self) -> None:
        """Give the socket up; a connection ends by itself, or by a reset after SO_LINGER 0."""
        if self._descriptor == _CLOSED_DESCRIPTOR:
            return
        self._stack.release(self)
        self._descriptor = _CLOSED_DESCRIPTOR
        self.is_listening = False
        for waiting in [*self._half_open, *self._acceptable]:
            waiting.machine.abort()
            waiting.flush()
        self._half_open.clear()
        self._acceptable.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.changed = _ignore
            if self._resets_on_close:
                connection.machine.abort()
            else:
                connection.machine.close(self._stack.now)
            connection.flush()

    def getsockname(self) -> Address:
        """Return the local address."""
        self._check_open()
        return self._tuple(self._connection.local if self._connection else self.local)

    def getpeername(self) -> Address:
        """Return the remote address."""
        connection = self._connected()
        if not connection.machine.is_established:
            raise _error(ENOTCONN)
        return self._tuple(connection.remote)

    # Details

    def _attach(self, connection: HostConnection) -> None:
        self._connection = connection
        connection.changed = self.connection_changed
        connection.machine.no_delay = bool(self._options.get(_NO_DELAY))

    def _bind_anywhere(self) -> None:
        self._check_open()
        if not self.local.port:
            self.local = self._stack.bind(self, self.local)

    def _connecting_error(self) -> int:
        assert self._connection is not None
        error = self._take_error()
        if error or self._connection.machine.is_established:
            is_news, self._is_connecting = self._is_connecting, False
            return error or (0 if is_news else EISCONN)
        return EALREADY if self._is_connecting else EISCONN

    def _take_error(self) -> int:
        if self._connection is None or self._connection.machine.error is None:
            return 0
        error, self._connection.machine.error = self._connection.machine.error, None
        return error

    def _connected(self) -> HostConnection:
        self._check_open()
        if self._connection is None:
            raise _error(ENOTCONN)
        return self._connection

    def _check_open(self) -> None:
        if self._descriptor == _CLOSED_DESCRIPTOR:
            raise _error(EBADF)

    def _checked(self, call: str, address: Address) -> HostPort:
        """Return an address as the stack has it; no host stands for any."""
        self._check_open()
        if not 0 <= address[1] <= _HIGHEST_PORT:
            raise OverflowError(f"{call}(): port must be 0-{_HIGHEST_PORT}.")
        try:
            host = canonical_address(address[0].partition("%")[0] or self._any_host)
        except ValueError:
            raise _error(EADDRNOTAVAIL) from None
        if not is_same_family(host, self._any_host):
            raise _error(EAFNOSUPPORT)
        return HostPort(host, address[1])

    def _tuple(self, address: HostPort) -> Address:
        host, port = address
        return (host, port) if self.family == system.AF_INET else (host, port, 0, 0)


def _ignore(connection: HostConnection) -> None:
    """Do nothing about the end of a connection that nobody has any more."""


def _error(number: int) -> OSError:
    return OSError(number, strerror(number))
