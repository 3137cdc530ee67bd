"""A NAT's table does what a slow and obvious one does, whatever comes and goes."""

from __future__ import annotations

from random import Random

from attrs import define
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from twisted_p2p.addresses import HostPort
from twisted_p2p.testing.nat import (
    Dependence,
    NATBehaviour,
    NATTable,
    Pooling,
    PortAllocation,
    PortTaken,
    Unsolicited,
)

ADDRESSES = ("11.0.1.1", "11.0.1.2")
PORT_SET = range(5_000, 5_004)
PORTS = st.sampled_from(PORT_SET[:2])
INTERNALS = st.builds(HostPort, st.sampled_from(["192.168.1.2", "192.168.1.3"]), PORTS)
REMOTES = st.builds(HostPort, st.sampled_from(["11.0.0.1", "11.0.0.2"]), PORTS)
PAUSES = st.sampled_from([0.0, 1.0, 5.0, 11.0, 20.0, 30.0])
BEHAVIOURS = st.builds(
    NATBehaviour,
    mapping=st.sampled_from(Dependence),
    filtering=st.sampled_from(Dependence),
    allocation=st.sampled_from(PortAllocation),
    unsolicited=st.sampled_from(Unsolicited),
    pooling=st.sampled_from(Pooling),
    timeout=st.just(30.0),
    blacklist_time=st.just(10.0),
    inbound_refresh=st.booleans(),
    lifetime=st.sampled_from([float("inf"), 35.0]),
    port_set=st.just(PORT_SET),
    port_step=st.sampled_from([1, -1, 2]),
    port_quota=st.sampled_from([None, 1, 3]),
    port_parity=st.booleans(),
)


@define
class Sent:
    """A packet that left, or one that came in and counts as if it had left."""

    public: HostPort
    remote: HostPort
    time: float


@define
class Lent:
    """A mapping that once began; everything else is found out from the packets."""

    internal: HostPort
    public: HostPort
    remote: HostPort
    """The first one that was written to."""
    began_at: float
    is_for_one_remote: bool = False
    ends_at: float | None = None
    """For a static one; None for any other."""


class SlowNAT:
    """Keeps every packet for ever, and looks through all of them each time."""

    def __init__(self, behaviour: NATBehaviour) -> None:
        self.behaviour = behaviour
        self.lent: list[Lent] = []
        self.sent: list[Sent] = []
        self.unsolicited: list[Sent] = []

    def part(self, word: Dependence, remote: HostPort) -> object:
        return {
            Dependence.ENDPOINT_INDEPENDENT: None,
            Dependence.ADDRESS_DEPENDENT: remote.host,
            Dependence.ADDRESS_AND_PORT_DEPENDENT: remote,
        }[word]

    def is_live(self, lent: Lent, now: float) -> bool:
        if lent.ends_at is not None:
            return now < lent.ends_at
        uses = [s.time for s in self.sent if s.public == lent.public and s.time >= lent.began_at]
        is_used = now - max([lent.began_at, *uses]) < self.behaviour.timeout
        return is_used and now - lent.began_at < self.behaviour.lifetime

    def live(self, now: float) -> list[Lent]:
        return [each for each in self.lent if self.is_live(each, now)]

    def is_taken(self, public: HostPort, remote: HostPort, now: float) -> bool:
        return self.behaviour.unsolicited is Unsolicited.TAKES_PORT and any(
            s.public == public and s.remote == remote and now - s.time < self.behaviour.timeout
            for s in self.unsolicited
        )

    def is_shut_out(self, remote: HostPort, now: float) -> bool:
        return self.behaviour.unsolicited is Unsolicited.BLACKLISTS and any(
            s.remote.host == remote.host and now - s.time < self.behaviour.blacklist_time
            for s in self.unsolicited
        )

    def static(self, internal: HostPort, now: float) -> list[Lent]:
        return [
            each
            for each in self.live(now)
            if each.ends_at is not None and each.internal == internal
        ]

    def mapped(
        self, internal: HostPort, remote: HostPort, now: float, *, is_for_one_remote: bool = False
    ) -> Lent | None:
        """The live mapping that a packet uses, if there is one."""
        word = Dependence.ADDRESS_AND_PORT_DEPENDENT
        if not is_for_one_remote:
            word = self.behaviour.mapping
        for each in self.live(now):
            is_alike = self.part(word, each.remote) == self.part(word, remote)
            is_same_kind = each.is_for_one_remote == is_for_one_remote
            if each.internal == internal and is_alike and is_same_kind and each.ends_at is None:
                return each
        return None

    def lets_in(self, lent: Lent, remote: HostPort, now: float) -> bool:
        """Whether the filter alone does."""
        if lent.ends_at is not None:
            return True
        word = self.behaviour.filtering
        return any(
            s.public == lent.public
            and s.time >= lent.began_at
            and now - s.time < self.behaviour.timeout
            and self.part(word, s.remote) == self.part(word, remote)
            for s in self.sent
        )

    def busy(self, now: float) -> set[HostPort]:
        return {each.public for each in self.live(now)}

    def homes(self, internal: HostPort, now: float) -> set[str]:
        """The public addresses that the internal address may get."""
        paired = {e.public.host for e in self.live(now) if e.internal.host == internal.host}
        is_paired = self.behaviour.pooling is Pooling.PAIRED
        return paired if is_paired and paired else set(ADDRESSES)

    def may_lend(self, internal: HostPort, now: float) -> set[HostPort]:
        """The public endpoints from which a new mapping may be chosen."""
        behaviour = self.behaviour
        of_host = [each for each in self.live(now) if each.internal.host == internal.host]
        if behaviour.port_quota is not None and len(of_host) >= behaviour.port_quota:
            return set()
        return {
            HostPort(host, port)
            for host in self.homes(internal, now)
            for port in PORT_SET
            if not behaviour.port_parity or port % 2 == internal.port % 2
        } - self.busy(now)


class NATMachine(RuleBasedStateMachine):
    """Both tables in step; which free port is lent, the fast one tells the slow one."""

    @initialize(behaviour=BEHAVIOURS, seed=st.integers(0, 9))
    def begin(self, behaviour: NATBehaviour, seed: int) -> None:
        self.now = 0.0
        self.nat = NATTable(behaviour, ADDRESSES[0], Random(seed), more_addresses=ADDRESSES[1:])
        self.slow = SlowNAT(behaviour)
        self.preserves = behaviour.allocation is PortAllocation.PRESERVING

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.slow.lent = self.slow.live(self.now)  # what is dead stays dead

    @rule(internal=INTERNALS, remote=REMOTES, pause=PAUSES)
    def outbound(self, internal: HostPort, remote: HostPort, pause: float) -> None:
        self.wait(pause)
        before = set(self.nat._by_key.values())
        public = self.nat.outbound(internal, remote, self.now)
        self.new = [each for each in self.nat._by_key.values() if each not in before]
        static = self.slow.static(internal, self.now)
        used = static[0] if static else self.mapping(internal, remote)
        assert public == (used and used.public)
        assert not self.new
        if public is not None:
            self.slow.sent.append(Sent(public, remote, self.now))

    def mapping(self, internal: HostPort, remote: HostPort) -> Lent | None:
        usual = self.slow.mapped(internal, remote, self.now) or self.lend(internal, remote)
        if usual is None or not self.slow.is_taken(usual.public, remote, self.now):
            return usual
        spare = self.slow.mapped(internal, remote, self.now, is_for_one_remote=True)
        return spare or self.lend(internal, remote, is_for_one_remote=True)

    def lend(
        self, internal: HostPort, remote: HostPort, *, is_for_one_remote: bool = False
    ) -> Lent | None:
        free = self.slow.may_lend(internal, self.now)
        if not self.new:
            # By a static mapping, a pair may have two addresses, of which one is asked.
            homes = self.slow.homes(internal, self.now)
            is_one_asked = self.slow.behaviour.pooling is Pooling.PAIRED and len(homes) > 1
            assert not free or (is_one_asked and {each.host for each in free} < homes)
            return None
        new = self.new.pop(0)
        assert new.internal == internal
        assert new.public in free
        if self.preserves:
            kept = HostPort(new.public.host, internal.port)
            assert new.public == kept or kept not in free
        lent = Lent(internal, new.public, remote, self.now, is_for_one_remote)
        self.slow.lent.append(lent)
        return lent

    @rule(remote=REMOTES, number=st.integers(0, 3), is_lent=st.booleans(), pause=PAUSES)
    def inbound(self, remote: HostPort, number: int, is_lent: bool, pause: float) -> None:
        self.wait(pause)
        now, slow = self.now, self.slow
        lent_ports = sorted(slow.busy(now))
        public = HostPort(ADDRESSES[0], PORT_SET[number])
        if is_lent and lent_ports:
            public = lent_ports[number % len(lent_ports)]
        internal = self.nat.inbound(remote, public.port, now, address=public.host)
        lent = next((each for each in slow.live(now) if each.public == public), None)
        if lent is not None and slow.is_taken(public, remote, now):
            lent = None
        if lent is None or not slow.lets_in(lent, remote, now):
            assert internal is None
            slow.unsolicited.append(Sent(public, remote, now))
        elif slow.is_shut_out(remote, now):
            assert internal is None
        else:
            assert internal == lent.internal
            if slow.behaviour.inbound_refresh:
                slow.sent.append(Sent(public, remote, now))

    @rule(internal=INTERNALS, port=st.sampled_from([80, 81]), seconds=PAUSES)
    def add_static(self, internal: HostPort, port: int, seconds: float) -> None:
        public, ends_at = HostPort(ADDRESSES[0], port), self.now + seconds
        others = [e for e in self.slow.static(internal, self.now) if e.public != public]
        if others:
            return  # the table takes the latest for what leaves; another test says so
        holder = next((e for e in self.slow.live(self.now) if e.public == public), None)
        try:
            assert self.nat.add_static(internal, port, self.now, ends_at) == public
        except PortTaken:
            assert holder is not None
            assert holder.internal != internal
            return
        if holder is not None:
            assert holder.internal == internal
            self.slow.lent.remove(holder)
        self.slow.lent.append(Lent(internal, public, internal, self.now, ends_at=ends_at))
        self.slow.lent = self.slow.live(self.now)

    @rule(port=st.sampled_from([80, 81]))
    def remove_static(self, port: int) -> None:
        public = HostPort(ADDRESSES[0], port)
        held = [e for e in self.slow.live(self.now) if e.public == public and e.ends_at]
        if self.nat.remove_static(port):
            self.slow.lent = [each for each in self.slow.lent if each not in held]
        else:
            assert not held

    @rule(chance=st.integers(0, 9))
    def rebind(self, chance: int) -> None:
        if chance:
            return
        self.nat.rebind()
        self.preserves = False
        self.slow.lent = [each for each in self.slow.lent if each.ends_at is not None]
        self.slow.sent.clear()
        if self.slow.behaviour.unsolicited is Unsolicited.TAKES_PORT:
            self.slow.unsolicited.clear()

    @invariant()
    def both_have_the_same_mappings(self) -> None:
        if not hasattr(self, "nat"):
            return
        fast = {
            (each.internal, each.public)
            for each in self.nat._by_key.values()
            if self.now < each.expires_at
        }
        live = self.slow.live(self.now)
        assert fast == {(each.internal, each.public) for each in live}
        assert len({each.public for each in live}) == len(live)


class ModelTests(SynchronousTestCase):
    def test_a_table_does_what_a_slow_one_does(self) -> None:
        machine = NATMachine.TestCase
        machine.settings = settings(max_examples=fewer_examples(0.5), stateful_step_count=40)
        machine("runTest").runTest()
