"""How much memory there may be: the smallest of what a person, a control group and a limit say."""

import pytest

from node.net.memory import Memory, allowed_bytes

MB = 1 << 20
PAGE = 4096


@pytest.mark.parametrize(
    ("memory_mb", "allowed", "ceiling"),
    [
        (0, 0, 0),
        (100, 0, 100 * MB),
        (0, 1000 * MB, 900 * MB),
        (100, 1000 * MB, 100 * MB),
        (950, 1000 * MB, 900 * MB),
    ],
)
def test_the_ceiling_is_below_what_the_system_allows(memory_mb, allowed, ceiling):
    memory = Memory(memory_mb, allowed=lambda: allowed)
    assert memory.ceiling == ceiling
    assert bool(memory.lowered(memory_mb)) == (memory_mb == 950)


def test_more_than_the_ceiling_is_trouble_and_the_most_is_remembered(tmp_path):
    statm = tmp_path / "statm"
    memory = Memory(10, statm=statm, allowed=lambda: 0)
    statm.write_text(f"9000 {10 * MB // PAGE} 1 1 0 1 0")
    assert memory.trouble() == ""
    statm.write_text(f"9000 {11 * MB // PAGE} 1 1 0 1 0")
    assert memory.trouble() == "memory: 11 MB in use, the ceiling is 10 MB"
    statm.write_text("9000 1 1 1 0 1 0")
    assert memory.trouble() == ""
    assert memory.most == 11 * MB


def test_a_limit_of_addresses_counts_too(tmp_path):
    statm = tmp_path / "statm"
    memory = Memory(0, statm=statm, allowed=lambda: 0)
    memory.address = 100 * MB
    statm.write_text(f"{101 * MB // PAGE} 5 0")
    assert memory.trouble() == "memory: 101 MB of addresses in use, nearly all that RLIMIT_AS allows"


def test_this_process_can_be_measured():
    memory = Memory(1 << 20, allowed=lambda: 0)
    assert memory.trouble() == ""
    assert memory.most > 10 * MB


def test_control_groups_of_both_versions_and_those_around_them_count(tmp_path):
    root, groups = tmp_path / "fs", tmp_path / "cgroup"
    (root / "a/b").mkdir(parents=True)
    (root / "a/memory.max").write_text("500\n")
    (root / "a/b/memory.max").write_text("max\n")
    groups.write_text("0::/a/b\n")
    assert allowed_bytes(groups, root) == 500
    (root / "memory.max").write_text("400\n")  # of the container: its own path is not there
    groups.write_text("0::/not/here\n")
    assert allowed_bytes(groups, root) == 400
    (root / "memory/x").mkdir(parents=True)
    (root / "memory/x/memory.limit_in_bytes").write_text("300\n")
    (root / "memory/memory.limit_in_bytes").write_text(f"{1 << 62}\n")
    groups.write_text("4:cpu,memory:/x\n3:cpuset:/y\n")
    assert allowed_bytes(groups, root) == 300
    assert allowed_bytes(tmp_path / "none", root) == 0
