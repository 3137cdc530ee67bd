"""Many peers for a long time: they come, go, crash, move and talk, and their tracker restarts."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable
from random import Random

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from tests.scenarios.nats import BY_ADDRESS, BY_PORT, INDEPENDENT, behaviour, can_meet
from tests.scenarios.world import World
from twisted_p2p.errors import P2PError
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import FULL_CONE, Link, NATBehaviour, SimulatedHost
from twisted_p2p.testing.peers import simulated_node
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.tracker.exchange import PROMPT

NATS: tuple[NATBehaviour | None, ...] = (
    behaviour(INDEPENDENT, BY_PORT),
    behaviour(INDEPENDENT, BY_PORT),
    behaviour(INDEPENDENT, BY_ADDRESS),
    behaviour(INDEPENDENT, INDEPENDENT),
    behaviour(BY_PORT, BY_PORT),
    None,
)
LOSSY_LINK = Link(delay=0.02, loss=0.01)
"""One at each end of a way: 2 % in all."""

BACK_WITHIN = 90.0
"""Seconds after a tracker's restart until all nodes are known again (promise 26)."""

SETTLED_WITHIN = 30.0  # seconds until a node is known at its new address: a refresh

BACK_PER_SECOND = 0.05
"""The most nodes that turn to a tracker that is back, as a share of all (promise 26)."""

_TRIES_AGAIN_AFTER = (5.0, 30.0)  # seconds, for a peer that found no tracker to listen by


@frozen
class SoakPlan:
    """How many, for how long, and how often; times in seconds, rates a second."""

    peers: int = 50
    seconds: float = 600.0
    joins: float = 0.25
    """As many leave, one in five of them without a word."""
    conversations: float = 0.1
    moves: float = 0.02
    """NATs that forget everything, half of them to get another public address."""
    restart_interval: float = 200.0
    """Between two restarts of the tracker, which then knows nobody."""


@define(eq=False)
class Home:
    """A host, where one peer after the other has its stay."""

    host: SimulatedHost
    nat: NATBehaviour | None
    stays: int = 0


@define(eq=False)
class Stay:
    """One peer from its start to its end."""

    node: P2PNode
    home: Home
    began_at: float
    ended_at: float | None = None
    moved_at: float = -SETTLED_WITHIN


class Talk(Protocol):
    """Says some words, a few seconds apart, to a peer that echoes them, and hangs up."""

    def __init__(self, soak: Soak, caller: Stay, called: Stay, words: int) -> None:
        self.soak = soak
        self.caller, self.called = caller, called
        self.words_left = words
        self.unheard = bytearray()
        self._speaking: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._speak()

    def _speak(self) -> None:
        self._speaking = None
        word = self.soak.random.randbytes(self.soak.random.randrange(1, 3_000))
        self.words_left -= 1
        self.unheard += word
        self.transport.write(word)
        if self.words_left:
            reactor = self.caller.home.host.reactor
            self._speaking = reactor.callLater(self.soak.random.uniform(1, 9), self._speak)

    def dataReceived(self, data: bytes) -> None:
        if not self.unheard.startswith(data):
            self.soak.complain("an echo is not what was said")
        del self.unheard[: len(data)]
        if not (self.words_left or self.unheard):
            self.soak.counts["conversations"] += 1
            link = self.caller.node.connection_with(self.called.node.peer_id)
            assert link is not None
            link.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
        self.soak.part(self.caller, self.called)
        if self.words_left or self.unheard:
            self.soak.talk_lost(self, reason)


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


@frozen
class Sample:
    """What the process holds at one moment."""

    at: float
    objects: int
    resident: int
    """Megabytes."""


@define
class Restart:
    """What became of one restart of the tracker."""

    at: float
    downtime: float
    waiting: list[Stay] = Factory(list)
    busiest: int = 0
    """The most registrations in one second."""


class Soak:
    """Everything that happens, from one seed; `complaints` is empty when all went well."""

    def __init__(
        self,
        plan: SoakPlan,
        seed: int,
        on_sample: Callable[[Sample], object] = lambda sample: None,
    ) -> None:
        self.plan = plan
        self.on_sample = on_sample
        self.random = Random(f"{seed} soak")
        self.world = World(seed=seed, link=LOSSY_LINK)
        self.complaints: list[str] = []
        self.counts: Counter[str] = Counter()
        """What happened, how often."""
        self.samples: list[Sample] = []
        self.restarts: list[Restart] = []
        self._tracker = self.world.trackers[0].address
        self._clock = self.world.net.add_host("the course of things", "11.8.0.2").reactor
        count = plan.peers + max(5, plan.peers // 5)
        self._homes = [self._home(number) for number in range(count)]
        self._vacant = self._homes[:]
        self._stays: list[Stay] = []
        self._talking: set[frozenset[Stay]] = set()
        self._settled_from = BACK_WITHIN
        self._echo = ProtocolFactory.forProtocol(Echo)
        self._echo.noisy = False

    def _home(self, number: int) -> Home:
        nat = NATS[number % len(NATS)]
        return Home(self.world.add_host(number, nat, LOSSY_LINK), nat)

    # The course of things.

    def run(self) -> None:
        """Let everything happen, and look at what is left."""
        globalLogPublisher.addObserver(self._note_failure)
        # What there is already is not counted; each sample would take its time over it.
        gc.freeze()
        try:
            with self.world:
                self._begin()
                self.world.run(self.plan.seconds)
                self._end()
        finally:
            gc.unfreeze()
            globalLogPublisher.removeObserver(self._note_failure)

    def _begin(self) -> None:
        for _ in range(self.plan.peers):
            self._join()
        self._often(self.plan.joins, self._join)
        self._often(self.plan.joins, self._leave)
        self._often(self.plan.conversations, self._talk)
        self._often(self.plan.moves, self._move)
        self._clock.callLater(self.plan.restart_interval, self._stop_tracker)
        self._clock.callLater(self.plan.seconds / 24, self._take_sample)

    def _end(self) -> None:
        for call in self._clock.getDelayedCalls():
            call.cancel()
        if len(self._stays) < self.plan.peers // 2:
            self.complain("most peers have gone")
        while self._stays:
            self._depart(self._stays[-1])
        self.world.run(5.0)
        self.world.trackers[0].stop()
        self.world.run(0.0)
        ended_at = self.world.now
        self.world.run(60.0)
        if any(packet.sent_at > ended_at for packet in self.world.net.log):
            self.complain("something is sent after the end")
        hosts = [home.host for home in self._homes] + [self.world.trackers[0].host]
        for host in hosts:
            self._check_nothing_left(host)
        self._check_memory()

    def _often(self, rate: float, happen: Callable[[], object]) -> None:
        """Have something happen so many times a second, at random."""

        def again() -> None:
            self._often(rate, happen)
            happen()

        if rate > 0:
            self._clock.callLater(self.random.expovariate(rate), again)

    # Peers.

    def _join(self) -> None:
        if len(self._stays) >= self.plan.peers or not self._vacant:
            return
        home = self._vacant.pop(self.random.randrange(len(self._vacant)))
        home.stays += 1
        node = simulated_node(home.host, [self._tracker])
        stay = Stay(node, home, self.world.now)
        self._stays.append(stay)
        self.counts["joins"] += 1
        node.startService()
        Deferred.fromCoroutine(self._listen(stay))

    async def _listen(self, stay: Stay) -> None:
        while stay.ended_at is None:
            try:
                await stay.node.listen("echo", self._echo)
            except P2PError:
                await deferLater(self._clock, self.random.uniform(*_TRIES_AGAIN_AFTER))
            else:
                return

    def _leave(self) -> None:
        if len(self._stays) < self.plan.peers * 0.9:
            return
        stay = self.random.choice(self._stays)
        if self.random.random() < 0.2:
            self.counts["crashes"] += 1
            self._vacate(stay)
            self.world.crash(stay.home.host)
            self._free(stay.home)
        else:
            self.counts["leaves"] += 1
            self._depart(stay)

    def _depart(self, stay: Stay) -> None:
        self._vacate(stay)
        stay.node.stopService().addCallback(
            lambda _: self._clock.callLater(1.0, self._free, stay.home)
        )

    def _vacate(self, stay: Stay) -> None:
        stay.ended_at = self.world.now
        self._stays.remove(stay)
        self._talking = {pair for pair in self._talking if stay not in pair}
        stay.home.host.stop_at_end.clear()

    def _free(self, home: Home) -> None:
        self._check_nothing_left(home.host)
        if home.host.network.gateway is not None:
            home.host.network.gateway.reboot()  # what comes next finds a NAT without memory
        self._vacant.append(home)

    def _check_nothing_left(self, host: SimulatedHost) -> None:
        calls, ports = host.reactor.getDelayedCalls(), host.open_ports()
        if calls or ports:
            self.complain(f"left over on {host.name}: {calls} {ports}")

    # Conversations.

    def _talk(self) -> None:
        if len(self._stays) < 2:
            return
        caller, called = self.random.sample(self._stays, 2)
        pair = frozenset((caller, called))
        if pair in self._talking or not can_meet(caller.home.nat, called.home.nat):
            return
        self._talking.add(pair)
        words = self.random.choice((1, 3, 10, 40))
        factory = ProtocolFactory.forProtocol(lambda: Talk(self, caller, called, words))
        factory.noisy = False
        began_at = self.world.now
        self.counts["dials"] += 1
        caller.node.connect(called.node.peer_id, "echo", factory).addErrback(
            self._dial_failed, caller, called, began_at
        )

    def _dial_failed(self, failure: Failure, caller: Stay, called: Stay, began_at: float) -> None:
        # The latter when the connection that the two have is just ending.
        failure.trap(P2PError, ConnectionLost, ConnectionAborted)
        self.part(caller, called)
        known_from = self._settled_from
        for stay in (caller, called):
            known_from = max(known_from, stay.began_at + SETTLED_WITHIN)
            known_from = max(known_from, stay.moved_at + SETTLED_WITHIN)
        if self._have_stayed(caller, called) and began_at > known_from:
            self.complain(
                f"{caller.home.host.name} did not reach {called.home.host.name}: {failure.value!r}"
            )
        else:
            self.counts["dials that failed with reason"] += 1

    def part(self, caller: Stay, called: Stay) -> None:
        """Let two have another connection, once both have noticed the end of this one."""
        self._clock.callLater(5.0, self._talking.discard, frozenset((caller, called)))

    def talk_lost(self, talk: Talk, reason: Failure) -> None:
        """Take note that a conversation ended before its end."""
        ends = (talk.caller, talk.called)
        # Whose NAT lets in nobody else needs another introduction once the peer's address changed.
        is_moved = any(
            self.world.now - one.moved_at < 60
            and (other.home.nat or FULL_CONE).filtering is not INDEPENDENT
            for one, other in (ends, ends[::-1])
        )
        if self._have_stayed(*ends) and not is_moved:
            names = " and ".join(stay.home.host.name for stay in ends)
            self.complain(f"{names} were cut off: {reason.value!r}")
        else:
            self.counts["conversations cut off with reason"] += 1

    @staticmethod
    def _have_stayed(*stays: Stay) -> bool:
        return all(stay.ended_at is None for stay in stays)

    def _move(self) -> None:
        """Let the NAT of a peer forget all its mappings, and perhaps get a new public address."""
        stay = self.random.choice(self._stays)
        gateway = stay.home.host.network.gateway
        if gateway is None:
            return
        self.counts["moves"] += 1
        stay.moved_at = self.world.now
        if self.random.random() < 0.5:
            gateway.rebind()
        else:
            number = self.counts["moves"]
            new_address = f"11.{100 + number // 50_000}.{number // 250 % 200}.{number % 250 + 1}"
            gateway.reboot(new_address, seconds=self.random.uniform(0.0, 5.0))

    # The tracker.

    def _stop_tracker(self) -> None:
        downtime = self.random.choice((0.1, 0.5, 3.0, 20.0))
        self.world.trackers[0].stop()
        self.world.trackers[0].host.stop_last.clear()
        self._settled_from = self.world.now + downtime + BACK_WITHIN
        self._clock.callLater(downtime, self._start_tracker, downtime)
        self._clock.callLater(self.plan.restart_interval, self._stop_tracker)

    def _start_tracker(self, downtime: float) -> None:
        old = self.world.trackers[0]
        self.world.trackers[0] = SimulatedTracker(old.host, limits=self.world.limits)
        restart = Restart(self.world.now, downtime, self._stays[:])
        self.restarts.append(restart)
        self._clock.callLater(1.0, self._watch, restart, 0)
        self._clock.callLater(BACK_WITHIN, self._check_back, restart)

    def _watch(self, restart: Restart, before: int) -> None:
        """Count the registrations of each second."""
        total = int(str(self.world.trackers[0].status()["registrations_total"]))
        restart.busiest = max(restart.busiest, total - before)
        if self.world.now < restart.at + BACK_WITHIN:
            self._clock.callLater(1.0, self._watch, restart, total)

    def _check_back(self, restart: Restart) -> None:
        stayed = [
            stay
            for stay in restart.waiting
            if self._have_stayed(stay) and stay.moved_at < self.world.now - BACK_WITHIN
        ]
        restart.waiting = []
        known = int(str(self.world.trackers[0].status()["nodes"]))
        back = sum(_is_ready(stay.node) for stay in stayed)
        # A refresh of which every packet was lost may be under way again.
        if back < 0.995 * len(stayed) - 1 or known < 0.995 * len(stayed) - 1:
            self.complain(f"{back} of {len(stayed)} are back, and the tracker knows {known}")
        # Newcomers register twice, the second time with what they listen for, and those of the
        # time without a tracker come besides: who has begun in the last seconds of it asks again
        # within one.
        late = restart.downtime / (_TRIES_AGAIN_AFTER[1] - _TRIES_AGAIN_AFTER[0])
        beginning = self.plan.joins * min(restart.downtime, sum(PROMPT.waits))
        mean = BACK_PER_SECOND * self.plan.peers + 2 * self.plan.joins * (1 + late) + beginning
        if restart.busiest > mean + 4 * mean**0.5 + 3:
            self.complain(f"{restart.busiest} registrations in one second, {mean:.0f} expected")

    # What is left.

    def complain(self, what: str) -> None:
        self.complaints.append(f"{self.world.now:.3f} s: {what}")

    def _note_failure(self, event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            self.complain(f"an error that nobody handles: {event['log_failure'].getTraceback()}")

    def _take_sample(self) -> None:
        self.world.forget_packets()
        gc.collect()
        sample = Sample(self.world.now, len(gc.get_objects()), _resident())
        self.samples.append(sample)
        self.on_sample(sample)
        self._clock.callLater(self.plan.seconds / 24, self._take_sample)

    def _check_memory(self) -> None:
        """Ask of the last third that it holds no more than the second one."""
        third = len(self.samples) // 3
        for what, slack in (("objects", 5_000), ("resident", 5)):
            held = [getattr(sample, what) for sample in self.samples]
            before, after = max(held[third : 2 * third]), max(held[2 * third :])
            if after > 1.05 * before + slack:
                self.complain(f"{what} have grown from {before} to {after}")


def _is_ready(node: P2PNode) -> bool:
    ready = node.when_ready()
    ready.addErrback(lambda _: None)
    if ready.called:
        return True
    ready.cancel()
    return False


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
