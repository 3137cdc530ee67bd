"""What Linux tells of its network interfaces while it happens (rtnetlink(7))."""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct, error
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

# From linux/rtnetlink.h, linux/netlink.h and linux/if.h.
_RTMGRP_LINK, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x10, 0x100
_RTM_NEWLINK = 16
_IFF_RUNNING = 0x40
_MESSAGE = Struct("=LHHLL")  # length, type, flags, sequence, port
_LINK = Struct("=BxHiII")  # family, type of device, index, flags, mask of changes

_BUFFER = 65_536


@implementer(IReadDescriptor)
class NetlinkWatch:
    """A socket that is told of links and addresses that change.

    Only that something has changed is taken from it, and which links came up: what is there now,
    whoever is woken finds out by other means.
    """

    def __init__(self, reactor: Any, changed: Callable[[bool], object]) -> None:
        """Begin to read; ``changed`` is called with whether a link has come up.

        :raises OSError: when the system has no such socket, or permits none.
        """
        self._reactor = reactor
        self._changed = changed
        self._is_running: dict[int, bool] = {}
        self._socket = open_socket()
        reactor.addReader(self)

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """Return the name of this in a log."""
        return "netlink"

    def doRead(self) -> None:
        """Read what there is; when the system had more to tell than it kept, all may be new."""
        came_up = False
        try:
            while True:
                came_up = self._has_come_up(self._socket.recv(_BUFFER)) or came_up
        except BlockingIOError:
            pass
        except OSError:
            came_up = True
        self._changed(came_up)

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket."""
        self._socket.close()

    def stop(self) -> None:
        """Watch no more."""
        self._reactor.removeReader(self)
        self._socket.close()

    def _has_come_up(self, data: bytes) -> bool:
        """Return whether a message among these says that a link carries packets that did not."""
        came_up = False
        offset = 0
        try:
            while offset < len(data):
                length, kind, *_ = _MESSAGE.unpack_from(data, offset)
                if kind == _RTM_NEWLINK:
                    _, _, index, flags, _ = _LINK.unpack_from(data, offset + _MESSAGE.size)
                    came_up = self._runs(index, bool(flags & _IFF_RUNNING)) or came_up
                offset += max(_MESSAGE.size, (length + 3) & ~3)
        except error:
            return True
        return came_up

    def _runs(self, index: int, is_running: bool) -> bool:
        """Take note of a link's state, and return whether it has come up or is news."""
        before, self._is_running[index] = self._is_running.get(index), is_running
        return is_running and not before


def open_socket() -> socket.socket:
    """Return a socket that is told of links and addresses; raises `OSError`."""
    opened = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    try:
        opened.setblocking(False)
        opened.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
    except OSError:
        opened.close()
        raise
    return opened
