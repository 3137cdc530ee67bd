"""The test suite; run it with ``trial tests``.

Hypothesis runs each property a fixed number of times from a printed seed, without a deadline:
machines are noisy, and a test never judges wall-clock time.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    deadline=None,
    max_examples=100,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.register_profile("fuzz", parent=settings.get_profile("suite"), max_examples=20_000)
settings.load_profile(os.environ.get("P2P_HYPOTHESIS_PROFILE", "suite"))


def fewer_examples(share: float) -> int:
    """Return a share of the examples of other properties, for one whose examples are slow."""
    assert settings.default is not None
    return round(settings.default.max_examples * share)
