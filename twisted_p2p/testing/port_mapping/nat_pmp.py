"""A router's NAT-PMP service (RFC 6886)."""

from __future__ import annotations

from collections import Counter

from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.nat_pmp import (
    MappingRequest,
    MappingResponse,
    PublicAddressResponse,
    Refusal,
    RefusedRequest,
    ResultCode,
    decode_request,
)
from twisted_p2p.testing.nat import PortTaken
from twisted_p2p.testing.port_mapping.leases import PortLeases


class NATPMPService:
    """Answers requests of clients inside; all times are seconds of one clock."""

    def __init__(self, leases: PortLeases) -> None:
        self._leases = leases
        self.dropped: Counter[str] = Counter()
        """Datagrams without an answer, by reason."""

    def answer(self, data: bytes, source: HostPort, now: float) -> bytes | None:
        """Return the answer to a datagram; None for what is no request."""
        try:
            request = decode_request(data)
        except RefusedRequest as refused:
            return Refusal(refused.opcode, refused.result, self._leases.epoch(now)).encode()
        except MalformedMessage:
            self.dropped["malformed"] += 1
            return None
        if not isinstance(request, MappingRequest):
            return self.announcement(now)
        if self._leases.manners.nat_pmp_error:
            return self._respond(request, self._leases.manners.nat_pmp_error, now)
        if not request.lifetime:
            return self._unmap(request, source, now)
        return self._map(request, source, now)

    def announcement(self, now: float) -> bytes:
        """Return what tells the public address, asked or not (sections 3.2 and 3.2.1)."""
        error = self._leases.manners.nat_pmp_error
        address = "0.0.0.0" if error else self._leases.claimed_address  # noqa: S104  (none)
        return PublicAddressResponse(error, self._leases.epoch(now), address).encode()

    def _map(self, request: MappingRequest, source: HostPort, now: float) -> bytes:
        if not request.internal_port:
            return self._respond(request, ResultCode.NOT_AUTHORIZED, now)
        lifetime = min(request.lifetime, self._leases.manners.longest_lifetime)
        internal = HostPort(source.host, request.internal_port)
        try:
            lease = self._leases.lend_any(
                request.protocol, internal, request.suggested_port, now + lifetime, now
            )
        except PortTaken:
            return self._respond(request, ResultCode.OUT_OF_RESOURCES, now)
        return self._respond(request, ResultCode.SUCCESS, now, lease.port, lifetime)

    def _unmap(self, request: MappingRequest, source: HostPort, now: float) -> bytes:
        for lease in tuple(self._leases.current(now)):
            if (
                lease.protocol == request.protocol
                and lease.internal.host == source.host
                and request.internal_port in (0, lease.internal.port)
            ):
                self._leases.end(lease)
        return self._respond(request, ResultCode.SUCCESS, now)

    def _respond(
        self, request: MappingRequest, result: int, now: float, port: int = 0, lifetime: int = 0
    ) -> bytes:
        return MappingResponse(
            request.protocol,
            result,
            self._leases.epoch(now),
            request.internal_port,
            port,
            lifetime,
        ).encode()
