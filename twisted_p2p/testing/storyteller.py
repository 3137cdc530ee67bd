"""A test result that adds to a failure what happened on the simulated internets of the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure
from twisted.python.reflect import safe_str
from zope.interface import directlyProvides, providedBy


class Storyteller:
    """Stands before the result of one test run: trial's reporters, unittest's, pytest's."""

    def __init__(self, result: Any, story: Callable[[str], str]) -> None:
        """Tell a story of the first failure; it is made when given the message of that."""
        self._result = result
        self._story = story
        self.has_failed = False
        """Whether there was a failure."""
        directlyProvides(self, providedBy(result))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)

    def addError(self, test: Any, error: Any, *more: Any) -> None:
        """Pass an error on, and what there is to tell with it."""
        self._tell(error)
        self._result.addError(test, error, *more)

    def addFailure(self, test: Any, error: Any, *more: Any) -> None:
        """Pass a failed assertion on, and what there is to tell with it."""
        self._tell(error)
        self._result.addFailure(test, error, *more)

    def _tell(self, error: Any) -> None:
        """Add the story to a Failure, or to what ``sys.exc_info`` returns."""
        if self.has_failed:
            return
        self.has_failed = True
        value: Any = error.value if isinstance(error, Failure) else error[1]
        message = safe_str(value)
        story = self._story(message)
        if not story:
            return
        if isinstance(error, Failure):
            # Reporters of trial show no notes, and those of its workers nothing but the message.
            error.value = _in_other_words(value, f"{message}\n{story}")
        value.add_note(story)


def _in_other_words(error: BaseException, words: str) -> Exception:
    """Return an exception that looks like another one but for its message."""
    kind = type(error)
    namespace = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__str__": lambda self: words,
    }
    words_alone: type[Exception] = type(kind.__name__, (Exception,), namespace)
    return words_alone()
