"""Why a transfer failed: one sentence for the side that noticed it, one for the other side.

Over the wire goes a number and a name, never a sentence: no peer writes on the other one's
terminal, and no path of one machine is told to another.
"""

from __future__ import annotations

import errno
from enum import IntEnum, unique
from typing import Final

from twisted_p2p.errors import P2PError, PeerRefused


@unique
class Reason(IntEnum):
    """Why a transfer failed, as the wire has it."""

    REFUSED = 1
    WRONG_TICKET = 2
    BUSY = 3
    EXISTS = 4
    NO_SPACE = 5
    UNSAFE_NAME = 6
    CHANGED = 7
    UNREADABLE = 8
    UNWRITABLE = 9
    DIGEST = 10
    PROTOCOL = 11
    VERSION = 12
    TOO_MUCH = 13


_OURS: Final = {
    Reason.REFUSED: "The transfer was refused here.",
    Reason.WRONG_TICKET: "A peer showed a ticket that is not good here.",
    Reason.BUSY: "Another transfer is going on here.",
    Reason.EXISTS: (
        "{name} is there already and is not what is being sent; move it away or choose another "
        "folder with --into."
    ),
    Reason.NO_SPACE: (
        "There is no room for {name}; free some space and run the same command again, it goes on "
        "where it stopped."
    ),
    Reason.UNSAFE_NAME: (
        "{name} is no name that a receiver takes (it may lead out of a folder, or appears twice); "
        "rename it and send again."
    ),
    Reason.CHANGED: "{name} was changed while it was being sent; send it again when it rests.",
    Reason.UNREADABLE: "{name} cannot be read; check that it is there and its permissions.",
    Reason.UNWRITABLE: (
        "{name} cannot be written; check the folder's permissions and that no link or special "
        "file is in its place."
    ),
    Reason.DIGEST: "{name} arrived changed and was not kept; run the same command again.",
    Reason.PROTOCOL: "The peer broke the rules of the transfer; check that its version fits.",
    Reason.VERSION: "The peer has another version of this protocol; update the older side.",
    Reason.TOO_MUCH: "That is more than 100,000 files or 16 MiB of names; pack it into an archive.",
}

_THEIRS: Final = {
    Reason.REFUSED: "The receiver does not want it; ask its owner to allow this peer.",
    Reason.WRONG_TICKET: (
        "The sender does not know this ticket; ask for the one that it shows now, a ticket is good "
        "for one receiver."
    ),
    Reason.BUSY: "The receiver is busy with another transfer.",
    Reason.EXISTS: (
        "The receiver already has another {name}; it has to move that away or to choose "
        "another folder."
    ),
    Reason.NO_SPACE: (
        "The receiver has no room for {name}; when it has, run the same command again, it goes on "
        "where it stopped."
    ),
    Reason.UNSAFE_NAME: "The receiver takes no file of the name {name}; rename it and send again.",
    Reason.CHANGED: "{name} was changed at the sender in mid-transfer; try again when it rests.",
    Reason.UNREADABLE: "The sender cannot read {name}; it has to check its permissions.",
    Reason.UNWRITABLE: "The receiver cannot write {name}; it has to check its folder.",
    Reason.DIGEST: "{name} arrived changed at the receiver; run the same command again.",
    Reason.PROTOCOL: "The peer did not understand this side; check that the versions fit.",
    Reason.VERSION: "The peer has another version of this protocol; update the older side.",
    Reason.TOO_MUCH: "The receiver takes no more than 100,000 files; pack them into an archive.",
}


class TransferFailed(P2PError):
    """The transfer failed; run the same command again, it goes on where it stopped."""

    code = "transfer_failed"

    def __init__(
        self, reason: Reason, name: str = "", *, told: bool = False, is_ours: bool = False
    ) -> None:
        """Say why.

        :param name: of the file or folder that is concerned.
        :param told: whether the peer noticed it, and not this side.
        :param is_ours: whether the name is of this machine alone, and not for the peer.
        """
        sentences = _THEIRS if told else _OURS
        super().__init__(sentences[reason].format(name=displayed(name) or "A file"))
        self.reason = reason
        self.name = name
        self.name_for_peer = "" if is_ours else name
        self.told = told
        self.why: dict[str, object] = {
            "reason": reason.name.lower(),
            "name": name,
            "noticed_by": "peer" if told else "us",
        }


class TransferInterrupted(P2PError):
    """The other side is gone; run the same command again, it goes on where it stopped."""

    code = "transfer_failed"


class InvalidTicket(P2PError, ValueError):
    """A ticket is the one word of 68 characters that p2p send shows; copy all of it."""

    code = "invalid_ticket"


def failure_told(reason: Reason, name: str) -> P2PError:
    """Return the error for what the peer says is the matter."""
    failure = TransferFailed(reason, name, told=True)
    if reason in (Reason.REFUSED, Reason.WRONG_TICKET):
        return PeerRefused(str(failure))
    return failure


def failure_to_write(error: OSError, name: str) -> TransferFailed:
    """Return the error for what the system says about a file that is being received."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return TransferFailed(Reason.NO_SPACE if full else Reason.UNWRITABLE, name)


def displayed(name: str) -> str:
    """Return a name as a terminal may show it: nothing in it moves a cursor or turns a line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
