"""Test helpers that several files share are plain modules next to the tests that need them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ext" / "venues"))
