"""The web server of a UPnP router: its descriptions, and the control of its service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import INTERNAL_SERVER_ERROR
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.testing.port_mapping.actions import (
    ActionFailed,
    Caller,
    Results,
    WANIPConnection,
)
from twisted_p2p.testing.port_mapping.description import (
    CONTROL_PATH,
    DESCRIPTION_PATH,
    SERVER,
    SERVICE_PATH,
    device_description,
    is_service,
    service_description,
)
from twisted_p2p.testing.port_mapping.soap import (
    LARGEST,
    Call,
    decode_call,
    encode_failure,
    encode_success,
)


class _Document(Resource):
    isLeaf = True

    def __init__(self, text: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._data = text.encode()

    def render_GET(self, request: Request) -> bytes:
        _describe(request)
        return self._data


class _Control(Resource):
    isLeaf = True

    def __init__(self, service: WANIPConnection, now: Callable[[], float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._service = service
        self._now = now

    def render_POST(self, request: Request) -> bytes:
        _describe(request)
        content: Any = request.content
        try:
            call = decode_call(content.read(LARGEST + 1))
            results = self._call(call, request)
        except MalformedMessage:
            request.setResponseCode(INTERNAL_SERVER_ERROR)
            return encode_failure(402, "Invalid Args")
        except ActionFailed as failed:
            request.setResponseCode(INTERNAL_SERVER_ERROR)
            return encode_failure(failed.code, failed.description)
        return encode_success(call, results)

    def _call(self, call: Call, request: Request) -> Results:
        header = request.getHeader(b"soapaction") or b""
        if not is_service(call.service) or header.strip(b'"') != _action_name(call):
            raise ActionFailed(401, "Invalid Action")
        client: Any = request.getClientAddress()
        return self._service.call(call.action, call.arguments, Caller(client.host, self._now()))


class _QuietSite(Site):
    noisy = False

    def log(self, request: object) -> None:
        """Log nothing."""

    def startFactory(self) -> None:
        """Start no clock for the log."""


def router_site(
    service: WANIPConnection, uuid: str, clock: IReactorTime, now: Callable[[], float]
) -> Site:
    """Return the site of a router; ``now`` is the clock of the service's leases."""
    root = Resource()
    for path, resource in (
        (DESCRIPTION_PATH, _Document(device_description(uuid))),
        (SERVICE_PATH, _Document(service_description())),
        (CONTROL_PATH, _Control(service, now)),
    ):
        root.putChild(path.removeprefix("/").encode(), resource)
    return _QuietSite(root, reactor=clock)  # type: ignore[no-untyped-call]


def _describe(request: Request) -> None:
    request.setHeader("content-type", 'text/xml; charset="utf-8"')
    request.setHeader("server", SERVER)


def _action_name(call: Call) -> bytes:
    return f"{call.service}#{call.action}".encode()
