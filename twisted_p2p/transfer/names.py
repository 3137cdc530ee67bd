r"""Which names a receiver takes: those that stay in the target folder on every system.

A path is its components joined by ``/``.  None of them may be empty, ``.`` or ``..``, hold a
separator of any system (``/``, ``\``), a control character or a lone surrogate, begin like a
drive (``C:``), be longer than 255 bytes of UTF-8, or end in the suffix of unfinished files.
"""

from __future__ import annotations

import re
from hashlib import sha256

from .failures import Reason, TransferFailed

PART_SUFFIX = ".part"
_TAG = re.compile(r"\.p2p-[0-9a-f]{10}\.part\Z", re.IGNORECASE)
_LONGEST_COMPONENT = 255
_LONGEST_PATH = 4096
_MOST_COMPONENTS = 100
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/\\\ud800-\udfff]|\A[A-Za-z]:|\A\.{0,2}\Z")


def checked_path(text: str) -> tuple[str, ...]:
    """Return the components of a path.

    :raises TransferFailed: when it is not one that a receiver takes.
    """
    path = tuple(text.split("/"))
    if len(path) > _MOST_COMPONENTS or not all(map(is_safe, path)):
        raise TransferFailed(Reason.UNSAFE_NAME, text)
    if len(text.encode()) > _LONGEST_PATH:
        raise TransferFailed(Reason.UNSAFE_NAME, text)
    return path


def is_safe(component: str) -> bool:
    """Return whether a receiver takes this as the name of a file or folder."""
    return (
        not _FORBIDDEN.search(component)
        and len(component.encode()) <= _LONGEST_COMPONENT
        and not _TAG.search(component)
    )


def part_name(sender: str, path: tuple[str, ...]) -> str:
    """Return the name of the unfinished file for a path, one of its own for each sender.

    No name that a sender may choose is one of these, so nobody writes to another one's.
    """
    tag = sha256("\0".join((sender, *path)).encode()).hexdigest()[:10]
    suffix = f".p2p-{tag}{PART_SUFFIX}"
    name = path[-1].encode()[: _LONGEST_COMPONENT - len(suffix)].decode(errors="ignore")
    return name + suffix
