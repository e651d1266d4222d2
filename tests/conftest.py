"""Test modules import shared helpers by plain name (`import frames`, `import twin`, `import book_twin`)."""

import gc
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "ext" / "venues"))
sys.path.insert(0, str(Path(__file__).parent / "failures"))
sys.path.insert(0, str(Path(__file__).parent / "conformance"))

# Demos, drills and a whole node before a busy venue are several processes each, with deadlines: `make test`
# runs them behind the rest.
ALONE = ("tests/node/test_demo.py", "tests/node/test_drill.py", "tests/bench/test_node.py")


ROOT = Path(__file__).parents[1]


def pytest_ignore_collect(collection_path, config):
    """Where only these are wanted, the other 250 files are not even read."""
    if not config.getoption("markexpr").startswith("alone") or collection_path.is_dir():
        return None
    return not collection_path.relative_to(ROOT).as_posix().startswith(ALONE) or None


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.path.relative_to(ROOT).as_posix().startswith(ALONE):
            item.add_marker(pytest.mark.alone)


def pytest_collection_finish():
    """Ten thousand tests are a lot to look through: no collection of garbage does it again."""
    gc.collect()
    gc.freeze()
