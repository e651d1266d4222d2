"""Test modules import shared helpers by plain name (`import frames`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ext" / "venues"))
