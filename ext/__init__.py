"""The native rooms. Importing this package refuses binaries that are older than their sources."""

import hashlib
import json
import os
from pathlib import Path

_SOURCES = (".pyx", ".pxd", ".h")


def source_hash(folder: Path) -> str:
    """SHA-256 over names and contents of every native source below `folder`: what a build was made from."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in _SOURCES):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build_id() -> str:
    """Short name of the running build: the first 12 hex digits of the source hash stamped at build time."""
    return _stamp().get("source", "")[:12]


def _stamp() -> dict:
    try:
        return json.loads((Path(__file__).parent / "_build.json").read_text())
    except (OSError, ValueError):
        return {}


def _refuse_stale() -> None:
    folder = Path(__file__).parent
    if not (folder / "records.pyx").exists():
        return  # installed without sources: nothing to compare with
    built = _stamp().get("source")
    if built is None:
        raise ImportError(f"{folder}: the native code is not built; run `make build`")
    if built != source_hash(folder):
        raise ImportError(f"{folder}: the binaries are older than their sources; run `make build`")


if os.environ.get("TICKGATE_BUILDING") != "1":
    _refuse_stale()
