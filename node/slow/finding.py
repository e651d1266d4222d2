"""Which tape a directory means: its own, or the only one below it."""

import os
from collections.abc import Iterator
from pathlib import Path

from node.errors import UserError
from node.slow.segments import FOLDER, LIVE

DEPTH_MOST = 4  # folders below the one that is named: a tape lies near, and / has no end
SHOWN = 5


def tape_at(path: Path, command: str) -> Path:
    """The directory of the tape that `path` means. `command`: what to type, as far as the directory. Raises
    UserError where there is none, or several to choose from."""
    if is_tape(path):
        return path
    found = tapes_below(path)
    if not found:
        raise UserError(
            f"{path}: there is no tape in this directory: name that of one, which a node's config calls "
            "`tape`, or the config"
        )
    if len(found) == 1:
        return found[0]
    raise several(path, found, command)


def tapes_below(path: Path) -> list[Path]:
    """Directories of tapes in this one, in order."""
    return sorted(_below(path))


def several(path: Path, found: list[Path], command: str = "") -> UserError:
    """That there are several to choose from, with their names. `command`: what to type, as far as the
    directory."""
    names = ", ".join(map(str, found[:SHOWN])) + (", ..." if len(found) > SHOWN else "")
    such = f"name one, such as `{command} {found[0]}` ({names})" if command else f"name one: {names}"
    return UserError(f"{path}: there are {len(found)} tapes below it: {such}")


def is_tape(path: Path) -> bool:
    """Are segments of a tape in this directory?"""
    try:
        return any(LIVE.fullmatch(x.name) for x in path.iterdir())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _below(path: Path) -> Iterator[Path]:
    """What cannot be looked into is no tape of ours; an archive belongs to the tape that it lies in."""
    for folder, names, files in os.walk(path):
        here = Path(folder)
        if any(map(LIVE.fullmatch, files)):
            yield here
            names[:] = [x for x in names if x != FOLDER]
        if len(here.relative_to(path).parts) >= DEPTH_MOST:
            names.clear()
