"""Which of Twisted's own tests run here, which do not apply, and why: what the page tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.python.reflect import prefixedMethodNames

CaseT = TypeVar("CaseT", bound=type[Any])

JUDGED: list[Judged] = []


@frozen
class Judged:
    """A test case of Twisted's, and what becomes of it here."""

    case: type[Any]
    """What is run."""
    source: str
    """The name of Twisted's own class."""
    where: str
    not_applicable: Mapping[str, str] = field(factory=dict)
    """Reasons by the names of tests."""

    @property
    def running(self) -> list[str]:
        names = sorted(f"test{name}" for name in prefixedMethodNames(self.case, "test"))
        return [name for name in names if name not in self.not_applicable]


def judge(source: type[Any], where: str, **not_applicable: str) -> Callable[[CaseT], CaseT]:
    """Let a test case of Twisted's judge our streams.

    :param where: what the streams are of.
    :param not_applicable: by the names of tests, why they are skipped.
    """

    def decorate(case: CaseT) -> CaseT:
        for name, reason in not_applicable.items():
            setattr(case, name, _skipped(getattr(case, name), reason))
        name = f"{source.__module__}.{source.__qualname__}"
        JUDGED.append(Judged(case, name, where, not_applicable))
        return case

    return decorate


def _skipped(test: Callable[..., Any], reason: str) -> Callable[..., Any]:
    def skipped(case: Any) -> None:
        raise AssertionError("this is skipped")

    skipped.__name__ = test.__name__
    skipped.skip = reason  # type: ignore[attr-defined]
    return skipped
