"""Tests are left out for a reason that helps, and not at all where everything is required."""

from __future__ import annotations

import errno
import os
import socket
from typing import NoReturn

from twisted.trial.unittest import FailTest, SkipTest, SynchronousTestCase

from tests import requirements


class RequirementsTests(SynchronousTestCase):
    def test_missing_program_leaves_the_test_out_and_is_named(self) -> None:
        self.patch(os, "environ", {"PATH": "/nowhere"})
        with self.assertRaises(SkipTest) as caught:
            requirements.require_program("no-such-program", "no-such-package")
        self.assertEqual(
            str(caught.exception),
            "The program `no-such-program` is missing (Debian package no-such-package).",
        )

    def test_program_that_is_there_lets_the_test_run(self) -> None:
        requirements.require_program("sh", "dash")

    def test_missing_right_leaves_the_test_out(self) -> None:
        self.patch(requirements, "available", lambda: "Not here.")
        self.patch(os, "environ", {})
        with self.assertRaises(SkipTest) as caught:
            requirements.require_namespaces()
        self.assertEqual(str(caught.exception), "Not here.")

    def test_missing_ipv6_leaves_the_test_out(self) -> None:
        def fails(*arguments: object) -> NoReturn:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

        self.patch(socket, "socket", fails)
        self.patch(os, "environ", {})
        with self.assertRaises(SkipTest) as caught:
            requirements.require_ipv6()
        self.assertEqual(
            str(caught.exception),
            "IPv6 is missing on the loopback interface (Address family not supported by protocol).",
        )

    def test_nothing_is_left_out_where_everything_is_required(self) -> None:
        self.patch(os, "environ", {"P2P_REQUIRE_ALL": "1"})
        with self.assertRaises(FailTest) as caught:
            requirements.leave_out("Not here.")
        self.assertIn("Not here.", str(caught.exception))
