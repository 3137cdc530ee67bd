"""The command lines that a lab is made of; nothing here runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

PACKAGES: Final = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""The programs that a lab needs, with the Debian package that each one comes in."""

SEARCH_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the programs are; ``/usr/sbin`` is not in the path of ordinary users."""

TRIAL: Final = """\
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link add name one type veth peer name two
nft 'add table ip trial; add chain ip trial out { type nat hook postrouting priority 100; };
     add rule ip trial out masquerade'
"""
"""A shell script that does what a lab needs done, in a fresh namespace, or fails."""

_HOLD: Final = """\
echo 1 > /proc/sys/net/ipv4/ip_forward
if [ -e /proc/sys/net/ipv6 ]; then echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; fi
echo held
exec cat
"""
"""A shell script that keeps a namespace until its standard input ends; the labs are IPv4 only."""


@frozen
class Uplink:
    """The one link of a machine towards the rest of the lab."""

    address: str
    """The machine's own address."""

    router: str
    """The address of the other end, in the same /24."""


def unshare_command(arguments: Sequence[str], *, as_user: bool) -> list[str]:
    """Return the command that runs ``arguments`` in a network namespace of its own.

    ``as_user`` makes a user namespace first, which gives an ordinary user the rights of root
    over that network and nothing else.
    """
    user = ["--user", "--map-root-user"] if as_user else []
    return ["unshare", *user, "--net", "--", *arguments]


def hold_command(*, as_user: bool) -> list[str]:
    """Return the command that makes a network namespace and keeps it.

    It prints one line when the namespace is there, and ends with its standard input: so the
    namespace goes when the process that holds the other end of that pipe goes, in any way.
    """
    return unshare_command(["sh", "-e", "-c", _HOLD], as_user=as_user)


def enter_command(holder: int, arguments: Sequence[str], *, owner: int | None) -> list[str]:
    """Return the command that runs ``arguments`` in the network namespace of a process.

    ``holder`` is that process; ``owner`` is a process in the user namespace to enter first, if
    any.  The command's process becomes that of ``arguments``, and is killed when the thread that
    started it ends, and so with its parent.
    """
    user = [f"--user=/proc/{owner}/ns/user", "--preserve-credentials"] if owner else []
    entering = ["nsenter", *user, f"--net=/proc/{holder}/ns/net", "--"]
    return [*entering, "setpriv", "--pdeathsig", "KILL", "--", *arguments]


def veth_lines(name: str, far_name: str, far_holder: int) -> list[str]:
    """Return the ``ip -batch`` lines of a cable from here to another process's namespace."""
    return [f"link add name {name} type veth peer name {far_name} netns {far_holder}"]


def move_lines(name: str, far_name: str, far_holder: int) -> list[str]:
    """Return the ``ip -batch`` lines that hand an interface to another process's namespace."""
    return [f"link set dev {name} name {far_name} netns {far_holder}"]


def address_lines(name: str, address: str) -> list[str]:
    """Return the ``ip -batch`` lines that give an interface its address in a /24."""
    return [f"address add {address}/24 dev {name}", f"link set dev {name} up"]


def uplink_lines(name: str, uplink: Uplink) -> list[str]:
    """Return the ``ip -batch`` lines that join a machine to the lab by one interface."""
    return [
        "link set dev lo up",
        *address_lines(name, uplink.address),
        f"route add default via {uplink.router}",
    ]


def counted_bytes(net_dev: str) -> int:
    """Return the bytes received and sent by all interfaces but loopback.

    ``net_dev`` is the text of ``/proc/<process>/net/dev``.
    """
    total = 0
    for line in net_dev.splitlines()[2:]:
        name, _, counters = line.partition(":")
        if name.strip() != "lo":
            received, sent = counters.split()[0:9:8]
            total += int(received) + int(sent)
    return total
