"""What becomes of a PCP request (RFC 6887, section 7.4)."""

from __future__ import annotations

from enum import IntEnum

from twisted_p2p.errors import MalformedMessage


class ResultCode(IntEnum):
    """The result of a PCP request."""

    SUCCESS = 0
    UNSUPP_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPP_OPCODE = 4
    UNSUPP_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPP_PROTOCOL = 9
    USER_EX_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


class RefusedRequest(MalformedMessage):
    """The request cannot be read, and its sender is to be told why."""

    def __init__(self, result: ResultCode) -> None:
        super().__init__(f"a PCP message cannot be read: {result.name}")
        self.result = result
        """What the client is to be told."""
