"""What a trial test case needs to run worlds, and to tell of them when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from twisted_p2p.testing.internet import INTERNET_LINK, LAN_LINK, SimulatedInternet
from twisted_p2p.testing.link import Link
from twisted_p2p.testing.nat import PORT_RESTRICTED, NATBehaviour
from twisted_p2p.testing.pair import ConnectedPair, add_pair, add_pair_on_lan
from twisted_p2p.testing.shutdown import shut_down
from twisted_p2p.testing.storyteller import Storyteller

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _TestCase
else:
    _TestCase = object

SEED_VARIABLE = "P2P_SEED"
_TOLD_PACKETS = 50

TestT = TypeVar("TestT", bound="SimulatedInternetMixin")


class SimulatedInternetMixin(_TestCase):
    """To be mixed into a `SynchronousTestCase` or `TestCase`: simulated internets for its tests.

    At the end of a test everything on them is stopped, and what is left over fails the test.  A
    test that fails tells its seed and the latest packets.
    """

    _internets: tuple[SimulatedInternet, ...] = ()
    _storyteller: Storyteller | None = None
    _seed: int | None = None

    @property
    def seed(self) -> int:
        """The seed of this test: ``P2P_SEED`` of the environment, or one made of its name."""
        if self._seed is not None:
            return self._seed
        told = _told_seed()
        return crc32(self.id().encode()) if told is None else told

    def simulate(self, seed: int | None = None) -> SimulatedInternet:
        """Return an empty simulated internet; its seed is the test's unless another is given."""
        return self.watch(SimulatedInternet(self.seed if seed is None else seed))

    def connected_pair(
        self,
        nat_a: NATBehaviour | None = PORT_RESTRICTED,
        nat_b: NATBehaviour | None = PORT_RESTRICTED,
        *,
        seed: int | None = None,
        link: Link = INTERNET_LINK,
    ) -> ConnectedPair:
        """Return two nodes behind NATs; see `connected_pair`."""
        return add_pair(self.simulate(seed), nat_a, nat_b, link)

    def connected_pair_on_lan(
        self,
        nat: NATBehaviour = PORT_RESTRICTED,
        *,
        seed: int | None = None,
        link: Link = INTERNET_LINK,
        lan_link: Link = LAN_LINK,
    ) -> ConnectedPair:
        """Return two nodes in one private network; see `connected_pair_on_lan`."""
        return add_pair_on_lan(self.simulate(seed), nat, link, lan_link)

    def watch(self, internet: SimulatedInternet) -> SimulatedInternet:
        """Let an internet that was made elsewhere belong to this test too; return it."""
        if not self._internets:
            self.addCleanup(self._finish)
        self._internets += (internet,)
        return internet

    def run(self, result: Any = None) -> Any:
        """Run the test; the result hears more of its failures."""
        self._internets, self._seed = (), None
        if result is None:
            result = self.defaultTestResult()
        self._storyteller = Storyteller(result, self._story)
        return super().run(self._storyteller)  # type: ignore[no-untyped-call]

    def _finish(self) -> None:
        """Stop everything on all internets of this test, the latest first."""
        while self._internets:
            try:
                shut_down(self._internets[-1])
            except Exception:
                # What a test that failed leaves behind is no news.
                if self._storyteller is None or not self._storyteller.has_failed:
                    raise
            self._internets = self._internets[:-1]

    def _story(self, message: str) -> str:
        return "\n".join(self._tell_of(internet, message) for internet in self._internets)

    def _tell_of(self, internet: SimulatedInternet, message: str) -> str:
        """Return what is to tell of one internet, but for what the message has said already."""
        story = internet.story(_TOLD_PACKETS)
        lines = [] if story in message else [f"simulated internet, at {story}"]
        if len(internet.log) > _TOLD_PACKETS:
            path = os.path.abspath(self.mktemp())  # type: ignore[no-untyped-call]
            with open(path, "w", encoding="utf-8") as file:
                file.write(internet.log.dump())
            lines.append(f"the whole packet log: {path}")
        if internet.seed == self.seed:
            lines.append(f"to repeat it: {SEED_VARIABLE}={internet.seed}")
        return "\n".join(lines)


def for_seeds(seeds: Iterable[int]) -> Callable[[Callable[[TestT], None]], Callable[[TestT], None]]:
    """Return a decorator that runs a test method once for each seed, as long as it passes.

    All of it is one test; its ``setUp`` runs once.  With ``P2P_SEED`` it runs for that seed alone.
    """
    chosen = tuple(seeds)

    def decorate(method: Callable[[TestT], None]) -> Callable[[TestT], None]:
        @wraps(method)
        def run_for_each(self: TestT) -> None:
            told = _told_seed()
            for seed in chosen if told is None else (told,):
                self._seed = seed
                method(self)
                self._finish()

        return run_for_each

    return decorate


def _told_seed() -> int | None:
    """Return the seed that the environment tells."""
    told = os.environ.get(SEED_VARIABLE)
    return int(told) if told else None
