"""``p2p send``."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Any

import click
from twisted.internet.threads import deferToThread

from ..addresses import PeerAddress
from ..errors import PeerRefused
from ..identity.peer_id import PeerID
from ..node.service import P2PNode
from ..transfer.failures import Reason, TransferFailed, displayed
from ..transfer.meeting import RECEIVE_SERVICE, SEND_SERVICE, Listening, Patience, dial
from ..transfer.sender import FileSender
from ..transfer.source import Source
from ..transfer.ticket import SECRET_SIZE, Ticket
from .exit_status import ExitStatus
from .options import Options
from .running import run_with_node
from .transferring import Transfer, patience, wait_option


@click.command("send")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--to", "peer", metavar="PEER", help="Send to this peer's p2p receive.")
@wait_option
@click.pass_obj
def command(
    options: Options, files: tuple[Path, ...], peer: str | None, wait: float | None
) -> ExitStatus:
    """Send files and folders.

    Without --to, show a ticket and wait for the peer that runs p2p receive with it.  With --to,
    wait for that peer's p2p receive.  What breaks off goes on where it stopped, also by running
    the same command again.
    """
    to_peer = None if peer is None else PeerID(peer)
    options.require_peers()
    source = Source(files, lambda place: _say_skipped(options, place))
    if not len(source.manifest):
        raise click.UsageError("there is nothing to send but links and special files")
    sending = _Sending(options, source, patience(wait, to_meet=None))
    if to_peer is None:
        return run_with_node(options, sending.wait_for_ticket, prepare=sending.listen)
    options.require_other(to_peer)
    return run_with_node(options, lambda reactor, node: sending.dial(reactor, node, to_peer))


def _say_skipped(options: Options, place: Path) -> None:
    words = displayed(str(place))
    options.reporter.event(f"skipped: {words} is no file or folder", "skipped", name=str(place))


class _Sending:
    """One run of the command."""

    def __init__(self, options: Options, source: Source, patience: Patience) -> None:
        self._options = options
        self._source = source
        self._patience = patience
        self._secret = secrets.token_bytes(SECRET_SIZE)
        self._transfer: Transfer
        self._listening: Listening[FileSender]

    async def listen(self, reactor: Any, node: P2PNode) -> None:
        """Take the streams of receivers."""
        self._transfer = transfer = Transfer(self._options.reporter, reactor, node)

        def build(address: PeerAddress) -> FileSender:
            def admit(sender: FileSender, secret: bytes) -> None:
                if not hmac.compare_digest(secret, self._secret):
                    raise TransferFailed(Reason.WRONG_TICKET)
                try:
                    self._listening.claim(address.peer_id)
                except TransferFailed:
                    raise TransferFailed(Reason.WRONG_TICKET) from None

            sender = FileSender(
                reactor, self._source, transfer.progress, admit=admit, in_thread=deferToThread
            )
            return transfer.follow(sender, "accepted")

        self._listening = Listening(reactor, build, self._patience, transfer.told)
        await node.listen(SEND_SERVICE, self._listening, None)

    async def wait_for_ticket(self, reactor: Any, node: P2PNode) -> None:
        """Show the ticket and wait until the transfer is complete."""
        ticket = Ticket(node.peer_id, self._secret)
        reporter = self._options.reporter
        if not reporter.as_json:
            print("On the other machine, run p2p receive with:", file=reporter.stderr)
        reporter.result(str(ticket), "ticket", ticket=str(ticket), peer=str(node.peer_id))
        await self._end(self._listening.wait())

    async def dial(self, reactor: Any, node: P2PNode, peer_id: PeerID) -> None:
        """Dial a peer until the transfer is complete."""
        self._transfer = transfer = Transfer(self._options.reporter, reactor, node)

        def build() -> FileSender:
            sender = FileSender(reactor, self._source, transfer.progress, in_thread=deferToThread)
            return transfer.follow(sender, "connected")

        dialling = dial(
            reactor, node, peer_id, RECEIVE_SERVICE, build, self._patience, transfer.told
        )
        try:
            await self._end(dialling)
        except PeerRefused as error:
            raise PeerRefused(
                f"The peer takes no files from this one; there, run p2p receive --allow "
                f"{node.peer_id}"
            ) from error

    async def _end(self, completed: Any) -> None:
        sender = await self._transfer.end(completed)
        self._transfer.result(
            "sent", self._source.manifest, peer=sender.peer.peer_id, digest=sender.digest.hex()
        )
