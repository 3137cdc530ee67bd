"""Messages over any stream transport, one after the other, with back-pressure both ways."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_p2p.addresses import Path, PeerAddress
from twisted_p2p.errors import MalformedMessage, P2PError
from twisted_p2p.interfaces import IPathObserver

from .failures import Reason, TransferFailed, TransferInterrupted, failure_told
from .wire import Data, Failed, Message, MessageReader, header

T = TypeVar("T")
M = TypeVar("M", bound=Message)

Threads = Callable[..., "Deferred[Any]"]
"""Calls a function with arguments, perhaps in a thread: `maybeDeferred`, `deferToThread`."""

_HIGH, _LOW = 1 << 20, 1 << 18
"""Bytes that wait here before the peer is held back, and when it may go on."""

_COST_OF_MESSAGE = 100
_PARTING = 10.0
"""Seconds that the peer may take to end a stream when it was told why."""


@implementer(IPushProducer, IPathObserver)
class Conversation(Protocol):
    """One side of one attempt at a transfer, written down as a coroutine, `converse`.

    ``finished`` fires when the transfer is complete on both sides.  It fails with
    `TransferInterrupted` when the stream broke off, so that another attempt makes sense, and
    with `TransferFailed` or `PeerRefused` when it does not.  Cancelling it ends the stream.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, in_thread: Threads = maybeDeferred) -> None:
        """Prepare; ``in_thread`` runs what would keep the reactor waiting for a disk."""
        self.finished: Deferred[None] = Deferred(lambda cancelled: self._running.cancel())
        self.is_agreed = False
        """Whether both sides want this transfer; only then is an interruption worth a retry."""
        self.is_complete = False
        """Whether everything is done, as far as this side knows; the peer may not know it yet."""
        self.predecessors: list[Deferred[None]] = []
        """What has to be over before this conversation begins."""
        self.on_agreed: list[Callable[[], object]] = []
        self.on_path_changed: list[Callable[[Path | None], object]] = []
        self.on_lost: list[Callable[[], object]] = []
        self.bytes_sent = self.bytes_received = 0
        self._clock = clock
        self._in_thread = in_thread
        self._reader = MessageReader()
        self._messages: deque[Message] = deque()
        self._waiting_size = 0
        self._held_back = False
        self._paused = False
        self._error: Exception | None = None
        self._parting = False
        self._arrival: Deferred[None] | None = None
        self._resumption: Deferred[None] | None = None
        self._running: Deferred[None] = Deferred()
        self._lost: Failure | None = None
        self._awaiting_loss: list[Deferred[None]] = []
        self._is_over = False
        self._awaiting_over: list[Deferred[None]] = []

    async def converse(self) -> None:
        """Do this side's part; to be written by each side."""
        raise NotImplementedError

    def tidy(self) -> None:
        """Let go of what the conversation held; called once, when it is over."""

    # What the sides use.

    def send(self, message: Message) -> None:
        """Send a message."""
        if isinstance(message, Data):
            # The content is not copied.
            self._write(header(Data.code, message.data))
            self._write(message.data)
        else:
            self._write(message.encode())

    @property
    def peer(self) -> PeerAddress:
        """The address of the peer, if it is one of a node's; any transport's address otherwise."""
        address: PeerAddress = self._transport.getPeer()
        return address

    def check(self) -> None:
        """Return while the conversation goes on; raise what ended it otherwise."""
        if self._error is not None:
            raise self._error

    async def room(self) -> None:
        """Wait until the transport takes more; raises what ended the conversation meanwhile."""
        while self._paused and self._error is None:
            self._resumption = Deferred()
            await self._resumption
        self.check()

    async def batch(self) -> list[Message]:
        """Return the messages that have come, at least one.

        :raises TransferInterrupted: when the stream is lost and nothing is left.
        :raises P2PError: what the peer said is the matter.
        """
        while not self._messages:
            self.check()
            self._arrival = Deferred()
            await self._arrival
        messages = list(self._messages)
        self._messages.clear()
        self._waiting_size = 0
        self._resume_peer()
        return messages

    async def next(self, *kinds: type[M]) -> M:
        """Return the next message, which has to be one of these kinds.

        :raises TransferFailed: when it is another one.
        """
        while not self._messages:
            self.check()
            self._arrival = Deferred()
            await self._arrival
        message = self._messages.popleft()
        self._waiting_size -= _size(message)
        self._resume_peer()
        if not isinstance(message, kinds):
            raise TransferFailed(Reason.PROTOCOL)
        return message

    async def within(self, seconds: float, awaited: Deferred[T]) -> T:
        """Wait for a Deferred; after so many seconds raise `TransferInterrupted`."""
        timeout = self._clock.callLater(seconds, awaited.cancel)
        try:
            return await awaited
        except CancelledError:
            if timeout.active():
                raise
            raise TransferInterrupted("The other side does not answer.") from None
        finally:
            if timeout.active():
                timeout.cancel()

    async def loss(self, seconds: float) -> bool:
        """Wait until the stream is lost, which is aborted at last; return if it ended cleanly."""
        timeout = self._clock.callLater(seconds, self.abort)
        if self._lost is None:
            waiting: Deferred[None] = Deferred(self._awaiting_loss.remove)
            self._awaiting_loss.append(waiting)
            await waiting
        if timeout.active():
            timeout.cancel()
        assert self._lost is not None, "that was awaited"
        return self._lost.check(ConnectionDone) is not None

    def call(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """Call a function where it keeps nobody waiting; not even cancelling cuts it short."""
        return Deferred.fromCoroutine(self._called(function, arguments))

    def over(self) -> Deferred[None]:
        """Return a Deferred that fires once this conversation touches nothing any more."""
        over: Deferred[None] = Deferred()
        if self._is_over:
            over.callback(None)
        else:
            self._awaiting_over.append(over)
        return over

    def agreed(self) -> None:
        """Take it that both sides want this transfer."""
        self.is_agreed = True
        for told in self.on_agreed:
            told()

    def abort(self) -> None:
        """End the stream at once, as an interruption."""
        if self._lost is None:
            self._transport.abortConnection()

    # What Twisted calls.

    def connectionMade(self) -> None:
        """Begin the conversation."""
        self._transport.registerProducer(self, True)
        self._running = Deferred.fromCoroutine(self._converse())
        self._running.addBoth(self._over)

    def dataReceived(self, data: bytes) -> None:
        """Keep the messages in these bytes for when they are asked for."""
        self.bytes_received += len(data)
        if self._parting or self._error is not None:
            return
        try:
            for message in self._reader.messages(data):
                if isinstance(message, Failed):
                    self._fail(failure_told(message.reason, message.name))
                    return
                self._messages.append(message)
                self._waiting_size += _size(message)
        except TransferFailed as error:
            self._fail(error)
        except MalformedMessage:
            self._fail(TransferFailed(Reason.PROTOCOL))
        if self._waiting_size > _HIGH and not self._held_back:
            self._held_back = True
            self._transport.pauseProducing()
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Take it that nothing more comes."""
        self._lost = reason
        if self._error is None:
            self._error = TransferInterrupted()
        for told in self.on_lost:
            told()
        self._wake()
        waiting, self._awaiting_loss = self._awaiting_loss, []
        for each in waiting:
            each.callback(None)

    def pauseProducing(self) -> None:
        """Send no more for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Send again."""
        self._paused = False
        self._wake()

    def stopProducing(self) -> None:
        """Send no more; `connectionLost` says why."""
        self._paused = True

    def path_changed(self, path: Path | None) -> None:
        """Pass it on."""
        for told in self.on_path_changed:
            told(path)

    # Inside.

    def _write(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        self._transport.write(data)

    async def _converse(self) -> None:
        try:
            for predecessor in self.predecessors:
                await predecessor
            await self.converse()
        except TransferFailed as error:
            if not error.told:
                self.send(Failed(error.reason, error.name_for_peer))
            await self._part()
            raise
        except P2PError:
            await self._part()
            raise
        except BaseException:
            self.abort()
            raise
        finally:
            self.tidy()

    async def _part(self) -> None:
        """End the stream, but read on: a stream that is closed unread may lose what was sent."""
        if self._lost is not None:
            return
        self._parting = True
        self._forget_messages()
        self._transport.unregisterProducer()
        self._transport.loseWriteConnection()
        await self.loss(_PARTING)

    async def _called(self, function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        called: Deferred[T] = Deferred()
        ended: Deferred[None] = Deferred()

        def end(result: Any) -> None:
            ended.callback(None)
            if not called.called:
                called.callback(result)

        self._in_thread(function, *arguments).addBoth(end)
        try:
            return await called
        except CancelledError:
            # The thread goes on, with files that must not be closed under it.
            await ended
            raise

    def _over(self, result: Any) -> None:
        self._is_over = True
        for waiting in self._awaiting_over:
            waiting.callback(None)
        if not self.finished.called:
            self.finished.callback(result)

    def _fail(self, error: Exception) -> None:
        self._error = error
        # What the peer said is the matter makes all that came before it idle.
        self._forget_messages()
        self._wake()

    def _forget_messages(self) -> None:
        self._messages.clear()
        self._waiting_size = 0
        self._resume_peer()

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, None
        resumption, self._resumption = self._resumption, None
        for waiting in (arrival, resumption):
            if waiting is not None and not waiting.called:
                waiting.callback(None)

    def _resume_peer(self) -> None:
        if self._held_back and self._waiting_size < _LOW:
            self._held_back = False
            self._transport.resumeProducing()

    @property
    def _transport(self) -> Any:
        # Typed as Any because no one interface of Twisted has all that a stream transport has.
        return self.transport


def _size(message: Message) -> int:
    return (len(message.data) if isinstance(message, Data) else 0) + _COST_OF_MESSAGE
