"""The key that signs an archive's checkpoints: Ed25519, in a file that only its owner reads."""

import os
import stat
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from node.errors import UserError
from node.slow.chain import Checkpoint, to_sign
from node.slow.segments import sync_folder

KEY_NAME = "archive.key"  # in the archive, where the config names no other place


def make_key(path: Path) -> Ed25519PrivateKey:
    """A new key in a file of mode 0600, whole or not at all. Raises OSError, also where there is a file
    already."""
    key = Ed25519PrivateKey.generate()
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    os.link(part, path)  # unlike a rename, never over another one
    part.unlink()
    sync_folder(path.parent)
    return key


def read_key(path: Path) -> Ed25519PrivateKey:
    """Raises UserError, FileNotFoundError."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UserError(f"{path}: others may read this key: chmod 600 {path}")
            key = load_pem_private_key(file.read(), None)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(f"{path}: not an unencrypted private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(f"{path}: must be an Ed25519 key")
    return key


def public_hex(key: Ed25519PrivateKey) -> str:
    """The public half: 64 hexadecimal digits."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def sign(key: Ed25519PrivateKey, checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint` with key and signature."""
    bare = msgspec.structs.replace(checkpoint, key=public_hex(key), signature="")
    return msgspec.structs.replace(bare, signature=key.sign(to_sign(bare)).hex())


def is_signed(checkpoint: Checkpoint) -> bool:
    """Its signature is that of the key it names."""
    try:
        key, signature = bytes.fromhex(checkpoint.key), bytes.fromhex(checkpoint.signature)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, to_sign(checkpoint))
    except (InvalidSignature, ValueError):
        return False
    return signature.hex() == checkpoint.signature  # not in other letters: every byte of the line counts
