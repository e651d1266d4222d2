"""The node's part in the wire bench."""

import sys
from pathlib import Path

from bench.node import node_command
from node.config import load


def test_every_start_has_a_config_that_loads_and_a_tape_of_its_own():
    with node_command("epoll") as argv:
        first, second = argv(1234), argv(1235)
        assert first[:3] == [sys.executable, "-m", "node.cli"]
        configs = [load(Path(x[-1])) for x in (first, second)]
        assert configs[0].tape != configs[1].tape
        assert configs[0].loop == "epoll"
        assert configs[1].venue[0].streams == ["ws://127.0.0.1:1235"]
        folder = Path(first[-1]).parent.parent
        assert folder.is_dir()
    assert not folder.exists()
