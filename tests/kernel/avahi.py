"""Debian's avahi-daemon on a machine of a lab, with a system bus of its own."""

from __future__ import annotations

import re

from attrs import frozen

from tests.kernel.switch import INTERFACE
from tests.requirements import require_program
from twisted_p2p.network_namespaces.namespace import Namespace

_BUS = """\
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_type="method_call"/>
    <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
"""

_AVAHI = f"""\
[server]
host-name=avahi
use-ipv4=yes
use-ipv6=yes
allow-interfaces={INTERFACE}
[publish]
publish-workstation=no
publish-hinfo=no
[rlimits]
"""

_START = f"""\
mount -t tmpfs none /run
mkdir /run/dbus /run/avahi-daemon
cat > /run/bus.conf <<'END'
{_BUS}END
cat > /run/avahi.conf <<'END'
{_AVAHI}END
dbus-daemon --config-file=/run/bus.conf --nopidfile --fork
exec avahi-daemon -f /run/avahi.conf --no-drop-root --no-chroot --no-rlimits 2>&1
"""

# Its process and all that it has started end together, and so does the mount of /run.
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

START = (*_ALONE, "sh", "-e", "-c", _START)
"""The command that starts it; it says `STARTED` when it is there."""

STARTED = "Server startup complete"


def require_avahi() -> None:
    """Go on only if Debian's avahi is installed, and the bus that it needs."""
    for name, package in (
        ("avahi-daemon", "avahi-daemon"),
        ("avahi-browse", "avahi-utils"),
        ("dbus-daemon", "dbus"),
    ):
        require_program(name, package)


def beside(daemon: int, *arguments: str) -> tuple[str, ...]:
    """Return the command of a program that talks to the daemon of that process."""
    return ("nsenter", f"--mount=/proc/{daemon}/ns/mnt", "--", *arguments)


@frozen
class Resolved:
    """A line of ``avahi-browse --resolve --parsable`` about an instance and its address."""

    protocol: str
    instance: str
    address: str
    port: int
    text: frozenset[str]


def browse(machine: Namespace, daemon: int) -> list[Resolved]:
    """Return what avahi sees of our service, once it has heard all."""
    command = beside(daemon, "avahi-browse", "-rtp", "_p2p._udp")
    lines = [line.split(";", 9) for line in machine.run(command).splitlines()]
    return [
        Resolved(
            line[2], line[3], line[7], int(line[8]), frozenset(re.findall(r'"([^"]*)"', line[9]))
        )
        for line in lines
        if line[0] == "="
    ]
