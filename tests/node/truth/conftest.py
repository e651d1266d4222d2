"""The truth room against a real engine and a venue of a few lines, in virtual time."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig import World


@pytest.fixture
def world():
    return World()
