from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort
from twisted_p2p.node.defaults import (
    default_identity_path,
    default_lan,
    default_trackers,
    parse_lan,
    parse_tracker,
    parse_trackers,
)


class TrackerTests(SynchronousTestCase):
    def test_a_host_with_and_without_a_port(self) -> None:
        for text, expected in (
            ("tracker.example", ("tracker.example", 3478)),
            ("tracker.example:99", ("tracker.example", 99)),
            ("11.9.0.1", ("11.9.0.1", 3478)),
            ("11.9.0.1:65535", ("11.9.0.1", 65535)),
            ("2a00::1", ("2a00::1", 3478)),
            ("2A00:0:0::1", ("2a00::1", 3478)),
            ("[2a00::1]", ("2a00::1", 3478)),
            ("[2a00:0::1]:99", ("2a00::1", 99)),
        ):
            self.assertEqual(parse_tracker(text), HostPort(*expected), text)

    def test_what_names_no_tracker_is_refused_in_a_sentence(self) -> None:
        for text in (
            "",
            ":",
            ":99",
            "host:",
            "host:port",
            "host:0",
            "host:65536",
            "host:-1",
            "host:٣",
            "host:1:2",
            "a host",
            "[::1",
            "::1]",
            "[]",
            "[host]:99",
            "[11.9.0.1]",
            "[::1]99",
            "2a00::1::2",
        ):
            with self.assertRaises(ValueError, msg=text) as caught:
                parse_tracker(text)
            self.assertIn("HOST:PORT", str(caught.exception))

    @given(st.text(max_size=30))
    def test_any_text_is_a_tracker_or_refused(self, text: str) -> None:
        try:
            host, port = parse_tracker(text)
        except ValueError:
            return
        self.assertTrue(host)
        self.assertTrue(0 < port < 65536)

    def test_several_are_separated_by_commas(self) -> None:
        expected = [HostPort("a", 3478), HostPort("::1", 5)]
        self.assertEqual(parse_trackers(" a, [::1]:5 ,,"), expected)
        self.assertEqual(parse_trackers(""), [])

    def test_the_environment_names_the_default(self) -> None:
        self.patch(os, "environ", {"P2P_TRACKER": "a,b:5"})
        self.assertEqual(default_trackers(), [HostPort("a", 3478), HostPort("b", 5)])
        self.patch(os, "environ", {})
        self.assertEqual(default_trackers(), [])


class LANTests(SynchronousTestCase):
    def test_it_is_used_unless_the_environment_says_no(self) -> None:
        for said, expected in (({}, True), ({"P2P_LAN": ""}, True), ({"P2P_LAN": "no"}, False)):
            self.patch(os, "environ", said)
            self.assertIs(default_lan(), expected)

    def test_what_is_neither_yes_nor_no_is_refused_in_a_sentence(self) -> None:
        error = self.assertRaises(ValueError, parse_lan, "off")
        self.assertEqual(str(error), "'off' is neither yes nor no")


class IdentityPathTests(SynchronousTestCase):
    def test_it_lies_in_the_users_data_folder(self) -> None:
        home = Path(self.mktemp()).absolute()
        self.patch(os, "environ", {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")})
        path = default_identity_path()
        self.assertEqual(path, home / "data" / "twisted_p2p" / "identity.pem")
        self.assertFalse(home.exists(), "to ask for it makes nothing")
