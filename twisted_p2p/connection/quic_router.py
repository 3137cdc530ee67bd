"""Which connection a QUIC datagram on a shared socket belongs to, and whether it may have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from itertools import groupby
from typing import Generic, TypeVar

from twisted_p2p.addresses import DatagramPath

ConnectionT = TypeVar("ConnectionT", bound=Hashable)

CONNECTION_ID_SIZE = 8
"""Bytes of the connection IDs that both libraries choose for themselves."""

_LONG_HEADER = 0x80
_INITIAL_MASK = 0xF0
_INITIAL = 0xC0
_VERSION_1 = b"\x00\x00\x00\x01"
_LONGEST_CONNECTION_ID = 20


def destination_connection_id(data: bytes) -> bytes | None:
    """Return the destination connection ID of a datagram's first packet (RFC 9000, section 17)."""
    if not data or not data[0] & _LONG_HEADER:
        return data[1 : 1 + CONNECTION_ID_SIZE] if len(data) > CONNECTION_ID_SIZE else None
    if len(data) < 6 or data[5] > _LONGEST_CONNECTION_ID or len(data) < 6 + data[5]:
        return None
    return data[6 : 6 + data[5]]


def initial_destination(data: bytes) -> bytes | None:
    """Return the destination connection ID if a datagram begins with an Initial of version 1."""
    if not data or data[0] & _INITIAL_MASK != _INITIAL or data[1:5] != _VERSION_1:
        return None
    return destination_connection_id(data)


class QUICRouter(Generic[ConnectionT]):
    """Finds connections by connection ID and, for a first packet, by the path it arrived along.

    Only paths that ICE has authenticated for a connection lead to it, so a scanner gets no answer
    and learns no identity.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        """Datagrams that belong to no connection, by reason."""
        self._by_id: dict[bytes, ConnectionT] = {}
        self._paths: dict[ConnectionT, set[DatagramPath]] = {}
        self._responders: dict[DatagramPath, ConnectionT] = {}

    def allow_path(self, path: DatagramPath, connection: ConnectionT) -> None:
        """Let datagrams of a path reach a connection, since ICE has authenticated it."""
        self._paths.setdefault(connection, set()).add(path)

    def expect_initial(self, path: DatagramPath, connection: ConnectionT) -> None:
        """Let a path reach a responder, and its first packet too, which nobody knows by ID."""
        self.allow_path(path, connection)
        self._responders[path] = connection

    def forbid_path(self, path: DatagramPath, connection: ConnectionT) -> None:
        """Let a path reach a connection no more, since its consent was lost."""
        self._paths.get(connection, set()).discard(path)
        if self._responders.get(path) == connection:
            del self._responders[path]

    def add_connection_id(self, connection_id: bytes, connection: ConnectionT) -> None:
        """Let packets with this destination connection ID reach a connection."""
        self._by_id.setdefault(connection_id, connection)

    def remove_connection_id(self, connection_id: bytes, connection: ConnectionT) -> None:
        """Let packets with this destination connection ID reach a connection no more."""
        if self._by_id.get(connection_id) == connection:
            del self._by_id[connection_id]

    def forget(self, connection: ConnectionT) -> None:
        """Forget everything about a connection."""
        self._paths.pop(connection, None)
        self._by_id = {key: value for key, value in self._by_id.items() if value != connection}
        self._responders = {
            path: value for path, value in self._responders.items() if value != connection
        }

    def route(
        self, datagrams: list[bytes], path: DatagramPath
    ) -> list[tuple[ConnectionT, list[bytes]]]:
        """Return the datagrams of a path in runs, each with the connection that it is for.

        Those that are for none are dropped and counted.
        """
        routed = []
        for connection_id, run in groupby(datagrams, destination_connection_id):
            batch = list(run)
            connection = self._connection_for(connection_id, batch, path)
            if connection is not None:
                routed.append((connection, batch))
        return routed

    def _connection_for(
        self, connection_id: bytes | None, batch: list[bytes], path: DatagramPath
    ) -> ConnectionT | None:
        """Return the connection of datagrams that have the same connection ID."""
        if connection_id is None:
            self.dropped["malformed"] += len(batch)
            return None
        connection = self._by_id.get(connection_id)
        if connection is None and any(map(initial_destination, batch)):
            connection = self._responders.get(path)
        if connection is None:
            self.dropped["unknown_connection"] += len(batch)
            return None
        if path not in self._paths.get(connection, ()):
            self.dropped["unauthenticated_path"] += len(batch)
            return None
        return connection
