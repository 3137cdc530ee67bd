"""SSDP's messages survive the wire, and no bytes but good ones become messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import MalformedMessage
from twisted_p2p.portmap.ssdp import (
    Advertisement,
    Message,
    SearchRequest,
    SearchResponse,
    decode_message,
)

TARGET = "urn:schemas-upnp-org:device:InternetGatewayDevice:2"
USN = f"uuid:1::{TARGET}"
LOCATION = "http://192.168.1.1:5000/rootDesc.xml"

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
NUMBERS = st.integers(0, 999_999_999)
MESSAGES = st.one_of(
    st.builds(SearchRequest, WORDS, st.integers(1, 5)),
    st.builds(SearchResponse, WORDS, WORDS, WORDS, WORDS, NUMBERS),
    st.builds(Advertisement, st.just("ssdp:alive"), WORDS, WORDS, WORDS, WORDS, NUMBERS),
    st.builds(Advertisement, st.just("ssdp:byebye"), WORDS, WORDS),
)


class SSDPTests(SynchronousTestCase):
    def refuses(self, data: bytes) -> None:
        with self.assertRaises(MalformedMessage):
            decode_message(data)

    def test_a_search_is_written_as_upnp_has_it(self) -> None:
        self.assertEqual(
            SearchRequest(TARGET, 2).encode(),
            b"M-SEARCH * HTTP/1.1\r\n"
            b"HOST: 239.255.255.250:1900\r\n"
            b'MAN: "ssdp:discover"\r\n'
            b"MX: 2\r\n"
            b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n"
            b"\r\n",
        )

    @given(MESSAGES)
    def test_messages_round_trip(self, message: Message) -> None:
        self.assertEqual(decode_message(message.encode()), message)

    def test_an_answer_is_read_in_the_spelling_of_routers(self) -> None:
        data = (
            b"HTTP/1.0 200\r\nlocation:\thttp://192.168.1.1:5000/rootDesc.xml \r\n"
            b"cache-control:no-cache, Max-Age = 100\r\nst:" + TARGET.encode() + b"\r\n"
            b"Usn: " + USN.encode() + b"\r\nX-Own: 1\r\n\r\nand a body"
        )
        self.assertEqual(decode_message(data), SearchResponse(TARGET, USN, LOCATION, "", 100))

    def test_a_long_wait_is_cut(self) -> None:
        data = SearchRequest(TARGET, 120).encode()
        self.assertEqual(decode_message(data), SearchRequest(TARGET, 5))

    def test_what_is_no_message_is_refused(self) -> None:
        search = SearchRequest(TARGET).encode()
        answer = SearchResponse(TARGET, USN, LOCATION).encode()
        alive = Advertisement("ssdp:alive", TARGET, USN, LOCATION).encode()
        self.refuses(b"")
        self.refuses(search[:-2])
        self.refuses(search.replace(b"M-SEARCH", b"SEARCH"))
        self.refuses(search.replace(b"MX: 1", b"MX: 0"))
        self.refuses(search.replace(b"MX: 1", b"MX: one"))
        self.refuses(search.replace(b"MX: 1", b"MX"))
        self.refuses(search.replace(b"MX: 1", b"M X: 1"))
        self.refuses(search.replace(b"MX: 1", b"MX: \0"))
        self.refuses(search.replace(b"MX: 1", b"MX: 1\nST: 2"))
        self.refuses(search.replace(b"MX: 1", b"MX: 1\r\nmx: 1"))
        self.refuses(search.replace(b"discover", b"find"))
        self.refuses(search.replace(b"ST:", b"XX:"))
        self.refuses(search.replace(b"urn:", b"\xc3\xbcrn:"))
        self.refuses(answer.replace(b"200 OK", b"404 Not Found"))
        self.refuses(answer.replace(b"LOCATION", b"ELSEWHERE"))
        self.refuses(answer.replace(b"max-age", b"age"))
        self.refuses(alive.replace(b"alive", b"update"))

    def test_its_size_is_bounded(self) -> None:
        message = SearchRequest(TARGET).encode()[:-2]
        many = b"".join(b"X-%d: 1\r\n" % number for number in range(29))
        self.refuses(message + many + b"\r\n")
        self.assertEqual(decode_message(message + many[9:] + b"\r\n"), SearchRequest(TARGET))
        long = message + b"X: " + b"1" * 2_048 + b"\r\n\r\n"
        self.refuses(long)

    @given(MESSAGES, st.data())
    def test_a_changed_message_gives_a_message_or_the_one_error(
        self, message: Message, data: st.DataObject
    ) -> None:
        text = bytearray(message.encode())
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        try:
            decode_message(bytes(text))
        except MalformedMessage:
            return
