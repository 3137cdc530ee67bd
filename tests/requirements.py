"""What a test needs of the machine: without it the test is left out, and the reason names it.

With ``P2P_REQUIRE_ALL=1`` in the environment, as on the machines that must run everything, a
test fails instead of being left out.
"""

from __future__ import annotations

import os
import shutil
import socket
from typing import NoReturn

from twisted.trial.unittest import FailTest, SkipTest

from twisted_p2p.network_namespaces.lab import available
from twisted_p2p.network_namespaces.namespace import system_environment


def leave_out(reason: str) -> NoReturn:
    """Leave the running test out for a reason, or fail it where every test is required."""
    if os.environ.get("P2P_REQUIRE_ALL") == "1":
        raise FailTest(f"{reason} P2P_REQUIRE_ALL is set, so this test may not be left out.")
    raise SkipTest(reason)


def require_program(name: str, package: str) -> None:
    """Go on only if a program is installed; ``package`` is the Debian package it comes in."""
    if shutil.which(name, path=system_environment()["PATH"]) is None:
        leave_out(f"The program `{name}` is missing (Debian package {package}).")


def require_ipv6() -> None:
    """Go on only if the loopback interface has IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        leave_out(f"IPv6 is missing on the loopback interface ({error.strerror}).")


def require_namespaces() -> None:
    """Go on only if this machine permits network namespaces with NATs."""
    missing = available()
    if missing is not None:
        leave_out(missing)


def require_delay() -> None:
    """Go on only if this machine also lets this user make TUN interfaces in a namespace."""
    require_namespaces()
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        leave_out("The device /dev/net/tun is missing, or not for this user to open.")
