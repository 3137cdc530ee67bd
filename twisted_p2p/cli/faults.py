"""A failure that nobody foresaw, as the user is told of it."""

from __future__ import annotations

from ..errors import P2PError


class InternalFault(P2PError):
    """A fault of p2p itself."""

    code = "internal"

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"A fault of p2p itself, please report it: {error!r}")
