"""How much memory the process may have, and how much it has: it stops itself before the system would.

The kernel ends a process that is out of memory with kill -9, at the worst time. Every queue and table of the
node is bounded (docs/ARCHITECTURE.md, "What is bounded"); a strategy's is not the node's, so this is looked
at all the same.
"""

import resource
from collections.abc import Callable
from pathlib import Path

SHARE = 90  # per cent of what the system would allow: the rest is for ending in order
STATM = Path("/proc/self/statm")
GROUPS = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
UNLIMITED = 1 << 50  # version 1 writes "no limit" as a number


class Memory:
    """`trouble()` is "" while all is well. `ceiling` in bytes, 0 = nothing limits the node; `statm` is read
    anew each time."""

    def __init__(self, memory_mb: int, *, statm: Path = STATM, allowed: Callable[[], int] | None = None):
        self.statm = statm
        self.allowed = (allowed or allowed_bytes)()
        own, most = memory_mb << 20, self.allowed * SHARE // 100
        self.ceiling = min(own, most) if own and most else own or most
        self.address = _address_space() * SHARE // 100
        self.most = 0  # bytes that were ever seen in use

    def lowered(self, memory_mb: int) -> str:
        """What to tell a person whose `memory_mb` is more than the system would give."""
        if not memory_mb or self.ceiling == memory_mb << 20:
            return ""
        return (
            f"memory_mb {memory_mb}: the system allows {self.allowed >> 20} MB, so the node stops itself at "
            f"{self.ceiling >> 20} MB"
        )

    def trouble(self) -> str:
        """Why the node must end now, "" where it need not. Raises OSError where nobody tells."""
        size, resident = (int(x) * resource.getpagesize() for x in self.statm.read_text().split()[:2])
        self.most = max(self.most, resident)
        if self.ceiling and resident > self.ceiling:
            return f"memory: {resident >> 20} MB in use, the ceiling is {self.ceiling >> 20} MB"
        if self.address and size > self.address:
            return f"memory: {size >> 20} MB of addresses in use, nearly all that RLIMIT_AS allows"
        return ""


def allowed_bytes(groups: Path = GROUPS, root: Path = ROOT) -> int:
    """The smallest limit of the control groups that this process is in, 0 where there is none."""
    found = []
    try:
        rows = [x.split(":", 2) for x in groups.read_text().splitlines()]
    except OSError:
        return 0
    for _, controllers, path in rows:
        if controllers == "":
            found += _upwards(root, path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _upwards(root / "memory", path, "memory.limit_in_bytes")
    return min(found, default=0)


def _upwards(root: Path, path: str, name: str) -> list[int]:
    """Limits of a group and of those around it; in a container the path may not be there, the root is."""
    here, out = root / path.lstrip("/"), []
    for folder in dict.fromkeys([here, *here.parents]):
        if folder.is_relative_to(root):
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit() and int(text) < UNLIMITED:
                out.append(int(text))
    return out


def _address_space() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return 0 if soft == resource.RLIM_INFINITY else soft
