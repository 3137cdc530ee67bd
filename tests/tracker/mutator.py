"""Datagrams that are nearly right: those of honest nodes, changed at random from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from zlib import crc32

from tests.tracker.world import SERVER, World, identity, registered_node
from twisted_p2p.addresses import DatagramPath, HostPort
from twisted_p2p.stun.attributes import FINGERPRINT, XOR_MAPPED_ADDRESS
from twisted_p2p.stun.message import BINDING, MessageClass, STUNMessage, decode_message
from twisted_p2p.tracker.messages import (
    REQUESTS,
    Answer,
    CookieRequest,
    Introduce,
    ListPeers,
    LookUp,
    OfferHandedOver,
    Refresh,
)


def honest_datagrams() -> list[bytes]:
    """Return one datagram of every kind that nodes send, proven elsewhere or not at all."""
    node = registered_node(World(), 1)
    target = identity(2).peer_id.public_key
    transaction_id = bytes(12)
    requests = [
        *(CookieRequest(method) for method in REQUESTS),
        node.registration(),
        node.unregistration(),
        Refresh(node.key, node.token),
        LookUp(node.cookie, target),
        Introduce(node.key, node.token, target, bytes(200)),
        Answer(node.key, node.token, target, bytes(200), True),
        ListPeers(node.key, node.token, "topic"),
        OfferHandedOver(node.key, bytes(100)),
    ]
    binding = STUNMessage.build(BINDING, MessageClass.REQUEST, transaction_id)
    return [
        binding.encode(),
        binding.encode(fingerprint=True),
        *(request.encode(transaction_id) for request in requests),
    ]


class Mutator:
    """Makes any number of datagrams, the same ones from the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._honest = honest_datagrams()

    def datagrams(self, count: int) -> Iterator[tuple[bytes, DatagramPath]]:
        """Yield datagrams, each from one of 65,536 addresses that have never shown a cookie."""
        for _ in range(count):
            number = self._random.getrandbits(16)
            source = HostPort(f"11.{number >> 8}.{number & 255}.7", 4000)
            yield self._mutate(), DatagramPath(SERVER, source)

    def _mutate(self) -> bytes:
        data = bytearray(self._random.choice(self._honest))
        for _ in range(self._random.randrange(4)):
            self._change(data)
        if self._random.random() < 0.8:
            self._repair(data)
        return bytes(data)

    def _change(self, data: bytearray) -> None:
        kind = self._random.randrange(5)
        at = self._random.randrange(len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << self._random.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = self._random.randbytes(self._random.randrange(1, 40))
        elif kind == 3:
            data += bytes(self._random.randrange(600))
        else:
            data[at : at + 4] = self._random.choice(
                (b"\0\x20\0\x08", b"\x74\x02\0\x10", b"\xff" * 4)
            )

    def _repair(self, data: bytearray) -> None:
        """Give the datagram a true length and fingerprint again, so that it is read further."""
        del data[len(data) & ~3 :]
        if len(data) >= 28:
            data[2:4] = (len(data) - 20).to_bytes(2, "big")
            data[-8:-4] = b"\x80\x28\0\4"
            data[-4:] = (crc32(data[:-8]) ^ 0x5354554E).to_bytes(4, "big")


def is_amplified(data: bytes, path: DatagramPath, sent: Sequence[tuple[bytes, object]]) -> bool:
    """Return whether an unproven datagram had more than one answer, a longer or a stray one.

    A bare answer to a Binding request is the exception, as STUN fixes it.
    """
    return len(sent) > 1 or any(
        to != path or (len(answer) > len(data) and not _is_bare_binding_answer(answer))
        for answer, to in sent
    )


def _is_bare_binding_answer(data: bytes) -> bool:
    message = decode_message(data)
    is_success = (message.method, message.message_class) == (BINDING, MessageClass.SUCCESS)
    mapped, *fingerprint = (code for code, _ in message.attributes)
    is_bare = mapped == XOR_MAPPED_ADDRESS.code and fingerprint in ([], [FINGERPRINT.code])
    return is_success and is_bare
