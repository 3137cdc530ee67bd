"""`FileSender`: the side of a transfer that has the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from .conversation import Conversation, Threads
from .failures import Reason, TransferFailed
from .outgoing import Outgoing
from .prefix import Prefix, PrefixReader, nothing
from .progress import Progress
from .source import Source
from .wire import (
    VERSION,
    Accept,
    Begin,
    Compare,
    Confirmed,
    Data,
    Digests,
    Finished,
    Hole,
    Listed,
    Message,
    Offer,
    Request,
    Start,
)

PATIENCE = 30.0
"""Seconds that a peer may take for the first message, and the last."""


class FileSender(Conversation):
    """Sends files over one stream, from wherever the receiver is with them."""

    def __init__(
        self,
        clock: IReactorTime,
        source: Source,
        progress: Progress,
        *,
        admit: Callable[[FileSender, bytes], None] = lambda sender, secret: None,
        in_thread: Threads = maybeDeferred,
    ) -> None:
        """Prepare.

        :param admit: is called with the secret that the receiver shows, and raises
            `TransferFailed` to refuse it.
        """
        super().__init__(clock, in_thread)
        self.digest = b""
        """Over all, once the transfer is complete."""
        self._source = source
        self._manifest = source.manifest
        self._progress = progress
        self._admit = admit
        self._prefixes: dict[int, dict[int, Prefix]] = {}
        self._outgoing: Outgoing | None = None

    async def converse(self) -> None:
        """Offer, answer what the receiver asks, send what it wants, and hear that it has it."""
        request = await self.within(PATIENCE, Deferred.fromCoroutine(self.next(Request)))
        if request.version != VERSION:
            raise TransferFailed(Reason.VERSION)
        self._admit(self, request.secret)
        await self._offer()
        wanted, digests = await self._hear_wishes()
        await self._send_all(wanted, digests)
        confirmed = await self.next(Confirmed)
        if confirmed.digest != self.digest:
            raise TransferFailed(Reason.DIGEST)
        self.is_complete = True
        self._transport.unregisterProducer()
        self._transport.loseConnection()
        await self.loss(PATIENCE)

    def tidy(self) -> None:
        """Close what is open."""
        if self._outgoing is not None:
            self._outgoing.close()

    async def _offer(self) -> None:
        manifest = self._manifest
        name = manifest[0].path[0] if len(manifest) else ""
        self.send(Offer(len(manifest), manifest.size, name))
        await self.next(Accept)
        self._progress.expect(manifest.size)
        self.agreed()
        for entry in manifest:
            self.send(Listed(entry))
            await self.room()

    async def _hear_wishes(self) -> tuple[list[tuple[int, Prefix]], dict[int, bytes]]:
        """Return what the receiver wants, and the digests of what it has."""
        wanted: dict[int, Prefix] = {}
        while not isinstance(said := await self.next(Compare, Start, Begin), Begin):
            assert isinstance(said, Compare | Start)
            index = said.index
            if not index < len(self._manifest) or self._manifest[index].is_folder:
                raise TransferFailed(Reason.PROTOCOL)
            if isinstance(said, Compare):
                await self._compare(said)
            else:
                prefix = self._prefixes.get(index, {}).get(said.offset)
                if index in wanted or (prefix is None and said.offset):
                    raise TransferFailed(Reason.PROTOCOL)
                wanted[index] = prefix or nothing()
        return list(wanted.items()), self._digests_of_the_rest(wanted)

    async def _compare(self, said: Compare) -> None:
        """Tell the digests of how a file begins."""
        index = said.index
        entry = self._manifest[index]
        if index in self._prefixes or said.offsets[-1] > entry.size:
            raise TransferFailed(Reason.PROTOCOL)
        descriptor = await self.call(self._source.open, index)
        try:
            reader = PrefixReader(descriptor, said.offsets)
            while await self.call(reader.step):
                self.check()
        finally:
            os.close(descriptor)
        if len(reader.prefixes) < len(said.offsets):
            raise TransferFailed(Reason.CHANGED, entry.name)
        self._prefixes[index] = {prefix.size: prefix for prefix in reader.prefixes}
        self.send(Digests(index, tuple(prefix.digest for prefix in reader.prefixes)))
        await self.room()

    def _digests_of_the_rest(self, wanted: Collection[int]) -> dict[int, bytes]:
        """Return the digests of the files that the receiver has, of which it must have asked."""
        digests: dict[int, bytes] = {}
        for index, entry in self._manifest.files:
            if index not in wanted:
                prefix = self._prefixes.get(index, {0: nothing()}).get(entry.size)
                if prefix is None:
                    raise TransferFailed(Reason.PROTOCOL)
                digests[index] = prefix.digest
        return digests

    async def _send_all(
        self, wanted: Sequence[tuple[int, Prefix]], digests: Mapping[int, bytes]
    ) -> None:
        """Send what is wanted; the next batch is read while one goes out."""
        done = self._manifest.size - sum(
            self._manifest[index].size - prefix.size for index, prefix in wanted
        )
        self._progress.begin(self._manifest.size, done)
        self._outgoing = Outgoing(self._source, wanted, digests, self._progress.on_file)
        batch = await self.call(self._outgoing.next_batch)
        while batch:
            upcoming = self.call(self._outgoing.next_batch)
            try:
                for message in batch:
                    self._send_content(message)
                    await self.room()
            finally:
                batch = await upcoming

    def _send_content(self, message: Message) -> None:
        self.send(message)
        if isinstance(message, Data):
            self._progress.advance(len(message.data))
        elif isinstance(message, Hole):
            self._progress.advance(message.size)
        elif isinstance(message, Finished):
            self.digest = message.digest
