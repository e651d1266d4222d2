"""Test modules import shared helpers by plain name (`import frames`, `import twin`)."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "ext" / "venues")]
