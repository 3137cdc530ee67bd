"""Identity keys: signatures, boxes, and the file that keeps the key (promise 19)."""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import permutations
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twisted_p2p.errors import IdentityFileError, UndecipherableBox
from twisted_p2p.identity import keys
from twisted_p2p.identity.keys import (
    BOX_OVERHEAD,
    IdentityKey,
    SignatureLabel,
    load_identity,
    load_or_create_identity,
    verify,
)

SEED = bytes(range(32))
ALICE = IdentityKey.from_seed(SEED)
BOB = IdentityKey.from_seed(bytes(32))
MALLORY = IdentityKey.from_seed(b"\xff" * 32)

LABELS = st.sampled_from(SignatureLabel)
PARTS = st.lists(st.binary(max_size=40), max_size=4)


class LabelTests(SynchronousTestCase):
    def test_no_label_is_the_beginning_of_another(self) -> None:
        for one, other in permutations(SignatureLabel, 2):
            self.assertFalse(other.value.startswith(one.value), f"{one} begins {other}")

    def test_each_label_ends_with_its_only_nul(self) -> None:
        for label in SignatureLabel:
            self.assertEqual(label.value.find(b"\0"), len(label.value) - 1)


class SignatureTests(SynchronousTestCase):
    def test_key_of_a_known_seed_is_the_known_one(self) -> None:
        """RFC 8032 section 7.1, test 1."""
        seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        self.assertEqual(
            IdentityKey.from_seed(bytes.fromhex(seed)).peer_id,
            "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkena",
        )

    def test_generated_identities_differ(self) -> None:
        self.assertNotEqual(IdentityKey.generate().peer_id, IdentityKey.generate().peer_id)

    @given(label=LABELS, parts=PARTS)
    def test_own_signature_verifies(self, label: SignatureLabel, parts: list[bytes]) -> None:
        signature = ALICE.sign(label, *parts)
        self.assertEqual(len(signature), 64)
        self.assertTrue(verify(ALICE.peer_id, label, signature, *parts))

    @given(label=LABELS, parts=PARTS, other_parts=PARTS)
    def test_signature_holds_for_one_key_one_label_and_one_list_of_parts(
        self, label: SignatureLabel, parts: list[bytes], other_parts: list[bytes]
    ) -> None:
        signature = ALICE.sign(label, *parts)
        self.assertFalse(verify(BOB.peer_id, label, signature, *parts))
        for other in set(SignatureLabel) - {label}:
            self.assertFalse(verify(ALICE.peer_id, other, signature, *parts))
        self.assertEqual(
            verify(ALICE.peer_id, label, signature, *other_parts), parts == other_parts
        )

    def test_parts_cannot_be_cut_elsewhere(self) -> None:
        signature = ALICE.sign(SignatureLabel.RECORD, b"ab", b"c")
        for parts in ([b"a", b"bc"], [b"abc"], [b"ab", b"c", b""], [b"", b"ab", b"c"]):
            self.assertFalse(verify(ALICE.peer_id, SignatureLabel.RECORD, signature, *parts))

    @given(bit=st.integers(0, 511))
    def test_altered_signature_is_refused(self, bit: int) -> None:
        signature = bytearray(ALICE.sign(SignatureLabel.RECORD, b"text"))
        signature[bit // 8] ^= 1 << bit % 8
        self.assertFalse(verify(ALICE.peer_id, SignatureLabel.RECORD, bytes(signature), b"text"))

    @given(signature=st.binary(max_size=100))
    def test_any_bytes_as_signature_are_refused(self, signature: bytes) -> None:
        self.assertFalse(verify(ALICE.peer_id, SignatureLabel.RECORD, signature, b"text"))


class BoxTests(SynchronousTestCase):
    @given(plain=st.binary(max_size=1000))
    def test_peer_opens_what_was_sealed_for_it(self, plain: bytes) -> None:
        boxed = ALICE.box_with(BOB.peer_id).seal(plain)
        self.assertEqual(len(boxed), len(plain) + BOX_OVERHEAD)
        self.assertEqual(BOB.box_with(ALICE.peer_id).open(boxed), plain)

    def test_same_text_is_sealed_differently_each_time(self) -> None:
        box = ALICE.box_with(BOB.peer_id)
        self.assertNotEqual(box.seal(b"text"), box.seal(b"text"))

    def test_third_party_can_neither_open_nor_pose_as_sender(self) -> None:
        boxed = ALICE.box_with(BOB.peer_id).seal(b"text")
        for reader, sender in ((MALLORY, ALICE), (MALLORY, BOB), (BOB, MALLORY)):
            box = reader.box_with(sender.peer_id)
            self.assertRaises(UndecipherableBox, box.open, boxed)

    @given(data=st.data())
    def test_altered_box_is_refused(self, data: st.DataObject) -> None:
        boxed = bytearray(ALICE.box_with(BOB.peer_id).seal(b"text"))
        boxed[data.draw(st.integers(0, len(boxed) - 1))] ^= data.draw(st.integers(1, 255))
        self.assertRaises(UndecipherableBox, BOB.box_with(ALICE.peer_id).open, bytes(boxed))

    @given(boxed=st.binary(max_size=100))
    def test_any_bytes_give_the_declared_error(self, boxed: bytes) -> None:
        self.assertRaises(UndecipherableBox, ALICE.box_with(BOB.peer_id).open, boxed)

    def test_error_carries_no_frame_of_the_library(self) -> None:
        box = ALICE.box_with(BOB.peer_id)
        error = self.assertRaises(UndecipherableBox, box.open, bytes(100))
        self.assertIsNone(error.__context__)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class IdentityFileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute() / "private"
        self.file = self.folder / "identity.pem"

    def write(self, content: bytes, mode: int = 0o600) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        self.file.write_bytes(content)
        self.file.chmod(mode)

    def refusal(self, load: Callable[[Path], IdentityKey] = load_identity) -> str:
        """Return the one sentence with which the file is refused."""
        message = str(self.assertRaises(IdentityFileError, load, self.file))
        self.assertNotIn("\n", message)
        return message


def pem_of(seed: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class CreateIdentityTests(IdentityFileTestCase):
    def test_file_is_made_0600_in_a_0700_folder_whatever_the_umask(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        load_or_create_identity(self.file)
        self.assertEqual((mode_of(self.file), mode_of(self.folder)), (0o600, 0o700))

    def test_made_once_and_loaded_afterwards(self) -> None:
        identity = load_or_create_identity(str(self.file))
        self.assertEqual(load_or_create_identity(self.file).peer_id, identity.peer_id)
        self.assertEqual(load_identity(self.file).peer_id, identity.peer_id)

    def test_file_is_pkcs8_pem_that_others_read(self) -> None:
        identity = load_or_create_identity(self.file)
        key = load_pem_private_key(self.file.read_bytes(), None)
        assert isinstance(key, Ed25519PrivateKey)
        self.assertEqual(key.public_key().public_bytes_raw(), identity.peer_id.public_key)

    def test_nothing_else_is_left_in_the_folder(self) -> None:
        load_or_create_identity(self.file)
        self.assertEqual(list(self.folder.iterdir()), [self.file])

    def test_file_is_on_the_disk_before_it_has_its_name_and_its_folder_after(self) -> None:
        steps = []
        fsync = os.fsync

        def recording_fsync(descriptor: int) -> None:
            kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
            size = os.fstat(descriptor).st_size if kind == "file" else None
            steps.append((kind, size, self.file.exists()))
            fsync(descriptor)

        self.patch(keys.os, "fsync", recording_fsync)
        load_or_create_identity(self.file)
        self.assertEqual(steps, [("file", len(pem_of(SEED)), False), ("folder", None, True)])

    def test_a_key_that_another_process_made_meanwhile_stands(self) -> None:
        link = os.link

        def overtaken_link(source: str, target: Path) -> None:
            self.file.write_bytes(pem_of(SEED))
            self.file.chmod(0o600)
            link(source, target)

        self.patch(keys.os, "link", overtaken_link)
        self.assertEqual(load_or_create_identity(self.file).peer_id, ALICE.peer_id)
        self.assertEqual(self.file.read_bytes(), pem_of(SEED))
        self.assertEqual(list(self.folder.iterdir()), [self.file])

    def test_all_who_make_it_at_once_get_the_same_identity(self) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(load_or_create_identity, [self.file] * 16))
        self.assertEqual(
            {identity.peer_id for identity in made}, {load_identity(self.file).peer_id}
        )

    def test_failed_write_leaves_nothing_and_says_why(self) -> None:
        def full_disk(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(keys.os, "fsync", full_disk)
        self.assertIn("No space left on device", self.refusal(load_or_create_identity))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_folder_that_cannot_be_made_is_said(self) -> None:
        self.folder.parent.mkdir()
        self.folder.write_bytes(b"a file where the folder should be")
        self.assertIn("Cannot write", self.refusal(load_or_create_identity))

    def test_nothing_is_made_where_others_may_write(self) -> None:
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o777)
        self.assertIn("chmod go-w", self.refusal(load_or_create_identity))
        self.assertEqual(list(self.folder.iterdir()), [])


class RefusedIdentityFileTests(IdentityFileTestCase):
    def test_every_wider_mode_is_refused_before_the_file_is_read(self) -> None:
        self.write(pem_of(SEED))
        self.patch(keys.os, "read", None)
        for extra in (1 << bit for bit in range(6)):
            self.file.chmod(0o600 | extra)
            self.assertIn(f"mode {0o600 | extra:04o}", self.refusal())
            self.assertIn("chmod 600", self.refusal(load_or_create_identity))

    def test_narrower_modes_are_taken(self) -> None:
        self.write(pem_of(SEED), mode=0o400)
        self.assertEqual(load_identity(self.file).peer_id, ALICE.peer_id)

    def test_folder_in_which_others_may_write_is_refused(self) -> None:
        self.write(pem_of(SEED))
        for mode in (0o770, 0o702, 0o777):
            self.folder.chmod(mode)
            self.assertIn(f"mode {mode:04o}", self.refusal())

    def test_folder_that_others_may_only_list_or_that_is_sticky_is_taken(self) -> None:
        self.write(pem_of(SEED))
        for mode in (0o755, 0o1777):
            self.folder.chmod(mode)
            self.assertEqual(load_identity(self.file).peer_id, ALICE.peer_id)

    def test_folder_that_a_link_leads_to_is_the_one_that_counts(self) -> None:
        self.write(pem_of(SEED))
        link = self.folder.parent / "link.pem"
        link.symlink_to(self.file)
        self.assertEqual(load_identity(link).peer_id, ALICE.peer_id)
        self.folder.chmod(0o777)
        self.assertRaises(IdentityFileError, load_identity, link)

    def test_missing_file_is_said(self) -> None:
        self.assertIn("No such file", self.refusal())
        self.folder.mkdir(parents=True)
        self.assertIn("No such file", self.refusal())

    def test_link_that_leads_nowhere_is_not_replaced(self) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        self.file.symlink_to("elsewhere")
        self.assertIn("No such file", self.refusal(load_or_create_identity))
        self.assertTrue(self.file.is_symlink())

    def test_folders_and_pipes_are_refused_at_once(self) -> None:
        self.folder.mkdir(parents=True, mode=0o700)
        self.file.mkdir()
        self.assertIn("not an ordinary file", self.refusal())
        self.file.rmdir()
        os.mkfifo(self.file, 0o600)
        self.assertIn("not an ordinary file", self.refusal())

    def test_other_content_is_refused(self) -> None:
        x25519 = X25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        encrypted = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        self.write(b"")
        for content in (b"", b"nonsense", x25519, encrypted, pem_of(SEED)[:-40], b"\xff" * 20_000):
            self.file.write_bytes(content)
            self.assertIn("holds no Ed25519 key", self.refusal())

    @given(content=st.binary(max_size=200))
    def test_any_content_gives_the_declared_error(self, content: bytes) -> None:
        self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        self.file.touch(0o600)
        self.file.write_bytes(content)
        self.refusal()


class SecrecyTests(IdentityFileTestCase):
    """Promise 19: the key is in no repr, no message and no traceback, not even a verbose one."""

    def setUp(self) -> None:
        super().setUp()
        # Not a global of this module: a verbose traceback shows those of every frame.
        self.seed = sha256(b"a secret of these tests").digest()
        self.identity = IdentityKey.from_seed(self.seed)

    def assert_secret(self, text: str) -> None:
        in_pem = pem_of(self.seed).split(b"\n")[1].decode()[-40:]
        in_base64 = b64encode(self.seed).decode()
        for spelling in (self.seed.hex(), repr(self.seed)[2:-1], in_pem, in_base64):
            self.assertNotIn(spelling, text)

    def traceback_of(self, call: Callable[[], object]) -> str:
        try:
            call()
        except Exception:
            return Failure(captureVars=True).getTraceback(detail="verbose")
        return self.fail("nothing was raised")

    def test_repr_and_str_show_the_peer_id_alone(self) -> None:
        self.assertEqual(repr(self.identity), f"<IdentityKey {self.identity.peer_id}>")
        self.assertEqual(f"{self.identity}", repr(self.identity))
        self.assert_secret(repr([self.identity]))
        self.assertFalse(hasattr(self.identity, "__dict__"))

    def test_repr_of_a_box_shows_no_key(self) -> None:
        box = self.identity.box_with(BOB.peer_id)
        self.assertIn("SealingBox object at", repr(box))
        self.assertFalse(hasattr(box, "__dict__"))

    def test_traceback_of_a_refused_file_shows_no_key(self) -> None:
        """A stray byte in front, a mode too wide, a key cut short."""
        self.write(b"")
        for content, mode in (
            (pem_of(self.seed).replace(b"BEGIN", b"BEGUN"), 0o600),
            (pem_of(self.seed)[:-30], 0o600),
            (pem_of(self.seed), 0o640),
        ):
            self.file.write_bytes(content)
            self.file.chmod(mode)
            self.assert_secret(self.traceback_of(lambda: load_identity(self.file)))

    def test_traceback_of_a_failed_write_shows_no_key(self) -> None:
        def full_disk(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(keys.os, "fsync", full_disk)
        self.patch(keys.IdentityKey, "generate", lambda: self.identity)
        text = self.traceback_of(lambda: load_or_create_identity(self.file))
        self.assertIn("No space left on device", text)
        self.assert_secret(text)

    def test_traceback_of_a_wrong_call_shows_no_key(self) -> None:
        wrong = "not bytes"
        text = self.traceback_of(
            lambda: self.identity.sign(SignatureLabel.RECORD, wrong)  # type: ignore[arg-type]
        )
        self.assertIn(repr(self.identity), text)
        self.assert_secret(text)
