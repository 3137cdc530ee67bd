"""The tracker's numbers over HTTP: a page for people, JSON for programs, a word for monitors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

Status = Callable[[], dict[str, Any]]


class _Text(Resource):
    """A resource whose content is made at each request."""

    isLeaf = True

    def __init__(self, content_type: str, content: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._content_type = content_type
        self._content = content

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("content-type", self._content_type)
        request.setHeader("cache-control", "no-store")
        return self._content().encode()


class _QuietSite(Site):
    """A site that monitors may ask every second without a line in the log for each time."""

    noisy = False

    def log(self, request: object) -> None:
        """Log nothing."""


def status_site(status: Status) -> Site:
    """Return the site with ``/``, ``/status.json`` and ``/healthz``."""
    root = Resource()
    root.putChild(b"", _Text("text/plain; charset=utf-8", lambda: _page(status())))
    root.putChild(b"status.json", _Text("application/json", lambda: json.dumps(status()) + "\n"))
    root.putChild(b"healthz", _Text("text/plain; charset=utf-8", lambda: "ok\n"))
    return _QuietSite(root)  # type: ignore[no-untyped-call]


def _page(status: dict[str, Any]) -> str:
    """Return the numbers as lines that people read."""
    lines = ["A tracker of twisted_p2p", ""]
    for name, value in status.items():
        if isinstance(value, dict):
            lines += [f"{name}: {key}: {count}" for key, count in sorted(value.items())]
        else:
            lines.append(f"{name}: {value}")
    return "\n".join(lines) + "\n"
