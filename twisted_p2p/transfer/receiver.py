"""`FileReceiver`: the side of a transfer that wants the files."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from .conversation import Conversation, Threads
from .failures import Reason, TransferFailed, TransferInterrupted
from .folder import TargetFolder
from .incoming import Incoming
from .manifest import Manifest
from .prefix import Prefix, PrefixReader, checkpoints, in_common, nothing
from .progress import Progress
from .sender import PATIENCE
from .wire import (
    VERSION,
    Accept,
    Begin,
    Compare,
    Confirmed,
    Digests,
    Listed,
    Offer,
    Request,
    Start,
)

_SURVEYED_AT_ONCE = 200

Approval = Callable[[Offer], Awaitable[bool]]


async def approve_all(offer: Offer) -> bool:
    """Want whatever is offered."""
    return True


class FileReceiver(Conversation):
    """Receives files over one stream into a folder, where an earlier attempt may have left some.

    A file that is there already, and is the same, is not sent; one that differs is never touched.
    """

    def __init__(
        self,
        clock: IReactorTime,
        open_folder: Callable[[], TargetFolder],
        progress: Progress,
        *,
        secret: bytes = b"",
        approve: Approval = approve_all,
        in_thread: Threads = maybeDeferred,
    ) -> None:
        """Prepare.

        :param open_folder: is called when the transfer is wanted.
        :param secret: of the ticket, if there is one.
        :param approve: decides on an offer.
        """
        super().__init__(clock, in_thread)
        self.manifest = Manifest()
        self.digest = b""
        """Over all, once the transfer is complete."""
        self._open_folder = open_folder
        self._folder: TargetFolder | None = None
        self._progress = progress
        self._secret = secret
        self._approve = approve
        self._incoming: Incoming | None = None
        self._digests: dict[int, bytes] = {}

    async def converse(self) -> None:
        """Ask, look at what is there, take what is missing, and confirm it."""
        self.send(Request(secret=self._secret))
        offer = await self.within(PATIENCE, Deferred.fromCoroutine(self.next(Offer)))
        if offer.version != VERSION:
            raise TransferFailed(Reason.VERSION)
        if not await self._approve(offer):
            raise TransferFailed(Reason.REFUSED)
        self.check()
        self._progress.expect(offer.size)
        self.agreed()
        self._folder = await self.call(self._open_folder)
        self.send(Accept())
        await self._hear_list(offer)
        incoming = await self._say_wishes(self._folder)
        while incoming.digest is None:
            await self.call(incoming.take, await self.batch())
        self.digest = incoming.digest
        self.is_complete = True
        self.send(Confirmed(self.digest))
        if not await self.loss(PATIENCE):
            raise TransferInterrupted

    def tidy(self) -> None:
        """Close what is open."""
        if self._incoming is not None:
            self._incoming.close()
        if self._folder is not None:
            self._folder.close()

    async def _hear_list(self, offer: Offer) -> None:
        while len(self.manifest) < offer.entries:
            self.manifest.add((await self.next(Listed)).entry)
        if self.manifest.size != offer.size:
            raise TransferFailed(Reason.PROTOCOL)

    async def _say_wishes(self, folder: TargetFolder) -> Incoming:
        """Tell the sender what is missing; return what takes it."""
        wanted: list[tuple[int, Prefix]] = []
        missing = 0
        for start in range(0, len(self.manifest), _SURVEYED_AT_ONCE):
            places = range(start, min(start + _SURVEYED_AT_ONCE, len(self.manifest)))
            there = await self.call(_survey, folder, self.manifest, places)
            for index in places:
                entry = self.manifest[index]
                prefix = await self._found(folder, index) if index in there else nothing()
                if entry.is_folder or prefix is None:
                    continue
                wanted.append((index, prefix))
                missing += entry.size - prefix.size
                self.send(Start(index, prefix.size))
                await self.room()
        self._progress.begin(self.manifest.size, self.manifest.size - missing)
        self._incoming = Incoming(folder, self.manifest, wanted, self._digests, self._progress)
        self.send(Begin())
        return self._incoming

    async def _found(self, folder: TargetFolder, index: int) -> Prefix | None:
        """Return what is there of a file; None if that is all of it."""
        entry = self.manifest[index]
        finished = await self.call(folder.open_finished, entry)
        if finished is not None:
            common = await self._in_common(index, finished, (entry.size,))
            if common.size < entry.size:
                raise TransferFailed(Reason.EXISTS, entry.name)
            self._digests[index] = common.digest
            return None
        part = await self.call(folder.open_part, entry)
        if part is None:
            return nothing()
        there = min(os.fstat(part).st_size, entry.size)
        return await self._in_common(index, part, checkpoints(there))

    async def _in_common(self, index: int, descriptor: int, offsets: Sequence[int]) -> Prefix:
        """Return the longest beginning of an open file that the sender's has too; close it."""
        offsets = [offset for offset in offsets if offset]
        try:
            reader = PrefixReader(descriptor, offsets)
            if offsets:
                # Both sides read at the same time.
                self.send(Compare(index, tuple(offsets)))
            while await self.call(reader.step):
                self.check()
        finally:
            os.close(descriptor)
        if not offsets:
            return nothing()
        answer = await self.next(Digests)
        if answer.index != index:
            raise TransferFailed(Reason.PROTOCOL)
        return in_common(reader.prefixes, answer.digests)


def _survey(folder: TargetFolder, manifest: Manifest, places: Sequence[int]) -> set[int]:
    """Make the folders among some entries, and return the places of the files that have begun."""
    begun = set()
    for index in places:
        entry = manifest[index]
        if entry.is_folder:
            folder.make_folder(entry)
        elif folder.has_begun(entry):
            begun.add(index)
    return begun
