"""One agent's checks, and what it makes of those that no agent of ours would send."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from attrs import evolve

from tests.ice.agent_case import (
    OWN_MAPPED,
    PATH,
    REMOTE,
    SOCKET,
    STRANGE,
    AgentCase,
    remote_candidate,
)
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.candidate import Candidate, CandidateType, candidate_priority
from twisted_p2p.ice.events import (
    ConnectivityFailed,
    PathAuthenticated,
)
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from twisted_p2p.stun.message import (
    BINDING,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    check_integrity,
    decode_message,
)


class ChecksOfOurs(AgentCase):
    def test_carry_what_the_rfc_demands(self) -> None:
        for controlling in (True, False):
            self.start(controlling=controlling, tie_breaker=77)
            ((check, path),) = self.sent()
            self.assertEqual(path, PATH)
            self.assertEqual((check.method, check.message_class), (BINDING, MessageClass.REQUEST))
            names = (self.peer.username_fragment, self.own.username_fragment)
            self.assertEqual(check.get(USERNAME), ":".join(names))
            self.assertEqual(check.get(PRIORITY), candidate_priority(CandidateType.PEER_REFLEXIVE))
            self.assertEqual(check.get(ICE_CONTROLLING), 77 if controlling else None)
            self.assertEqual(check.get(ICE_CONTROLLED), None if controlling else 77)
            self.assertIsNone(check.get(USE_CANDIDATE))
            self.assertTrue(check_integrity(check, self.peer.password.encode()))
            self.assertTrue(check_fingerprint(check))

    def test_go_to_the_most_promising_address_first_and_twenty_milliseconds_apart(self) -> None:
        self.start(remote=False)
        for preference in (3, 8, 1, 7, 2, 6, 4, 5):
            candidate = remote_candidate(HostPort(f"11.0.2.{preference}", 4000), preference)
            self.agent.add_remote_candidate(candidate, 0.0)
        log = self.pass_time(0.15)
        hosts = [path.remote.host for _, _, path in log]
        self.assertEqual(hosts, [f"11.0.2.{preference}" for preference in range(8, 0, -1)])
        for number, (time, _, _) in enumerate(log):
            self.assertAlmostEqual(time, number * 0.02)

    def test_go_to_every_address_once_before_any_is_repeated(self) -> None:
        self.start(remote=False)
        for preference in (4, 3, 2, 1):
            candidate = remote_candidate(HostPort(f"11.0.2.{preference}", 4000), preference)
            alike = evolve(candidate, foundation="alike")
            self.agent.add_remote_candidate(alike, 0.0)
        hosts = [path.remote.host for _, _, path in self.pass_time(0.07)]
        self.assertEqual(hosts, ["11.0.2.4", "11.0.2.3", "11.0.2.2", "11.0.2.1"])

    def test_to_silent_addresses_are_ten_each_and_paced(self) -> None:
        self.start(remote=False)
        self.agent.add_local_candidate(
            Candidate.host(HostPort("10.0.0.2", 1), base=HostPort("10.0.0.2", 1))
        )
        for number in range(20):
            candidate = remote_candidate(HostPort(f"11.0.2.{number}", 4000), number)
            self.agent.add_remote_candidate(candidate, 0.0)
        log = self.pass_time(60.0)
        sent = Counter(path.remote for _, _, path in log)
        self.assertEqual(sorted(sent.values()), [10] * 8)
        times = [time for time, _, _ in log]
        for before, after in pairwise(times):
            self.assertGreaterEqual(after - before, 0.02 - 1e-9)
        self.assert_dropped(too_many_candidates=12)
        self.assertIsInstance(self.events()[0], ConnectivityFailed)

    def test_are_each_a_transaction_of_its_own(self) -> None:
        self.start()
        log = self.pass_time(60.0)
        self.assertEqual(len({check.transaction_id for _, check, _ in log}), len(log))

    def test_go_to_a_known_address_once(self) -> None:
        self.start()
        self.agent.add_remote_candidate(remote_candidate(), self.now)
        self.assertEqual(len(self.sent()), 1)
        self.assert_dropped(known_candidate=1)

    def test_are_sent_to_late_candidates_too_which_get_their_time(self) -> None:
        self.start()
        self.pass_time(9.0)
        late = HostPort("11.0.2.1", 4001)
        self.agent.add_remote_candidate(remote_candidate(late), self.now)
        log = self.pass_time(4.9)
        self.assertEqual({path.remote for _, _, path in log}, {late})
        self.assertEqual(self.events(), [])
        self.pass_time(0.2)
        self.assertIsInstance(self.events()[0], ConnectivityFailed)

    def test_to_worse_candidates_end_when_one_is_selected(self) -> None:
        self.start(controlling=False)
        self.agent.add_remote_candidate(remote_candidate(HostPort("11.0.2.9", 1), 1), self.now)
        self.agent.add_remote_candidate(remote_candidate(HostPort("11.0.2.8", 1), 2), self.now)
        check = self.pass_time(0.03)[0][1]
        self.receive(self.answer(check))
        self.receive(self.nomination(1))
        remotes = {path.remote for _, _, path in self.pass_time(20.0)}
        self.assertEqual(remotes, {REMOTE})

    def test_worse_candidates_than_the_selected_one_are_left_alone(self) -> None:
        self.start(controlling=False)
        ((check, _),) = self.sent()
        self.receive(self.nomination(1))
        self.receive(self.answer(check))
        self.assertEqual(self.agent.selected_path, PATH)
        self.agent.add_remote_candidate(remote_candidate(HostPort("11.0.2.9", 1), 1), self.now)
        remotes = {path.remote for _, _, path in self.pass_time(20.0)}
        self.assertEqual(remotes, {REMOTE})


class ChecksOfThePeer(AgentCase):
    def test_are_answered_and_authenticate_their_path(self) -> None:
        self.start(remote=False, controlling=False)
        data = self.request()
        self.receive(data)
        (answer, path), (check, check_path) = self.sent()
        self.assertEqual(answer.message_class, MessageClass.SUCCESS)
        self.assertEqual(answer.transaction_id, decode_message(data).transaction_id)
        self.assertEqual(answer.get(XOR_MAPPED_ADDRESS), REMOTE)
        self.assertTrue(check_integrity(answer, self.own.password.encode()))
        self.assertTrue(check_fingerprint(answer))
        self.assertEqual(check.message_class, MessageClass.REQUEST)
        self.assertEqual((path, check_path), (PATH, PATH))
        self.assertEqual(self.events(), [PathAuthenticated(PATH)])
        self.assertEqual(self.agent.authenticated_paths, {PATH})
        self.assertTrue(self.agent.is_authenticated(PATH))
        self.assertFalse(self.agent.is_authenticated(DatagramPath(SOCKET, OWN_MAPPED)))

    def test_authenticate_a_path_once(self) -> None:
        self.start()
        data = self.request()
        for _ in range(3):
            self.receive(data)
        self.assertEqual(self.events(), [PathAuthenticated(PATH)])
        classes = Counter(message.message_class for message, _ in self.sent())
        self.assertEqual(classes[MessageClass.SUCCESS], 3)
        self.assertEqual(classes[MessageClass.REQUEST], 1)

    def test_that_nobody_of_this_session_made_are_ignored(self) -> None:
        self.start(remote=False)
        self.receive(b"GET / HTTP/1.1\r\n\r\n")
        self.receive(b"")
        self.receive(self.request(username="initiatr:somebody"))
        self.receive(self.request(password="wrong/password+0123456789012345"))
        self.receive(self.request(password=""))
        self.assert_dropped(malformed=2, wrong_username=1, unauthenticated=2)
        self.assert_untouched()

    def test_of_another_kind_are_ignored(self) -> None:
        self.start(remote=False)
        key = self.own.password.encode()
        for method, message_class in (
            (BINDING, MessageClass.INDICATION),
            (3, MessageClass.REQUEST),
        ):
            message = STUNMessage.build(method, message_class, bytes(12))
            self.receive(message.encode(integrity_key=key))
        self.assert_dropped(unexpected=2)
        self.assert_untouched()

    def test_without_priority_are_malformed(self) -> None:
        self.start(remote=False)
        self.receive(self.request(priority=False))
        self.assert_dropped(malformed=1)
        self.assert_untouched()

    def test_with_an_attribute_that_must_be_understood_are_told_so(self) -> None:
        self.start(remote=False)
        self.receive(self.request((STRANGE, b"?")))
        ((answer, _),) = self.sent()
        self.assertEqual(answer.require(ERROR_CODE).code, 420)
        self.assertEqual(answer.get(UNKNOWN_ATTRIBUTES), (STRANGE.code,))
        self.assert_dropped(unknown_attribute=1)
        self.assert_untouched()

    def test_copied_and_sent_from_elsewhere_are_ignored(self) -> None:
        self.start(remote=False)
        data = self.request()
        self.receive(data)
        self.sent()
        for port in range(1, 100):
            self.receive(data, DatagramPath(SOCKET, HostPort("11.0.6.6", port)))
        self.assert_dropped(replayed=99)
        self.assertEqual(self.agent.authenticated_paths, {PATH})
        self.assertEqual(self.sent(), [])
        self.receive(data)  # whoever sent it first may repeat it
        self.assertEqual(len(self.sent()), 1)

    def test_are_remembered_by_the_hundred_and_no_more(self) -> None:
        self.start(remote=False)
        first = self.request()
        self.receive(first)
        for _ in range(512):
            self.receive(self.request())
        self.receive(first, DatagramPath(SOCKET, HostPort("11.0.6.6", 1)))
        self.assertEqual(self.agent.dropped["replayed"], 0)

    def test_from_ever_new_addresses_are_answered_for_eight_of_them(self) -> None:
        self.start(remote=False, controlling=False)
        for port in range(1, 101):
            self.receive(self.request(), DatagramPath(SOCKET, HostPort("11.0.6.6", port)))
        log = self.pass_time(60.0)
        sent = Counter(path.remote for _, _, path in log)
        self.assertEqual(len(sent), 8)
        self.assertLessEqual(max(sent.values()), 11)
        self.assert_dropped(too_many_addresses=92)

    def test_on_a_socket_that_is_no_candidate_are_not_answered(self) -> None:
        self.start(remote=False)
        self.receive(self.request(), DatagramPath(HostPort("10.0.0.2", 1), REMOTE))
        self.assert_dropped(unknown_socket=1)
        self.assert_untouched()

    def test_wake_a_pair_that_was_given_up(self) -> None:
        self.start(controlling=False)
        self.pass_time(9.9)  # all probes unanswered
        self.receive(self.request())
        classes = [message.message_class for message, _ in self.sent()]
        self.assertEqual(classes, [MessageClass.SUCCESS, MessageClass.REQUEST])

    def test_after_close_are_not_answered(self) -> None:
        self.start()
        self.receive(self.request())
        self.agent.close()
        self.assertEqual(self.sent(), [])
        self.receive(self.request())
        self.agent.handle_timer(1_000.0)
        self.assertEqual(self.sent(), [])
        self.assertIsNone(self.agent.get_timer())
        self.assert_dropped(closed=1)
