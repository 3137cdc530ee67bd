from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import HostPort, NetworkInterface
from twisted_p2p.ice.candidate import CandidateType
from twisted_p2p.rendezvous.gathering import LocalCandidates

SOCKET, SOCKET_IPV6 = HostPort("0.0.0.0", 4000), HostPort("::", 4001)


class LocalCandidatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hosts = ["127.0.0.1", "192.168.1.2", "10.0.0.2", "::1", "fe80::1", "2a00::2"]
        self.prefix = {False: 24, True: 64}
        self.candidates = LocalCandidates(self.interfaces)
        self.candidates.refresh([SOCKET, SOCKET_IPV6])

    def interfaces(self) -> list[NetworkInterface]:
        addresses = (f"{host}/{self.prefix[':' in host]}" for host in self.hosts)
        return [NetworkInterface("eth0", 2, tuple(addresses))]

    def addresses(self) -> list[str]:
        return [str(candidate.address) for candidate in self.candidates.current()]

    def test_each_interface_that_others_may_reach_is_one_with_the_socket_of_its_family(
        self,
    ) -> None:
        expected = ["192.168.1.2:4000", "10.0.0.2:4000", "[2a00::2]:4001"]
        self.assertEqual(self.addresses(), expected)
        candidates = self.candidates.current()
        self.assertEqual({c.candidate_type for c in candidates}, {CandidateType.HOST})
        self.assertEqual([c.base for c in candidates], [SOCKET, SOCKET, SOCKET_IPV6])
        first, second, _ = candidates
        self.assertGreater(first.priority, second.priority)

    def test_interfaces_are_read_only_when_told_to(self) -> None:
        self.hosts = ["10.9.9.9"]
        self.assertNotIn("10.9.9.9:4000", self.addresses())
        self.candidates.refresh([SOCKET])
        self.assertEqual(self.addresses(), ["10.9.9.9:4000"])

    def test_other_interfaces_mean_that_trackers_see_this_node_elsewhere(self) -> None:
        mapped = HostPort("11.1.0.2", 4000)
        self.candidates.observed("11.9.0.1", SOCKET, mapped)
        self.candidates.refresh([SOCKET, SOCKET_IPV6])
        self.assertEqual(self.candidates.mapped_addresses, {mapped})
        self.hosts = ["192.168.2.2"]
        self.candidates.refresh([SOCKET, SOCKET_IPV6])
        self.assertEqual(self.candidates.mapped_addresses, frozenset())

    def test_on_a_link_is_what_no_router_stands_before(self) -> None:
        self.hosts = ["192.168.1.2", "10.1.9.2", "fe80::1", "2a00:1::2"]
        self.candidates.refresh([SOCKET])
        near = ["192.168.1.77", "10.1.9.9", "::ffff:10.1.9.9", "fe80::77", "2a00:1::77"]
        far = ["192.168.2.77", "10.2.0.2", "2a00:2::77", "11.0.0.1", "host.example"]
        near += ["fe80::77%eth0"]
        far += ["fe80::77%eth1"]
        self.assertEqual([host for host in near + far if self.candidates.is_on_link(host)], near)

    def test_an_address_with_a_scope_is_for_checks_and_told_nobody(self) -> None:
        told = self.candidates.current()
        more = [each for each in self.candidates.for_checks() if each not in told]
        self.assertEqual([str(each.address) for each in more], ["[fe80::1%eth0]:4001"])
        self.assertEqual([each.base for each in more], [SOCKET_IPV6])

    def test_where_trackers_see_a_socket_is_one_each_once(self) -> None:
        mapped, other = HostPort("11.1.0.2", 4000), HostPort("11.1.0.2", 4777)
        self.assertFalse(self.candidates.observed("11.9.0.1", SOCKET, other))
        self.assertTrue(self.candidates.observed("11.9.0.1", SOCKET, mapped))
        self.assertFalse(self.candidates.observed("11.9.0.1", SOCKET, mapped))
        self.candidates.observed("11.9.0.2", SOCKET, mapped)
        self.candidates.observed("11.9.0.3", SOCKET, other)
        self.assertEqual(self.addresses()[3:], [str(mapped), str(other)])
        for candidate in self.candidates.current()[3:]:
            self.assertEqual(candidate.candidate_type, CandidateType.SERVER_REFLEXIVE)
            self.assertEqual(candidate.base, SOCKET)
        self.assertEqual(self.candidates.mapped_addresses, {mapped, other})

    def test_what_a_tracker_sees_replaces_what_it_saw(self) -> None:
        for port in (4000, 4777):
            self.candidates.observed("11.9.0.1", SOCKET, HostPort("11.1.0.2", port))
        self.assertEqual(self.addresses()[3:], ["11.1.0.2:4777"])

    def test_an_address_that_is_an_interfaces_own_is_there_once(self) -> None:
        self.candidates.observed("11.9.0.1", SOCKET_IPV6, HostPort("2a00::2", 4001))
        self.assertEqual(len(self.addresses()), 3)

    def mapping(self, *seen: tuple[str, HostPort, str, int]) -> bool | None:
        for tracker, socket, host, port in seen:
            self.candidates.observed(tracker, socket, HostPort(host, port))
        return self.candidates.side().maps_independently

    def test_one_tracker_tells_nothing_of_the_mapping(self) -> None:
        self.assertIsNone(self.mapping())
        self.assertIsNone(self.mapping(("11.9.0.1", SOCKET, "11.1.0.2", 4000)))
        self.assertIsNone(self.mapping(("11.9.0.1", SOCKET_IPV6, "2a00::9", 4000)))

    def test_trackers_that_see_one_address_show_an_independent_mapping(self) -> None:
        seen = [(f"11.9.0.{number}", SOCKET, "11.1.0.2", 4000) for number in range(2)]
        self.assertIs(self.mapping(*seen), True)

    def test_trackers_that_see_several_show_one_by_destination(self) -> None:
        seen = [(f"11.9.0.{number}", SOCKET, "11.1.0.2", 4000 + number) for number in range(2)]
        self.assertIs(self.mapping(*seen), False)

    def test_without_a_nat_one_tracker_is_enough(self) -> None:
        self.assertIs(self.mapping(("11.9.0.1", SOCKET, "10.0.0.2", 4000)), True)

    def test_a_side_is_where_trackers_see_it_and_what_it_tells(self) -> None:
        mapped = HostPort("11.1.0.2", 4000)
        self.candidates.observed("11.9.0.1", SOCKET, mapped)
        side = self.candidates.side()
        self.assertEqual(side.seen_at, {mapped})
        self.assertEqual(set(map(str, side.told)), set(self.addresses()))
