"""The bar that a terminal shows; loaded only where there is one."""

from __future__ import annotations

from typing import Any, TextIO

from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn


def progress_bar(stderr: TextIO) -> Progress:
    """Return a bar of one task, whose ``words`` stand at its end; it is drawn when told."""
    bar = Progress(
        TaskProgressColumn(),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[words]}"),
        console=Console(file=stderr),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=None, words="")
    return bar


def above(bar: Progress, stderr: TextIO) -> Any:
    """Return a stream whose lines go above the bar."""
    return FileProxy(bar.console, stderr)
