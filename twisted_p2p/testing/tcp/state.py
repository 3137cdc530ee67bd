"""The states of a TCP connection, and what leads from one to the next."""

from __future__ import annotations

from enum import Enum, auto


class TCPState(Enum):
    """The states of RFC 9293, section 3.3.2; a listening port is no connection."""

    CLOSED = auto()
    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()
    FIN_WAIT_1 = auto()
    FIN_WAIT_2 = auto()
    CLOSE_WAIT = auto()
    CLOSING = auto()
    LAST_ACK = auto()
    TIME_WAIT = auto()


AFTER_OWN_FIN = {
    TCPState.ESTABLISHED: TCPState.FIN_WAIT_1,
    TCPState.CLOSE_WAIT: TCPState.LAST_ACK,
}
AFTER_PEERS_FIN = {
    TCPState.ESTABLISHED: TCPState.CLOSE_WAIT,
    TCPState.FIN_WAIT_1: TCPState.CLOSING,
    TCPState.FIN_WAIT_2: TCPState.TIME_WAIT,
}
AFTER_OWN_FIN_ARRIVED = {
    TCPState.FIN_WAIT_1: TCPState.FIN_WAIT_2,
    TCPState.CLOSING: TCPState.TIME_WAIT,
    TCPState.LAST_ACK: TCPState.CLOSED,
}
RECEIVING = frozenset({TCPState.ESTABLISHED, TCPState.FIN_WAIT_1, TCPState.FIN_WAIT_2})
BEFORE_ESTABLISHED = frozenset({TCPState.CLOSED, TCPState.SYN_SENT, TCPState.SYN_RECEIVED})
