"""The `encode` benchmark: an approved order -> its frame, client order id and request id included.

Every request of every market: NEW, CANCEL, AMEND, two NEWs in one batch (ns for each) and REPLACE where the
market has them. Unsigned frames, as they are written behind a log-on, are held against the budget. A Binance
key that cannot log on (HMAC) has every frame signed: those are figures of their own, and have no budget.

The loop is native and inside the engine, because nothing outside may hold an approval; the frames go nowhere.
The last frame of every pass is read back and compared with the order, and its signature with Python's.
"""

import hmac
import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal

from bench.conditions import BenchError, Progress, best_and_median, silent, take_turns, watching
from bench.risk import BID_TICKS, NOW_NS, PRODUCTS, desk
from ext.engine import Engine
from ext.records import Action, Side
from ext.wire import Wire

BUDGET_NS = 200.0
SIZE_LOTS = 1234
BATCH = 2
API_KEY, SECRET = "k" * 64, "s" * 64  # as long as the venue's
ACTIONS = {"new": Action.NEW, "cancel": Action.CANCEL, "amend": Action.AMEND, "replace": Action.REPLACE}


def run(rounds: int = 100, count: int = 1000, progress: Progress = silent) -> dict:
    """ns per order by market and request: fastest of `rounds` passes of `count` frames, and the median."""
    passes: dict[str, Callable[[], int]] = {}
    for name, product in PRODUCTS.items():
        for what in requests_of(desk(product).lines[0].wire):
            for how in ("plain", "signed") if name.startswith("binance") else ("plain",):
                passes[f"{how} {name} {what}"] = encoding(signing(desk(product), how), count, what)
    with watching() as watch:
        taken = take_turns(passes, rounds, watch, progress)
    found: dict[str, dict] = {"plain": {}, "signed": {}}
    for key, ns in taken.items():
        how, name, what = key.split()
        best, median = best_and_median(ns, count * (BATCH if what == "batch" else 1))
        found[how].setdefault(name, {})[what] = {"ns": best, "ns_median": median}
    worst = slowest(found["plain"])
    return {
        "ns_per_order": worst,
        "budget_ns": BUDGET_NS,
        "within_budget": worst <= BUDGET_NS,
        "signed_ns_per_order": slowest(found["signed"]),
        "rounds": rounds,
        "frames_per_round": count,
        **watch.report(),
        "markets": found["plain"],
        "signed": found["signed"],
    }


def slowest(markets: dict[str, dict]) -> float:
    return max(row["ns"] for rows in markets.values() for row in rows.values())


def requests_of(wire: Wire) -> list[str]:
    """What can be asked of this market in one frame."""
    extra = {"batch": wire.batch_max >= BATCH, "replace": wire.can_replace}
    return ["new", "cancel", "amend", *(what for what, has in extra.items() if has)]


def signing(engine: Engine, how: str) -> Engine:
    if how == "signed":
        engine.lines[0].wire.signer(SECRET.encode(), API_KEY)
    return engine


def encoding(engine: Engine, count: int, what: str) -> Callable[[], int]:
    """A pass that encodes one request `count` times, at another price each time it is called."""
    turn = 0
    action, batch = ACTIONS.get(what, Action.NEW), BATCH if what == "batch" else 1

    def one() -> int:
        nonlocal turn
        turn += 1
        price_ticks = BID_TICKS - turn % 100
        now_ns = NOW_NS + turn * 1_000_000
        began_ns = time.perf_counter_ns()
        size, frame = engine.encode_many(
            count, 0, Side.BUY, price_ticks, SIZE_LOTS, now_ns, action=action, batch=batch
        )
        taken_ns = time.perf_counter_ns() - began_ns
        check(engine, frame, what, price_ticks)
        if size != count * len(frame):
            raise BenchError(f"encode: {size} bytes in {count} frames of {len(frame)}")
        return taken_ns

    return one


def check(engine: Engine, frame: bytes, what: str, price_ticks: int) -> None:
    """The frame is JSON that names our orders, spells their prices and sizes, and is signed with the key that
    it names, if any."""
    message = json.loads(frame)
    values = set(texts(message))
    newest = engine.orders.next_id - 1
    wire = engine.lines[0].wire
    ids = {wire.client_id(newest - i) for i in range(BATCH if what == "batch" else 1)}
    found = {Decimal(value) for value in values if value.replace(".", "").isdigit()}
    missing = [str(value) for value in numbers(engine, message, what, price_ticks) if value not in found]
    missing += sorted(ids - values)
    if missing:
        raise BenchError(f"encode: {', '.join(missing)} is not in the frame {frame.decode()}")
    if "apiKey" in message.get("params", {}):
        check_signature(message["params"], frame)


def numbers(engine: Engine, message: dict, what: str, price_ticks: int) -> list[Decimal]:
    """Prices and sizes that the frame must spell (see `Engine.encode_many`)."""
    less = what in ("amend", "replace")
    prices = [price_ticks - less - i for i in range(BATCH if what == "batch" else 1)]
    if what == "cancel":
        return []
    if message.get("method") == "order.amend.keepPriority":  # a size only
        prices = []
    price, size = engine.instruments.price_grid(0), engine.instruments.size_grid(0)
    return [Decimal(size.format(SIZE_LOTS - less)), *(Decimal(price.format(x)) for x in prices)]


def check_signature(params: dict, frame: bytes) -> None:
    payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "signature")
    wanted = hmac.new(SECRET.encode(), payload.encode(), "sha256").hexdigest()
    if params.get("signature") != wanted:
        raise BenchError(f"encode: the signature does not fit the frame {frame.decode()}")


def texts(value: object) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)
