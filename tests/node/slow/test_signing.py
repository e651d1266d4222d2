"""The key of the checkpoints, and what it signs."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.errors import UserError
from node.slow.chain import Checkpoint
from node.slow.signing import is_signed, make_key, public_hex, read_key, sign

ROW = Checkpoint(4, "ab", 2, 99, 123, "")


def test_a_key_that_was_made_is_read_and_is_its_owners_alone(tmp_path):
    key = make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert public_hex(read_key(tmp_path / "key")) == public_hex(key)
    assert [x.name for x in tmp_path.iterdir()] == ["key"]


def test_no_key_is_ever_written_over_another(tmp_path):
    key = make_key(tmp_path / "key")
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key")
    assert public_hex(read_key(tmp_path / "key")) == public_hex(key)


def test_a_key_that_others_may_read_is_refused(tmp_path):
    make_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(UserError, match="chmod 600"):
        read_key(tmp_path / "key")


def test_what_is_no_such_key_is_refused(tmp_path):
    path = tmp_path / "key"
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for raw in (b"", b"not a key", other):
        path.write_bytes(raw)
        path.chmod(0o600)
        with pytest.raises(UserError, match="key"):
            read_key(path)


@pytest.mark.parametrize(
    "change",
    [{"lines": 5}, {"head": "ac"}, {"index": 3}, {"sequence": 98}, {"at_ns": 124}, {"previous": "1"}],
)
def test_a_signature_is_over_every_member(tmp_path, change):
    signed = sign(make_key(tmp_path / "key"), ROW)
    assert is_signed(signed)
    assert not is_signed(msgspec.structs.replace(signed, **change))


def test_a_signature_is_of_the_key_it_names(tmp_path):
    one, two = sign(make_key(tmp_path / "1"), ROW), sign(make_key(tmp_path / "2"), ROW)
    assert not is_signed(msgspec.structs.replace(one, key=two.key))
    assert not is_signed(msgspec.structs.replace(one, signature=two.signature))
    assert not is_signed(msgspec.structs.replace(one, signature=one.signature.upper()))
    for nonsense in ("", "zz", "00" * 31):
        assert not is_signed(msgspec.structs.replace(one, key=nonsense))
        assert not is_signed(msgspec.structs.replace(one, signature=nonsense))
