"""Folders and files for tests."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

from twisted_p2p.transfer.folder import TargetFolder
from twisted_p2p.transfer.names import part_name


def fresh_folder() -> Path:
    """Return a new empty folder, below the one that trial makes for its run."""
    return Path(mkdtemp(dir=Path.cwd()))


def fill(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files by their paths; a path that ends in a slash is a folder.  Return the tops."""
    for name, content in files.items():
        place = folder / name
        (place if name.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            place.write_bytes(content)
    return sorted(folder.iterdir())


def content_of(folder: Path) -> dict[str, bytes | None]:
    """Return all that is in a folder: files by their content, folders as None."""
    return {
        str(place.relative_to(folder)): None if place.is_dir() else place.read_bytes()
        for place in folder.rglob("*")
    }


def open_in(*folders: Path) -> list[str]:
    """Return the paths of what this process has open in folders, or of the folders themselves.

    What else it has open is not of the test, and may be closed meanwhile: garbage of earlier ones.
    """
    paths = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that the list was read from
            paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(
        path for path in paths if any(Path(path).is_relative_to(folder) for folder in folders)
    )


def part_of(folder: Path, *path: str, sender: str = "") -> Path:
    """Return where the unfinished file for a path lies."""
    return folder.joinpath(*path[:-1], part_name(sender, path))


def digest(content: bytes) -> bytes:
    return sha256(content).digest()


def target(folder: Path, sender: str = "") -> TargetFolder:
    return TargetFolder(folder, sender)
