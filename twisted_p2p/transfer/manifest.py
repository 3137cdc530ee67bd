"""What a transfer consists of, and the digest over all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from attrs import frozen

from .failures import Reason, TransferFailed

MOST_ENTRIES = 100_000
MOST_NAME_BYTES = 16 << 20
"""Bytes of UTF-8 that all paths of a manifest may have together."""


@frozen
class Entry:
    """One file or folder."""

    path: tuple[str, ...]
    """Checked by `names.checked_path`."""
    is_folder: bool = False
    size: int = 0
    modified: int = 0
    """Nanoseconds since 1970."""
    executable: bool = False

    @property
    def name(self) -> str:
        """The path as one text."""
        return "/".join(self.path)


class Manifest:
    """The entries of one transfer, in the order in which they are sent."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._kinds: dict[tuple[str, ...], bool] = {}
        self._name_bytes = 0
        self.size = 0
        """Bytes of all files."""

    def add(self, entry: Entry) -> None:
        """Take an entry in.

        :raises TransferFailed: when its path is taken, or leads through a file, or when there are
            too many.
        """
        self._name_bytes += len(entry.name.encode())
        if len(self._entries) >= MOST_ENTRIES or self._name_bytes > MOST_NAME_BYTES:
            raise TransferFailed(Reason.TOO_MUCH)
        parents = [entry.path[:end] for end in range(1, len(entry.path))]
        if not all(self._kinds.get(parent, True) for parent in parents):
            raise TransferFailed(Reason.UNSAFE_NAME, entry.name)
        known = self._kinds.get(entry.path)
        if known is not None and not (known and entry.is_folder):
            raise TransferFailed(Reason.UNSAFE_NAME, entry.name)
        self._kinds.update(dict.fromkeys(parents, True))
        self._kinds[entry.path] = entry.is_folder
        self._entries.append(entry)
        self.size += entry.size

    def __len__(self) -> int:
        """Return the number of files and folders."""
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        """Return one entry by its place."""
        return self._entries[index]

    def __iter__(self) -> Iterator[Entry]:
        """Return the entries in order."""
        return iter(self._entries)

    @property
    def files(self) -> list[tuple[int, Entry]]:
        """The files, each with its place among all entries."""
        return [(i, entry) for i, entry in enumerate(self._entries) if not entry.is_folder]

    @property
    def top_names(self) -> list[str]:
        """The names that appear in the target folder, in order."""
        return list(dict.fromkeys(entry.path[0] for entry in self._entries))


def overall_digest(manifest: Manifest, digests: Mapping[int, bytes]) -> bytes:
    """Return the SHA-256 over all names, kinds, sizes and the files' own digests by their places.

    :raises KeyError: when a file has no digest.
    """
    whole = sha256()
    for index, entry in enumerate(manifest):
        name = entry.name.encode()
        whole.update(len(name).to_bytes(2, "big") + name)
        whole.update(bytes((entry.is_folder, entry.executable)) + entry.size.to_bytes(8, "big"))
        if not entry.is_folder:
            whole.update(digests[index])
    return whole.digest()
