"""The native HMAC-SHA-256 (ext/sha256.h), compiled both ways and compared with Python's."""

import ctypes
import hmac
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

EXT = Path(__file__).parents[1] / "ext"
SOURCE = """
#include "sha256.h"
void hmac(const uint8_t *key, size_t key_size, const uint8_t *text, size_t size, uint8_t *out) {
    tg_hmac h;
    tg_hmac_key(&h, key, key_size);
    tg_hmac_sign(&h, text, size, out);
}
"""


@pytest.fixture(scope="module", params=["-march=native", "-DTG_SHA256_PLAIN"])
def native(request, tmp_path_factory):
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        pytest.skip("no C compiler: the header is compiled for this test")
    folder = tmp_path_factory.mktemp("sha256")
    (folder / "hmac.c").write_text(SOURCE)
    command = [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", f"-I{EXT}", request.param]
    subprocess.run([*command, "-o", str(folder / "hmac.so"), str(folder / "hmac.c")], check=True, timeout=60)
    library = ctypes.CDLL(str(folder / "hmac.so"))

    def sign(key: bytes, text: bytes) -> bytes:
        out = ctypes.create_string_buffer(32)
        library.hmac(key, ctypes.c_size_t(len(key)), text, ctypes.c_size_t(len(text)), out)
        return out.raw

    return sign


def test_a_signature_is_pythons_for_every_length_around_the_blocks(native):
    rng = random.Random(1)
    for size in range(520):
        key, text = rng.randbytes(rng.choice((0, 1, 31, 63, 64, 65, 200))), rng.randbytes(size)
        assert native(key, text) == hmac.digest(key, text, "sha256")


def test_the_published_vectors_hold(native):
    """RFC 4231, test cases 1, 2 and 6."""
    assert native(b"\x0b" * 20, b"Hi There").hex().startswith("b0344c61d8db38535ca8afceaf0bf12b")
    assert (
        native(b"Jefe", b"what do ya want for nothing?").hex().startswith("5bdcc146bf60754e6a042426089575c7")
    )
    long_key = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert native(b"\xaa" * 131, long_key).hex().startswith("60e431591ee0b67f0d8a26aacbf5b77f")
