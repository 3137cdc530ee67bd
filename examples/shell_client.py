"""Uses the shell of ``shell_server.py``, which says how to run both; Control-D leaves it::

python shell_client.py TRACKER PEER
"""

import sys
import termios
import tty

from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.connection import SSHConnection
from twisted.conch.ssh.session import packRequest_pty_req
from twisted.conch.ssh.transport import SSHClientTransport
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import clientFromString, connectProtocol, quoteStringArgument
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react

from twisted_p2p.errors import P2PError


class ShellTransport(SSHClientTransport):
    """An SSH connection over a stream that is authenticated already."""

    def __init__(self, terminal):
        self.terminal, self.left = terminal, Deferred()

    def verifyHostKey(self, hostKey, fingerprint):  # noqa: N802, N803  (Conch's own names)
        return succeed(True)  # the stream leads to the peer that was dialled, or nowhere

    def connectionSecure(self):  # noqa: N802
        self.requestService(PeerLogin(b"peer", ShellConnection()))

    def connectionLost(self, reason):
        super().connectionLost(reason)
        self.left.callback(None)


class PeerLogin(SSHUserAuthClient):
    def serviceStarted(self):  # noqa: N802
        self.askForAuth(b"none", b"")


class ShellConnection(SSHConnection):
    def serviceStarted(self):  # noqa: N802
        self.openChannel(ShellChannel(conn=self))


class ShellChannel(SSHChannel):
    """A shell, joined to the terminal."""

    name = b"session"

    def channelOpen(self, specificData):  # noqa: N802, N803
        self.conn.sendRequest(self, b"pty-req", packRequest_pty_req(b"xterm", (24, 80, 0, 0), b""))
        self.conn.sendRequest(self, b"shell", b"")
        self.conn.transport.terminal.channel = self
        StandardIO(self.conn.transport.terminal)

    def dataReceived(self, data):
        self.conn.transport.terminal.transport.write(data)

    def closed(self):
        self.conn.transport.loseConnection()


class Terminal(Protocol):
    """Keyboard and screen; the shell at the other end says itself what is typed."""

    def connectionMade(self):
        if sys.stdin.isatty():
            self._before = termios.tcgetattr(0)
            tty.setraw(0)

    def dataReceived(self, data):
        self.channel.write(data)

    def connectionLost(self, reason):
        if hasattr(self, "_before"):
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)


async def main(reactor, tracker, peer):
    where = f"tracker={quoteStringArgument(tracker)}:identity=shell_client.pem"
    endpoint = clientFromString(reactor, f"p2p:{peer}:service=shell:{where}")
    try:
        shell = await connectProtocol(endpoint, ShellTransport(Terminal()))
    except P2PError as error:
        sys.exit(str(error))
    await shell.left
    shell.terminal.transport.loseConnection()


if __name__ == "__main__":
    react(main, sys.argv[1:])
