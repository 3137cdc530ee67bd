"""What a UPnP router says of itself: its device tree, and the actions of its one service."""

from __future__ import annotations

from collections.abc import Iterator
from re import compile as compile_pattern

DESCRIPTION_PATH = "/rootDesc.xml"
SERVICE_PATH = "/WANIPConnection.xml"
CONTROL_PATH = "/control"

SERVER = "Simulated/1.0 UPnP/2.0 twisted_p2p/1.0"

_SERVICE = "urn:schemas-upnp-org:service:WANIPConnection"
_DEVICES = ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")
_VERSIONED = compile_pattern(r"(.+):([12])")

_IN_AND_OUT = {
    "AddPortMapping": (
        "NewRemoteHost NewExternalPort NewProtocol NewInternalPort NewInternalClient NewEnabled "
        "NewPortMappingDescription NewLeaseDuration",
        "",
    ),
    "AddAnyPortMapping": (
        "NewRemoteHost NewExternalPort NewProtocol NewInternalPort NewInternalClient NewEnabled "
        "NewPortMappingDescription NewLeaseDuration",
        "NewReservedPort",
    ),
    "DeletePortMapping": ("NewRemoteHost NewExternalPort NewProtocol", ""),
    "GetExternalIPAddress": ("", "NewExternalIPAddress"),
    "GetGenericPortMappingEntry": (
        "NewPortMappingIndex",
        "NewRemoteHost NewExternalPort NewProtocol NewInternalPort NewInternalClient NewEnabled "
        "NewPortMappingDescription NewLeaseDuration",
    ),
    "GetSpecificPortMappingEntry": (
        "NewRemoteHost NewExternalPort NewProtocol",
        "NewInternalPort NewInternalClient NewEnabled NewPortMappingDescription NewLeaseDuration",
    ),
    "GetStatusInfo": ("", "NewConnectionStatus NewLastConnectionError NewUptime"),
}

_VARIABLES = {
    "NewRemoteHost": ("RemoteHost", "string"),
    "NewExternalPort": ("ExternalPort", "ui2"),
    "NewReservedPort": ("ExternalPort", "ui2"),
    "NewProtocol": ("PortMappingProtocol", "string"),
    "NewInternalPort": ("InternalPort", "ui2"),
    "NewInternalClient": ("InternalClient", "string"),
    "NewEnabled": ("PortMappingEnabled", "boolean"),
    "NewPortMappingDescription": ("PortMappingDescription", "string"),
    "NewLeaseDuration": ("PortMappingLeaseDuration", "ui4"),
    "NewExternalIPAddress": ("ExternalIPAddress", "string"),
    "NewPortMappingIndex": ("PortMappingNumberOfEntries", "ui2"),
    "NewConnectionStatus": ("ConnectionStatus", "string"),
    "NewLastConnectionError": ("LastConnectionError", "string"),
    "NewUptime": ("Uptime", "ui4"),
}


def is_service(urn: str) -> bool:
    """Return whether this is the type of the service, of either version."""
    return urn in (f"{_SERVICE}:1", f"{_SERVICE}:2")


def matches(target: str, uuid: str) -> Iterator[tuple[str, str]]:
    """Return the pairs of type and unique name that a search for ``target`` finds.

    A search for version 1 is answered as such (UPnP Device Architecture 2.0, section 1.3.3).
    """
    everything = [
        "upnp:rootdevice",
        uuid,
        *(f"urn:schemas-upnp-org:device:{name}:2" for name in _DEVICES),
        f"{_SERVICE}:2",
    ]
    for kind in everything:
        found = _VERSIONED.fullmatch(target)
        is_older = found is not None and kind == f"{found[1]}:2"
        if target in ("ssdp:all", kind) or is_older:
            told = target if is_older else kind
            yield told, uuid if told == uuid else f"{uuid}::{told}"


def device_description(uuid: str) -> str:
    """Return the document that `DESCRIPTION_PATH` serves."""
    service = (
        f"<serviceList><service><serviceType>{_SERVICE}:2</serviceType>"
        "<serviceId>urn:upnp-org:serviceId:WANIPConn1</serviceId>"
        f"<SCPDURL>{SERVICE_PATH}</SCPDURL><controlURL>{CONTROL_PATH}</controlURL>"
        "<eventSubURL></eventSubURL></service></serviceList>"
    )
    content = service
    for name in reversed(_DEVICES):
        content = (
            f"<device><deviceType>urn:schemas-upnp-org:device:{name}:2</deviceType>"
            f"<friendlyName>{name}</friendlyName><manufacturer>twisted_p2p</manufacturer>"
            f"<modelName>FakeInternetGateway</modelName><UDN>{uuid}</UDN>{content}</device>"
        )
        if name != _DEVICES[0]:
            content = f"<deviceList>{content}</deviceList>"
    return (
        '<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0">'
        f"<specVersion><major>2</major><minor>0</minor></specVersion>{content}</root>"
    )


def service_description() -> str:
    """Return the document that `SERVICE_PATH` serves."""
    actions = "".join(
        f"<action><name>{name}</name><argumentList>"
        f"{_arguments(taken, 'in')}{_arguments(returned, 'out')}</argumentList></action>"
        for name, (taken, returned) in _IN_AND_OUT.items()
    )
    variables = "".join(
        f'<stateVariable sendEvents="no"><name>{name}</name><dataType>{kind}</dataType>'
        "</stateVariable>"
        for name, kind in dict.fromkeys(_VARIABLES.values())
    )
    return (
        '<?xml version="1.0"?>\n<scpd xmlns="urn:schemas-upnp-org:service-1-0">'
        "<specVersion><major>2</major><minor>0</minor></specVersion>"
        f"<actionList>{actions}</actionList>"
        f"<serviceStateTable>{variables}</serviceStateTable></scpd>"
    )


def _arguments(names: str, direction: str) -> str:
    return "".join(
        f"<argument><name>{name}</name><direction>{direction}</direction>"
        f"<relatedStateVariable>{_VARIABLES[name][0]}</relatedStateVariable></argument>"
        for name in names.split()
    )
