"""One agent, and a peer that says what no agent of ours would."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.ice.world import INITIATOR, RESPONDER, make_agent
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.agent import ICEAgent
from twisted_p2p.ice.candidate import Candidate, CandidateType, candidate_priority
from twisted_p2p.ice.checks import NOMINATION
from twisted_p2p.ice.events import (
    ConnectivityFailed,
    ICEEvent,
    PathAuthenticated,
    PathSelected,
)
from twisted_p2p.ice.settings import ICESettings
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    bytes_attribute,
)
from twisted_p2p.stun.message import (
    BINDING,
    MessageClass,
    STUNMessage,
    check_fingerprint,
    check_integrity,
    decode_message,
)

SOCKET = HostPort("192.168.1.2", 4000)
REMOTE = HostPort("11.0.2.1", 4000)
OWN_MAPPED = HostPort("11.0.1.1", 5000)
PATH = DatagramPath(SOCKET, REMOTE)
STRANGE = bytes_attribute(0x7777, "STRANGE")


def remote_candidate(address: HostPort = REMOTE, local_preference: int = 65535) -> Candidate:
    return Candidate.host(address, base=None, local_preference=local_preference)


class AgentCase(SynchronousTestCase):
    """An agent of either role; the test speaks for the peer."""

    def start(
        self,
        *,
        controlling: bool = True,
        tie_breaker: int = 100,
        settings: ICESettings | None = None,
        remote: bool = True,
    ) -> ICEAgent:
        self.random = Random(5)
        self.now = 0.0
        agent = make_agent(controlling=controlling, tie_breaker=tie_breaker, settings=settings)
        agent.add_local_candidate(Candidate.host(SOCKET, base=SOCKET))
        if remote:
            agent.add_remote_candidate(remote_candidate(), self.now)
        self.agent = agent
        self.own, self.peer = (INITIATOR, RESPONDER) if controlling else (RESPONDER, INITIATOR)
        return agent

    def sent(self) -> list[tuple[STUNMessage, DatagramPath]]:
        """What the agent sends now, each message as the peer reads it."""
        messages = []
        for data, path in self.agent.datagrams_to_send(self.now):
            assert isinstance(path, DatagramPath)
            messages.append((decode_message(data), path))
        return messages

    def events(self) -> list[ICEEvent]:
        events = []
        while (event := self.agent.next_event()) is not None:
            events.append(event)
        return events

    def pass_time(self, seconds: float) -> list[tuple[float, STUNMessage, DatagramPath]]:
        """Let time pass from deadline to deadline, and return what was sent when."""
        end = self.now + seconds
        log = []
        while True:
            log += [(self.now, message, path) for message, path in self.sent()]
            timer = self.agent.get_timer()
            if timer is None or timer > end:
                self.now = end
                return log
            self.now = max(timer, self.now)
            self.agent.handle_timer(self.now)

    def receive(self, data: bytes, path: DatagramPath = PATH) -> None:
        self.agent.receive_datagram(data, path, self.now)

    def request(
        self,
        *extra: tuple[object, object],
        username: str | None = None,
        password: str | None = None,
        controlling: bool | None = None,
        tie_breaker: int = 50,
        priority: bool = True,
    ) -> bytes:
        """A check of the peer, by default as it should be."""
        if controlling is None:
            controlling = not self.agent.controlling
        role = ICE_CONTROLLING if controlling else ICE_CONTROLLED
        message = STUNMessage.build(
            BINDING,
            MessageClass.REQUEST,
            self.random.randbytes(12),
            (
                USERNAME,
                username or f"{self.own.username_fragment}:{self.peer.username_fragment}",
            ),
            *([(PRIORITY, 1_000)] if priority else []),
            (role, tie_breaker),
            *extra,  # type: ignore[arg-type]
        )
        key = (self.own.password if password is None else password).encode()
        return message.encode(integrity_key=key or None, fingerprint=True)

    def nomination(self, number: int) -> bytes:
        return self.request((USE_CANDIDATE, True), (NOMINATION, number))

    def answer(self, request: STUNMessage, *extra: tuple[object, object]) -> bytes:
        mapped = (XOR_MAPPED_ADDRESS, OWN_MAPPED)
        response = request.success_response(mapped, *extra)  # type: ignore[arg-type]
        return self.encode(response)

    def encode(self, response: STUNMessage) -> bytes:
        return response.encode(integrity_key=self.peer.password.encode(), fingerprint=True)

    def assert_dropped(self, **reasons: int) -> None:
        self.assertEqual(self.agent.dropped, Counter(reasons))

    def assert_untouched(self) -> None:
        """Nothing was believed and nothing is sent."""
        self.assertEqual(self.events(), [])
        self.assertEqual(self.agent.authenticated_paths, frozenset())
        self.assertIsNone(self.agent.selected_path)
        self.assertEqual(self.sent(), [])


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


class Answers(AgentCase):
    def test_make_a_path_the_peers_and_tell_our_address(self) -> None:
        self.start(controlling=False)
        ((check, _),) = self.sent()
        self.receive(self.answer(check))
        self.assertEqual(self.events(), [PathAuthenticated(PATH)])
        self.assertEqual(self.agent.mapped_addresses, {PATH: OWN_MAPPED})
        self.assertEqual(self.pass_time(5.0), [])  # there is nothing left to find out

    def test_count_once_on_their_own_path_and_with_integrity(self) -> None:
        self.start(controlling=False)
        ((check, _),) = self.sent()
        good = self.answer(check)
        self.receive(good, DatagramPath(SOCKET, HostPort("11.0.2.1", 4001)))
        self.receive(good, DatagramPath(HostPort("10.0.0.2", 1), REMOTE))
        self.receive(check.success_response((XOR_MAPPED_ADDRESS, OWN_MAPPED)).encode())
        wrong = check.success_response((XOR_MAPPED_ADDRESS, OWN_MAPPED))
        self.receive(wrong.encode(integrity_key=self.own.password.encode()))
        self.assert_untouched()
        self.receive(good)
        self.receive(good)
        self.assert_dropped(asymmetric=2, unauthenticated=2, unknown_transaction=1)
        self.assertEqual(self.events(), [PathAuthenticated(PATH)])

    def test_that_say_nothing_usable_are_dropped(self) -> None:
        self.start(controlling=False)
        checks = [message for _, message, _ in self.pass_time(0.1)]
        self.receive(self.answer(checks[0], (STRANGE, b"?")))
        self.receive(self.encode(checks[1].success_response()))
        self.receive(self.encode(checks[2].error_response(500)))
        self.assert_dropped(unknown_attribute=1, malformed=1, error_response=1)
        self.assert_untouched()

    def test_to_a_pair_that_was_forgotten_are_dropped(self) -> None:
        self.start(remote=False, controlling=False)
        others = [DatagramPath(SOCKET, HostPort("11.0.6.6", port)) for port in range(1, 10)]
        for number, path in enumerate(others[:8]):
            self.now = float(number) / 100
            self.receive(self.request(), path)
        self.now = 0.1
        sent = [(m, p) for m, p in self.sent() if m.message_class is MessageClass.REQUEST]
        early, path = sent[0]
        self.assertEqual(path, others[0])
        (second, _, _) = next((m, p, t) for t, m, p in self.pass_time(0.05) if p == path)
        self.receive(self.answer(second), path)
        self.receive(self.request(), others[8])  # which takes the place of the first
        self.receive(self.answer(early), path)
        self.assert_dropped(forgotten_path=1)
        self.assertFalse(self.agent.is_authenticated(path))

    def test_that_come_very_late_are_no_longer_awaited(self) -> None:
        self.start(settings=ICESettings(patience=1_000.0))
        ((check, _),) = self.sent()
        self.pass_time(31.0)
        self.agent.add_remote_candidate(remote_candidate(HostPort("11.0.2.2", 1)), self.now)
        self.sent()
        self.receive(self.answer(check))
        self.assert_dropped(unknown_transaction=1)

    def test_a_hundred_thousand_forged_or_replayed_ones_change_no_path(self) -> None:
        for selected in (False, True):
            self.start(controlling=False)
            ((check, _),) = self.sent()
            replay = self.answer(check)
            if selected:
                self.receive(replay)
                self.receive(self.nomination(1))
                self.assertEqual(self.agent.selected_path, PATH)
                check = next(m for _, m, _ in self.pass_time(6.0) if m.get(USERNAME))
            self.sent()
            self.events()
            before = (
                self.agent.selected_path,
                self.agent.authenticated_paths,
                self.agent.mapped_addresses,
                self.agent.get_timer(),
            )
            for path, data in self.forgeries(check, replay, selected):
                self.receive(data, path)
            self.assertEqual(sum(self.agent.dropped.values()), 50_000)
            after = (
                self.agent.selected_path,
                self.agent.authenticated_paths,
                self.agent.mapped_addresses,
                self.agent.get_timer(),
            )
            self.assertEqual(after, before)
            self.assertEqual(self.sent(), [])
            self.assertEqual(self.events(), [])

    def forgeries(
        self, check: STUNMessage, replay: bytes, is_replay: bool
    ) -> list[tuple[DatagramPath, bytes]]:
        """50,000 answers by who sees the check under way and lacks the passwords, or repeats."""
        elsewhere = DatagramPath(SOCKET, HostPort("11.0.6.6", 1))
        attacker = HostPort("11.0.6.6", 1)
        datagrams = []
        for number in range(50_000):
            path = elsewhere if number % 7 == 0 else PATH
            match number % 5:
                case 0:  # blind
                    data = replay[:8] + self.random.randbytes(12) + replay[20:]
                case 1:  # seen, with a password of the attacker's
                    response = check.success_response((XOR_MAPPED_ADDRESS, attacker))
                    data = response.encode(integrity_key=self.random.randbytes(16))
                case 2:  # the peer's answer to another check, with this one's transaction ID
                    data = replay[:8] + check.transaction_id + replay[20:]
                    if not is_replay:
                        data = data[:-30] + self.random.randbytes(30)
                case 3:  # an error, without integrity
                    data = check.error_response(487).encode()
                case _:  # the peer's answer with one bit changed, or sent once more
                    bit = self.random.randrange(20 * 8, len(replay) * 8 - 64)
                    flipped = int.from_bytes(replay, "big") ^ 1 << len(replay) * 8 - 1 - bit
                    data = replay if is_replay else flipped.to_bytes(len(replay), "big")
            datagrams.append((path, data))
        return datagrams


class Roles(AgentCase):
    def test_the_larger_tie_breaker_keeps_its_role(self) -> None:
        for controlling in (True, False):
            # In the controlled role the larger one is that which is to control.
            ours, theirs = (100, 50) if controlling else (50, 100)
            self.start(controlling=controlling, tie_breaker=ours)
            self.sent()
            self.receive(self.request(controlling=controlling, tie_breaker=theirs))
            ((answer, _),) = self.sent()
            self.assertEqual(answer.require(ERROR_CODE).code, 487)
            self.assertIs(self.agent.controlling, controlling)
            self.assert_dropped(role_conflict=1)

    def test_the_smaller_one_gives_way_and_answers(self) -> None:
        for controlling in (True, False):
            ours, theirs = (50, 100) if controlling else (100, 50)
            self.start(controlling=controlling, tie_breaker=ours)
            self.sent()
            self.receive(self.request(controlling=controlling, tie_breaker=theirs))
            (answer, _), (check, _) = self.sent()
            self.assertEqual(answer.message_class, MessageClass.SUCCESS)
            self.assertIs(self.agent.controlling, not controlling)
            self.assertEqual(check.get(ICE_CONTROLLED), ours if controlling else None)
            self.assert_dropped()

    def test_of_equals_the_receiver_controls(self) -> None:
        for controlling in (True, False):
            self.start(controlling=controlling, tie_breaker=100)
            self.receive(self.request(controlling=controlling, tie_breaker=100))
            self.assertTrue(self.agent.controlling)

    def test_who_gives_way_forgets_its_own_nominations(self) -> None:
        self.start(tie_breaker=50)
        ((check, _),) = self.sent()
        self.receive(self.answer(check))  # upon which we nominate, with number 1
        extra = ((USE_CANDIDATE, True), (NOMINATION, 1))
        self.receive(self.request(*extra, controlling=True, tie_breaker=100))
        self.assertFalse(self.agent.controlling)
        self.assertEqual(self.agent.selected_path, PATH)

    def test_a_conflict_that_the_peer_finds_makes_us_give_way_and_try_again(self) -> None:
        self.start()
        ((check, _),) = self.sent()
        self.receive(self.encode(check.error_response(487)))
        self.assertFalse(self.agent.controlling)
        ((_, again, _),) = self.pass_time(0.02)
        self.assertIsNone(again.get(ICE_CONTROLLING))
        self.assertIsNotNone(again.get(ICE_CONTROLLED))

    def test_an_answer_to_a_check_of_the_former_role_does_not_switch_back(self) -> None:
        self.start()
        checks = [message for _, message, _ in self.pass_time(0.05)]
        for check in checks[:2]:
            self.receive(self.encode(check.error_response(487)))
        self.assertFalse(self.agent.controlling)

    def test_a_peer_that_always_finds_a_conflict_gets_ten_probes(self) -> None:
        self.start()
        count = 0
        for _ in range(100):
            for check, _ in self.sent():
                count += 1
                self.receive(self.encode(check.error_response(487)))
            self.now += 0.02
            self.agent.handle_timer(self.now)
        self.assertEqual(count, 10)

    def test_who_becomes_controlling_nominates_what_is_valid(self) -> None:
        self.start(controlling=False)
        ((check, _),) = self.sent()
        self.receive(self.answer(check))
        self.assertEqual(self.sent(), [])
        self.receive(self.request(controlling=False, tie_breaker=50))
        self.assertTrue(self.agent.controlling)
        nominating = self.sent()[-1][0]
        self.assertTrue(nominating.get(USE_CANDIDATE))
        self.receive(self.answer(nominating))
        self.assertEqual(self.agent.selected_path, PATH)


class Agreement(AgentCase):
    def test_the_controlling_side_nominates_with_its_first_triggered_check(self) -> None:
        self.start()
        self.sent()
        self.receive(self.request())
        check = self.sent()[-1][0]
        self.assertTrue(check.get(USE_CANDIDATE))
        self.assertEqual(check.get(NOMINATION), 1)
        self.assertIsNone(self.agent.selected_path)
        self.receive(self.answer(check))
        self.assertEqual(self.agent.selected_path, PATH)
        kinds = [type(event) for event in self.events()]
        self.assertEqual(kinds, [PathAuthenticated, PathSelected])

    def test_an_answer_to_an_earlier_check_does_not_end_a_nomination(self) -> None:
        self.start()
        ((plain, _),) = self.sent()
        self.receive(self.request())
        self.sent()  # the nominating check is lost
        self.receive(self.answer(plain))
        self.assertIsNone(self.agent.selected_path)
        again = self.pass_time(0.05)[0][1]
        self.assertEqual(again.get(NOMINATION), 1)
        self.receive(self.answer(again))
        self.assertEqual(self.agent.selected_path, PATH)

    def test_the_controlled_side_takes_a_pair_only_when_its_own_check_was_answered(self) -> None:
        self.start(controlling=False)
        ((check, _),) = self.sent()
        self.receive(self.nomination(1))
        self.assertIsNone(self.agent.selected_path)
        self.receive(self.answer(check))
        self.assertEqual(self.agent.selected_path, PATH)

    def test_the_selected_pair_is_never_forgotten_for_newer_addresses(self) -> None:
        self.start(controlling=False, remote=False)
        self.receive(self.nomination(1))
        check = self.sent()[-1][0]
        self.receive(self.answer(check))
        self.assertEqual(self.agent.selected_path, PATH)
        for port in range(1, 21):
            self.now += 1.0
            self.receive(self.request(), DatagramPath(SOCKET, HostPort("11.0.6.6", port)))
        self.assertTrue(self.agent.is_authenticated(PATH))

    def test_a_peer_in_the_controlled_role_cannot_nominate(self) -> None:
        self.start()
        self.sent()
        self.receive(self.nomination(7))
        check = self.sent()[-1][0]
        self.assertEqual(check.get(NOMINATION), 1)

    def test_a_nominated_pair_that_dies_gives_way_to_another(self) -> None:
        self.start()
        other = HostPort("11.0.2.2", 4000)
        self.agent.add_remote_candidate(remote_candidate(other, 1), self.now)
        other_path = DatagramPath(SOCKET, other)
        self.receive(self.request())  # the best pair is nominated, and falls silent
        checks = [(m, p) for _, m, p in self.pass_time(0.03)]
        check = next(m for m, p in checks if p == other_path)
        self.receive(self.answer(check), other_path)
        nominating = next(m for m, p in self.sent() if p == other_path)
        self.assertEqual(nominating.get(NOMINATION), 2)

    def test_consent_checks_of_the_controlling_side_repeat_the_nomination(self) -> None:
        self.start()
        self.receive(self.request())
        check = next(m for m, _ in self.sent() if m.get(USE_CANDIDATE))
        self.receive(self.answer(check))
        consent = self.pass_time(6.0)[0][1]
        self.assertEqual(consent.get(NOMINATION), 1)

    def test_a_selected_pair_whose_probes_all_die_is_nominated_anew_when_heard(self) -> None:
        self.start()
        self.receive(self.request())
        check = next(m for m, _ in self.sent() if m.get(USE_CANDIDATE))
        self.receive(self.answer(check))
        # Another address answers too; the selected pair is challenged and dies, then that one.
        other = DatagramPath(SOCKET, HostPort("11.0.6.6", 1))
        self.now = 2.0
        self.receive(self.request(), other)
        checks = [m for m, p in self.sent() if p == other and m.get(USERNAME)]
        self.receive(self.answer(checks[0]), other)
        self.pass_time(20.0)
        self.assertEqual(self.agent.selected_path, PATH)
        self.receive(self.request())
        check = self.sent()[-1][0]
        self.assertTrue(check.get(USE_CANDIDATE))

    def test_an_old_path_on_which_the_peer_is_heard_again_proves_itself(self) -> None:
        self.start()
        self.receive(self.request())
        nominating = next(m for m, _ in self.sent() if m.get(USE_CANDIDATE))
        self.receive(self.answer(nominating))
        other = DatagramPath(SOCKET, HostPort("11.0.6.6", 1))
        self.receive(self.request(), other)
        check = next(m for m, p in self.sent() if p == other and m.get(USERNAME))
        self.receive(self.answer(check), other)
        self.pass_time(3.0)
        self.receive(self.request(), other)
        kinds = [m.message_class for m, p in self.sent() if p == other]
        self.assertEqual(kinds, [MessageClass.SUCCESS, MessageClass.REQUEST])
