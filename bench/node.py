"""The node as a client of the wire bench: its config, and the command that starts it.

    python -m bench.node CONFIG

runs `tickgate run CONFIG` with one difference: the venue's published request budgets (USD-M: 300 orders in
10 s) are a thousand times larger, because the bench sends thousands a second. They are still checked, at the
same cost.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from bench import account
from node.sim.play import LEVERAGE, limits_text, tables_text

CONFIG = """\
mode = "sim"
strategy = "probe"     # one order for every book update
deployment = "prb0"
loop = "{loop}"
tape = "{tape}"
max_unacked = 64
{tables}[[venue]]
market = "binance-usdm"
environment = "sim"
streams = [{streams}]
rest = "http://127.0.0.1:{port}"
orders = "ws://127.0.0.1:{port}"
key = {{ environment = "sim", api_key = "plain:{api_key}", {proof} }}
trades = false
[[instrument]]
market = "binance-usdm"
symbol = "BTCUSDT"
leverage = {leverage}
[instrument.limits]
{limits}"""
BUDGET_FACTOR = 1000


class NodeArgv(Protocol):
    """The command that starts a node against this port; `logon`: with an Ed25519 key, which logs on once;
    `lines`: market lines."""

    def __call__(self, port: int, *, logon: bool = False, lines: int = 1) -> list[str]: ...


@contextmanager
def node_command(loop: str = "spin") -> Iterator[NodeArgv]:
    """Such a function, valid inside the context. Every start has its own config and tape, on tmpfs where
    there is one, as a colocated node's would be; all of it is removed at the end."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="tickgate-wire-", dir=shm if shm.is_dir() else None))
    starts = 0

    def argv(port: int, *, logon: bool = False, lines: int = 1) -> list[str]:
        nonlocal starts
        starts += 1
        here = folder / str(starts)
        here.mkdir()
        proof = f'private_key = "file:{_pem(here)}"' if logon else f'secret = "plain:{account.SECRET}"'
        config = here / "node.toml"
        config.write_text(
            CONFIG.format(
                loop=loop,
                tape=here / "tape",
                port=port,
                streams=", ".join([f'"ws://127.0.0.1:{port}"'] * lines),
                api_key=account.API_KEY,
                proof=proof,
                tables=tables_text(orders=1_000_000),
                leverage=LEVERAGE["binance-usdm"],
                limits=limits_text(
                    "10", "1000000", perpetual=True, collar_bps=500, stale_ms=3_600_000, open_orders=64
                ),
            )
        )
        return [sys.executable, "-m", "bench.node", str(config)]

    try:
        yield argv
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pem(folder: Path) -> Path:
    path = folder / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(account.private_key_pem())
    return path


def raise_budgets(markets: dict[int, Any], market: int) -> None:
    """Put in a row of `node.venues.markets.MARKETS` whose budgets are `BUDGET_FACTOR` times the venue's."""
    row = markets[market]
    published: Callable[[int], list] = row.budgets

    def larger(number: int) -> list[tuple[int, int, int, bool]]:
        return [
            (kind, limit * BUDGET_FACTOR, interval_ns, by_instrument)
            for kind, limit, interval_ns, by_instrument in published(number)
        ]

    markets[market] = replace(row, budgets=larger)


def main() -> None:
    from ext.records import Market
    from node import cli
    from node.venues.markets import MARKETS

    raise_budgets(MARKETS, int(Market.BINANCE_USDM))
    sys.argv = ["tickgate", "run", *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    main()
