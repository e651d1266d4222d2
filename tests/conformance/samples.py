"""Sample payloads of the venues in one form: those of the decoders' own tests, and private captures.

`of(market)` has every sample of a market name; `captured(market)` the frames of real private streams.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import test_binance as binance
import test_bybit as bybit
import test_okx as okx
from frames import Loose, rows

from ext.instruments import Instruments
from ext.records import Market
from ext.venues.binance import BinanceWire
from ext.venues.okx import OkxWire

MARKETS = ("binance-spot", "binance-usdm", "bybit-spot", "bybit-linear", "okx")
CAPTURES = {
    "binance-spot": "private/binance-pm-2024-09-26-a.jsonl.gz",
    "binance-usdm": "private/binance-pm-2024-09-26-a.jsonl.gz",
    "bybit-linear": "private/bybit-orders.jsonl.gz",
    "okx": "private/okx-orders-a.jsonl.gz",
}
LINEAR_ONLY = ("ticker", "ticker delta", "bust")


@dataclass
class Sample:
    """A frame, the decoder it is for, and what an independent reader says it must give: `expected(events)`
    has, for each event, members that it must have."""

    name: str
    raw: bytes
    wire: object
    expected: Callable[[list[dict]], list[dict]] = field(repr=False)
    context: int = -1


def of(market: str) -> list[Sample]:
    """All samples of a market."""
    return {"binance": _binance, "bybit": _bybit, "okx": _okx}[market.partition("-")[0]](market)


def _binance(market: str) -> list[Sample]:
    number = binance.SPOT if market == "binance-spot" else binance.USDM

    def sample(name: str, message: dict, context: int) -> Sample:
        twin = binance.twin(number, context)
        raw = binance.dump(message)
        return Sample(name, raw, binance.WIRES[number], lambda events: twin(message, events), context)

    return [
        sample(k, message, context) for k, (of, message, context) in binance.SAMPLES.items() if of == number
    ]


def _bybit(market: str) -> list[Sample]:
    """Both products say nearly everything in the same words: what was sampled of linear is spot's too, by
    its category."""
    name = market.partition("-")[2]
    number = bybit.SPOT if name == "spot" else bybit.LINEAR
    wire, twin = bybit.wire_of(number), bybit.Twin(number)

    def sample(key: str, raw: bytes) -> Sample:
        return Sample(key, raw, wire, lambda events: twin(json.loads(raw)))

    found = [sample(key, raw) for key, (of, raw) in bybit.SAMPLES.items() if of == name]
    if name == "spot":
        shared = {k: raw for k, (of, raw) in bybit.SAMPLES.items() if of == "linear" and k not in LINEAR_ONLY}
        found += [sample(f"{k}, spot", as_spot(raw)) for k, raw in shared.items()]
    return found


def as_spot(raw: bytes) -> bytes:
    return raw.replace(b'"linear"', b'"spot"').replace(b"SOLUSDT", b"BTCUSDT")


def _okx(market: str) -> list[Sample]:
    wire = okx.make_wire()

    def sample(key: str, raw: bytes) -> Sample:
        return Sample(key, raw, wire, lambda events: okx.twin(wire, Loose(raw).value))

    return [sample(key, raw) for key, raw in okx.FRAMES.items()]


# ---- captures ----


@functools.cache
def captured(market: str) -> tuple[object, list[bytes]]:
    """(a decoder that knows their instruments, frames) of a private stream that was recorded; the test
    that asks is skipped where recordings are absent."""
    frames = [row["raw"].encode() for row in lines_of(CAPTURES[market])]
    if market == "okx":
        return _okx_wire(), frames
    if market == "bybit-linear":
        return bybit.wire_of(bybit.LINEAR), frames
    return _binance_wire(market, frames), frames


def lines_of(name: str) -> list[dict]:
    return list(rows(name))


def _binance_wire(market: str, frames: list[bytes]) -> BinanceWire:
    table, number = Instruments(), binance.SPOT if market == "binance-spot" else binance.USDM
    for raw in frames:
        message = json.loads(raw)
        symbol = message.get("s") or message.get("o", {}).get("s")
        if symbol and table.index(number, symbol) < 0:
            table.add(number, symbol, "0.0000001", "0.00001")
    return BinanceWire(table, number)


def _okx_wire() -> OkxWire:
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT", "0.1", "0.00000001")
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.01", "0.01", is_perpetual=True)
    return OkxWire(table, Market.OKX)
