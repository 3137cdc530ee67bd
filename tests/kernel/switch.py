"""Machines on one switch, each a network namespace with one interface, with IPv4 and IPv6."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from twisted_p2p.network_namespaces.commands import address_lines, veth_lines
from twisted_p2p.network_namespaces.namespace import Namespace

INTERFACE = "eth0"


class SwitchLab:
    """So many machines, 192.168.7.1 and on, up when the constructor returns, gone after `close`."""

    def __init__(self, count: int) -> None:
        with ExitStack() as resources:
            self.switch = Namespace("")
            resources.callback(self.switch.close)
            self.switch.wait_until_made()
            self._ip(self.switch, ["link add switch type bridge", "link set switch up"])
            self.machines = [self._machine(number, resources) for number in range(1, count + 1)]
            self._resources = resources.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every program that was started by `Namespace.popen`, and remove the lab."""
        self._resources.close()

    def _machine(self, number: int, resources: ExitStack) -> Namespace:
        machine = Namespace(f"192.168.7.{number}", creator=self.switch)
        resources.callback(machine.close)
        machine.wait_until_made()
        port = f"port{number}"
        lines = veth_lines(port, INTERFACE, machine.holder)
        self._ip(self.switch, [*lines, f"link set {port} master switch up"])
        # Without the second of waiting for others that have the same address.
        settings = "".join(
            f"echo {value} > /proc/sys/net/ipv6/conf/{INTERFACE}/{name}\n"
            for name, value in (("disable_ipv6", 0), ("accept_dad", 0))
        )
        machine.run(["sh", "-e"], settings)
        self._ip(machine, ["link set lo up", *address_lines(INTERFACE, machine.address)])
        return machine

    @staticmethod
    def _ip(machine: Namespace, lines: list[str]) -> None:
        machine.run(["ip", "-batch", "-"], "\n".join(lines))
