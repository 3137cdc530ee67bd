"""Serves a Python shell over SSH, by Conch, to the peers that are named.

A stream has proven who is there before SSH begins, so SSH asks for no password of its own::

    pip install "Twisted[conch]"
    twist p2ptracker
    p2p --identity shell_client.pem id
    python shell_server.py TRACKER CLIENT
    python shell_client.py TRACKER SERVER

CLIENT is what the second command says, SERVER what the third one does, and both are peer IDs.
It needs ``pip install Twisted[conch]``.
"""

import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.interfaces import IConchUser
from twisted.conch.manhole import Manhole
from twisted.conch.manhole_ssh import ConchFactory, TerminalRealm
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.credentials import Anonymous, IAnonymous
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.task import react


class PeerLogin(SSHUserAuthServer):
    """Lets in whoever is there: the endpoint lets nobody else come so far."""

    interfaceToMethod = {IAnonymous: b"none"}  # noqa: N815, RUF012  (Conch's own name)

    def auth_none(self, packet):
        return self.portal.login(Anonymous(), None, IConchUser)


def shell_factory(namespace):
    """Return a factory of SSH connections that lead to a Python shell with these names."""
    realm = TerminalRealm()
    realm.chainedProtocolFactory = lambda: ServerProtocol(Manhole, namespace)
    factory = ConchFactory(Portal(realm, [AllowAnonymousAccess()]))
    factory.services = {**factory.services, b"ssh-userauth": PeerLogin}
    host_key = Key(Ed25519PrivateKey.generate())  # the client does not look at it
    factory.publicKeys = {b"ssh-ed25519": host_key.public()}
    factory.privateKeys = {b"ssh-ed25519": host_key}
    return factory


async def main(reactor, tracker, *peers):
    if not peers:
        sys.exit("name the peers that may use the shell")
    tracker = quoteStringArgument(tracker)
    text = f"p2p:shell:tracker={tracker}:identity=shell_server.pem:allow={','.join(peers)}"
    port = await serverFromString(reactor, text).listen(shell_factory({"reactor": reactor}))
    print(f"this is {port.getHost().peer_id}", flush=True)
    await Deferred()  # until it is interrupted


if __name__ == "__main__":
    react(main, sys.argv[1:])
