"""The ``p2p`` command: options, commands, and how every failure ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import click

from ..addresses import HostPort
from ..errors import P2PError
from ..node.defaults import default_lan, default_trackers, parse_tracker
from .exit_status import ExitStatus, exit_status_of
from .faults import InternalFault
from .options import Options
from .reporting import Reporter

T = TypeVar("T")


class _TrackerType(click.ParamType[HostPort]):
    name = "HOST[:PORT]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> HostPort:
        """Return the tracker that the user named."""
        if isinstance(value, HostPort):
            return value
        try:
            return parse_tracker(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_MODULES = {
    "id": "identify",
    "listen": "listen",
    "connect": "connect",
    "send": "send",
    "receive": "receive",
    "ping": "ping",
    "peers": "peers",
    "demo": "demo",
}
"""Where each command is, in the order in which the help lists them."""


class _Commands(click.Group):
    """Loads the one command that is asked for; all of them would take half a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = import_module(f".{_MODULES[cmd_name]}", __package__).command
        return command


@click.group(cls=_Commands)
@click.option(
    "--identity",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file of the key that this node is.  [default: one per user, made on first use]",
)
@click.option(
    "--tracker",
    "trackers",
    multiple=True,
    type=_TrackerType(),
    help="A tracker; may be given several times.  [default: from P2P_TRACKER]",
)
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=0,
    help="The UDP port.  [default: any]",
)
@click.option(
    "--no-lan",
    is_flag=True,
    help="Do not look for peers on the local network, nor be found there.  [default: from P2P_LAN]",
)
@click.option(
    "--unlinkable",
    is_flag=True,
    help="Be recognised on the local network by those alone who know the peer ID.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Write the log to stderr.")
@click.version_option(package_name="twisted_p2p")
@click.pass_context
def p2p(
    context: click.Context,
    identity: Path | None,
    trackers: tuple[HostPort, ...],
    port: int,
    no_lan: bool,
    unlinkable: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Direct, encrypted connections between peers that are named by their keys.

    PEER is what p2p id prints on the peer's machine.  These options stand before the command.
    """
    context.obj = Options(
        reporter=Reporter(sys.stdout, sys.stderr, as_json),
        identity_path=identity,
        trackers=trackers or tuple(_environment("P2P_TRACKER", default_trackers)),
        port=port,
        lan=not no_lan and _environment("P2P_LAN", default_lan),
        unlinkable=unlinkable,
        verbose=verbose,
    )


def _environment(variable: str, read: Callable[[], T]) -> T:
    """Return what an environment variable says, or end with a usage error."""
    try:
        return read()
    except ValueError as error:
        raise click.UsageError(f"{variable}: {error}") from error


def run(arguments: Sequence[str]) -> ExitStatus:
    """Run the command and return its status; every failure is one sentence on stderr."""
    # Asked for before the options are parsed, since that may be what fails.
    reporter = Reporter(sys.stdout, sys.stderr, "--json" in arguments)
    try:
        status = p2p.main(list(arguments), prog_name="p2p", standalone_mode=False)
        return ExitStatus(status or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201
        return ExitStatus.USAGE
    except click.ClickException as error:
        reporter.error(UsageProblem(_in_one_sentence(error)))
        return ExitStatus.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except P2PError as error:
        reporter.error(error)
        return exit_status_of(error)
    except Exception as error:
        fault = InternalFault(error)
        reporter.error(fault)
        return exit_status_of(fault)


def _in_one_sentence(error: click.ClickException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    return f"{message.rstrip('.')}; see {context.command_path} --help"


class UsageProblem(P2PError):
    """The command line is not understood; see p2p --help."""

    code = "usage"
