"""The actions of UPnP's service WANIPConnection:2 (UPnP Forum, 2010), on a router's leases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import AddressValueError, IPv4Address
from typing import NamedTuple

from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import PortTaken
from twisted_p2p.testing.port_mapping.leases import (
    Lease,
    PortLeases,
    TransportName,
    transport_name,
)

LONGEST_LEASE = 604_800
"""The most seconds of a lease, and those of one without a time (section 2.3.22)."""

Arguments = Mapping[str, str]
Results = dict[str, object]


class Caller(NamedTuple):
    """Who calls, and when, in seconds of the clock of the leases."""

    host: str
    now: float


class ActionFailed(Exception):
    """An action failed; has an error code of UPnP."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description


class WANIPConnection:
    """What the service does; control points may map to their own addresses alone."""

    def __init__(self, leases: PortLeases) -> None:
        self._leases = leases
        self._actions: dict[str, Callable[[Arguments, Caller], Results]] = {
            "AddPortMapping": self._add,
            "AddAnyPortMapping": self._add_any,
            "DeletePortMapping": self._delete,
            "GetExternalIPAddress": self._external_address,
            "GetGenericPortMappingEntry": self._entry_by_number,
            "GetSpecificPortMappingEntry": self._entry_by_port,
            "GetStatusInfo": self._status,
        }

    def call(self, action: str, arguments: Arguments, caller: Caller) -> Results:
        """Do an action.

        :raises ActionFailed: when it cannot be done.
        """
        function = self._actions.get(action)
        if function is None:
            raise ActionFailed(401, "Invalid Action")
        if self._leases.manners.upnp_error:
            raise ActionFailed(self._leases.manners.upnp_error, "Action Failed")
        return function(arguments, caller)

    def _add(self, arguments: Arguments, caller: Caller) -> Results:
        protocol, port = _public_port(arguments)
        internal = _internal(arguments, caller)
        if not port:
            raise ActionFailed(716, "WildCardNotPermittedInExtPort")
        until = self._until(arguments, caller.now)
        try:
            lease = self._leases.lend(protocol, internal, port, until, caller.now)
        except PortTaken:
            raise ActionFailed(718, "ConflictInMappingEntry") from None
        lease.description = _text(arguments, "NewPortMappingDescription")
        return {}

    def _add_any(self, arguments: Arguments, caller: Caller) -> Results:
        protocol, port = _public_port(arguments)
        internal = _internal(arguments, caller)
        until = self._until(arguments, caller.now)
        try:
            lease = self._leases.lend_any(protocol, internal, port, until, caller.now)
        except PortTaken:
            raise ActionFailed(728, "NoPortMapsAvailable") from None
        lease.description = _text(arguments, "NewPortMappingDescription")
        return {"NewReservedPort": lease.port}

    def _delete(self, arguments: Arguments, caller: Caller) -> Results:
        lease = self._lease(arguments, caller)
        if lease.internal.host != caller.host:
            raise ActionFailed(606, "Action not authorized")
        self._leases.end(lease)
        return {}

    def _external_address(self, arguments: Arguments, caller: Caller) -> Results:
        return {"NewExternalIPAddress": self._leases.claimed_address}

    def _entry_by_number(self, arguments: Arguments, caller: Caller) -> Results:
        number = _number(arguments, "NewPortMappingIndex")
        leases = self._leases.current(caller.now)
        if number >= len(leases):
            raise ActionFailed(713, "SpecifiedArrayIndexInvalid")
        lease = leases[number]
        return {
            "NewRemoteHost": "",
            "NewExternalPort": lease.port,
            "NewProtocol": lease.protocol.upper(),
            **_entry(lease, caller.now),
        }

    def _entry_by_port(self, arguments: Arguments, caller: Caller) -> Results:
        return _entry(self._lease(arguments, caller), caller.now)

    def _status(self, arguments: Arguments, caller: Caller) -> Results:
        return {
            "NewConnectionStatus": "Connected",
            "NewLastConnectionError": "ERROR_NONE",
            "NewUptime": self._leases.epoch(caller.now),
        }

    def _lease(self, arguments: Arguments, caller: Caller) -> Lease:
        lease = self._leases.at(*_public_port(arguments), caller.now)
        if lease is None:
            raise ActionFailed(714, "NoSuchEntryInArray")
        return lease

    def _until(self, arguments: Arguments, now: float) -> float | None:
        seconds = _number(arguments, "NewLeaseDuration", LONGEST_LEASE)
        if self._leases.manners.only_permanent:
            if seconds:
                raise ActionFailed(725, "OnlyPermanentLeasesSupported")
            return None
        return now + (seconds or LONGEST_LEASE)


def _public_port(arguments: Arguments) -> tuple[TransportName, int]:
    if _text(arguments, "NewRemoteHost"):
        raise ActionFailed(726, "RemoteHostOnlySupportsWildcard")
    protocol = transport_name(_text(arguments, "NewProtocol"))
    if protocol is None:
        raise ActionFailed(402, "Invalid Args: NewProtocol")
    return protocol, _number(arguments, "NewExternalPort")


def _internal(arguments: Arguments, caller: Caller) -> HostPort:
    port = _number(arguments, "NewInternalPort")
    if not port:
        raise ActionFailed(732, "WildCardNotPermittedInIntPort")
    try:
        host = str(IPv4Address(_text(arguments, "NewInternalClient")))
    except AddressValueError:
        raise ActionFailed(402, "Invalid Args: NewInternalClient") from None
    if host != caller.host:
        raise ActionFailed(606, "Action not authorized")
    return HostPort(host, port)


def _entry(lease: Lease, now: float) -> Results:
    return {
        "NewInternalPort": lease.internal.port,
        "NewInternalClient": lease.internal.host,
        "NewEnabled": 1,
        "NewPortMappingDescription": lease.description,
        "NewLeaseDuration": lease.remaining(now),
    }


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if value is None:
        raise ActionFailed(402, f"Invalid Args: {name}")
    return value


def _number(arguments: Arguments, name: str, most: int = 0xFFFF) -> int:
    text = _text(arguments, name).strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > most:
        raise ActionFailed(402, f"Invalid Args: {name}")
    return int(text)
