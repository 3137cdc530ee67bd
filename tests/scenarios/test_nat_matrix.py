"""Every pair of NATs that two peers can get through, and what is said of the others.

Each pair is tried on steady links, and then with seeds of delay, loss, duplication and reordering:
5 of them, or as many as ``P2P_MATRIX_SEEDS`` says (``tox -e matrix``: 50).  The name of a test has
its seed.
"""

from __future__ import annotations

import os
from itertools import product
from random import Random
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.nats import BY_ADDRESS, BY_PORT, INDEPENDENT, NATS, behaviour, can_meet, name
from tests.scenarios.world import World
from twisted_p2p.errors import NoPath
from twisted_p2p.node.service import P2PNode
from twisted_p2p.testing import (
    FULL_CONE,
    INTERNET_LINK,
    PORT_TAKING,
    Link,
    NATBehaviour,
    PortAllocation,
)

SEEDS = int(os.environ.get("P2P_MATRIX_SEEDS", "5"))

LONGER_THAN_A_SEARCH = 15.0
"""Seconds; data flow along the first way that the peer is heard by, before both agree on one."""


def rough_link(seed: int) -> Link:
    """Return one end of a way that loses up to 8 % and takes 10 to 600 ms there and back."""
    random = Random(seed)
    return Link(
        delay=random.choice((0.0025, 0.01, 0.03, 0.08, 0.15)),
        jitter=random.uniform(0.0, 0.02),
        loss=random.uniform(0.0, 0.04),
        duplication=random.uniform(0.0, 0.03),
        reordering=random.uniform(0.0, 0.1),
    )


class MatrixTests(SynchronousTestCase):
    """The left peer dials the right one, which echoes; the pairs are in both orders."""

    def meet(
        self,
        left_nat: NATBehaviour | None,
        right_nat: NATBehaviour | None,
        *,
        link: Link = INTERNET_LINK,
        seed: int = 1,
    ) -> None:
        with World(seed=seed, link=link) as world:
            left, right = world.add_node(left_nat), world.add_node(right_nat)
            world.start()
            service = world.listen(right)
            began = world.now
            recorder = world.dial(left, right, greeting=b"Is anybody there?")
            while not recorder.received and world.now < began + 20:
                world.run(0.05)

            self.assertEqual(recorder.received, b"Is anybody there?")
            [served] = service.built
            there, here = recorder.transport.getPeer(), served.transport.getPeer()
            self.assertEqual((there.peer_id, here.peer_id), (right.peer_id, left.peer_id))
            # A public peer's answer to a probe needs no hole either, but finding it did.
            kind = "punched" if left_nat or right_nat else "direct"
            # What tells that nothing was translated may have been lost.
            kinds = {kind, "punched"} if link.loss else {kind}
            self.assertLessEqual({there.path.kind, here.path.kind}, kinds)
            self.assertEqual(there.path.remote.host, world.seen_at[right])
            self.assertEqual(here.path.remote.host, world.seen_at[left])
            world.run(LONGER_THAN_A_SEARCH)
            self.assertIsNone(recorder.lost)

    def miss(
        self,
        left_nat: NATBehaviour,
        right_nat: NATBehaviour,
        *,
        link: Link = INTERNET_LINK,
        seed: int = 1,
    ) -> None:
        with World(seed=seed, link=link) as world:
            left, right = world.add_node(left_nat), world.add_node(right_nat)
            world.start()
            service = world.listen(right)
            began = world.now
            dialled = left.connect(right.peer_id, "echo", world.recorders())
            error = world.error_of(dialled)

            self.assertIsInstance(error, NoPath)
            assert isinstance(error, NoPath)
            self.assertTrue(5 < world.now - began < 15, world.now - began)
            self.assertEqual(service.built, [])
            self.check_why(error.why, world, left, right, may_be_lost=link.loss > 0)

    def check_why(
        self, why: Any, world: World, left: P2PNode, right: P2PNode, *, may_be_lost: bool
    ) -> None:
        ours, theirs = why["ours"], why["theirs"]
        for side, node in ((ours, left), (theirs, right)):
            seen_at = {address.rpartition(":")[0] for address in side["seen_at"]}
            self.assertEqual(seen_at, {world.seen_at[node]})
            told = {address.rpartition(":")[0] for address in side["told"]}
            if not (may_be_lost and side is theirs):  # the answer is handed over once
                self.assertEqual(told, {world.hosts[node].addresses[0], world.seen_at[node]})
        remote_hosts = {one["remote"].rpartition(":")[0] for one in ours["tried"]}
        self.assertEqual(remote_hosts, {world.seen_at[right]})
        for one in ours["tried"]:
            self.assertEqual(one["local"].rpartition(":")[0], world.hosts[left].addresses[0])
            self.assertTrue(one["heard"] or 1 <= one["probes"] <= 10, one)


def _add_test(name: str, check: Any, *nats: Any, **options: Any) -> None:
    """Give `MatrixTests` a test, so that each pair and seed fails for itself."""
    setattr(MatrixTests, f"test_{name}", lambda self: check(self, *nats, **options))


def _add_tests() -> None:
    for number, (left, right) in enumerate(product([None, *NATS], repeat=2)):
        both = f"{name(left)}_and_{name(right)}"
        check, what = MatrixTests.meet, f"{both}_meet"
        if not can_meet(left, right):
            check, what = MatrixTests.miss, f"{both}_have_no_path"
        _add_test(what, check, left, right)
        for seed in range(1, SEEDS + 1):
            own_seed = 1_000 * seed + number
            link = rough_link(own_seed)
            _add_test(f"{what}_seed_{seed}", check, left, right, link=link, seed=own_seed)


_add_tests()


class ReasonTests(SynchronousTestCase):
    """What a dial says that came to nothing, when there are two trackers to compare."""

    def test_it_says_which_nats_map_by_destination(self) -> None:
        dependent, independent = behaviour(BY_PORT, BY_PORT), behaviour(INDEPENDENT, BY_PORT)
        for nats, words in (
            ((independent, dependent), ("yes", "unknown")),
            ((dependent, independent), ("no", "unknown")),
        ):
            with World(trackers=2) as world:
                left, right = map(world.add_node, nats)
                world.start()
                world.listen(right)
                error: Any = world.error_of(left.connect(right.peer_id, "echo", world.recorders()))
                facts = tuple(error.why[side]["mapping_independent"] for side in ("ours", "theirs"))
                self.assertEqual(facts, words)


class OtherNATTests(SynchronousTestCase):
    """What the words of the matrix do not tell."""

    meet = MatrixTests.meet

    def test_nats_that_do_not_keep_ports(self) -> None:
        for allocation in (PortAllocation.RANDOM, PortAllocation.SEQUENTIAL):
            nat = evolve(behaviour(INDEPENDENT, BY_PORT), allocation=allocation)
            self.meet(nat, nat)

    def test_nats_whose_ports_early_packets_take(self) -> None:
        dependent = behaviour(BY_PORT, BY_PORT)
        for other in (PORT_TAKING, behaviour(INDEPENDENT, BY_PORT), FULL_CONE, None):
            self.meet(PORT_TAKING, other)
            self.meet(other, PORT_TAKING)
        self.meet(dependent, evolve(PORT_TAKING, filtering=BY_ADDRESS))

    def test_nats_whose_ports_early_packets_take_at_unequal_distances(self) -> None:
        """The nearer peer's probes come long before the other one has sent any."""
        near, far = Link(delay=0.002), Link(delay=0.15)
        for left_link, right_link in ((near, far), (far, near)):
            with World() as world:
                left = world.add_node(PORT_TAKING, link=left_link)
                right = world.add_node(PORT_TAKING, link=right_link)
                world.start()
                world.listen(right)
                recorder = world.dial(left, right, greeting=b"hello")
                world.run(2.0)
                self.assertEqual(recorder.received, b"hello")
