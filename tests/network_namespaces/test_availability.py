"""What keeps a machine from running a lab is told in one sentence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import require_namespaces
from twisted_p2p.network_namespaces import lab
from twisted_p2p.network_namespaces.lab import available


class AvailableTests(SynchronousTestCase):
    def test_missing_programs_are_named_with_their_packages(self) -> None:
        self.patch(lab, "PACKAGES", {"no-ip": "no-iproute2", "sh": "dash", "no-nft": "no-nftables"})
        self.assertEqual(
            available(),
            "A program is missing: `no-ip` (Debian package no-iproute2), "
            "`no-nft` (Debian package no-nftables).",
        )

    def test_refusal_is_told_in_the_words_of_the_system(self) -> None:
        require_namespaces()
        self.patch(lab, "TRIAL", "echo not today >&2; exit 1")
        self.assertEqual(
            available(), "This system permits no network namespaces with NATs (not today)."
        )

    def test_silent_refusal_is_told_by_its_status(self) -> None:
        require_namespaces()
        self.patch(lab, "TRIAL", "exit 3")
        self.assertEqual(
            available(), "This system permits no network namespaces with NATs (status 3)."
        )
