"""Which strategy a config names."""

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
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_built_in_ones_go_by_their_names():
    assert isinstance(make_strategy("quoter"), Quoter)
    assert isinstance(make_strategy("probe"), Probe)
    assert make_strategy("none") is None


def test_a_class_of_ones_own_is_found_in_the_current_directory(folder):
    made = make_strategy("mine_for_test:Mine")
    assert isinstance(made, Strategy)
    assert type(made).__name__ == "Mine"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sniper", "must be quoter, probe, none or module:Class"),
        (":Mine", "module:Class"),
        ("mine_for_test:", "module:Class"),
        ("no_such_module_here:Mine", "No module named 'no_such_module_here'"),
        ("mine_for_test:Missing", "has no class Missing"),
        ("mine_for_test:Other", "subclass of ext.strategy.Strategy"),
        ("mine_for_test:Picky", "without arguments"),
        ("broken_for_test:Mine", "broken_for_test.py:1"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_why(folder, name, says):
    with pytest.raises(UserError, match=says.replace("(", "[(]")):
        make_strategy(name)
