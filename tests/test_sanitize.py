"""The sanitizer's build has a place of its own, and what it is made of is what stands here."""

import os
from pathlib import Path

import pytest
import sanitize

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path):
    """A small project, and an empty place for its copy."""
    root = tmp_path / "project"
    for name in (*sanitize.FILES, "ext/a.pyx", "ext/deep/b.h", "ext/a.c", "ext/a.so", "ext/_build.json",
                 "bench/floor.c", "tests/test_a.py", "tests/__pycache__/x.pyc", "README.md"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root, tmp_path / "copy"


def names(place):
    return {x.relative_to(place).as_posix() for x in place.rglob("*") if x.is_file()}


def test_sources_are_copied_and_what_a_build_made_is_not(tree):
    root, place = tree
    assert sanitize.copy(root, place) == 7
    assert names(place) == {*sanitize.FILES, "ext/a.pyx", "ext/deep/b.h", "bench/floor.c", "tests/test_a.py"}
    assert (place / "ext/a.pyx").stat().st_mtime_ns == (root / "ext/a.pyx").stat().st_mtime_ns


def test_only_what_changed_is_copied_again_and_what_was_built_stays(tree):
    root, place = tree
    sanitize.copy(root, place)
    for made in ("ext/a.c", "ext/a.so", "ext/_build.json"):
        (place / made).write_text("of the sanitizer")
    assert sanitize.copy(root, place) == 0
    os.utime(root / "ext/a.pyx", ns=(1, 1))
    (root / "tests/test_a.py").unlink()
    assert sanitize.copy(root, place) == 2
    assert not (place / "tests/test_a.py").exists()
    assert (place / "ext/a.so").read_text() == "of the sanitizer"
    assert (root / "ext/a.so").read_text() == "ext/a.so"


def test_other_flags_mean_another_build(tree):
    root, place = tree
    sanitize.copy(root, place)
    (place / "ext/a.so").write_text("of the sanitizer")
    os.utime(root / "setup.py", ns=(1, 1))
    sanitize.copy(root, place)
    assert not (place / "ext/a.so").exists()


def test_what_is_skipped_exists_and_has_a_reason():
    for name, why in sanitize.SKIPPED.items():
        file, _, test = name.partition("::")
        assert not test or f"def {test}(" in (ROOT / file).read_text(), name
        assert why
