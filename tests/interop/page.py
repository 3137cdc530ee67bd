"""Writes docs/twisted-tests.rst: ``python -m tests.interop.page``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from tests.interop import test_global_reactor, test_pumped, test_reactors
from tests.interop.judging import JUDGED, Judged

PAGE = Path(__file__).resolve().parents[2] / "docs" / "twisted-tests.rst"

MODULES = (test_reactors, test_pumped, test_global_reactor)
"""Imported for what they add to the list."""

HEAD = """\
Twisted's own tests
===================

These tests of Twisted are run with streams of this package in place of TCP connections, as they
are: {running} tests of {cases} test cases, many of them on four reactors.  Each test that does not
apply is named with its reason.  ``tests/interop`` runs them, and writes this page by
``python -m tests.interop.page``.

Where a test leaves no choice, a stream stands in for a socket: ``listenTCP`` and ``connectTCP``
that use endpoints, and early factories, since a TCP connection is made before the listening
program is asked; two names, ``stopReading`` and ``startReading``, for ``pauseProducing`` and
``resumeProducing``.

What differs from TCP
---------------------

- What a peer sent before it left is kept for a protocol that has paused reading; writing to a
  peer that left does not destroy it.
- A stream of which both halves have ended is over, and its protocol is told.
- No delay of small writes and no lack of checks can be set: data never wait for more data, and the
  path is always checked.
- Addresses are of peers and services.

What runs
---------
"""

ABSENT = {
    "twisted.internet.test.test_tcp.TCPPortTestsMixin": "addresses and log lines of TCP ports; "
    "a service opens no port, and the node's UDP port logs its own",
    "twisted.internet.test.test_tcp.StreamTransportTestsMixin": "log lines of ports, and what "
    "happens when descriptors run out, of which a stream has none",
    "twisted.internet.test.test_tcp.TCPConnectorTestsBuilder": "connectors are connectTCP's",
    "twisted.internet.test.test_tcp.TCPClientTestsBase": "TCP addresses, port numbers and "
    "startTLS; the two mixins that it builds on run",
    "twisted.internet.test.test_tcp.AdoptStreamConnectionTestsBuilder": "file descriptors",
    "twisted.internet.test.test_tcp.TestBindAddressBuilder": "local addresses of TCP sockets",
    "twisted.internet.test.test_tls.StartTLSClientTestsMixin": "a stream is encrypted already "
    "and has no startTLS; TLS within a stream runs by TLSMemoryBIOFactory",
    "twisted.internet.test.test_newtls.ProducerTestsMixin": "startTLS",
    "twisted.internet.test.test_endpoints.EndpointTestCaseMixin": "arguments that endpoints hand "
    "to IReactorTCP; ours ask a node, in tests/test_endpoints.py",
    "twisted.test.test_amp.TLSTests": "startTLS",
    "twisted.test.test_amp.LiveFireTLSTests": "startTLS",
    "twisted.test.test_amp.PlainVanillaLiveFireTests": "startTLS",
    "twisted.test.test_tcp.AddressTests": "addresses of TCP",
    "twisted.test.test_tcp.LocalRemoteAddressTests": "addresses of TCP",
    "twisted.test.test_tcp.CannotBindTests": "addresses of TCP sockets",
    "twisted.test.test_tcp.ListeningTests": "the text form and the restart of TCP ports",
    "twisted.test.test_tcp.LogTests": "an attribute of file descriptors",
    "twisted.test.test_tcp.PauseProducingTests": "the reactor's readers, among which no stream is",
    "twisted.test.test_tcp.ProperlyCloseFilesTests": "sockets",
}
"""Test cases of which nothing applies, with the reason."""


def text() -> str:
    """Return the page."""
    running = sum(len(judged.running) for judged in JUDGED)
    head = HEAD.format(running=running, cases=len(JUDGED))
    absent = (_item(f"``{name}``: {reason}") for name, reason in ABSENT.items())
    tail = ["What does not apply at all", "-" * 26, "", *absent]
    return "\n".join([head, *(line for judged in _sorted() for line in _case(judged)), *tail, ""])


def _sorted() -> list[Judged]:
    return sorted(JUDGED, key=lambda judged: (judged.source, judged.where))


def _case(judged: Judged) -> Iterator[str]:
    yield f"``{judged.source}``"
    yield _indented(f"On {judged.where}.")
    yield ""
    for name in judged.running:
        yield _indented(f"- ``{name}``")
    for name, reason in judged.not_applicable.items():
        yield _indented(_item(f"``{name}`` does not apply: {reason}"))
    yield ""


def _item(content: str) -> str:
    return "\n  ".join(wrap(f"- {content}", 92, break_long_words=False, break_on_hyphens=False))


def _indented(content: str) -> str:
    return "\n".join(f"  {line}" for line in content.splitlines())


if __name__ == "__main__":
    PAGE.write_text(text())
