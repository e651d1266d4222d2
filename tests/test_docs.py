"""What the documents promise is there: every reason and every limit that there is, is told."""

import re
from pathlib import Path

import msgspec
import pytest

from ext.records import HaltReason, Latch, Reason
from node import config
from node.compliance import Profile, TimeRule

RISK = (Path(__file__).parents[1] / "docs" / "RISK.md").read_text(encoding="utf-8")
TABLES = (config.Limits, config.Account, config.Rate, config.StopsConfig, Profile, TimeRule)


@pytest.mark.parametrize("reason", [x.name for x in Reason if x.name != "REASONS"])
def test_every_reason_is_told(reason):
    assert re.search(rf"\b{reason}\b", RISK)


@pytest.mark.parametrize(
    ("table", "key"), [(x.__name__, f.name) for x in TABLES for f in msgspec.structs.fields(x)]
)
def test_every_limit_is_told(table, key):
    assert f"`{key}`" in RISK, table


@pytest.mark.parametrize("latch", [x.name.removeprefix("LATCH_") for x in Latch if x.name != "LATCHES"])
def test_every_latch_is_told(latch):
    assert re.search(rf"^\| .*\b{latch}\b.* \|", RISK, re.MULTILINE)


@pytest.mark.parametrize("halt", [x.name for x in HaltReason if 0 < x < HaltReason.HALTS])
def test_every_halt_is_told_with_its_meaning_what_it_does_and_how_it_ends(halt):
    (row,) = re.findall(rf"^\| {halt} \|(.*)\|$", RISK, re.MULTILINE)
    meaning, does, ends = (x.strip() for x in row.split("|"))
    assert meaning
    assert does
    assert ends


@pytest.mark.parametrize("word", sorted(set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", RISK))))
def test_no_word_of_code_is_told_that_there_is_not(word):
    assert any(word in x.__members__ for x in (Reason, HaltReason, Latch)), word
