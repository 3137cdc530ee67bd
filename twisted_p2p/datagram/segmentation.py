"""Sending runs of equally long datagrams by one system call each (Linux 4.18, UDP_SEGMENT)."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from errno import EINVAL, EIO, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP
from itertools import groupby

from twisted_p2p.addresses import HostPort

_UDP_SEGMENT = 103
_MOST_SEGMENTS = 64
_MOST_BYTES = 65_507
_REFUSALS = {EINVAL, EIO, EMSGSIZE, ENOPROTOOPT, EOPNOTSUPP}
_REMEMBERED_REFUSALS = 1_000


def runs(datagrams: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Return the datagrams, in order, in runs of equally long ones that one call takes."""
    for size, group in groupby(datagrams, len):
        equal = list(group)
        most = max(1, min(_MOST_SEGMENTS, _MOST_BYTES // size)) if size else 1
        for start in range(0, len(equal), most):
            yield equal[start : start + most]


class SegmentSender:
    """Sends runs by one socket, unless the system refuses that for where they go.

    It depends on the interface that leads there, so it is remembered for each remote address.
    """

    def __init__(self, handle: socket.socket) -> None:
        self._handle = handle
        self._refused: set[HostPort] = set()

    def send(self, run: list[bytes], remote: HostPort) -> bool:
        """Send a run; return False if it has to be sent one by one.

        :raises OSError: when the system does not send it, for other reasons than its being a run.
        """
        if sys.platform != "linux" or remote in self._refused:
            return False
        size = len(run[0]).to_bytes(2, sys.byteorder)
        try:
            self._handle.sendmsg(run, [(socket.IPPROTO_UDP, _UDP_SEGMENT, size)], 0, remote)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            if len(self._refused) >= _REMEMBERED_REFUSALS:
                self._refused.clear()
            self._refused.add(remote)
            return False
        return True
