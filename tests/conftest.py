"""Test modules import shared helpers by plain name (`import frames`, `import twin`, `import book_twin`)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "ext" / "venues"))
sys.path.insert(0, str(Path(__file__).parent / "failures"))
sys.path.insert(0, str(Path(__file__).parent / "conformance"))
