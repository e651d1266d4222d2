"""The `encode` benchmark: an approved order -> its frame, client order id and request id included, unsigned.

A NEW and a CANCEL on every market. The loop is native and inside the engine, because nothing outside may hold
an approval; the frames go nowhere. The last frame of every pass is read back and compared with the order.
"""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

from bench.conditions import BenchError, Progress, best_and_median, silent, take_turns, watching
from bench.risk import BID_TICKS, NOW_NS, PRODUCTS, desk
from ext.engine import Engine
from ext.records import Side

BUDGET_NS = 200.0
SIZE_LOTS = 1234


def run(rounds: int = 100, count: int = 1000, progress: Progress = silent) -> dict:
    """ns per frame by market and action: the fastest of `rounds` passes of `count` frames, and the median."""
    passes = {}
    for name, product in PRODUCTS.items():
        passes[f"{name} new"] = encoding(desk(product), count, cancel=False)
        passes[f"{name} cancel"] = encoding(desk(product), count, cancel=True)
    with watching() as watch:
        taken = take_turns(passes, rounds, watch, progress)
    rows: dict[str, dict] = {name: {} for name in PRODUCTS}
    for name, ns in taken.items():
        market, action = name.split()
        best, median = best_and_median(ns, count)
        rows[market] |= {f"{action}_ns": best, f"{action}_ns_median": median}
    worst = max(row[key] for row in rows.values() for key in ("new_ns", "cancel_ns"))
    return {
        "ns_per_order": worst,
        "budget_ns": BUDGET_NS,
        "within_budget": worst <= BUDGET_NS,
        "rounds": rounds,
        "frames_per_round": count,
        **watch.report(),
        "markets": rows,
    }


def encoding(engine: Engine, count: int, *, cancel: bool) -> Callable[[], int]:
    """A pass that encodes one order `count` times, at another price each time it is called."""
    turn = 0

    def one() -> int:
        nonlocal turn
        turn += 1
        price_ticks = BID_TICKS - turn % 100
        now_ns = NOW_NS + turn * 1_000_000
        began_ns = time.perf_counter_ns()
        size, frame = engine.encode_many(count, 0, Side.BUY, price_ticks, SIZE_LOTS, now_ns, cancel=cancel)
        taken_ns = time.perf_counter_ns() - began_ns
        check(engine, frame, price_ticks, cancel)
        if size != count * len(frame):
            raise BenchError(f"encode: {size} bytes in {count} frames of {len(frame)}")
        return taken_ns

    return one


def check(engine: Engine, frame: bytes, price_ticks: int, cancel: bool) -> None:
    """The frame is JSON that names our order and, where it is a NEW, spells price and size."""
    values = set(texts(json.loads(frame)))
    price, size = engine.instruments.price_grid(0), engine.instruments.size_grid(0)
    wanted = [] if cancel else [price.format(price_ticks), size.format(SIZE_LOTS)]
    found = {Decimal(value) for value in values if value.replace(".", "").isdigit()}
    missing = [value for value in wanted if Decimal(value) not in found]
    client_id = engine.lines[0].wire.client_id(engine.orders.next_id - 1)
    if client_id not in values or missing:
        raise BenchError(f"encode: {', '.join(missing) or client_id} is not in the frame {frame.decode()}")


def texts(value: object) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)
