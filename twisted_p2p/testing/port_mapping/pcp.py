"""A router's PCP service (RFC 6887): ANNOUNCE, MAP and PEER for the client's own IPv4 address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import evolve

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.pcp import (
    Announce,
    Body,
    Mapping,
    Peer,
    Request,
    Response,
    TransportProtocol,
    decode_request,
    encode_refusal,
)
from twisted_p2p.portmap.pcp_options import Option, PreferFailure, is_mandatory
from twisted_p2p.portmap.pcp_results import RefusedRequest, ResultCode
from twisted_p2p.testing.nat import PortTaken
from twisted_p2p.testing.port_mapping.leases import (
    Lease,
    PortLeases,
    TransportName,
)

_SHORTEST_LIFETIME = 120
_ERROR_LIFETIME = 30
"""Seconds for which clients may expect the same error again (section 7.4)."""

_KEEP_OPEN_INTERVAL = 10
"""Seconds after which a NAT is reminded of what PEER asked for."""

_NAMES: dict[int, TransportName] = {TransportProtocol.UDP: "udp", TransportProtocol.TCP: "tcp"}
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104  (nothing is bound)


class PCPService:
    """Answers requests of clients inside; all times are seconds of one clock."""

    def __init__(self, leases: PortLeases) -> None:
        self._leases = leases
        self._peers: dict[tuple[TransportName, HostPort, HostPort], float] = {}
        self.dropped: Counter[str] = Counter()
        """Datagrams without an answer, by reason."""

    def answer(self, data: bytes, source: HostPort, now: float) -> bytes | None:
        """Return the answer to a datagram; None for what is no request."""
        try:
            request = decode_request(data)
            self._check(request, source)
            return self._respond(request, source, now).encode()
        except RefusedRequest as refused:
            epoch = self._leases.epoch(now)
            return encode_refusal(data, refused.result, lifetime=_ERROR_LIFETIME, epoch=epoch)
        except MalformedMessage:
            self.dropped["malformed"] += 1
            return None

    def announcement(self, now: float) -> bytes:
        """Return what tells, unasked, that all leases are forgotten (section 14.1.2)."""
        return _response(Announce(), 0, self._leases.epoch(now)).encode()

    def keep_open(self, now: float) -> float | None:
        """Keep open what PEER asked for; return when that is to be done again, if at all."""
        self._peers = {key: until for key, until in self._peers.items() if until > now}
        for key in self._peers:
            self._leases.forwarder.keep_open(*key)
        return now + _KEEP_OPEN_INTERVAL if self._peers else None

    def forget(self) -> None:
        """Forget what PEER asked for."""
        self._peers.clear()

    def _check(self, request: Request, source: HostPort) -> None:
        """Refuse what applies to no opcode in particular (sections 7.3, 8.2 and 13)."""
        if self._leases.manners.pcp_error:
            raise RefusedRequest(ResultCode(self._leases.manners.pcp_error))
        if request.client != source.host:
            raise RefusedRequest(ResultCode.ADDRESS_MISMATCH)
        preferences = sum(isinstance(option, PreferFailure) for option in request.options)
        for option in request.options:
            if is_mandatory(option) and not isinstance(option, PreferFailure):
                raise RefusedRequest(ResultCode.UNSUPP_OPTION)
        if preferences > 1 or (preferences and not isinstance(request.body, Mapping)):
            raise RefusedRequest(ResultCode.MALFORMED_OPTION)

    def _respond(self, request: Request, source: HostPort, now: float) -> Response:
        body = request.body
        if isinstance(body, Announce):
            return _response(body, 0, self._leases.epoch(now))
        if isinstance(body, Peer):
            return self._peer(request, body, source, now)
        if not request.lifetime:
            return self._unmap(body, source, now)
        return self._map(request, body, source, now)

    def _map(self, request: Request, body: Mapping, source: HostPort, now: float) -> Response:
        protocol, internal = _mapped(body, source)
        lifetime = self._lifetime(request)
        lease = self._own_lease(protocol, internal, body.nonce, now)
        is_picky = any(isinstance(option, PreferFailure) for option in request.options)
        try:
            if lease is None and is_picky:
                lease = self._lend_suggested(protocol, internal, body, now + lifetime, now)
            else:
                wanted = body.external.port
                lease = self._leases.lend_any(protocol, internal, wanted, now + lifetime, now)
        except PortTaken:
            code = ResultCode.CANNOT_PROVIDE_EXTERNAL if is_picky else ResultCode.NO_RESOURCES
            raise RefusedRequest(code) from None
        lease.nonce = body.nonce
        external = HostPort(self._leases.claimed_address, lease.port)
        options = (PreferFailure(),) if is_picky else ()
        return _response(
            evolve(body, external=external), lifetime, self._leases.epoch(now), options
        )

    def _lend_suggested(
        self, protocol: TransportName, internal: HostPort, body: Mapping, until: float, now: float
    ) -> Lease:
        """Lend the suggested external endpoint and no other (section 13.2)."""
        host, port = body.external
        if not port:
            raise RefusedRequest(ResultCode.MALFORMED_OPTION)
        if host not in (*_UNSPECIFIED, self._leases.claimed_address):
            raise PortTaken
        return self._leases.lend(protocol, internal, port, until, now)

    def _unmap(self, body: Mapping, source: HostPort, now: float) -> Response:
        """End one mapping or several, and be content when there is none (section 15.1)."""
        if body.internal_port:
            lease = self._own_lease(*_mapped(body, source), body.nonce, now)
            ending = [lease] if lease else []
        else:
            names = [_NAMES.get(body.protocol)] if body.protocol else list(_NAMES.values())
            ending = [
                lease
                for lease in self._leases.current(now)
                if lease.internal.host == source.host
                and lease.nonce == body.nonce
                and lease.protocol in names
            ]
        for lease in ending:
            self._leases.end(lease)
        return _response(body, 0, self._leases.epoch(now))

    def _peer(self, request: Request, body: Peer, source: HostPort, now: float) -> Response:
        """Keep a mapping open that packets to one remote endpoint make (section 12)."""
        protocol, internal = _mapped(body, source)
        if not body.remote.port or body.remote.host in _UNSPECIFIED:
            raise RefusedRequest(ResultCode.MALFORMED_REQUEST)
        if ":" in body.remote.host:
            raise RefusedRequest(ResultCode.CANNOT_PROVIDE_EXTERNAL)
        external = self._leases.forwarder.keep_open(protocol, internal, body.remote)
        if external is None:
            raise RefusedRequest(ResultCode.NO_RESOURCES)
        lifetime = self._lifetime(request)
        self._peers[protocol, internal, body.remote] = now + lifetime
        # A NAT may have other public addresses than the one that it tells first.
        told = HostPort(self._leases.manners.claimed_address or external.host, external.port)
        return _response(evolve(body, external=told), lifetime, self._leases.epoch(now))

    def _own_lease(
        self, protocol: TransportName, internal: HostPort, nonce: bytes, now: float
    ) -> Lease | None:
        """Return the lease of an endpoint, which nobody changes without its nonce (11.3)."""
        lease = self._leases.of(protocol, internal, now)
        if lease is not None and lease.nonce not in (None, nonce):
            raise RefusedRequest(ResultCode.NOT_AUTHORIZED)
        return lease

    def _lifetime(self, request: Request) -> int:
        return min(max(request.lifetime, _SHORTEST_LIFETIME), self._leases.manners.longest_lifetime)


def _mapped(body: Mapping | Peer, source: HostPort) -> tuple[TransportName, HostPort]:
    """Return what is to be mapped; one port of one protocol is all that there is."""
    if body.protocol == TransportProtocol.ALL and body.internal_port:
        raise RefusedRequest(ResultCode.MALFORMED_REQUEST)
    name = _NAMES.get(body.protocol)
    if name is None or not body.internal_port:
        raise RefusedRequest(ResultCode.UNSUPP_PROTOCOL)
    return name, HostPort(source.host, body.internal_port)


def _response(body: Body, lifetime: int, epoch: int, options: Iterable[Option] = ()) -> Response:
    return Response(ResultCode.SUCCESS, lifetime, epoch, body.opcode, body, tuple(options))
