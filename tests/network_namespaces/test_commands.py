"""The command lines that a lab is made of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.network_namespaces.commands import (
    Uplink,
    counted_bytes,
    enter_command,
    hold_command,
    move_lines,
    unshare_command,
    uplink_lines,
    veth_lines,
)

NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 5000000     100    0    0    0     0          0         0 5000000     100    0    0    0
uplink:    1042       1    0    0    0     0          0         0      42       1    0    0    0
inside:  700000     900    0    0    0     0          0         0       0       0    0    0    0
"""


class NamespaceCommandTests(SynchronousTestCase):
    def test_root_makes_a_network_namespace_alone(self) -> None:
        self.assertEqual(
            unshare_command(["true"], as_user=False), ["unshare", "--net", "--", "true"]
        )

    def test_user_makes_a_user_namespace_first(self) -> None:
        self.assertEqual(
            unshare_command(["true"], as_user=True),
            ["unshare", "--user", "--map-root-user", "--net", "--", "true"],
        )

    def test_namespace_is_held_until_the_input_ends(self) -> None:
        command = hold_command(as_user=False)
        self.assertEqual(command[:6], ["unshare", "--net", "--", "sh", "-e", "-c"])
        self.assertTrue(command[6].endswith("echo held\nexec cat\n"))

    def test_entering_command_ends_with_its_parent(self) -> None:
        self.assertEqual(
            " ".join(enter_command(42, ["p2p", "id"], owner=None)),
            "nsenter --net=/proc/42/ns/net -- setpriv --pdeathsig KILL -- p2p id",
        )

    def test_user_enters_the_user_namespace_first(self) -> None:
        self.assertEqual(
            enter_command(42, ["p2p"], owner=7)[:4],
            [
                "nsenter",
                "--user=/proc/7/ns/user",
                "--preserve-credentials",
                "--net=/proc/42/ns/net",
            ],
        )


class InterfaceLinesTests(SynchronousTestCase):
    def test_cable_ends_in_the_namespace_of_a_process(self) -> None:
        self.assertEqual(
            veth_lines("left", "uplink", 42),
            ["link add name left type veth peer name uplink netns 42"],
        )

    def test_interface_is_handed_to_the_namespace_of_a_process(self) -> None:
        self.assertEqual(
            move_lines("left-far", "uplink", 42), ["link set dev left-far name uplink netns 42"]
        )

    def test_machine_is_joined_by_an_address_and_a_way_out(self) -> None:
        self.assertEqual(
            uplink_lines("uplink", Uplink("11.1.0.2", "11.1.0.1")),
            [
                "link set dev lo up",
                "address add 11.1.0.2/24 dev uplink",
                "link set dev uplink up",
                "route add default via 11.1.0.1",
            ],
        )


class CountedBytesTests(SynchronousTestCase):
    def test_both_directions_of_all_interfaces_but_loopback(self) -> None:
        self.assertEqual(counted_bytes(NET_DEV), 1042 + 42 + 700000)

    def test_loopback_alone_carries_nothing(self) -> None:
        self.assertEqual(counted_bytes("\n".join(NET_DEV.splitlines()[:3])), 0)
