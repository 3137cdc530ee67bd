from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.errors import NoPath
from twisted_p2p.ice.candidate import CandidateType
from twisted_p2p.ice.checklist import PairState
from twisted_p2p.ice.events import CheckedPath
from twisted_p2p.rendezvous.no_path import Side, no_path

SOCKET = HostPort("0.0.0.0", 4000)
OWN = HostPort("192.168.1.2", 4000)
OURS = Side({HostPort("11.1.0.2", 4000)}, {OWN, HostPort("11.1.0.2", 4000)})
THEIRS = Side({HostPort("11.2.0.2", 5000)}, {HostPort("192.168.2.2", 5000)})
REFLEXIVE, LEARNED = CandidateType.SERVER_REFLEXIVE, CandidateType.PEER_REFLEXIVE


def check(
    remote: str, port: int, kind: CandidateType = REFLEXIVE, *, heard: bool = False
) -> CheckedPath:
    path = DatagramPath(SOCKET, HostPort(remote, port))
    return CheckedPath(path, kind, PairState.FAILED, 10, heard)


def explain(*checks: CheckedPath, ours: Side = OURS, theirs: Side = THEIRS) -> NoPath:
    return no_path(checks, ours=ours, theirs=theirs, local_address=lambda path: OWN)


class NoPathTests(SynchronousTestCase):
    def theirs(self, *checks: CheckedPath) -> Any:
        side: Any = explain(*checks).why["theirs"]
        return side["mapping_independent"]

    def test_it_tells_of_both_sides_as_plain_values(self) -> None:
        self.assertEqual(
            explain(check("11.2.0.2", 5000)).why,
            {
                "ours": {
                    "seen_at": ["11.1.0.2:4000"],
                    "told": ["11.1.0.2:4000", "192.168.1.2:4000"],
                    "mapping_independent": "unknown",
                    "tried": [
                        {
                            "local": "192.168.1.2:4000",
                            "remote": "11.2.0.2:5000",
                            "candidate": "server_reflexive",
                            "probes": 10,
                            "heard": False,
                        }
                    ],
                },
                "theirs": {
                    "seen_at": ["11.2.0.2:5000"],
                    "told": ["192.168.2.2:5000"],
                    "mapping_independent": "unknown",
                },
            },
        )

    def test_it_has_one_sentence_for_each_of_three_cases(self) -> None:
        silent, heard = check("11.2.0.2", 5000), check("11.2.0.2", 5000, heard=True)
        for checks, words in (
            ((), "no address that may be tried"),
            ((silent,), "no packet came through between them in either direction"),
            ((silent, heard), "The peer's packets arrive here, but none of this node's"),
        ):
            self.assertIn(words, str(explain(*checks)))

    def test_what_we_know_of_our_own_nat_is_said(self) -> None:
        for known, word in ((True, "yes"), (False, "no"), (None, "unknown")):
            side: Any = explain(ours=Side((), (), known)).why["ours"]
            self.assertEqual(side["mapping_independent"], word)

    def test_a_peer_that_came_from_another_port_than_the_tracker_saw_maps_by_destination(
        self,
    ) -> None:
        self.assertEqual(self.theirs(check("11.2.0.2", 5001, LEARNED, heard=True)), "no")

    def test_from_elsewhere_or_where_it_was_seen_or_told_says_nothing_of_its_mapping(self) -> None:
        for one in (
            check("11.2.0.2", 5000, LEARNED, heard=True),
            check("11.2.0.3", 5001, LEARNED, heard=True),
            check("11.2.0.2", 5001, heard=True),
        ):
            self.assertEqual(self.theirs(one), "unknown")
