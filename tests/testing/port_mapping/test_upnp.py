"""The router's UPnP service does what WANIPConnection:2 says, in SOAP over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import fromstring

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.testing.port_mapping.forwarder import CLIENT, NEIGHBOUR, PUBLIC, MemoryForwarder
from twisted_p2p.addresses import HostPort
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.testing.port_mapping.actions import (
    ActionFailed,
    Arguments,
    Caller,
    Results,
    WANIPConnection,
)
from twisted_p2p.testing.port_mapping.description import (
    device_description,
    matches,
    service_description,
)
from twisted_p2p.testing.port_mapping.leases import PortLeases, RouterManners
from twisted_p2p.testing.port_mapping.soap import LARGEST, Call, decode_call, encode_success
from twisted_p2p.testing.port_mapping.web import router_site

SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:2"
UUID = "uuid:11111111-2222-4333-8444-555555555555"
ADD = {
    "NewRemoteHost": "",
    "NewExternalPort": "6000",
    "NewProtocol": "UDP",
    "NewInternalPort": "5000",
    "NewInternalClient": CLIENT.host,
    "NewEnabled": "1",
    "NewPortMappingDescription": "a <test> & more",
    "NewLeaseDuration": "600",
}
PORT = {name: ADD[name] for name in ("NewRemoteHost", "NewExternalPort", "NewProtocol")}
ENTRY = {
    "NewInternalPort": 5_000,
    "NewInternalClient": CLIENT.host,
    "NewEnabled": 1,
    "NewPortMappingDescription": "a <test> & more",
    "NewLeaseDuration": 600,
}
INTERNAL = HostPort(CLIENT.host, 5_000)


def soap(action: str, arguments: Arguments, service: str = SERVICE) -> bytes:
    return encode_success(Call(service, action, {}), arguments).replace(b"Response", b"")


class WANIPConnectionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.forwarder = MemoryForwarder()
        self.leases = PortLeases(self.forwarder, 100.0)
        self.service = WANIPConnection(self.leases)

    def call(
        self, action: str, arguments: Arguments, host: str = CLIENT.host, now: float = 100.0
    ) -> Results:
        return self.service.call(action, arguments, Caller(host, now))

    def error(self, action: str, arguments: Arguments, host: str = CLIENT.host) -> int:
        caught = self.assertRaises(ActionFailed, self.call, action, arguments, host)
        return caught.code

    def test_a_mapping_is_made_shown_and_deleted(self) -> None:
        self.assertEqual(self.call("AddPortMapping", ADD), {})
        self.assertEqual(self.forwarder.mapped, {("udp", 6_000): (INTERNAL, 700.0)})
        self.assertEqual(self.call("GetSpecificPortMappingEntry", PORT), ENTRY)
        listed = self.call("GetGenericPortMappingEntry", {"NewPortMappingIndex": "0"})
        self.assertEqual(
            listed,
            {"NewRemoteHost": "", "NewExternalPort": 6_000, "NewProtocol": "UDP", **ENTRY},
        )
        self.assertEqual(self.call("DeletePortMapping", PORT), {})
        self.assertEqual(self.forwarder.mapped, {})
        self.assertEqual(self.error("GetSpecificPortMappingEntry", PORT), 714)
        self.assertEqual(self.error("DeletePortMapping", PORT), 714)
        self.assertEqual(
            self.error("GetGenericPortMappingEntry", {"NewPortMappingIndex": "0"}), 713
        )

    def test_a_mapping_is_renewed_by_its_owner_and_nobody_else(self) -> None:
        self.call("AddPortMapping", ADD)
        self.call("AddPortMapping", {**ADD, "NewLeaseDuration": "60"}, now=200.0)
        self.assertEqual(self.forwarder.mapped, {("udp", 6_000): (INTERNAL, 260.0)})
        theirs = {**ADD, "NewInternalClient": NEIGHBOUR.host}
        self.assertEqual(self.error("AddPortMapping", theirs, NEIGHBOUR.host), 718)
        self.assertEqual(self.error("DeletePortMapping", PORT, NEIGHBOUR.host), 606)

    def test_a_lease_without_a_time_is_a_week(self) -> None:
        self.call("AddPortMapping", {**ADD, "NewLeaseDuration": "0"})
        self.assertEqual(self.forwarder.mapped["udp", 6_000], (INTERNAL, 604_900.0))

    def test_any_port_is_given_when_that_is_taken(self) -> None:
        self.forwarder.taken = {6_000}
        self.assertEqual(self.call("AddAnyPortMapping", ADD), {"NewReservedPort": 6_001})
        self.assertEqual(self.leases.current(100.0)[0].description, "a <test> & more")
        self.forwarder.is_full = True
        full = {**ADD, "NewInternalPort": "5001"}
        self.assertEqual(self.error("AddAnyPortMapping", full), 728)

    def test_what_is_not_allowed_has_its_code(self) -> None:
        for change, code in (
            ({"NewRemoteHost": "11.0.0.1"}, 726),
            ({"NewExternalPort": "0"}, 716),
            ({"NewInternalPort": "0"}, 732),
            ({"NewInternalClient": NEIGHBOUR.host}, 606),
            ({"NewInternalClient": "printer"}, 402),
            ({"NewProtocol": "SCTP"}, 402),
            ({"NewExternalPort": "65536"}, 402),
            ({"NewExternalPort": "-1"}, 402),
            ({"NewExternalPort": "\u0663"}, 402),
            ({"NewLeaseDuration": "9999999999"}, 402),
            ({"NewLeaseDuration": ""}, 402),
        ):
            self.assertEqual(self.error("AddPortMapping", {**ADD, **change}), code)
        for name in ADD.keys() - {"NewEnabled"}:
            rest = {key: value for key, value in ADD.items() if key != name}
            self.assertEqual(self.error("AddPortMapping", rest), 402)
        self.assertEqual(self.error("ForceTermination", {}), 401)

    def test_it_tells_its_address_and_how_long_it_has_been_there(self) -> None:
        self.assertEqual(self.call("GetExternalIPAddress", {}), {"NewExternalIPAddress": PUBLIC})
        self.assertEqual(self.call("GetStatusInfo", {}, now=130.0)["NewUptime"], 30)

    def test_it_can_misbehave(self) -> None:
        self.leases.manners = RouterManners(only_permanent=True, claimed_address="10.0.0.1")
        self.assertEqual(self.error("AddPortMapping", ADD), 725)
        self.call("AddPortMapping", {**ADD, "NewLeaseDuration": "0"})
        self.assertEqual(self.forwarder.mapped["udp", 6_000], (INTERNAL, None))
        entry = self.call("GetSpecificPortMappingEntry", PORT, now=10**9)
        self.assertEqual(entry["NewLeaseDuration"], 0)
        told = self.call("GetExternalIPAddress", {})
        self.assertEqual(told, {"NewExternalIPAddress": "10.0.0.1"})
        self.leases.manners = RouterManners(upnp_error=501)
        self.assertEqual(self.error("GetExternalIPAddress", {}), 501)

    @given(
        st.sampled_from(
            [
                "AddPortMapping",
                "AddAnyPortMapping",
                "DeletePortMapping",
                "GetGenericPortMappingEntry",
                "GetSpecificPortMappingEntry",
            ]
        ),
        st.dictionaries(
            st.sampled_from([*ADD, "NewPortMappingIndex"]), st.one_of(st.text(), st.just("1"))
        ),
    )
    def test_no_arguments_make_it_fail_otherwise(
        self, action: str, arguments: Mapping[str, str]
    ) -> None:
        for given_arguments in (arguments, {**ADD, **arguments}):
            try:
                self.call(action, given_arguments)
            except ActionFailed as failed:
                self.assertGreater(failed.code, 400)


class SOAPTests(SynchronousTestCase):
    def test_a_call_is_read(self) -> None:
        self.assertEqual(
            decode_call(soap("AddPortMapping", ADD)), Call(SERVICE, "AddPortMapping", ADD)
        )

    def test_what_is_no_call_is_refused(self) -> None:
        good = soap("GetStatusInfo", {"A": "1"})
        for data in (
            b"",
            b"<a/>",
            good[:-1],
            good + b"<b/>",
            good.replace(b"Envelope", b"Letter"),
            good.replace(b"Body", b"Ghost"),
            good.replace(b"<s:Body>", b"<s:Body><more/>"),
            good.replace(b"u:GetStatusInfo", b"GetStatusInfo"),
            good.replace(b"?>", b"?><!DOCTYPE s:Envelope>"),
            good.replace(b"1", b"\xff"),
            good + b" " * LARGEST,
        ):
            self.assertNotEqual(data, good)
            with self.assertRaises(MalformedMessage):
                decode_call(data)

    def test_a_declared_encoding_changes_nothing(self) -> None:
        data = soap("GetStatusInfo", {"A": "\u00fc"})
        declared = data.replace(b'"1.0"', b'"1.0" encoding="utf-16"')
        self.assertEqual(decode_call(declared), decode_call(data))

    @given(st.binary(max_size=200), st.integers(0, 400))
    def test_a_changed_call_is_a_call_or_the_one_error(self, garbage: bytes, place: int) -> None:
        good = soap("AddPortMapping", ADD)
        for data in (garbage, good[:place] + garbage + good[place + len(garbage) :]):
            try:
                decode_call(data)
            except MalformedMessage:
                continue


class DescriptionTests(SynchronousTestCase):
    def test_the_service_is_within_three_devices(self) -> None:
        root = fromstring(device_description(UUID))
        name = "{urn:schemas-upnp-org:device-1-0}"
        inner = f"/{name}deviceList/{name}device" * 2
        services = root.findall(f"{name}device{inner}/{name}serviceList/{name}service")
        self.assertEqual([each.findtext(f"{name}serviceType") for each in services], [SERVICE])
        self.assertEqual(services[0].findtext(f"{name}controlURL"), "/control")

    def test_each_action_and_variable_is_described(self) -> None:
        root = fromstring(service_description())
        name = "{urn:schemas-upnp-org:service-1-0}"
        actions = {each.findtext(f"{name}name") for each in root.iter(f"{name}action")}
        known = WANIPConnection(PortLeases(MemoryForwarder(), 0.0))._actions
        self.assertEqual(actions, set(known))
        used = {each.text for each in root.iter(f"{name}relatedStateVariable")}
        described = [each.findtext(f"{name}name") for each in root.iter(f"{name}stateVariable")]
        self.assertEqual(sorted(used, key=str), sorted(described, key=str))

    def test_searches_find_what_there_is(self) -> None:
        gateway = "urn:schemas-upnp-org:device:InternetGatewayDevice"
        for target, found in (
            (f"{gateway}:2", [(f"{gateway}:2", f"{UUID}::{gateway}:2")]),
            (f"{gateway}:1", [(f"{gateway}:1", f"{UUID}::{gateway}:1")]),
            (f"{gateway}:3", []),
            (UUID, [(UUID, UUID)]),
            ("upnp:rootdevice", [("upnp:rootdevice", f"{UUID}::upnp:rootdevice")]),
            ("urn:schemas-upnp-org:device:MediaServer:1", []),
        ):
            self.assertEqual(list(matches(target, UUID)), found)
        self.assertEqual(len(list(matches("ssdp:all", UUID))), 6)


class RouterSiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.leases = PortLeases(MemoryForwarder(), 0.0)
        clock = Clock()
        self.site = router_site(WANIPConnection(self.leases), UUID, clock, clock.seconds)

    def exchange(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        transport = StringTransport(peerAddress=IPv4Address("TCP", *CLIENT))
        channel = self.site.buildProtocol(transport.getPeer())
        channel.makeConnection(transport)
        lines = f"{head}\r\nHost: 192.168.1.1\r\nContent-Length: {len(body)}\r\n"
        channel.dataReceived(lines.encode() + b"Connection: close\r\n\r\n" + body)
        answer = transport.value()
        status = int(answer.split()[1])
        return status, answer.partition(b"\r\n\r\n")[2]

    def post(self, body: bytes, action: str) -> tuple[int, bytes]:
        head = f'POST /control HTTP/1.1\r\nContent-Type: text/xml\r\nSOAPAction: "{action}"'
        return self.exchange(head, body)

    def error(self, body: bytes, action: str = f"{SERVICE}#AddPortMapping") -> int:
        status, answer = self.post(body, action)
        self.assertEqual(status, 500)
        code = fromstring(answer).find(".//{urn:schemas-upnp-org:control-1-0}errorCode")
        assert code is not None
        return int(code.text or "")

    def test_it_serves_its_descriptions(self) -> None:
        self.assertEqual(
            self.exchange("GET /rootDesc.xml HTTP/1.1"), (200, device_description(UUID).encode())
        )
        self.assertEqual(
            self.exchange("GET /WANIPConnection.xml HTTP/1.1"),
            (200, service_description().encode()),
        )
        self.assertEqual(self.exchange("GET / HTTP/1.1")[0], 404)
        self.assertEqual(self.exchange("GET /control HTTP/1.1")[0], 405)

    def test_it_does_what_it_is_called_for(self) -> None:
        for version in ("1", "2"):
            service = SERVICE[:-1] + version
            status, answer = self.post(
                soap("AddPortMapping", ADD, service), f"{service}#AddPortMapping"
            )
            self.assertEqual(status, 200)
            (response,) = fromstring(answer)[0]
            self.assertEqual(response.tag, f"{{{service}}}AddPortMappingResponse")
        self.assertEqual(self.leases.current(0.0)[0].internal, INTERNAL)

    def test_results_and_failures_are_told(self) -> None:
        status, answer = self.post(
            soap("GetExternalIPAddress", {}), f"{SERVICE}#GetExternalIPAddress"
        )
        self.assertEqual((status, fromstring(answer)[0][0][0].text), (200, PUBLIC))
        self.assertEqual(self.error(soap("AddPortMapping", {**ADD, "NewExternalPort": "0"})), 716)

    def test_hostile_calls_are_refused(self) -> None:
        self.assertEqual(self.error(b""), 402)
        self.assertEqual(self.error(b"<" * 100_000), 402)
        self.assertEqual(self.error(soap("GetStatusInfo", {})), 401)
        self.assertEqual(self.error(soap("AddPortMapping", ADD), action=""), 401)
        other = SERVICE.replace("WANIP", "WANPPP")
        self.assertEqual(
            self.error(soap("AddPortMapping", ADD, other), f"{other}#AddPortMapping"), 401
        )

    @given(st.binary(max_size=300))
    def test_no_body_makes_it_fail_otherwise(self, body: bytes) -> None:
        self.assertEqual(self.error(body), 402)
