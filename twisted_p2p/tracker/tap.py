"""``twistd p2ptracker`` and ``twist p2ptracker``: options, and the service that they make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from ipaddress import ip_address

from twisted.application.service import IService, MultiService
from twisted.internet.endpoints import serverFromString
from twisted.python.usage import Options as TwistedOptions
from twisted.python.usage import UsageError

from twisted_p2p.errors import P2PError
from twisted_p2p.tracker.memory_store import MemoryPeerStore
from twisted_p2p.tracker.server import StreamListener, TrackerServer, UDPListener

DEFAULT_UDP = (UDPListener(3478), UDPListener(3479))
DEFAULT_STREAMS = ("tcp:3478",)
DEFAULT_WEB = "tcp:8478:interface=127.0.0.1"


class Options(TwistedOptions):
    """The command line of a tracker."""

    synopsis = "[options]"
    longdesc = "A tracker: it remembers which peers are there and introduces them to each other."

    optParameters = [  # noqa: RUF012  (Twisted declares it so)
        ["web", None, DEFAULT_WEB, "Server endpoint of the status page."],
        ["store", None, "memory", "Where peers are remembered: memory."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["udp"] = []
        self["stream"] = []
        self["public-address"] = []

    def opt_udp(self, text: str) -> None:
        """UDP PORT[:interface=IP], repeatable. [default: 3478 and 3479, on all addresses]"""
        self["udp"].append(_udp_listener(text))

    def opt_stream(self, text: str) -> None:
        """Server endpoint for nodes whose UDP is blocked, repeatable. [default: tcp:3478]"""
        self["stream"].append(text)

    def opt_public_address(self, text: str) -> None:
        """IP address by which nodes reach this tracker through a NAT, repeatable."""
        try:
            self["public-address"].append(str(ip_address(text)))
        except ValueError:
            raise UsageError(f"--public-address takes an IP address, not {text!r}.") from None

    def postOptions(self) -> None:
        """Check what the parameters say."""
        if self["store"] != "memory":
            raise UsageError(f"--store can be 'memory' alone as yet, not {self['store']!r}.")


def _udp_listener(text: str) -> UDPListener:
    port, separator, interface = text.partition(":interface=")
    try:
        if not port.isdecimal() or int(port) > 0xFFFF:
            raise ValueError
        if separator:
            interface = str(ip_address(interface.replace("\\:", ":")))
    except ValueError:
        raise UsageError(f"--udp takes PORT or PORT:interface=IP, not {text!r}.") from None
    return UDPListener(int(port), interface)


class _Program(MultiService):
    """The tracker as a program: what keeps it from starting is one sentence and an exit status."""

    def privilegedStartService(self) -> None:
        self._start(super().privilegedStartService)

    def startService(self) -> None:
        self._start(super().startService)

    def _start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except P2PError:
            # Both programs let an error end them, and a daemon passes it on to whoever started
            # it; all that they add is a traceback, which would bury the sentence.
            sys.excepthook = _say_in_one_sentence
            raise


def _say_in_one_sentence(
    kind: type[BaseException], error: BaseException, traceback: object
) -> None:
    print(f"p2ptracker: {error}", file=sys.stderr)  # noqa: T201  (a program's last word)


def makeService(options: Options) -> IService:
    """Return the service that the options describe; exits when an endpoint cannot be made."""
    from twisted.internet import reactor  # noqa: PLC0415  (chosen when the program starts)

    def listener(description: str) -> StreamListener:
        try:
            endpoint = serverFromString(reactor, description)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise SystemExit(f"p2ptracker: {description} is no server endpoint: {error}") from None
        return StreamListener(description, endpoint)

    program = _Program()  # type: ignore[no-untyped-call]
    tracker = TrackerServer(
        reactor,
        udp=options["udp"] or DEFAULT_UDP,
        streams=[listener(text) for text in options["stream"] or DEFAULT_STREAMS],
        web=listener(options["web"]),
        store=MemoryPeerStore(),
        public_hosts=options["public-address"],
    )
    tracker.setServiceParent(program)  # type: ignore[no-untyped-call]
    return program
