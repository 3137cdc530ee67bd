"""Tells descriptors that their sockets are ready, as a reactor's `select` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.posixbase import _DisconnectSelectableMixin, _PollLikeMixin
from twisted.python import log

from twisted_p2p.testing.schedule import HostSchedule
from twisted_p2p.testing.tcp.socket import SimulatedSocket
from twisted_p2p.testing.tcp.stack import TCPStack

_WORK = 0.000_01
"""Seconds that a program works on what is ready."""


class Descriptor(Protocol):
    """What Twisted's transports are to a reactor; `doRead` and `doWrite` are called."""

    def fileno(self) -> int:
        """Return the number of a simulated socket."""


class _Turn:
    """Sockets that are looked at together, each once, some time after the first was added."""

    def __init__(
        self, schedule: HostSchedule, delay: float, serve: Callable[[SimulatedSocket], None]
    ) -> None:
        self._schedule = schedule
        self._delay = delay
        self._serve = serve
        self._sockets: dict[SimulatedSocket, None] = {}

    def add(self, socket: SimulatedSocket) -> None:
        """Have a socket looked at."""
        if not self._sockets:
            self._schedule.at(self._schedule.now + self._delay, self._run, None)
        self._sockets[socket] = None

    def _run(self, _: None) -> None:
        sockets, self._sockets = self._sockets, {}
        for socket in sockets:
            self._serve(socket)


class DescriptorTurns(_PollLikeMixin, _DisconnectSelectableMixin):
    """Calls what is ready in a turn of the schedule; what then is still ready, in another one.

    What a descriptor's errors lead to is Twisted's own code.
    """

    _POLL_DISCONNECTED, _POLL_IN, _POLL_OUT = 1, 2, 4

    def __init__(self, stack: TCPStack, schedule: HostSchedule) -> None:
        self._stack = stack
        self._reads: dict[Descriptor, None] = {}
        self._writes: dict[Descriptor, None] = {}
        self._by_socket: dict[SimulatedSocket, Descriptor] = {}
        self._sockets: dict[Descriptor, SimulatedSocket] = {}
        self._at_once = _Turn(schedule, 0.0, self._serve)
        # Work takes time: time must go on beside a program that writes whenever it can.
        self._again = _Turn(schedule, _WORK, self._serve)
        stack.socket_changed = self.look_at

    def add_reader(self, reader: Descriptor) -> None:
        """Call ``doRead`` whenever its socket is readable."""
        self._reads[reader] = None
        self._watch(reader)

    def add_writer(self, writer: Descriptor) -> None:
        """Call ``doWrite`` whenever its socket is writable."""
        self._writes[writer] = None
        self._watch(writer)

    def removeReader(self, reader: Descriptor) -> None:
        """Do that no more."""
        self._reads.pop(reader, None)
        self._forget_idle(reader)

    def removeWriter(self, writer: Descriptor) -> None:
        """Do that no more."""
        self._writes.pop(writer, None)
        self._forget_idle(writer)

    def readers(self) -> list[Descriptor]:
        """Return those who wait to read."""
        return list(self._reads)

    def writers(self) -> list[Descriptor]:
        """Return those who wait to write."""
        return list(self._writes)

    def look_at(self, socket: SimulatedSocket) -> None:
        """See in the next turn whether a socket is ready."""
        if socket in self._by_socket:
            self._at_once.add(socket)

    def _watch(self, descriptor: Descriptor) -> None:
        socket = self._stack.sockets.get(descriptor.fileno())
        if socket is None:
            raise NotImplementedError(f"{descriptor!r} has no simulated socket")
        self._by_socket[socket] = descriptor
        self._sockets[descriptor] = socket
        self._again.add(socket)

    def _forget_idle(self, descriptor: Descriptor) -> None:
        if descriptor not in self._reads and descriptor not in self._writes:
            socket = self._sockets.pop(descriptor, None)
            if socket is not None:
                del self._by_socket[socket]

    def _serve(self, socket: SimulatedSocket) -> None:
        descriptor = self._by_socket.get(socket)
        if descriptor is None:
            return
        event = self._event(descriptor, socket)
        if event:
            call: Any = self._doReadOrWrite
            log.callWithLogger(descriptor, call, descriptor, socket, event)
            if self._event(descriptor, socket):
                self._again.add(socket)

    def _event(self, descriptor: Descriptor, socket: SimulatedSocket) -> int:
        event = 0
        if descriptor in self._reads and socket.is_readable:
            event |= self._POLL_IN
        if descriptor in self._writes and socket.is_writable:
            event |= self._POLL_OUT
        return event
