"""The constants of a TCP, with Linux's values."""

from __future__ import annotations

from attrs import frozen


@frozen
class TCPSettings:
    """What a host's TCP goes by; times are seconds, sizes bytes."""

    send_buffer: int = 1_048_576
    """Bytes that wait to be acknowledged, before a program may write no more."""
    receive_buffer: int = 1_048_576
    """Bytes that wait to be read, before the window is zero."""
    initial_timeout: float = 1.0
    minimum_timeout: float = 0.2
    maximum_timeout: float = 120.0
    connect_retries: int = 6
    """How often a SYN is repeated: 127 seconds until ETIMEDOUT."""
    accept_retries: int = 5
    """How often the answer to a SYN is repeated."""
    retries: int = 15
    """How often data is repeated: some 15 minutes until ETIMEDOUT."""
    delayed_acknowledgement: float = 0.04
    time_wait: float = 60.0
    """How long the end that closed first is remembered, and an orphan waits for a FIN."""
    initial_window: int = 10
    """Segments that go out before the first is acknowledged (RFC 6928)."""
