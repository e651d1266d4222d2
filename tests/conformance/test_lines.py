"""What a venue costs in lines: the table in docs/ARCHITECTURE.md is what is counted here."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENUES = ("binance", "bybit", "okx")
HEAD = "| venue | decoder and encoder | rules, sessions, REST | simulated venue | source | tests |"


def code_lines(path: Path) -> int:
    """Lines that are neither empty nor a comment; docstrings count, they are read too."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return sum(1 for x in lines if x.strip() and not x.strip().startswith("#"))


def count(paths) -> int:
    return sum(code_lines(x) for x in paths)


def row(venue: str) -> tuple[int, int, int, int, int]:
    """Native half, cold half, simulated venue, all of these, and their tests."""
    native = [ROOT / "ext" / "venues" / f"{venue}{x}" for x in (".pyx", ".pxd", ".h")]
    cold = sorted((ROOT / "node" / "venues" / venue).glob("*.py"))
    fakes = [x for x in cold if x.name.startswith("fake")]
    tests = sorted((ROOT / "tests" / "node" / "venues" / venue).glob("*.py"))
    tests += sorted((ROOT / "tests").rglob(f"test_{venue}.py")) + sorted(
        (ROOT / "tests").rglob(f"*interop_{venue}*.py")
    )
    native = [x for x in native if x.exists()]
    parts = (count(native), count(x for x in cold if x not in fakes), count(fakes))
    return (*parts, sum(parts), count(tests))


def table() -> str:
    lines = [HEAD, "|---|--:|--:|--:|--:|--:|"]
    lines += [f"| {x} | " + " | ".join(f"{n:,}" for n in row(x)) + " |" for x in VENUES]
    return "\n".join(lines)


def stated() -> dict[str, tuple[int, ...]]:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert HEAD in text
    found = {}
    for venue in VENUES:
        match = re.search(rf"^\| {venue} \|((?: [\d,]+ \|){{5}})$", text, re.MULTILINE)
        assert match, f"no row for {venue}"
        found[venue] = tuple(int(x.replace(",", "")) for x in re.findall(r"[\d,]+", match[1]))
    return found


@pytest.mark.parametrize("venue", VENUES)
def test_the_lines_that_are_stated_are_those_that_are_there(venue):
    """Within a tenth: the table says what a venue costs, it is no ledger. `make lines` prints it as it is
    now."""
    for said, counted in zip(stated()[venue], row(venue), strict=True):
        assert abs(said - counted) <= max(counted // 10, 30), f"docs/ARCHITECTURE.md; it is now:\n{table()}"


if __name__ == "__main__":
    print(table())
