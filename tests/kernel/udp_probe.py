"""UDP sockets on a machine of a lab, sent and read from outside it, one step at a time.

`UDPProbe` stands in the test; the file run as a program is its end inside the lab, which takes
one JSON command a line and answers each with one.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the end inside the lab runs without any package
    from twisted_p2p.network_namespaces.namespace import Namespace

PATIENCE = 5.0
"""Seconds after which a datagram counts as lost."""

Endpoint = tuple[str, int]


class NothingArrived(AssertionError):
    """No datagram reached a socket in time."""


class UDPProbe:
    """Sends and receives on UDP sockets of one machine, each bound to one of the ports given."""

    def __init__(self, machine: Namespace, *ports: int) -> None:
        self.host = machine.address
        self._process = machine.popen(
            [sys.executable, "-I", __file__, *map(str, ports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # the sockets are bound

    def send(self, port: int, destination: Endpoint, text: str) -> None:
        """Send a datagram from a port, and return when the kernel has taken it."""
        self._command("send", port, *destination, text)

    def receive(self, port: int) -> tuple[str, Endpoint]:
        """Return the next datagram that arrived at a port, and its source."""
        answer = self._command("receive", port)
        if answer is None:
            raise NothingArrived(f"nothing came to port {port} of {self.host}")
        text, host, source_port = answer
        return text, (host, source_port)

    def _command(self, *command: object) -> tuple[str, str, int] | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer: tuple[str, str, int] | None = json.loads(self._process.stdout.readline())
        return answer


class _Sockets:
    def __init__(self, ports: list[int]) -> None:
        self._sockets = {port: _bound_socket(port) for port in ports}

    def send(self, port: int, host: str, to_port: int, text: str) -> None:
        self._sockets[port].sendto(text.encode(), (host, to_port))

    def receive(self, port: int) -> tuple[str, str, int] | None:
        try:
            data, (host, source_port) = self._sockets[port].recvfrom(2048)
        except TimeoutError:
            return None
        return data.decode(), host, source_port


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("0.0.0.0", port))
    bound.settimeout(PATIENCE)
    return bound


def _tell(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    sockets = _Sockets([int(port) for port in sys.argv[1:]])
    _tell("bound")
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        _tell(getattr(sockets, name)(*arguments))


if __name__ == "__main__":
    main()
