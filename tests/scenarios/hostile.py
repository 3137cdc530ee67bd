"""Those who mean harm: trackers that lie, men in the middle, and who found somebody's key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from nacl.public import Box
from nacl.signing import VerifyKey
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from tests.scenarios.world import Recorders
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.connection.quic_connection import PeerConnection
from twisted_p2p.datagram.shared_socket import SharedSocket
from twisted_p2p.identity.keys import IdentityKey, SealingBox
from twisted_p2p.identity.peer_id import PeerID
from twisted_p2p.stun.message import MessageClass, decode_message
from twisted_p2p.testing import SimulatedHost
from twisted_p2p.testing.servers import SimulatedTracker
from twisted_p2p.tracker.messages import Indication, Response, read_indication, read_response
from twisted_p2p.tracker.tracker import Tracker

Word = Indication | Response
"""What a tracker says."""


class Lie(Protocol):
    """Returns what is said in place of a word, and to whom."""

    def __call__(self, word: Word, path: DatagramPath) -> Iterable[tuple[Word, DatagramPath]]: ...


def the_truth(word: Word, path: DatagramPath) -> Iterable[tuple[Word, DatagramPath]]:
    return [(word, path)]


class LyingTracker(SimulatedTracker):
    """A tracker whose words go through `lie` before it says them."""

    lie: Lie = staticmethod(the_truth)

    def __init__(self, host: SimulatedHost, **options: Any) -> None:
        self.make_tracker = self._make_liar
        self.words: list[tuple[Word, DatagramPath]] = []
        """What an honest tracker would have said."""
        super().__init__(host, **options)

    def say(self, word: Word, path: DatagramPath) -> None:
        """Say something unasked."""
        self._liar.say(word.encode(self.host.random.randbytes(12)), path)

    def _make_liar(self, reactor: Any, **options: Any) -> Tracker:
        self._liar = _Liar(reactor, **options)
        self._liar.invent = self._invent
        return self._liar

    def _invent(self, data: bytes, path: DatagramPath) -> Iterable[tuple[bytes, DatagramPath]]:
        message = decode_message(data)
        is_indication = message.message_class is MessageClass.INDICATION
        word = read_indication(message) if is_indication else read_response(message)
        self.words.append((word, path))
        for said, to in self.lie(word, path):
            yield said.encode(message.transaction_id), to


class _Liar(Tracker):
    """Says what `invent` makes of each of its messages."""

    invent: Callable[[bytes, DatagramPath], Iterable[tuple[bytes, DatagramPath]]]

    def say(self, data: bytes, path: DatagramPath) -> None:
        super()._send(data, path)

    def _send(self, data: bytes, path: DatagramPath) -> None:
        for said, to in self.invent(data, path):
            self.say(said, to)


class StolenIdentity(IdentityKey):
    """What somebody can do in the name of a peer towards another one whose key has leaked.

    The leaked key opens and seals all boxes between the two, as the peer's own would.  It signs
    nothing in the peer's name.
    """

    __slots__ = ()

    def __init__(self, leaked: IdentityKey, pose_as: PeerID) -> None:
        super().__init__(leaked._signing_key)
        self.peer_id = pose_as

    def box_with(self, peer_id: PeerID) -> SealingBox:
        theirs = VerifyKey(self.peer_id.public_key).to_curve25519_public_key()
        return SealingBox(Box(self._signing_key.to_curve25519_private_key(), theirs))


class ManInTheMiddle:
    """Sends on what comes from either of two peers; QUIC, if told so, it speaks itself.

    Towards the left peer it is QUIC's server and towards the right one its client, with an
    identity of one's choice for each.
    """

    def __init__(self, host: SimulatedHost, seen_at: dict[PeerID, HostPort]) -> None:
        """Open a socket for each side; ``seen_at`` says where the two peers are."""
        left, right = seen_at
        self.reactor = host.reactor
        self.seen_at = seen_at
        self.sockets = {
            peer_id: SharedSocket(host.reactor, host.addresses[0], port)
            for peer_id, port in ((left, 7001), (right, 7002))
        }
        self.connections: dict[PeerID, PeerConnection] = {}
        self.lost: dict[PeerID, Exception | None] = {}
        """Why each of those was lost."""
        self.sent_on: list[bytes] = []
        """The QUIC datagrams that it saw and sent on."""
        for peer_id, other in ((left, right), (right, left)):
            socket = self.sockets[peer_id]
            socket.stun_received = self._sending_on(other, lambda data: None)
            socket.quic_received = self._sending_all_on(other)
            socket.start()

    def poses_at(self, peer_id: PeerID) -> HostPort:
        """Return where it wants to be taken for this peer, by the other one."""
        [other] = self.seen_at.keys() - {peer_id}
        return self.sockets[other].address

    def _sending_on(self, to: PeerID, note: Callable[[bytes], object]) -> Any:
        def send_on(data: bytes, path: DatagramPath) -> None:
            note(data)
            socket = self.sockets[to]
            socket.send(data, DatagramPath(socket.address, self.seen_at[to]))

        return send_on

    def _sending_all_on(self, to: PeerID) -> Any:
        send_on = self._sending_on(to, self.sent_on.append)

        def send_all_on(datagrams: list[bytes], path: DatagramPath) -> None:
            for data in datagrams:
                send_on(data, path)

        return send_all_on

    def speak(
        self, peer_id: PeerID, identity: IdentityKey, factory: Recorders, *, is_client: bool
    ) -> None:
        """Speak QUIC to one of the two from now on."""
        end = _End(self, peer_id, factory)
        connection = self.connections[peer_id] = PeerConnection(
            self.reactor, is_client=is_client, identity=identity, peer_id=peer_id, owner=end
        )
        self.sockets[peer_id].quic_received = lambda batch, path: connection.datagrams_received(
            batch
        )

    def stop(self) -> None:
        for connection in self.connections.values():
            connection.abandon(ConnectionAborted())
        for socket in self.sockets.values():
            socket.stop()


class _End:
    """Owns a connection of a man in the middle, and asks for a stream as soon as it can."""

    def __init__(self, man: ManInTheMiddle, peer_id: PeerID, factory: Recorders) -> None:
        self.man = man
        self.peer_id = peer_id
        self.factory = factory

    def send_datagrams(self, connection: PeerConnection, datagrams: Sequence[bytes]) -> None:
        socket = self.man.sockets[self.peer_id]
        socket.send_all(datagrams, DatagramPath(socket.address, self.man.seen_at[self.peer_id]))

    def connection_id_issued(self, connection: PeerConnection, connection_id: bytes) -> None: ...

    def connection_id_retired(self, connection: PeerConnection, connection_id: bytes) -> None: ...

    def connection_authenticated(self, connection: PeerConnection) -> None:
        connection.open_stream("echo", self.factory).addErrback(lambda _: None)

    def stream_requested(self, connection: PeerConnection, service: str) -> IProtocolFactory:
        return self.factory

    def connection_lost(self, connection: PeerConnection, reason: Failure) -> None:
        self.man.lost[self.peer_id] = reason.value

    def connection_forgotten(self, connection: PeerConnection) -> None: ...
