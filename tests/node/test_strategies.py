"""Which strategy a config names."""

import sys

import pytest

from ext.strategies.probe import Probe
from ext.strategies.quoter import Quoter
from ext.strategy import Strategy
from node.errors import UserError
from node.strategies import make_strategy


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A person's directory with a strategy in it."""
    (tmp_path / "mine_for_test.py").write_text(
        "from ext.strategy import Strategy\n"
        "class Mine(Strategy):\n    pass\n"
        "class Picky(Strategy):\n    def __init__(self, size):\n        pass\n"
        "class Other:\n    pass\n"
    )
    (tmp_path / "broken_for_test.py").write_text("class Mine(:\n")
    (tmp_path / "needs_for_test.py").write_text("\nimport a_library_that_is_not_here\n")
    (tmp_path / "raises_for_test.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_the_built_in_ones_go_by_their_names():
    assert isinstance(make_strategy("quoter"), Quoter)
    assert isinstance(make_strategy("probe"), Probe)
    assert make_strategy("none") is None


def test_a_class_of_ones_own_is_found_in_the_current_directory(folder):
    made = make_strategy("mine_for_test:Mine")
    assert isinstance(made, Strategy)
    assert type(made).__name__ == "Mine"


def test_a_class_beside_the_config_is_found_from_anywhere_and_is_the_one_that_is_meant(tmp_path, monkeypatch):
    """Beside the config, then here, then on the Python path."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "path")])
    for place in ("config", "here", "path"):
        (tmp_path / place).mkdir()
        for module in {"config": "a", "here": "ab", "path": "abc"}[place]:
            (tmp_path / place / f"sought_{module}.py").write_text(
                f"from ext.strategy import Strategy\nclass Mine(Strategy):\n    place = {place!r}\n"
            )
    monkeypatch.chdir(tmp_path / "here")
    found = [make_strategy(f"sought_{x}:Mine", tmp_path / "config").place for x in "abc"]
    assert found == ["config", "here", "path"]


def test_a_strategy_imports_what_lies_beside_it_and_its_folder_hides_no_library_afterwards(
    tmp_path, monkeypatch
):
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", list(before))
    (tmp_path / "helper_for_test.py").write_text("LOTS = 3\n")
    (tmp_path / "helped_for_test.py").write_text(
        "from ext.strategy import Strategy\nfrom helper_for_test import LOTS\n"
        "class Mine(Strategy):\n    lots = LOTS\n"
    )
    assert make_strategy("helped_for_test:Mine", tmp_path).lots == 3
    assert sys.path[: len(before)] == before
    assert str(tmp_path) in sys.path[len(before) :]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sniper", "must be quoter, probe, none or module:Class"),
        (":Mine", "module:Class"),
        ("mine_for_test:", "module:Class"),
        (
            "no_such_module_here:Mine",
            "'no_such_module_here': there is no no_such_module_here.py in",
        ),
        ("mine_for_test.part:Mine", "No module named 'mine_for_test.part'"),
        ("needs_for_test:Mine", r"needs_for_test.py:2: No module named 'a_library_that_is_not_here'"),
        ("raises_for_test:Mine", r"raises_for_test.py:1: ZeroDivisionError: division by zero"),
        ("mine_for_test:Missing", "has no class Missing"),
        ("mine_for_test:Other", "subclass of ext.strategy.Strategy"),
        ("mine_for_test:Picky", "without arguments"),
        ("broken_for_test:Mine", "broken_for_test.py:1"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_why(folder, name, says):
    with pytest.raises(UserError, match=says.replace("(", "[(]")):
        make_strategy(name)
