"""``p2p receive``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from twisted.internet.threads import deferToThread

from ..addresses import PeerAddress
from ..errors import UnknownService
from ..identity.peer_id import PeerID
from ..node.service import P2PNode
from ..transfer.failures import displayed
from ..transfer.folder import TargetFolder
from ..transfer.meeting import RECEIVE_SERVICE, SEND_SERVICE, Listening, Patience, dial
from ..transfer.receiver import Approval, FileReceiver, approve_all
from ..transfer.ticket import Ticket
from ..transfer.wire import Offer
from .asking import ask
from .exit_status import ExitStatus
from .options import Options
from .running import run_with_node
from .transferring import Transfer, patience, wait_option


@click.command("receive")
@click.argument("ticket", required=False)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="The folder to put it into, made if it is not there.  [default: the current one]",
)
@click.option(
    "--allow", multiple=True, metavar="PEER", help="A peer to take from unasked; may be repeated."
)
@wait_option
@click.pass_obj
def command(
    options: Options, ticket: str | None, into: Path, allow: tuple[str, ...], wait: float | None
) -> ExitStatus:
    """Receive what p2p send sends, once.

    With the TICKET that it shows; or without one, from the peers that are allowed, and from others
    if you say so at the terminal.  Files that are there already are never overwritten.
    """
    allowed = frozenset(map(PeerID, allow))
    if ticket is None:
        receiving = _Receiving(options, into, allowed, patience(wait, to_meet=None))
        return run_with_node(options, receiving.wait_for_sender, prepare=receiving.listen)
    if allowed:
        raise click.UsageError("a ticket names the only sender; leave --allow out")
    parsed = Ticket.parse(ticket)
    options.require_other(parsed.peer_id)
    receiving = _Receiving(options, into, allowed, patience(wait, to_meet=0.0))
    return run_with_node(options, lambda reactor, node: receiving.dial(reactor, node, parsed))


class _Receiving:
    """One run of the command."""

    def __init__(
        self, options: Options, into: Path, allowed: frozenset[PeerID], patience: Patience
    ) -> None:
        self._options = options
        self._into = into
        self._allowed: set[str] = set(allowed)
        self._refused: set[str] = set()
        self._patience = patience
        self._can_ask = _can_ask(options)
        self._transfer: Transfer
        self._listening: Listening[FileReceiver]

    async def listen(self, reactor: Any, node: P2PNode) -> None:
        """Take the streams of senders."""
        self._transfer = transfer = Transfer(self._options.reporter, reactor, node)

        def build(address: PeerAddress) -> FileReceiver:
            async def approve(offer: Offer) -> bool:
                return await self._approve(reactor, address.peer_id, offer)

            receiver = self._receiver(reactor, address.peer_id, approve=approve)
            return transfer.follow(receiver, "accepted")

        self._listening = Listening(reactor, build, self._patience, transfer.told)
        # Who would only be refused is refused before anything is said about this machine.
        allow = None if self._can_ask else frozenset(self._allowed)
        await node.listen(RECEIVE_SERVICE, self._listening, allow)

    async def wait_for_sender(self, reactor: Any, node: P2PNode) -> None:
        """Wait until a transfer is complete."""
        await self._end(self._listening.wait())

    async def dial(self, reactor: Any, node: P2PNode, ticket: Ticket) -> None:
        """Dial the sender until the transfer is complete."""
        self._transfer = transfer = Transfer(self._options.reporter, reactor, node)

        def build() -> FileReceiver:
            receiver = self._receiver(reactor, ticket.peer_id, secret=ticket.secret)
            return transfer.follow(receiver, "connected")

        dialling = dial(
            reactor, node, ticket.peer_id, SEND_SERVICE, build, self._patience, transfer.told
        )
        try:
            await self._end(dialling)
        except UnknownService as error:
            raise UnknownService(
                "The sender is there and sends nothing at the moment; ask for a new ticket."
            ) from error

    def _receiver(
        self, reactor: Any, sender: str, *, secret: bytes = b"", approve: Approval = approve_all
    ) -> FileReceiver:
        return FileReceiver(
            reactor,
            lambda: TargetFolder(self._into, sender),
            self._transfer.progress,
            secret=secret,
            approve=approve,
            in_thread=deferToThread,
        )

    async def _approve(self, reactor: Any, peer_id: str, offer: Offer) -> bool:
        """Return whether to take what a peer offers."""
        if peer_id in self._refused:
            return False
        self._listening.claim(peer_id)
        if peer_id not in self._allowed:
            wanted = await ask(reactor, self._options.reporter.stderr, _question(peer_id, offer))
            (self._allowed if wanted else self._refused).add(peer_id)
            return wanted
        return True

    async def _end(self, completed: Any) -> None:
        receiver = await self._transfer.end(completed)
        self._transfer.result(
            "received",
            receiver.manifest,
            peer=receiver.peer.peer_id,
            into=str(self._into),
            digest=receiver.digest.hex(),
        )


def _can_ask(options: Options) -> bool:
    """Return whether there is somebody to ask."""
    return not options.reporter.as_json and sys.stdin.isatty() and sys.stderr.isatty()


def _question(peer_id: str, offer: Offer) -> str:
    more = f" and what belongs to it, {offer.entries} in all" if offer.entries > 1 else ""
    return f"{peer_id} offers {displayed(offer.name)}{more} ({offer.size} bytes).  Take it? [y/N] "
