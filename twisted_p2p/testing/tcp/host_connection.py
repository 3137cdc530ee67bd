"""A TCP connection of a host: its machine, its addresses, and its timer."""

from __future__ import annotations

from collections.abc import Callable
from errno import ECONNREFUSED, EHOSTUNREACH
from typing import TYPE_CHECKING

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.packet import ICMPError, Packet
from twisted_p2p.testing.tcp.connection import TCPConnection
from twisted_p2p.testing.tcp.state import TCPState

if TYPE_CHECKING:
    from twisted_p2p.testing.tcp.stack import TCPStack

_ERRORS = {
    ICMPError.PORT_UNREACHABLE: ECONNREFUSED,
    ICMPError.HOST_UNREACHABLE: EHOSTUNREACH,
    ICMPError.PROHIBITED: EHOSTUNREACH,
}
_SMALLER_SIZES = (16_344, 8_960, 4_312, 1_962, 1_452, 1_420, 1_380, 1_340, 1_300, 1_240, 1_160, 960)
"""What to try when segments are too long: nobody says how long they may be (RFC 1191, 7.1)."""
_SMALLEST_SIZE = 536


class HostConnection:
    """Carries segments between a machine and the host, and calls the machine in time."""

    def __init__(
        self,
        stack: TCPStack,
        machine: TCPConnection,
        local: HostPort,
        remote: HostPort,
        changed: Callable[[HostConnection], None],
    ) -> None:
        """``changed`` is called after anything but a command has happened."""
        self.machine = machine
        self.local = local
        self.remote = remote
        self.changed = changed
        self.reuses_address = False
        self.reuses_port = False
        self._stack = stack
        self._wakes_at: float | None = None

    def receive(self, packet: Packet) -> None:
        """Take a packet from the remote end."""
        assert packet.segment is not None
        self.machine.receive(packet.segment, packet.data, self._stack.now)
        self._flush_and_tell()

    def flush(self) -> None:
        """Send what the machine has to send, and see to its timer; to be called after commands."""
        for segment, data in self.machine.segments_to_send(self._stack.now):
            self._stack.send(self.local, self.remote, segment, data, self._take_error)
        if self.machine.state is TCPState.CLOSED:
            self._stack.forget(self)
        else:
            self._set_timer()

    def _flush_and_tell(self) -> None:
        self.flush()
        self.changed(self)

    def _set_timer(self) -> None:
        deadline = self.machine.get_timer()
        # A timer that was put off is left as it is, and set again when it fires.
        if deadline is not None and (self._wakes_at is None or deadline < self._wakes_at):
            self._wakes_at = deadline
            self._stack.at(deadline, self._wake)

    def _wake(self, deadline: float) -> None:
        if deadline == self._wakes_at:
            self._wakes_at = None
            self.machine.handle_timer(self._stack.now)
            self._flush_and_tell()

    def _take_error(self, error: ICMPError) -> None:
        """Take an ICMP error: it ends attempts alone, for anyone could have sent it (RFC 5927)."""
        machine = self.machine
        if error is ICMPError.PACKET_TOO_BIG:
            sizes = (size for size in _SMALLER_SIZES if size < machine.segment_size)
            machine.reduce_segment_size(next(sizes, _SMALLEST_SIZE))
        elif machine.state is TCPState.SYN_SENT:
            machine.fail(_ERRORS[error])
        else:
            machine.soft_error = _ERRORS[error]
        self._flush_and_tell()
