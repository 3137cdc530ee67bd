"""The identity key: what it signs, what it seals, and the file that keeps it.

No key material is ever shown: not by a repr, not by a message, and not by the variables of a
frame that an error can leave, since a verbose traceback prints those.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from enum import Enum, unique
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import Box
from nacl.signing import SigningKey, VerifyKey

from twisted_p2p.errors import IdentityFileError, UndecipherableBox
from twisted_p2p.identity.peer_id import PeerID

SIGNATURE_SIZE = 64
"""Bytes of an Ed25519 signature (RFC 8032 section 5.1.6)."""

BOX_OVERHEAD = Box.NONCE_SIZE + 16
"""Bytes by which a sealed box is longer than what is in it: nonce and Poly1305 tag."""

_LONGEST_FILE = 10_000


@unique
class SignatureLabel(Enum):
    """What a signature is for; every use has a label of its own, and here is all of them.

    A label ends with its only NUL, so none is the beginning of another one, and a signature
    made for one use means nothing in any other.
    """

    RECORD = b"twisted_p2p 1 signed record\0"
    REGISTER = b"twisted_p2p 1 register\0"
    UNREGISTER = b"twisted_p2p 1 unregister\0"
    CERTIFICATE = b"twisted_p2p 1 responder certificate\0"
    INITIATOR_PROOF = b"twisted_p2p 1 initiator proof\0"


class SealingBox:
    """Seals for one peer and opens what that peer sealed (X25519, XSalsa20, Poly1305).

    Both directions share one key: whoever can open a box could also have sealed it, and a box
    sent back to its sender opens there.  So sender and recipient belong into what is sealed.
    """

    __slots__ = ("_box",)

    def __init__(self, box: Box) -> None:
        self._box = box

    def seal(self, plain: bytes) -> bytes:
        """Return nonce and ciphertext, `BOX_OVERHEAD` bytes longer than ``plain``.

        The nonce is the library's own and random: one used twice would give both texts away.
        """
        return bytes(self._box.encrypt(plain))

    def open(self, boxed: bytes) -> bytes:
        """Return what the peer sealed; raise `UndecipherableBox` for anything else."""
        if len(boxed) >= BOX_OVERHEAD:
            with suppress(CryptoError):
                return bytes(self._box.decrypt(boxed))
        # Raised apart, so that it does not carry the library's frames, which hold the key.
        raise UndecipherableBox


class IdentityKey:
    """An Ed25519 key pair; its public half is `peer_id`."""

    __slots__ = ("_signing_key", "peer_id")

    def __init__(self, signing_key: SigningKey) -> None:
        self._signing_key = signing_key
        self.peer_id = PeerID.from_public_key(bytes(signing_key.verify_key))

    def __repr__(self) -> str:
        return f"<IdentityKey {self.peer_id}>"

    @classmethod
    def generate(cls) -> IdentityKey:
        """Return a fresh identity."""
        return cls(SigningKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> IdentityKey:
        """Return the identity of a 32-byte Ed25519 private key (RFC 8032 section 5.1.5)."""
        return cls(SigningKey(seed))

    def sign(self, label: SignatureLabel, *parts: bytes) -> bytes:
        """Return a signature, 64 bytes, over the label and this very list of parts."""
        return bytes(self._signing_key.sign(_signed_bytes(label, parts)).signature)

    def box_with(self, peer_id: PeerID) -> SealingBox:
        """Return what seals for a peer and opens what that peer sealed for this identity."""
        return SealingBox(
            Box(
                self._signing_key.to_curve25519_private_key(),
                VerifyKey(peer_id.public_key).to_curve25519_public_key(),
            )
        )


def verify(peer_id: PeerID, label: SignatureLabel, signature: bytes, *parts: bytes) -> bool:
    """Return whether this peer signed this list of parts under this label."""
    if len(signature) != SIGNATURE_SIZE:
        return False
    try:
        VerifyKey(peer_id.public_key).verify(_signed_bytes(label, parts), signature)
    except BadSignatureError:
        return False
    return True


def _signed_bytes(label: SignatureLabel, parts: tuple[bytes, ...]) -> bytes:
    """Join label and parts, each with its length, so that no two lists give the same bytes."""
    framed = (len(part).to_bytes(4, "big") + part for part in parts)
    return label.value + b"".join(framed)


def load_identity(path: str | os.PathLike[str]) -> IdentityKey:
    """Return the identity in a PEM file (PKCS #8, RFC 8410).

    Raises `IdentityFileError`, in one sentence that says what to do, when the file is missing,
    cannot be read, holds no Ed25519 key or is open to other users: a mode beyond 0600, or a
    folder in which others may replace it.
    """
    file = Path(path)
    try:
        identity = _decode_pem(_read_private_file(file))
    except OSError as error:
        raise _cannot("read", file, error) from None
    if identity is None:
        raise IdentityFileError(f"The identity file {file} holds no Ed25519 key in PEM form.")
    return identity


def load_or_create_identity(path: str | os.PathLike[str]) -> IdentityKey:
    """Return the identity in a PEM file, which is made, with its folder, when it is missing.

    A new folder has mode 0700, a new file 0600.  The file appears whole or not at all, and of
    several processes that make it at once all return the same identity.  Raises
    `IdentityFileError` as `load_identity` does, and when the file cannot be written.
    """
    file = Path(path)
    if not os.path.lexists(file):
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_open_folder(file.parent)
            _create_private_file(file, IdentityKey.generate())
        except OSError as error:
            raise _cannot("write", file, error) from None
    return load_identity(file)


def _cannot(do: str, file: Path, error: OSError) -> IdentityFileError:
    """Put an operating system's error into one sentence."""
    reason = error.strerror or type(error).__name__
    return IdentityFileError(f"Cannot {do} the identity file {file}: {reason}.")


def _refuse_open_folder(folder: Path) -> None:
    """Refuse a folder in which others can put another key in the place of ours.

    In a sticky one such as /tmp they cannot.  Others may list a folder: the file's own mode
    keeps them from reading the key.
    """
    mode = folder.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise IdentityFileError(
            f"Other users may replace files in {folder}, where the identity file is "
            f"(mode {stat.S_IMODE(mode):04o}); run: chmod go-w {folder}"
        )


def _read_private_file(file: Path) -> bytes:
    """Return what a file holds; refuse it before reading if others can get at it."""
    _refuse_open_folder(file.resolve().parent)
    # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        # The mode of what was opened, not of what the name may lead to a moment later.
        _refuse_open_file(file, os.fstat(descriptor).st_mode)
        return os.read(descriptor, _LONGEST_FILE)
    finally:
        os.close(descriptor)


def _refuse_open_file(file: Path, mode: int) -> None:
    """Refuse what is no file, or one that others can get at."""
    if not stat.S_ISREG(mode):
        raise IdentityFileError(f"The identity file {file} is not an ordinary file.")
    if mode & 0o077:
        raise IdentityFileError(
            f"The identity file {file} is open to other users "
            f"(mode {stat.S_IMODE(mode):04o}); run: chmod 600 {file}"
        )


def _decode_pem(pem: bytes) -> IdentityKey | None:
    """Return the key of a PEM file or None; raising would show ``pem`` in the traceback."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, Ed25519PrivateKey):
        return None
    return IdentityKey.from_seed(key.private_bytes_raw())


def _encode_pem(identity: IdentityKey) -> bytes:
    """Return the key as PKCS #8 in PEM."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(identity._signing_key))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _create_private_file(file: Path, identity: IdentityKey) -> None:
    """Write a new key so that the file is whole, private and on the disk, or not there.

    A link rather than a rename gives the file its name: it fails where another process was
    faster, whose key then stands, where a rename would put ours in the place of a key in use.
    """
    # mkstemp creates exclusively, with mode 0600.
    descriptor, unnamed = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as opened:
            opened.write(_encode_pem(identity))
            opened.flush()
            os.fsync(descriptor)
        os.link(unnamed, file)
    except FileExistsError:
        pass
    finally:
        os.unlink(unnamed)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    """Put the folder's list of names on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
