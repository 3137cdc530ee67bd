"""UPnP's discovery (SSDP): searches, their answers and advertisements, written and read.

UPnP Device Architecture 2.0, section 1: heads of HTTP messages in single datagrams, to the
multicast address `GROUP` or straight back from a device.
"""

from __future__ import annotations

import re
from typing import Literal, cast

from attrs import frozen

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage

GROUP = HostPort("239.255.255.250", 1900)
"""Where searches and advertisements are sent."""

ALL = "ssdp:all"
"""The target of a search for everything."""

LARGEST = 2_048
"""The most bytes of a message that are read."""

_MOST_HEADERS = 32
_MOST_SECONDS = 5
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_TEXT = re.compile(r"[\t\x20-\x7e]*")
_MAX_AGE = re.compile(r"max-age\s*=\s*(\d{1,9})", re.IGNORECASE)

Headers = dict[str, str]


@frozen
class SearchRequest:
    """Asks for devices and services of one kind (section 1.3.2)."""

    target: str
    """The kind, as a URN, or `ALL`."""
    seconds: int = 1
    """How long answers may be put off, at random, from 1 to 5."""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return _encode(
            "M-SEARCH * HTTP/1.1",
            {
                "HOST": str(GROUP),
                "MAN": '"ssdp:discover"',
                "MX": str(self.seconds),
                "ST": self.target,
            },
        )


@frozen
class SearchResponse:
    """Tells where the description of a device is (section 1.3.3)."""

    target: str
    """The kind that was searched for."""
    usn: str
    """The device's unique name with the kind."""
    location: str
    """The URL of the description."""
    server: str = ""
    max_age: int = 1_800
    """Seconds for which this holds."""

    def encode(self) -> bytes:
        """Return the bytes to send."""
        return _encode(
            "HTTP/1.1 200 OK",
            {
                "CACHE-CONTROL": f"max-age={self.max_age}",
                "EXT": "",
                "LOCATION": self.location,
                "SERVER": self.server,
                "ST": self.target,
                "USN": self.usn,
            },
        )


@frozen
class Advertisement:
    """Tells unasked that a device is there, or that it goes (section 1.2)."""

    kind: Literal["ssdp:alive", "ssdp:byebye"]
    target: str
    usn: str
    location: str = ""
    """Empty when the device goes, and so is `server`."""
    server: str = ""
    max_age: int = 1_800

    def encode(self) -> bytes:
        """Return the bytes to send."""
        headers = {"HOST": str(GROUP), "NT": self.target, "NTS": self.kind, "USN": self.usn}
        if self.kind == "ssdp:alive":
            headers["CACHE-CONTROL"] = f"max-age={self.max_age}"
            headers["LOCATION"] = self.location
            headers["SERVER"] = self.server
        return _encode("NOTIFY * HTTP/1.1", headers)


Message = SearchRequest | SearchResponse | Advertisement


def decode_message(data: bytes) -> Message:
    """Return the message that these bytes are; raises `MalformedMessage` and nothing else."""
    if len(data) > LARGEST:
        raise MalformedMessage(f"an SSDP message of {len(data)} bytes")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedMessage("an SSDP message is ASCII") from None
    head, end, _ = text.partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    if not end or len(lines) > _MOST_HEADERS:
        raise MalformedMessage("an SSDP message has a head of some lines")
    headers = _decode_headers(lines)
    if start == "M-SEARCH * HTTP/1.1":
        return _decode_search(headers)
    if start == "NOTIFY * HTTP/1.1":
        return _decode_advertisement(headers)
    if re.fullmatch(r"HTTP/1\.[01] 200( .*)?", start):
        return SearchResponse(
            _require(headers, "ST"),
            _require(headers, "USN"),
            _require(headers, "LOCATION"),
            headers.get("SERVER", ""),
            _max_age(headers),
        )
    raise MalformedMessage("this is not an SSDP message")


def _decode_search(headers: Headers) -> SearchRequest:
    if _require(headers, "MAN") != '"ssdp:discover"':
        raise MalformedMessage("this is not a search")
    seconds = _require(headers, "MX")
    if not re.fullmatch("[0-9]{1,4}", seconds) or int(seconds) < 1:
        raise MalformedMessage("MX is a number of seconds")
    # More than 5 is taken for 5 (section 1.3.3).
    return SearchRequest(_require(headers, "ST"), min(int(seconds), _MOST_SECONDS))


def _decode_advertisement(headers: Headers) -> Advertisement:
    kind = _require(headers, "NTS")
    target, usn = _require(headers, "NT"), _require(headers, "USN")
    if kind == "ssdp:byebye":
        return Advertisement("ssdp:byebye", target, usn)
    if kind != "ssdp:alive":
        raise MalformedMessage("an advertisement is of an unknown kind")
    location = _require(headers, "LOCATION")
    server = headers.get("SERVER", "")
    return Advertisement("ssdp:alive", target, usn, location, server, _max_age(headers))


def _encode(start: str, headers: Headers) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _decode_headers(lines: list[str]) -> Headers:
    headers: Headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name) or not _TEXT.fullmatch(value):
            raise MalformedMessage("an SSDP message has a line that is no header")
        if name.upper() in headers:
            raise MalformedMessage(f"an SSDP message has {name} twice")
        headers[name.upper()] = value.strip(" \t")
    return headers


def _require(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if not value:
        raise MalformedMessage(f"an SSDP message lacks {name}")
    return value


def _max_age(headers: Headers) -> int:
    found = _MAX_AGE.search(_require(headers, "CACHE-CONTROL"))
    if found is None:
        raise MalformedMessage("an SSDP message lacks its age")
    return int(cast("str", found[1]))
