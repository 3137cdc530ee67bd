"""Which of its own addresses a host sends from."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorUDP
from twisted.internet.protocol import DatagramProtocol

from twisted_p2p.addresses import DatagramPath, HostPort

_REMEMBERED_HOSTS = 1_000
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104  (compared, never bound)


class LocalAddresses:
    """Tells, and remembers, the local addresses of paths whose sockets are bound to none."""

    def __init__(self, reactor: IReactorUDP) -> None:
        self._reactor = reactor
        self._hosts: dict[str, str] = {}

    def of(self, path: DatagramPath) -> HostPort:
        """Return the address from which packets of a path leave, as far as the system tells."""
        assert isinstance(path.local, HostPort)
        if path.local.host not in _UNSPECIFIED:
            return path.local
        host = self._hosts.get(path.remote.host)
        if host is None:
            try:
                host = local_address_towards(self._reactor, path.remote).host
            except OSError:
                host = path.local.host
            if len(self._hosts) >= _REMEMBERED_HOSTS:
                self._hosts.clear()
            self._hosts[path.remote.host] = host
        return HostPort(host, path.local.port)

    def forget(self) -> None:
        """Find out anew: the host has other addresses."""
        self._hosts.clear()


def local_address_towards(reactor: IReactorUDP, remote: HostPort) -> HostPort:
    """Return the local address from which this host would send to ``remote``; nothing is sent.

    The port is that of a socket already closed: only the host means something.

    :raises OSError: when there is no route, or no address of that family.
    """
    try:
        probe: Any = reactor.listenUDP(0, _SilentProtocol(), "::" if remote.is_ipv6 else "", 8_192)
    except CannotListenError as error:
        raise OSError(str(error)) from error
    try:
        probe.connect(*remote)
        host = probe.getHost()
        return HostPort(host.host, host.port)
    finally:
        probe.stopListening()


class _SilentProtocol(DatagramProtocol):
    noisy = False
