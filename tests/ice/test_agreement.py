"""What one agent makes of answers and nominations, and who of two controls."""

from __future__ import annotations

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
from twisted_p2p.ice.checks import NOMINATION
from twisted_p2p.ice.events import (
    PathAuthenticated,
    PathSelected,
)
from twisted_p2p.ice.settings import ICESettings
from twisted_p2p.stun.attributes import (
    ERROR_CODE,
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
)
from twisted_p2p.stun.message import (
    MessageClass,
    STUNMessage,
)


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
        self.receive(good, DatagramPath(SOCKET, HostPort("11.0.2.2", 4000)))
        self.receive(good, DatagramPath(HostPort("10.0.0.2", 1), REMOTE))
        self.receive(check.success_response((XOR_MAPPED_ADDRESS, OWN_MAPPED)).encode())
        wrong = check.success_response((XOR_MAPPED_ADDRESS, OWN_MAPPED))
        self.receive(wrong.encode(integrity_key=self.own.password.encode()))
        self.assert_untouched()
        self.receive(good)
        self.receive(good)
        self.assert_dropped(asymmetric=2, unauthenticated=2, unknown_transaction=1)
        self.assertEqual(self.events(), [PathAuthenticated(PATH)])

    def test_come_from_another_port_of_the_peer_where_nothing_else_is_found(self) -> None:
        elsewhere = DatagramPath(SOCKET, HostPort(REMOTE.host, 4001))
        self.start(controlling=False)
        ((early, _),) = self.sent()
        self.receive(self.answer(early), elsewhere)
        self.assert_dropped(asymmetric=1)
        self.assert_untouched()
        late = self.pass_time(4.0)[-1][1]
        self.receive(self.answer(late), elsewhere)
        self.assertEqual(self.events(), [PathAuthenticated(PATH)])

    def test_come_from_the_address_that_was_checked_once_one_has(self) -> None:
        self.start(controlling=False)
        checks = [message for _, message, _ in self.pass_time(4.0)]
        self.receive(self.answer(checks[0]))
        self.receive(self.answer(checks[1]), DatagramPath(SOCKET, HostPort(REMOTE.host, 4001)))
        self.assert_dropped(asymmetric=1)

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
