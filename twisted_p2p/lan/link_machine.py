"""Multicast DNS on one link: datagrams in and out, for a responder and a browser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.datagram.machine import Datagrams
from twisted_p2p.errors import MalformedMessage
from twisted_p2p.lan.browser import Browser
from twisted_p2p.lan.chance import Chance
from twisted_p2p.lan.link import Link
from twisted_p2p.lan.packets import query_datagrams, response_datagrams, unicast_datagram
from twisted_p2p.lan.records import Message
from twisted_p2p.lan.responder import PORT, Outcome, Responder
from twisted_p2p.lan.wire import decode_message

_ECHO_SECONDS = 1.0
_MOST_ECHOES = 256
_REMEMBERED_HOSTS = 4_096


class LinkMachine:
    """A machine for one link; what it makes of the link is told by its two parts.

    The ``addr`` of its datagrams is a `DatagramPath` whose ``local`` is the link's ID.
    """

    def __init__(self, link: Link, chance: Chance, dropped: Counter[str]) -> None:
        """Take the link, and where to count what is dropped, by reason."""
        self.responder = Responder(chance)
        self.browser = Browser(chance, dropped)
        self._dropped = dropped
        self._echoes: list[tuple[float, bytes]] = []
        self.link = link

    @property
    def link(self) -> Link:
        """The link; assignable when its addresses change."""
        return self._link

    @link.setter
    def link(self, link: Link) -> None:
        self._link = link
        self._on_link: dict[str, bool] = {}

    def receive_datagram(self, data: bytes, addr: DatagramPath, now: float) -> None:
        """Take a datagram; of one that is not from this link nothing is taken (section 11)."""
        source = addr.remote
        if not self._is_on_link(source.host):
            self._dropped["off-link"] += 1
            return
        if source.host in self._link.hosts and self._is_echo(data, now):
            return
        try:
            message = decode_message(data)
        except MalformedMessage:
            self._dropped["malformed"] += 1
            return
        if message.is_response:
            self._receive_response(message, source, now)
            return
        self.responder.receive_query(message, source, now)
        if source.port == PORT:
            self.browser.receive_query(message, now)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self.responder.handle_timer(now)
        self.browser.handle_timer(now)

    def get_timer(self) -> float | None:
        """Return the time at which `handle_timer` is wanted, or None."""
        times = (self.responder.get_timer(), self.browser.get_timer())
        return min((time for time in times if time is not None), default=None)

    def datagrams_to_send(self, now: float) -> Datagrams:
        """Return, once, the datagrams to send now."""
        datagrams: Datagrams = []
        for message in self.browser.take_messages():
            datagrams += self._to_all(query_datagrams(message), now)
        for message, destination in self.responder.take_messages():
            if destination is not None:
                datagrams += self._to_one(message, destination)
            elif message.is_response:
                datagrams += self._to_all(response_datagrams(message), now)
            else:
                datagrams += self._to_all(query_datagrams(message), now)
        return datagrams

    def next_event(self) -> Outcome | None:
        """Return the next thing that has become of this node's claim, or None."""
        return self.responder.next_outcome()

    def _receive_response(self, message: Message, source: HostPort, now: float) -> None:
        if source.port != PORT:  # section 6
            self._dropped["response from another port"] += 1
            return
        self.responder.receive_response(message, now)
        self.browser.receive_response(message, now)

    def _to_all(self, datagrams: Iterable[bytes], now: float) -> Datagrams:
        path = DatagramPath(self._link.id, self._link.group)
        sent: Datagrams = [(data, path) for data in datagrams]
        echoes = [*self._echoes, *((now, data) for data, _ in sent)]
        self._echoes = [each for each in echoes if each[0] > now - _ECHO_SECONDS][-_MOST_ECHOES:]
        return sent

    def _to_one(self, message: Message, destination: HostPort) -> Datagrams:
        path = DatagramPath(self._link.id, destination)
        if destination.port != PORT:
            return [(unicast_datagram(message), path)]
        return [(data, path) for data in response_datagrams(message)]

    def _is_echo(self, data: bytes, now: float) -> bool:
        """Whether this is what was sent to all, which comes back once since others here listen."""
        for echo in self._echoes:
            if echo[1] == data and echo[0] > now - _ECHO_SECONDS:
                self._echoes.remove(echo)
                return True
        return False

    def _is_on_link(self, host: str) -> bool:
        known = self._on_link.get(host)
        if known is None:
            if len(self._on_link) >= _REMEMBERED_HOSTS:
                self._on_link.clear()
            known = self._on_link[host] = self._link.is_on_link(host)
        return known
