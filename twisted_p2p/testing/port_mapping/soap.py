"""UPnP's control messages (UPnP Device Architecture 2.0, section 3): SOAP, read and written."""

from __future__ import annotations

from collections.abc import Mapping

# What is read has neither a document type nor entities, so nothing in it can grow.
from xml.etree.ElementTree import Element, ParseError, XMLParser
from xml.sax.saxutils import escape

from attrs import frozen

from twisted_p2p.errors import MalformedMessage

LARGEST = 16_384
"""The most bytes of a message that are read."""

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_HEAD = '<?xml version="1.0"?>\n'


@frozen
class Call:
    """A call of an action of a service."""

    service: str
    """The type of the service, a URN."""
    action: str
    arguments: Mapping[str, str]


def decode_call(data: bytes) -> Call:
    """Return the call that these bytes are; raises `MalformedMessage` and nothing else."""
    root = _parse(data)
    body = root.find(f"{{{_ENVELOPE}}}Body")
    if root.tag != f"{{{_ENVELOPE}}}Envelope" or body is None or len(body) != 1:
        raise MalformedMessage("this is not a SOAP call")
    service, brace, action = body[0].tag.removeprefix("{").partition("}")
    if not brace:
        raise MalformedMessage("a SOAP call names no service")
    return Call(service, action, {child.tag: child.text or "" for child in body[0]})


def encode_success(call: Call, results: Mapping[str, object]) -> bytes:
    """Return the answer to a call that succeeded."""
    values = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in results.items())
    name = f"{call.action}Response"
    return _envelope(f'<u:{name} xmlns:u="{call.service}">{values}</u:{name}>')


def encode_failure(code: int, description: str) -> bytes:
    """Return the answer to a call that failed."""
    return _envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
        '<UPnPError xmlns="urn:schemas-upnp-org:control-1-0">'
        f"<errorCode>{code}</errorCode>"
        f"<errorDescription>{escape(description)}</errorDescription>"
        "</UPnPError></detail></s:Fault>"
    )


def _envelope(content: str) -> bytes:
    return (
        f'{_HEAD}<s:Envelope xmlns:s="{_ENVELOPE}" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        f"<s:Body>{content}</s:Body></s:Envelope>"
    ).encode()


def _parse(data: bytes) -> Element:
    if len(data) > LARGEST:
        raise MalformedMessage(f"a SOAP call of {len(data)} bytes")
    try:
        text = data.decode()
        if "<!" in text:
            raise MalformedMessage("a SOAP call has no document type")
        parser = XMLParser()  # noqa: S314  (as said above)
        parser.feed(text)
        root: Element = parser.close()
    except (UnicodeDecodeError, ParseError, ValueError) as error:
        raise MalformedMessage(f"a SOAP call is XML: {type(error).__name__}") from None
    return root
