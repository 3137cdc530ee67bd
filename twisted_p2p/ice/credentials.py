"""The user name fragment and password with which one side's checks are authenticated."""

from __future__ import annotations

import re

from attrs import Attribute, field, frozen

_USERNAME_FRAGMENT = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")


def _check(rule: re.Pattern[str], name: str, value: str) -> None:
    """Refuse a value outside the rule, without showing it."""
    if not rule.fullmatch(value):
        raise ValueError(f"an ICE {name} is made of letters, digits, + and /: {rule.pattern}")


@frozen
class ICECredentials:
    """One side's credentials: 4 to 256 and 22 to 256 characters of letters, digits, ``+``, ``/``.

    Raises ValueError for anything else (RFC 8445 section 5.3, RFC 8839 section 5.4).  Whether
    they hold the 24 and 128 random bits that the RFC asks for is up to who makes them.
    """

    username_fragment: str = field()
    password: str = field(repr=False)

    @username_fragment.validator
    def _check_username_fragment(self, attribute: Attribute[str], value: str) -> None:
        _check(_USERNAME_FRAGMENT, "user name fragment", value)

    @password.validator
    def _check_password(self, attribute: Attribute[str], value: str) -> None:
        _check(_PASSWORD, "password", value)
