"""How the two sides of a transfer meet, and meet again after an interruption.

One side listens and the other one dials; which is which does not matter to what is sent.  As long
as both programs live, an interruption costs nothing but time: the dialler dials again, the
listener takes the new stream for the old one's, and the transfer goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_p2p.addresses import PeerAddress
from twisted_p2p.errors import (
    DialTimedOut,
    InvalidPeerID,
    P2PError,
    PeerRefused,
    WrongIdentity,
)
from twisted_p2p.interfaces import IEarlyFactory, IPeerNode

from .conversation import Conversation
from .failures import Reason, TransferFailed, TransferInterrupted

SEND_SERVICE = "p2p-send"
"""Where a sender waits for the receiver that its ticket calls."""

RECEIVE_SERVICE = "p2p-receive"
"""Where a receiver without a ticket waits for senders."""

DEFAULT_WAIT = 300.0
"""Seconds for which an interrupted transfer is tried again."""

_LAST_WORD = 30.0
"""Seconds for which a side that has everything tries to tell the other one so."""

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 10.0
_MOST_STRANGERS = 16
"""Streams at once with which nothing has been agreed."""

C = TypeVar("C", bound=Conversation)
Told = Callable[[Exception], object]
_BROKEN = (P2PError, ConnectError, ConnectionLost, ConnectionDone)


@frozen
class Patience:
    """How long to try, in seconds."""

    to_meet: float | None = None
    """Until the first meeting; None is for ever, 0 a single attempt."""
    to_meet_again: float = DEFAULT_WAIT
    """After an interruption."""


def is_final(error: Exception) -> bool:
    """Return whether no other attempt can make this good."""
    if isinstance(error, TransferFailed):
        return error.reason is not Reason.BUSY
    return isinstance(error, PeerRefused | WrongIdentity | InvalidPeerID)


# Dialling.


async def dial(
    clock: IReactorTime,
    node: IPeerNode,
    peer_id: str,
    service: str,
    build: Callable[[], C],
    patience: Patience,
    told: Told = lambda error: None,
) -> C:
    """Dial a peer again and again until the transfer is complete; return the last conversation.

    :param build: returns the protocol for one attempt.
    :param told: is told why an attempt came to nothing when there will be another one.
    :raises P2PError: when there will be none.
    """
    attempts: _Attempts[C] = _Attempts(clock, patience)
    while True:
        conversation = build()
        try:
            await node.connect(peer_id, service, _Only(conversation))
            await conversation.finished
            return conversation
        except _BROKEN as error:
            # A stream that was not accepted has begun nevertheless, and says so in vain.
            conversation.finished.addErrback(lambda failure: None)
            complete = attempts.failed(conversation, error)
            if complete is not None:
                return complete
            told(error)
        await deferLater(clock, attempts.next_delay())


@implementer(IEarlyFactory)
class _Only(Factory):
    """Builds the one protocol that it is given, and lets it ask for files at once."""

    noisy = False

    def __init__(self, protocol: Conversation) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Conversation:
        return self._protocol


class _Attempts(Generic[C]):
    """Decides whether there is another attempt, and when."""

    def __init__(self, clock: IReactorTime, patience: Patience) -> None:
        self._clock = clock
        self._patience = patience
        self._has_met = False
        self._complete: C | None = None
        self._delay = _FIRST_DELAY
        self._deadline: float | None = None
        if patience.to_meet is not None:
            self._deadline = clock.seconds() + patience.to_meet

    def failed(self, conversation: C, error: Exception) -> C | None:
        """Take it that an attempt failed; return the conversation that was complete, if one was.

        :raises Exception: when there is no sense in another attempt.
        """
        now = self._clock.seconds()
        if conversation.is_agreed:
            self._has_met = True
            self._delay = _FIRST_DELAY
            self._deadline = now + self._patience.to_meet_again
            if conversation.is_complete:
                self._complete = conversation
        if self._complete is not None:
            self._deadline = min(self._deadline or now, now + _LAST_WORD)
        is_late = self._deadline is not None and now >= self._deadline
        # A peer that is just ending refuses too; who wanted it once will want it again.
        refused_now = isinstance(error, PeerRefused) and self._has_met
        if not is_late and (refused_now or not is_final(error)):
            return None
        if self._complete is None:
            raise gone_for_good() if is_late and self._has_met else error
        return self._complete

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        delay, self._delay = self._delay, min(2 * self._delay, _LONGEST_DELAY)
        return delay


def gone_for_good() -> TransferInterrupted:
    """Return the error for a side that did not come back."""
    return TransferInterrupted(
        "The other side did not come back; run the same command again, it goes on where it stopped."
    )


# Listening.


class Listening(Factory, Generic[C]):
    """Takes streams until one transfer is complete: with one peer, as often as it breaks off."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        build: Callable[[PeerAddress], C],
        patience: Patience,
        told: Told = lambda error: None,
    ) -> None:
        """Prepare; ``build`` returns the protocol for a stream, ``told`` is as for `dial`."""
        self.done: Deferred[C] = Deferred(self._cancelled)
        """Fires with the conversation in which the transfer was completed."""
        self.partner: str | None = None
        """The peer with which the transfer goes on, or that is being decided on."""
        self._clock = clock
        self._build = build
        self._patience = patience
        self._told = told
        self._open: dict[C, str] = {}
        self._giving_up: IDelayedCall | None = None
        self._has_met = False

    def wait(self) -> Deferred[C]:
        """Return `done`; from now on the time counts in which the other side has to come."""
        if self._patience.to_meet is not None and not (self._has_met or self.done.called):
            late = DialTimedOut("The other side did not come in time; start it, and try again.")
            self._giving_up = self._clock.callLater(self._patience.to_meet, self._fail, late)
        return self.done

    def claim(self, peer_id: str) -> None:
        """Let this be the peer with which the transfer goes on; raise `TransferFailed` if another
        one is.
        """
        if self.partner not in (None, peer_id):
            raise TransferFailed(Reason.BUSY)
        self.partner = peer_id

    def buildProtocol(self, addr: PeerAddress) -> C | None:  # type: ignore[override]
        """Return one side of a transfer, or None when there is none to be had."""
        peer_id = addr.peer_id
        of_peer = [one for one, owner in self._open.items() if owner == peer_id]
        strangers = len(self._open) - len(of_peer)
        if self.done.called or (peer_id != self.partner and strangers >= _MOST_STRANGERS):
            return None
        conversation = self._build(addr)
        for old in of_peer:
            # The peer would not begin anew if the old stream were any good.
            conversation.predecessors.append(old.over())
            old.abort()
        conversation.on_agreed.append(self._met)
        self._open[conversation] = peer_id
        conversation.finished.addBoth(self._ended, conversation)
        return conversation

    def _ended(self, result: Any, conversation: C) -> None:
        peer_id = self._open.pop(conversation)
        if self.done.called:
            return
        if not isinstance(result, Failure):
            self._finish(conversation)
            return
        error: Any = result.value
        if not isinstance(error, _BROKEN):
            self._fail(error)
        elif conversation.is_agreed:
            self._interrupted(conversation, error)
        else:
            if not self._has_met and self.partner == peer_id and peer_id not in self._open.values():
                self.partner = None
            self._told(error)

    def _interrupted(self, conversation: C, error: Exception) -> None:
        if is_final(error):
            self._fail(error)
            return
        self._told(error)
        self._stop_giving_up()
        if conversation.is_complete:
            self._giving_up = self._clock.callLater(_LAST_WORD, self._finish, conversation)
        else:
            wait = self._patience.to_meet_again
            self._giving_up = self._clock.callLater(wait, self._fail, gone_for_good())

    def _met(self) -> None:
        self._has_met = True
        self._stop_giving_up()

    def _finish(self, conversation: C) -> None:
        self._stop_giving_up()
        self.done.callback(conversation)
        self._abort_all()

    def _fail(self, error: Exception) -> None:
        self._stop_giving_up()
        self.done.errback(Failure(error))
        self._abort_all()

    def _cancelled(self, done: Deferred[C]) -> None:
        self._stop_giving_up()
        self._abort_all()

    def _abort_all(self) -> None:
        for conversation in list(self._open):
            conversation.abort()

    def _stop_giving_up(self) -> None:
        giving_up, self._giving_up = self._giving_up, None
        if giving_up is not None and giving_up.active():
            giving_up.cancel()
