"""A STUN server that helps clients to find out how their NAT behaves (RFC 5780), as a machine."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any, cast

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.machine import Address, Datagrams
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.stun.attributes import (
    CHANGE_REQUEST,
    FINGERPRINT,
    MAPPED_ADDRESS,
    OTHER_ADDRESS,
    PADDING,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    AttributeType,
    ChangeRequest,
)
from twisted_p2p.stun.message import (
    BINDING,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    decode_message,
)

_ALWAYS_KNOWN = {USERNAME.code, PADDING.code, RESPONSE_PORT.code}


class STUNService:
    """Answers Binding requests at two addresses with two ports each, or at one address alone.

    A machine of the five names.  A datagram's ``addr`` is a `DatagramPath` whose ``local`` is the
    `HostPort` that it was sent to; that of an answer is the one that it has to leave from.
    """

    def __init__(
        self, primary: HostPort, alternate: HostPort | None = None, *, mtu: int = 1_500
    ) -> None:
        """Take both addresses, which differ in host and port.

        Without an alternate address requests to answer from elsewhere are refused.  ``mtu`` is
        how many bytes of PADDING an answer has, when it is asked for.
        """
        self.primary = primary
        self.alternate = alternate
        self.dropped: Counter[str] = Counter()
        """Datagrams without an answer, by reason."""
        self._mtu = mtu
        self._to_send: Datagrams = []
        hosts, ports = zip(*filter(None, (primary, alternate)), strict=True)
        self.sockets = tuple(HostPort(host, port) for host, port in product(hosts, ports))
        """The addresses to receive at."""
        self._known = _ALWAYS_KNOWN | ({CHANGE_REQUEST.code} if alternate else set())

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        """Take a datagram; what is no Binding request is counted and dropped."""
        path = cast("DatagramPath", addr)
        try:
            request = decode_message(data)
        except MalformedMessage:
            self.dropped["malformed"] += 1
            return
        if request.method != BINDING or request.message_class is not MessageClass.REQUEST:
            self.dropped["not_a_binding_request"] += 1
            return
        has_fingerprint = any(code == FINGERPRINT.code for code, _ in request.attributes)
        if has_fingerprint and not check_fingerprint(request):
            self.dropped["wrong_fingerprint"] += 1
            return
        response, answer_path = self._answer(request, path)
        self._to_send.append((response.encode(fingerprint=has_fingerprint), answer_path))

    def handle_timer(self, now: float) -> None:
        """Do nothing: there are no timers."""

    def get_timer(self) -> None:
        """Return None."""

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the answers to send now."""
        to_send, self._to_send = self._to_send, []
        return to_send

    def next_event(self) -> None:
        """Return None: nothing happens but answers."""

    def _answer(self, request: STUNMessage, path: DatagramPath) -> tuple[STUNMessage, DatagramPath]:
        unknown = request.unknown_required(self._known)
        if unknown:
            attribute = (UNKNOWN_ATTRIBUTES, unknown)
            return request.error_response(420, "Unknown Attribute", attribute), path
        try:
            change = request.get(CHANGE_REQUEST) or ChangeRequest(0)
            port = request.get(RESPONSE_PORT)
            padding = request.get(PADDING)
        except MalformedMessage as error:
            return request.error_response(400, str(error)), path
        if port == 0 or (port is not None and padding is not None):
            return request.error_response(400, "Bad Request"), path
        origin = self._origin(cast("HostPort", path.local), change)
        target = path.remote if port is None else HostPort(path.remote.host, port)
        attributes = self._attributes(path, origin, is_padded=padding is not None)
        return request.success_response(*attributes), DatagramPath(origin, target)

    def _origin(self, local: HostPort, change: ChangeRequest) -> HostPort:
        """Return the address to answer from (RFC 5780, section 6.1, table 1)."""
        other = self._other(local)
        if other is None:
            return local
        return HostPort(
            other.host if ChangeRequest.ADDRESS in change else local.host,
            other.port if ChangeRequest.PORT in change else local.port,
        )

    def _other(self, local: HostPort) -> HostPort | None:
        """Return the address that has neither host nor port of this one."""
        if self.alternate is None:
            return None
        hosts = (self.primary.host, self.alternate.host)
        ports = (self.primary.port, self.alternate.port)
        return HostPort(hosts[local.host == hosts[0]], ports[local.port == ports[0]])

    def _attributes(
        self, path: DatagramPath, origin: HostPort, *, is_padded: bool
    ) -> list[tuple[AttributeType[Any], Any]]:
        attributes: list[tuple[AttributeType[Any], Any]] = [
            (XOR_MAPPED_ADDRESS, path.remote),
            (MAPPED_ADDRESS, path.remote),
            (RESPONSE_ORIGIN, origin),
        ]
        other = self._other(cast("HostPort", path.local))
        if other is not None:
            attributes.append((OTHER_ADDRESS, other))
        if is_padded:
            attributes.append((PADDING, bytes(-(-self._mtu // 4) * 4)))
        return attributes
