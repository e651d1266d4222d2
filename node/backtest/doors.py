"""DOOR records -> the calls of the engine that wrote them."""

from collections.abc import Callable
from typing import Any

from ext.engine import Engine
from ext.records import StrategySwitch, door_row

Row = dict[str, Any]


def knock(engine: Engine, payload: bytes, now_ns: int) -> bool:
    """Call the door that a DOOR record is of; False where no outside hand can call it."""
    row = door_row(payload)
    call = DOORS.get(row["door"])
    if call is None:
        return False
    call(engine, row, now_ns)
    return True


def _adopt(engine: Engine, row: Row, now_ns: int) -> None:
    of = row["intent"]
    engine.adopt(
        row["instrument"],
        row["a"] & (2**64 - 1),
        row["b"] & (2**64 - 1),
        of["side"],
        of["type"],
        of["tif"],
        of["price_ticks"],
        of["size_lots"],
        row["c"],
        bool(of["reduce_only"]),
        row["text"],
        now_ns,
        leg=of["leg"],
        trigger_ticks=of["trigger_ticks"],
        strategy=of["strategy"],
        unsure_ns=row["order_id"],
    )


def _coin(engine: Engine, row: Row) -> str:
    return engine.equity.coin_name(row["b"] - 1) if row["b"] else ""


def _switch(engine: Engine, row: Row, now_ns: int) -> None:
    if row["a"] == StrategySwitch.SWITCH_OFF:
        engine.strategy_off(row["instrument"], row["b"], now_ns)
    elif row["a"] == StrategySwitch.SWITCH_ON:
        engine.strategy_on(row["instrument"], now_ns)


def _price(engine: Engine, row: Row, now_ns: int) -> None:
    raw = b"".join((row[x] & (2**64 - 1)).to_bytes(8, "little") for x in "bc")
    engine.set_coin_price(raw.split(b"\0")[0].decode("utf-8", "replace"), row["a"], now_ns)


DOORS: dict[str, Callable[[Engine, Row, int], object]] = {
    "DOOR_WANT_CANCEL": lambda e, x, now_ns: e.want_cancel(x["order_id"], now_ns),
    "DOOR_ABSENT": lambda e, x, now_ns: e.close_absent(x["order_id"], now_ns),
    "DOOR_ADOPT": _adopt,
    "DOOR_POSITION": lambda e, x, now_ns: e.set_position(
        x["instrument"], x["a"], x["b"], now_ns, leg=x["order_id"], cost=x["c"]
    ),
    "DOOR_FOREIGN": lambda e, x, now_ns: e.foreign(x["instrument"], x["a"], x["b"], now_ns),
    "DOOR_HALT": lambda e, x, now_ns: e.halt(x["instrument"], x["a"], x["b"], now_ns),
    "DOOR_RESUME": lambda e, x, now_ns: e.resume(x["instrument"], x["a"], now_ns),
    "DOOR_RECONCILED": lambda e, x, now_ns: e.reconciled(x["instrument"], now_ns),
    "DOOR_CLOCK": lambda e, x, now_ns: e.venue_clock(x["instrument"], x["a"], x["b"], now_ns),
    "DOOR_PRIVATE": lambda e, x, now_ns: e.private_proven(x["instrument"], bool(x["a"]), now_ns),
    "DOOR_WITHDRAW": lambda e, x, now_ns: e.withdraw(x["order_id"], now_ns),
    "DOOR_SETTLE": lambda e, x, now_ns: e.settle(x["order_id"], now_ns),
    "DOOR_PAUSE": lambda e, x, now_ns: e.pause(x["instrument"], x["a"], now_ns),
    "DOOR_LATCH": lambda e, x, now_ns: e.latch(x["a"], bool(x["b"]), now_ns),
    "DOOR_CAPITAL": lambda e, x, now_ns: e.capital(x["instrument"], x["a"], now_ns, coin=_coin(e, x)),
    "DOOR_FLOW": lambda e, x, now_ns: e.flow(x["instrument"], x["a"], now_ns, coin=_coin(e, x)),
    "DOOR_FUNDING": lambda e, x, now_ns: e.funding(x["instrument"], x["a"], now_ns),
    "DOOR_LEASE": lambda e, x, now_ns: e.set_lease(x["a"], now_ns),
    "DOOR_FLATTEN": lambda e, x, now_ns: e.flatten(x["instrument"], x["a"], now_ns),
    "DOOR_STRATEGY": _switch,
    "DOOR_GAP": lambda e, x, now_ns: e.stood_still(x["a"], now_ns, bool(x["b"])),
    "DOOR_PEAK": lambda e, x, now_ns: e.restore_peak(x["a"], x["b"], x["c"], now_ns),
    "DOOR_COIN": _price,
    "DOOR_DAY_TRADES": lambda e, x, now_ns: e.restore_day_trades(x["a"], x["b"], now_ns),
    "DOOR_DAY_COUNTS": lambda e, x, now_ns: e.restore_counts(x["a"], x["b"], x["c"], now_ns),
    "DOOR_RATIO_COUNTS": lambda e, x, now_ns: e.restore_ratio(x["a"], x["b"], x["c"], now_ns),
    "DOOR_OPENED": lambda e, x, now_ns: e.restore_opened(x["instrument"], x["order_id"], x["a"], now_ns),
    "DOOR_STOPPING": lambda e, x, now_ns: e.quiet(now_ns),
    "DOOR_MARK": lambda e, x, now_ns: e.mark_now(now_ns),
}
