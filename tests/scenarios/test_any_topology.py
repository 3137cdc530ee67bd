"""Whatever the network and whatever befalls it: a path or no path in time, and every byte once."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import fewer_examples
from tests.scenarios.nats import NATS
from tests.scenarios.topologies import (
    FAULTS,
    TRACKER,
    TRACKER_IPV6,
    Fault,
    Place,
    Scene,
    Topology,
)
from tests.scenarios.world import Recorder
from twisted_p2p.errors import NoPath, P2PError, TrackerUnreachable
from twisted_p2p.testing import PORT_TAKING, Link

DIAL_TIME = 20.0
"""Seconds that a dial takes at most, unless a path is found and lost before the peer accepts."""

CONSENT_TIME = 30.0
"""Seconds after which nothing is sent to who has gone (promise 8)."""

FATE_TIME = 25.0
"""Seconds within which the faults happen; each lasts 8 at most."""

LINKS = st.builds(
    Link,
    delay=st.sampled_from((0.0, 0.001, 0.02, 0.15)),
    jitter=st.sampled_from((0.0, 0.01)),
    loss=st.sampled_from((0.0, 0.0, 0.02, 0.05)),
    burst=st.sampled_from((None, 2.0)),
    duplication=st.sampled_from((0.0, 0.05)),
    reordering=st.sampled_from((0.0, 0.05)),
    rate=st.sampled_from((None, 100_000.0)),
    mtu=st.sampled_from((None, 1_280)),
)
PLACES = st.builds(
    Place,
    nat=st.sampled_from([None, *NATS, PORT_TAKING]),
    carrier=st.sampled_from([None, None, *NATS]),
    has_ipv6=st.booleans(),
    link=LINKS,
)
TOPOLOGIES = st.builds(
    Topology,
    seed=st.integers(0, 1_000_000),
    left=PLACES,
    right=PLACES,
    is_one_network=st.sampled_from((False, False, False, True)),
)
FATES = st.lists(
    st.builds(
        Fault,
        what=st.sampled_from(FAULTS),
        who=st.sampled_from(("left", "right", "tracker")),
        at=st.floats(0.0, FATE_TIME),
        seconds=st.floats(0.01, 8.0),
    ),
    max_size=5,
)
WORDS = st.lists(st.integers(1, 20_000), min_size=1, max_size=4)


class AnyTopologyTests(SynchronousTestCase):
    @settings(max_examples=fewer_examples(0.4))
    @given(TOPOLOGIES, WORDS)
    def test_where_nothing_happens_a_dial_leads_to_an_echo_or_to_no_path(
        self, topology: Topology, words: list[int]
    ) -> None:
        scene = Scene(topology)
        with scene.world:
            self.start(scene)
            outcome = self.dial(scene)
            if isinstance(outcome, Exception):
                self.assertIsInstance(outcome, NoPath)
                self.assertIsNot(topology.can_meet, True, outcome)
            else:
                self.assertIsNot(topology.can_meet, False)
                self.assertEqual(self.talk(scene, outcome, words, 4 * FATE_TIME), sum(words))
                self.assertIsNone(outcome.lost)
            self.part(scene)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=fewer_examples(0.4))
    @given(TOPOLOGIES, FATES, WORDS)
    def test_whatever_happens_every_byte_arrives_once_or_the_connection_ends(
        self, topology: Topology, faults: list[Fault], words: list[int]
    ) -> None:
        scene = Scene(topology)
        with scene.world:
            self.start(scene)
            scene.plan(faults)
            outcome = self.dial(scene, CONSENT_TIME + sum(fault.seconds for fault in faults))
            if isinstance(outcome, Recorder):
                echoed = self.talk(scene, outcome, words, FATE_TIME + 2 * CONSENT_TIME)
                self.assertTrue(echoed == sum(words) or outcome.lost, echoed)
            else:
                self.assertIsInstance(outcome, P2PError)
                scene.world.run(FATE_TIME + 10)
            self.part(scene)
        self.assertEqual(self.flushLoggedErrors(), [])

    def start(self, scene: Scene) -> None:
        try:
            scene.world.start()
            scene.world.listen(scene.right)
        except TrackerUnreachable:
            assume(False)  # five packets in a row can be lost

    def dial(self, scene: Scene, more: float = 0.0) -> Recorder | Exception:
        """Dial from left to right, and return what came of it, in time.

        Faults make it take ``more`` seconds: until it is known that the peer has gone, and while a
        clock stands still.
        """
        world = scene.world
        began = world.now
        results: list[object] = []
        dialled = scene.left.connect(scene.right.peer_id, "echo", world.recorders())
        dialled.addBoth(results.append)
        while not results and world.now < began + DIAL_TIME + more:
            world.run(0.05)
        self.assertTrue(results, "the dial goes on and on")
        [outcome] = results
        return outcome if isinstance(outcome, Recorder) else outcome.value  # type: ignore[attr-defined]

    def talk(self, scene: Scene, recorder: Recorder, words: list[int], seconds: float) -> int:
        """Say so much, word by word, and return how many bytes came back, in order and once."""
        world = scene.world
        began, said = world.now, b""
        for number, length in enumerate(words):
            word = bytes([number]) * (length - 1) + b"."
            said += word
            if recorder.lost is None:
                recorder.transport.write(word)
            world.run(seconds / 2 / len(words))
            self.assertTrue(said.startswith(recorder.received))
        while recorder.received != said and recorder.lost is None and world.now < began + seconds:
            world.run(1.0)
            self.assertTrue(said.startswith(recorder.received))
        return len(recorder.received)

    def part(self, scene: Scene) -> None:
        """Stop one peer; after a while nobody sends anything to the other one."""
        world = scene.world
        world.stop(scene.left)
        stopped_at = world.now
        world.run(2 * CONSENT_TIME)
        trackers = {TRACKER, TRACKER_IPV6}
        sent = [*world.sent_by(scene.left, since=stopped_at + CONSENT_TIME)]
        sent += world.sent_by(scene.right, since=stopped_at + CONSENT_TIME)
        self.assertEqual([p for p in sent if p.destination.host not in trackers], [])
