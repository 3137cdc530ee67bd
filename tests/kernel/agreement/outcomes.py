"""What becomes of a pair of peers, in a lab and in the simulation.

An outcome is the kind of the path that both peers have, or the code of the error that the one
that dialled gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults

from tests.kernel.agreement.pairs import DELAY, SIMULATED, Pair
from tests.kernel.programs import LabPrograms, Program
from tests.scenarios.world import World
from twisted_p2p.errors import P2PError
from twisted_p2p.network_namespaces.lab import Lab
from twisted_p2p.testing import Link


def simulated_outcome(pair: Pair) -> str:
    """Let two nodes meet in the simulation; return what became of it."""
    with World(link=Link()) as world:
        left, right = (world.add_node(SIMULATED[nat], link=Link(delay=DELAY)) for nat in pair)
        world.start()
        service = world.listen(right)
        try:
            dialled = world.dial(left, right)
        except P2PError as error:
            return error.code
        world.run(1.0)
        [accepted] = service.built
        transports: list[Any] = [dialled.transport, accepted.transport]
        return _in_words(*(transport.getPeer().path.kind for transport in transports))


async def kernel_outcomes(
    pairs: Iterable[Pair], folder: Path, *, at_once: int = 8
) -> dict[Pair, str]:
    """Return the `kernel_outcome` of each pair; most of the time of each is waiting."""
    places = DeferredSemaphore(at_once)
    running = {pair: places.run(_started_outcome, pair, folder / str(pair)) for pair in pairs}
    await gatherResults(running.values(), consumeErrors=True)
    return {pair: await outcome for pair, outcome in running.items()}


def _started_outcome(pair: Pair, folder: Path) -> Deferred[str]:
    return Deferred.fromCoroutine(kernel_outcome(pair, folder))


async def kernel_outcome(pair: Pair, folder: Path) -> str:
    """Let ``p2p connect`` dial ``p2p listen`` in a lab; return what became of it.

    ``folder`` is one to be made.
    """
    lab = Lab(*pair, delay=DELAY)
    programs = LabPrograms(lab, folder)
    try:
        await programs.start_tracker()
        listener = programs.start_p2p(lab.right, "listen", "meeting")
        peer = (await listener.event("ready"))["peer"]
        dialler = programs.start_p2p(lab.left, "connect", peer, "meeting")
        return await told_outcome(dialler, listener)
    finally:
        await programs.close()


async def told_outcome(dialler: Program, listener: Program) -> str:
    """Return the outcome that ``p2p connect`` and ``p2p listen`` tell."""
    told = await dialler.event("connected", "error")
    if told["event"] == "error":
        return str(told["code"])
    accepted = await listener.event("accepted")
    return _in_words(told["path"]["kind"], accepted["path"]["kind"])


def _in_words(dialler_kind: str, listener_kind: str) -> str:
    return dialler_kind if dialler_kind == listener_kind else f"{dialler_kind}/{listener_kind}"
