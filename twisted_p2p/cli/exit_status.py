"""What the `p2p` command tells its caller by its exit status."""

from __future__ import annotations

from enum import IntEnum

from ..errors import P2PError


class ExitStatus(IntEnum):
    """The exit statuses of `p2p`, a part of its interface."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    TRACKER_UNREACHABLE = 3
    PEER_OFFLINE = 4
    PEER_REFUSED = 5
    UNKNOWN_SERVICE = 6
    NO_PATH = 7
    WRONG_IDENTITY = 8
    TIMED_OUT = 9
    IDENTITY_FILE = 10
    PORT_IN_USE = 11
    TRANSFER_FAILED = 12
    INTERRUPTED = 130


_BY_CODE = {
    "usage": ExitStatus.USAGE,
    "invalid_peer_id": ExitStatus.USAGE,
    "invalid_ticket": ExitStatus.USAGE,
    "tracker_unreachable": ExitStatus.TRACKER_UNREACHABLE,
    "tracker_busy": ExitStatus.TRACKER_UNREACHABLE,
    "peer_offline": ExitStatus.PEER_OFFLINE,
    "peer_refused": ExitStatus.PEER_REFUSED,
    "unknown_service": ExitStatus.UNKNOWN_SERVICE,
    "no_path": ExitStatus.NO_PATH,
    "wrong_identity": ExitStatus.WRONG_IDENTITY,
    "timeout": ExitStatus.TIMED_OUT,
    "identity_file": ExitStatus.IDENTITY_FILE,
    "port_in_use": ExitStatus.PORT_IN_USE,
    "transfer_failed": ExitStatus.TRANSFER_FAILED,
}


def exit_status_of(error: P2PError) -> ExitStatus:
    """Return the exit status that stands for an error of this package."""
    return _BY_CODE.get(error.code, ExitStatus.FAULT)
