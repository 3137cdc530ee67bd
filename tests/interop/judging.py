"""Which of Twisted's own tests run here, which do not apply, and why: what the page tells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
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
        return sorted(f"test{name}" for name in prefixedMethodNames(self.case, "test"))


def judge(source: type[Any], where: str, **not_applicable: str) -> Callable[[CaseT], CaseT]:
    """Let a test case of Twisted's judge our streams.

    :param where: what the streams are of.
    :param not_applicable: by the names of tests, why they are left out.
    """

    def decorate(case: CaseT) -> CaseT:
        judging = without(case, not_applicable)
        name = f"{source.__module__}.{source.__qualname__}"
        JUDGED.append(Judged(judging, name, where, not_applicable))
        return judging

    return decorate


def without(case: CaseT, tests: Collection[str]) -> CaseT:
    """Return a test case without some of its tests, which may be inherited.

    Trial finds a test in whichever base has it, so there must be none: each class that has one is
    copied.
    """
    for name in tests:
        getattr(case, name)  # or it was misspelt
    if not tests:
        return case
    bases = [without(base, [n for n in tests if hasattr(base, n)]) for base in case.__bases__]
    dropped = {*tests, "__dict__", "__weakref__"}  # the last two are made for each class
    content = {name: value for name, value in vars(case).items() if name not in dropped}
    return type(case)(case.__name__, tuple(bases), content)
