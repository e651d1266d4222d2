"""The node as a client of the wire bench: its config, and the command that starts it."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIG = """\
mode = "sim"
strategy = "probe"     # one order for every book update
deployment = "prb0"
loop = "{loop}"
tape = "{tape}"
[rate]
orders = 1000000
window_ms = 1000
[[venue]]
market = "binance-usdm"
streams = ["ws://127.0.0.1:{port}"]
rest = "http://127.0.0.1:{port}"
orders = "ws://127.0.0.1:{port}"
key = {{ api_key = "plain:simulated", secret = "plain:simulated" }}
trades = false
[[instrument]]
market = "binance-usdm"
symbol = "BTCUSDT"
[instrument.limits]
max_size = "1"
max_notional = "1000000"
max_position = "10"
collar_bps = 500
stale_ms = 3600000
max_open_orders = 64
"""


@contextmanager
def node_command(loop: str = "spin") -> Iterator[Callable[[int], list[str]]]:
    """A function from port to argv, valid inside the context. Every start has its own config and tape, on
    tmpfs where there is one, as a colocated node's would be; all of it is removed at the end."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="tickgate-wire-", dir=shm if shm.is_dir() else None))
    starts = 0

    def argv(port: int) -> list[str]:
        nonlocal starts
        starts += 1
        here = folder / str(starts)
        here.mkdir()
        config = here / "node.toml"
        config.write_text(CONFIG.format(loop=loop, tape=here / "tape", port=port))
        return [sys.executable, "-m", "node.cli", "run", str(config)]

    try:
        yield argv
    finally:
        shutil.rmtree(folder, ignore_errors=True)
