"""Twisted endpoint strings as a user gives them, and in one sentence what is wrong with one."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import click
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)

from ..errors import P2PError, PortInUse


def parse_client_endpoint(option: str, text: str) -> IStreamClientEndpoint:
    """Return the client endpoint that an option names; raise `click.UsageError` if it is none."""
    endpoint: IStreamClientEndpoint = _parse(clientFromString, option, text, "tcp:127.0.0.1:22")
    return endpoint


def parse_server_endpoint(option: str, text: str) -> IStreamServerEndpoint:
    """Return the server endpoint that an option names; raise `click.UsageError` if it is none."""
    example = "tcp:2222:interface=127.0.0.1"
    endpoint: IStreamServerEndpoint = _parse(serverFromString, option, text, example)
    return endpoint


def _parse(parse: Callable[[Any, str], Any], option: str, text: str, example: str) -> Any:
    from twisted.internet import reactor  # noqa: PLC0415 (not sooner than it is needed)

    try:
        return parse(reactor, text)
    except P2PError:
        raise
    except Exception as error:  # whatever the parser of that kind of endpoint does not expect
        tells = isinstance(error, OSError) or text.startswith("p2p:")
        why = f" ({error})" if tells else ""
        raise click.UsageError(
            f"{option} takes a Twisted endpoint such as {example}, not {text!r}{why}"
        ) from error


async def listen_at(
    endpoint: IStreamServerEndpoint, option: str, factory: IProtocolFactory
) -> None:
    """Listen at an endpoint that an option names.

    :raises PortInUse: when another program has it.
    :raises CannotListen: when the system does not permit it, or has no such address.
    """
    try:
        await endpoint.listen(factory)
    except CannotListenError as error:
        reason = error.socketError
        if getattr(reason, "errno", None) == errno.EADDRINUSE:
            raise PortInUse(
                f"Another program listens at the {option} endpoint; choose another port."
            ) from error
        raise CannotListen(
            f"Cannot listen at the {option} endpoint, choose another one: {reason}"
        ) from error


class CannotListen(P2PError):
    """The system does not let this program listen there; choose another endpoint."""

    code = "usage"
