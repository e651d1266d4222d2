"""A TOML file -> a typed tree, or what is wrong with it in words that a person can act on: file, table,
key, what it
is, what it must be.

`msgspec` says what it found and where; what a key means, what it was called before, and which key somebody
may have meant is known here. Must not know: what the keys are for.
"""

import difflib
import os
import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from node.errors import UserError

Tree = TypeVar("Tree")
PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<place>.*)`)?$", re.DOTALL)
NAMED = re.compile(r"(missing required|unknown) field `([^`]*)`")
STEP = re.compile(r"(\w+)((?:\[[^\]]*\])*)")
# Keys of earlier versions, or of other people's: what they are called now.
CALLED = {
    "max_size": "max_order_base",
    "max_notional": "max_order_quote",
    "max_position": "max_position_base",
    "size": "size_base",
    "lean": "lean_base",
}
CLOSE = 0.6  # how alike two keys must be for one to be a guess at the other
REGEX = re.compile(r"^Expected `str` matching regex '.*'$")


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file spells. Raises UserError naming it."""
    try:
        return tomllib.loads(path.read_bytes().decode())
    except IsADirectoryError:
        found = sorted(path.glob("*.toml"))
        such = f", such as {found[0]}" if found else ""
        raise UserError(f"{path}: is a directory: name the file itself{such}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not TOML that anybody meant: nested too deeply") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None


def beside(path: Path, told: str) -> str:
    """A path that the file `path` tells, absolute: what is relative is so to the file's folder, so that it
    means the same from wherever the file is read."""
    return os.path.normpath(path.parent.resolve() / Path(told).expanduser())


def typed(told: dict[str, Any], kind: type[Tree], where: str) -> Tree:
    """The struct `kind` of what a file spells. Raises UserError naming `where`, the table and the key."""
    try:
        return msgspec.convert(told, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {complain(error, kind)}") from None


def complain(error: msgspec.ValidationError, kind: type) -> str:
    """`error`, met when something was converted to the struct `kind`, as "place: what, fix"."""
    match = PLACE.match(str(error))
    assert match is not None
    what, place = match["what"], match["place"] or ""
    named = NAMED.search(what)
    if named is not None:
        return _of_key(named[1], named[2], place, kind)
    shown = _meaning(kind, place)
    if shown:
        what = REGEX.sub("is no such text", what)
    return f"{_dotted(place)}{what}" + (f"; must be {shown}" if shown else "")


def guess(name: str, names: tuple[str, ...]) -> str:
    """The key that `name` was meant to be, "" where none is near."""
    if CALLED.get(name) in names:
        return CALLED[name]
    longer = [x for x in names if x.startswith(name + "_")]  # the unit is missing
    near = longer or difflib.get_close_matches(name, names, 1, CLOSE)
    return near[0] if near else ""


def _of_key(trouble: str, name: str, place: str, kind: type) -> str:
    table = _struct_at(kind, place)
    names = () if table is None else table.__struct_fields__
    if trouble == "unknown":
        near = guess(name, names)
        renamed = (
            f"`{name}` is called `{near}` now" if CALLED.get(name) == near else f"did you mean `{near}`?"
        )
        fix = renamed if near else f"there are {', '.join(names)}"
        return f"{_dotted(place)}unknown field `{name}`: {fix}"
    full = f"{place}.{name}" if place else name
    shown = _meaning(kind, full)
    fix = f"must be {shown}" if shown else "add it: the configs in deploy/ show each field"
    return f"{_dotted(place)}missing required field `{name}`: {fix}"


def _dotted(place: str) -> str:
    return f"{place}: " if place else ""


def _steps(place: str) -> list[str]:
    return [m[1] for m in STEP.finditer(place)]


def _struct_at(kind: type, place: str) -> Any:
    """The struct type of the table at `place`; None where that is no table."""
    found: Any = kind
    for step in _steps(place):
        field = _field(found, step)
        found = None if field is None else next(_structs(field.type), None)
        if found is None:
            return None
    return found


def _meaning(kind: type, place: str) -> str:
    """What the type of a key says that it must be."""
    *tables, name = _steps(place) or [""]
    table = _struct_at(kind, ".".join(tables))
    field = None if table is None else _field(table, name)
    return "" if field is None else next(_described(field.type), "")


def _field(kind: Any, name: str) -> Any:
    return next((x for x in msgspec.structs.fields(kind) if x.name == name), None)


def _structs(kind: Any) -> Iterator[Any]:
    """Struct types in a type such as `list[X]` or `X | None`."""
    if hasattr(kind, "__struct_fields__"):
        yield kind
    for inner in typing.get_args(kind):
        yield from _structs(inner)


def _described(kind: Any) -> Iterator[str]:
    for inner in typing.get_args(kind):
        if isinstance(inner, msgspec.Meta):
            if inner.description:
                yield inner.description
        else:
            yield from _described(inner)
