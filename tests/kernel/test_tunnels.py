"""Programs that know nothing of peers, through tunnels between two peers behind real NATs."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Collection
from getpass import getuser
from pathlib import Path

from tests.kernel.programs import LabTestCase, Program
from tests.requirements import leave_out, require_program
from twisted_p2p.network_namespaces.nat_rules import NATFlavour

SERVER_PORT, ENTRANCE_PORT = 8000, 8080
BIG, SMALL = 32 << 20, 100_000
BROKEN_OFF = (7, 56)
"""Exit statuses of curl: the reset may come before it has noticed that it is connected."""


class TunnelTestCase(LabTestCase):
    """A server at the right peer, which is reached from the left one."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def make_file(self, name: str, size: int) -> str:
        """Make a file of random bytes, and return its digest."""
        data = os.urandom(size)
        (self.folder / name).write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    async def dig(self) -> None:
        """Build the lab, and a tunnel in it."""
        await self.build(NATFlavour.PORT_RESTRICTED, NATFlavour.PORT_RESTRICTED)
        right, left = self.lab.right, self.lab.left
        self.exit = self.start_p2p(right, "listen", "it", "--to", f"tcp:127.0.0.1:{SERVER_PORT}")
        peer_id = (await self.exit.event("ready"))["peer"]
        entrance = f"tcp:{ENTRANCE_PORT}:interface=127.0.0.1"
        self.entrance = self.start_p2p(left, "connect", peer_id, "it", "--from", entrance)
        await self.entrance.event("ready")

    async def run_at_left(self, *arguments: str, statuses: Collection[int] = (0,)) -> Program:
        """Run a program at the left peer to its end, which is to be one of these statuses."""
        program = self.programs.start(self.lab.left, *arguments)
        await program.ended()
        self.assertIn(program.exit_status, statuses, program.complaints)
        return program

    async def assert_closed(self, streams: int) -> tuple[int, int]:
        """Assert that both sides counted the same; return the bytes sent to and by the server."""
        here = await self.entrance.happened("closed", streams)
        there = await self.exit.happened("closed", streams)
        sent, received = (
            sum(event[key] for event in here) for key in ("bytes_sent", "bytes_received")
        )
        self.assertEqual(sum(event["bytes_received"] for event in there), sent)
        self.assertEqual(sum(event["bytes_sent"] for event in there), received)
        return sent, received


class CurlTests(TunnelTestCase):
    def setUp(self) -> None:
        require_program("curl", "curl")
        super().setUp()

    async def curl(self, *arguments: str, statuses: Collection[int] = (0,)) -> Program:
        words = ("curl", "--silent", "--show-error", *arguments)
        return await self.run_at_left(*words, statuses=statuses)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{ENTRANCE_PORT}/{name}"

    async def serve(self) -> Program:
        server = self.programs.start(
            self.lab.right,
            *(sys.executable, "-m", "twisted", "web", "--path", str(self.folder)),
            *("--listen", f"tcp:{SERVER_PORT}:interface=127.0.0.1"),
        )
        await server.said("Starting factory")
        return server

    async def test_a_web_server_as_curl_sees_it(self) -> None:
        await self.dig()
        big = self.make_file("big", BIG)
        small = [self.make_file(f"small-{number}", SMALL) for number in range(8)]

        server = await self.serve()
        # Several requests in one connection, which stays open for the next one.
        kept = await self.curl("--write-out", "|%{num_connects}|", *[self.url("small-0")] * 3)
        self.assertEqual(kept.size, 3 * (SMALL + 3))
        await self.assert_closed(1)

        # A server that ends its half when it has answered.
        once = await self.curl("--http1.0", "--header", "Connection: close", self.url("big"))
        self.assertEqual(once.digest.hexdigest(), big)
        await self.assert_closed(2)

        # Several at once.
        into = self.folder / "into"
        names = "small-[0-7]"
        await self.curl(
            *("--parallel", "--parallel-immediate", "--create-dirs"),
            *("--output", str(into / "#1"), self.url(names)),
        )
        digests = [
            hashlib.sha256((into / str(number)).read_bytes()).hexdigest() for number in range(8)
        ]
        self.assertEqual(digests, small)
        _, received = await self.assert_closed(10)
        self.assertGreater(received, BIG + 11 * SMALL)

        # A server that dies in mid-transfer.
        dying = self.programs.start(
            self.lab.left, "curl", "--silent", "--limit-rate", "1M", self.url("big")
        )
        await dying.received(1)
        await server.kill()
        await dying.ended()
        self.assertNotEqual(dying.exit_status, 0)
        self.assertLess(dying.size, BIG)

        # And now there is none.
        await self.curl(self.url("big"), statuses=BROKEN_OFF)
        self.assertEqual((await self.exit.event("error"))["code"], "target_unreachable")


class SSHTests(TunnelTestCase):
    """The server has keys and a configuration of its own, and runs as long as the test."""

    def setUp(self) -> None:
        require_program("ssh", "openssh-client")
        require_program("ssh-keygen", "openssh-client")
        require_program("sshd", "openssh-server")
        if os.geteuid():
            leave_out("The SSH server lets nobody but root choose who logs in.")
        super().setUp()

    async def make_key(self, name: str) -> tuple[Path, str]:
        """Return the file of a new key, and its public part."""
        file = self.folder / name
        await self.run_at_left("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file))
        return file, file.with_suffix(".pub").read_text()

    async def serve(self) -> tuple[str, ...]:
        """Start the server, and return the options of ``ssh`` and ``scp`` that lead to it."""
        host_key, host = await self.make_key("host")
        key, own = await self.make_key("own")
        (self.folder / "authorized").write_text(own)
        (self.folder / "known").write_text(f"[127.0.0.1]:{ENTRANCE_PORT} {host}")
        (self.folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{SERVER_PORT}\n"
            f"HostKey {host_key}\n"
            f"AuthorizedKeysFile {self.folder / 'authorized'}\n"
            "PidFile none\nStrictModes no\nUsePAM yes\nPermitRootLogin prohibit-password\n"
            "Subsystem sftp internal-sftp\n"
        )
        # It wants a folder /run/sshd, which is made for it alone.
        command = shlex.join(["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "config")])
        script = f"mount -t tmpfs none /run && mkdir -m 0755 /run/sshd && exec {command}"
        self.server = self.programs.start(
            self.lab.right, "unshare", "--mount", "sh", "-e", "-c", script
        )
        await self.server.complained("Server listening")
        options = {
            "IdentityFile": key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.folder / "known",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "Port": ENTRANCE_PORT,
        }
        return ("-F", "none", *(f"-o{name}={value}" for name, value in options.items()))

    async def test_a_command_and_a_copy(self) -> None:
        await self.dig()
        options = await self.serve()
        digest = self.make_file("big", BIG)
        host = f"{getuser()}@127.0.0.1"
        there = shlex.quote(str(self.folder / "big"))

        said = await self.run_at_left("ssh", *options, host, "echo $((6 * 7))")
        self.assertTrue(await said.said("42\n"))

        piped = await self.run_at_left("ssh", *options, host, f"cat {there}")
        self.assertEqual((piped.size, piped.digest.hexdigest()), (BIG, digest))

        copied = self.folder / "copied"
        await self.run_at_left("scp", "-q", *options, f"{host}:{there}", str(copied))
        self.assertEqual(hashlib.sha256(copied.read_bytes()).hexdigest(), digest)

        sent, received = await self.assert_closed(3)
        self.assertGreater(received, 2 * BIG)
        self.assertGreater(sent, 0)
