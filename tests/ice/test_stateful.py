"""Two agents while packets are lost, doubled, reordered, delayed and forged, and a NAT forgets.

Each side has a socket behind a NAT that lets in anyone, and one on IPv6 without.  Whatever happens,
in the end both sides agree on a path or both have fallen silent.
"""

from __future__ import annotations

from random import Random

from attrs import define, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from tests.ice.world import make_agent
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.ice.agent import ICEAgent
from twisted_p2p.ice.candidate import Candidate, CandidateType, candidate_priority
from twisted_p2p.ice.events import ConnectivityFailed, ConsentLost

DELAY = 0.04
PACE = 0.02
ATTACKER = HostPort("11.0.6.6", 666)
IPV4, IPV6 = 0, 1
SOCKETS = [[HostPort("192.168.1.2", 4000), HostPort("2a00:1::1", 4000)] for _ in range(2)]
PUBLIC = [
    [HostPort(f"11.0.{side + 1}.1", 4000), HostPort(f"2a00:{side + 1}::1", 4000)]
    for side in range(2)
]


@frozen
class Packet:
    data: bytes
    source: HostPort
    destination: HostPort


@define(eq=False)
class Side:
    number: int
    agent: ICEAgent
    addresses: list[HostPort]
    """Where the world sees the two sockets now."""
    introduced_at: float | None = None


class TwoAgents(RuleBasedStateMachine):
    @initialize(
        roles=st.sampled_from([(True, False), (True, True), (False, False)]), data=st.data()
    )
    def begin(self, roles: tuple[bool, bool], data: st.DataObject) -> None:
        self.now = 0.0
        self.random = Random(1)
        self.wire: list[Packet] = []
        self.delivered: list[Packet] = []
        self.strangers: dict[tuple[int, HostPort], list[float]] = {}
        self.last_probe = [-1.0, -1.0]
        self.heard: set[tuple[int, HostPort]] = set()
        self.rebound = data.draw(st.integers(0, 1))
        self.sockets = data.draw(st.sampled_from([[IPV4], [IPV4, IPV6]]))
        tie_breakers = data.draw(st.permutations([1, 2]))
        self.sides = []
        for number in range(2):
            # The credentials go by who made the offer, whatever role each believes to have.
            agent = make_agent(
                controlling=number == 0, seed=number, tie_breaker=tie_breakers[number]
            )
            agent.controlling = roles[number]
            self.sides.append(Side(number, agent, list(PUBLIC[number])))
            for socket in self.sockets:
                base = SOCKETS[number][socket]
                agent.add_local_candidate(Candidate.host(base, base=base))
        if data.draw(st.booleans()):  # half of the stories begin with two that have met
            self.introduce(0, False)
            self.introduce(1, False)
            self._run(1.0, deliver=True)

    # What the world does.

    @rule(number=st.integers(0, 1), reverse=st.booleans())
    def introduce(self, number: int, reverse: bool) -> None:
        side = self.sides[number]
        if side.introduced_at is None:
            side.introduced_at = self.now
            for socket in self.sockets[:: -1 if reverse else 1]:
                address = PUBLIC[1 - number][socket]
                kind = CandidateType.SERVER_REFLEXIVE
                priority = candidate_priority(kind, 2 if address.is_ipv6 else 1)
                candidate = Candidate(address, kind, priority, f"{address.is_ipv6:d}")
                side.agent.add_remote_candidate(candidate, self.now)
            self._collect(side)

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.05, 0.3, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and nothing arrives."""
        self._run(seconds, deliver=False)

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0]))
    def work(self, seconds: float) -> None:
        """Time passes, and everything arrives in order."""
        self._run(seconds, deliver=True)

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """One packet arrives, in whatever order."""
        self._deliver(self.wire.pop(self._any(self.wire, data)))

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def duplicate(self, data: st.DataObject) -> None:
        self._deliver(self.wire[self._any(self.wire, data)])

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.wire[self._any(self.wire, data)]

    @precondition(lambda self: self.wire)
    @rule()
    def lose_all(self) -> None:
        self.wire.clear()

    @precondition(lambda self: self.delivered)
    @rule(data=st.data(), is_changed=st.booleans(), is_elsewhere=st.booleans())
    def forge(self, data: st.DataObject, is_changed: bool, is_elsewhere: bool) -> None:
        """Somebody repeats a packet, with one bit changed, or from another address."""
        packet = self.delivered[self._any(self.delivered, data)]
        payload = bytearray(packet.data)
        if is_changed:
            payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1
        source = ATTACKER if is_elsewhere or is_changed else packet.source
        self._deliver(Packet(bytes(payload), source, packet.destination))

    @rule()
    def rebind(self) -> None:
        """The NAT of one side, always the same, forgets its mapping."""
        side = self.sides[self.rebound]
        side.addresses[IPV4] = HostPort(side.addresses[IPV4].host, side.addresses[IPV4].port + 1)

    # What must hold.

    @invariant()
    def nothing_goes_to_strangers_often(self) -> None:
        for times in getattr(self, "strangers", {}).values():
            assert len(times) <= 10, times

    @invariant()
    def paths_are_the_peers(self) -> None:
        for side in getattr(self, "sides", []):
            own = {address.host for address in PUBLIC[1 - side.number]}
            for path in side.agent.authenticated_paths:
                assert path.remote.host in own, path
            selected = side.agent.selected_path
            if selected is not None:
                assert (side.number, selected.remote) in self.heard

    def teardown(self) -> None:
        """The network heals: both meet, or stay together, or have noticed what they lost."""
        if not hasattr(self, "sides"):
            return
        can_meet = self.sides[self.rebound].addresses == PUBLIC[self.rebound] and all(
            side.introduced_at is None or self.now - side.introduced_at < 2.0 for side in self.sides
        )
        for number in range(2):
            self.introduce(number, False)
        self._run(70.0, deliver=True)
        alive = [side for side in self.sides if side.agent.get_timer() is not None]
        assert len(alive) == 2 or not (alive or can_meet), "one side goes on alone"
        if alive:
            self._assert_agreement()
            # They also survive what comes next: another mapping, and ten seconds of nothing.
            self.rebind()
            self._run(20.0, deliver=True)
            self._assert_agreement()
            self._run(10.0, deliver=False)
            self.wire.clear()
            self._run(20.0, deliver=True)
            self._assert_agreement()

    def _assert_agreement(self) -> None:
        assert self.sides[0].agent.controlling is not self.sides[1].agent.controlling
        used = []
        for side in self.sides:
            path = side.agent.selected_path
            assert path is not None
            other = self.sides[1 - side.number]
            assert path.remote in other.addresses, (path, other.addresses)
            used.append(path.remote.is_ipv6)
        assert used[0] == used[1], "they use different paths"

    # How it comes about.

    @staticmethod
    def _any(packets: list[Packet], data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(packets) - 1))

    def _run(self, seconds: float, *, deliver: bool) -> None:
        end = self.now + seconds
        while self.now < end:
            if deliver and self.wire:
                arrivals, self.wire = self.wire, []
                self._tick(min(self.now + DELAY, end))
                for packet in arrivals:
                    self._deliver(packet)
            else:
                timers = (side.agent.get_timer() for side in self.sides)
                self._tick(min((t for t in timers if t is not None and t <= end), default=end))

    def _tick(self, now: float) -> None:
        self.now = max(self.now, now)
        for side in self.sides:
            timer = side.agent.get_timer()
            if timer is not None and timer <= self.now:
                side.agent.handle_timer(self.now)
            self._collect(side)

    def _collect(self, side: Side) -> None:
        for data, path in side.agent.datagrams_to_send(self.now):
            assert isinstance(path, DatagramPath)
            self._note(side, path.remote)
            socket = SOCKETS[side.number].index(path.local)  # type: ignore[arg-type]
            self.wire.append(Packet(data, side.addresses[socket], path.remote))
        while (event := side.agent.next_event()) is not None:
            if isinstance(event, ConnectivityFailed | ConsentLost):
                assert side.agent.get_timer() is None

    def _note(self, side: Side, remote: HostPort) -> None:
        assert remote != ATTACKER
        if (side.number, remote) in self.heard:
            return
        self.strangers.setdefault((side.number, remote), []).append(self.now)
        assert self.now - self.last_probe[side.number] >= PACE - 1e-9
        self.last_probe[side.number] = self.now

    def _deliver(self, packet: Packet) -> None:
        for side in self.sides:
            if packet.destination in side.addresses:
                socket = SOCKETS[side.number][side.addresses.index(packet.destination)]
                if packet.source != ATTACKER:
                    self.heard.add((side.number, packet.source))
                    self.delivered.append(packet)
                path = DatagramPath(socket, packet.source)
                side.agent.receive_datagram(packet.data, path, self.now)
                self._collect(side)


class StatefulTests(SynchronousTestCase):
    def test_two_agents_agree_or_fall_silent(self) -> None:
        run_state_machine_as_test(
            TwoAgents, settings=settings(max_examples=fewer_examples(0.5), stateful_step_count=40)
        )
