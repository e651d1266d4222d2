"""What is wrong with a TOML file: which key, and which one was meant."""

from typing import Annotated, Literal

import msgspec
import pytest

from node.errors import UserError
from node.reading import guess, read_toml, typed

Meta = msgspec.Meta


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    depth_bps: Annotated[int, Meta(ge=1, le=9, description="whole basis points, 1 to 9")] | Literal["off"]
    max_order_base: Annotated[str, Meta(pattern="^[0-9]+$", description="a number in quotes")] = "1"


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    inner: list[Inner]
    one: Inner | None = None


def told(tree) -> str:
    with pytest.raises(UserError) as caught:
        typed(tree, Tree, "file")
    return str(caught.value)


def test_a_good_tree_is_typed():
    assert typed({"inner": [{"depth_bps": "off"}]}, Tree, "file").inner[0].depth_bps == "off"


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (
            {},
            "file: missing required field `inner`: add it: the configs in deploy/ show each field",
        ),
        (
            {"inner": [{}]},
            "file: inner[0]: missing required field `depth_bps`: must be whole basis points, 1 to 9",
        ),
        (
            {"inner": [{"depth_bps": 0}]},
            "file: inner[0].depth_bps: Expected `int` >= 1; must be whole basis points, 1 to 9",
        ),
        (
            {"inner": [], "one": {"depth": 1, "depth_bps": 1}},
            "file: one: unknown field `depth`: did you mean `depth_bps`?",
        ),
        (
            {"inner": [], "one": {"depth_bps": 1, "max_order_base": "x"}},
            "file: one.max_order_base: is no such text; must be a number in quotes",
        ),
        ({"inner": [], "zzz": 1}, "file: unknown field `zzz`: there are inner, one"),
        (
            {"inner": [], "one": {"depth_bps": 1, "max_size": "1"}},
            "file: one: unknown field `max_size`: `max_size` is called `max_order_base` now",
        ),
    ],
)
def test_place_key_and_fix_are_in_the_line(tree, text):
    assert told(tree) == text


def test_guesses_are_by_missing_unit_then_by_likeness_and_never_wild():
    names = ("stale_ms", "range_s", "collar_bps")
    assert [guess(x, names) for x in ("stale", "rang_s", "collar_pct", "frob")] == [
        "stale_ms",
        "range_s",
        "collar_bps",
        "",
    ]


def test_a_file_that_is_no_toml_is_named(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"x\.toml: not UTF-8"):
        read_toml(path)
