"""One row per market: which decoder, which sessions, which requests. The only table that names all venues."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from ext.instruments import Instruments
from ext.records import Market
from ext.venues.binance import BinanceWire
from ext.venues.bybit import BybitWire
from ext.venues.okx import OkxWire
from ext.wire import Wire
from node.venues.binance import rest as binance_rest
from node.venues.binance.rules import stream_name
from node.venues.binance.session import Session as BinanceSession
from node.venues.bybit import rest as bybit_rest
from node.venues.bybit.session import Session as BybitSession
from node.venues.okx import rest as okx_rest
from node.venues.okx.session import Session as OkxSession
from node.venues.values import InstrumentRow, Request

Symbols = list[str]
Depths = dict[str, int]


@dataclass(frozen=True)
class MarketRow:
    """What a market needs. `feeds` gives the sessions of one line, each on a connection of its own; `orders`
    the order-entry session and `private` the one that tells of orders and fills where that is another
    connection; where `listen_key` is set, that session is made by `listen_key_session` instead, for each
    connection anew."""

    wire: type[Wire]
    feeds: Callable[[int, Symbols, Depths, bool], list[Any]]
    orders: Callable[[int], Any]
    private: Callable[[int], Any] | None
    instruments: Callable[[int, Symbols], list[Request]]
    read: Callable[[int, bytes], list[InstrumentRow]]
    snapshot: Callable[[int, str], Request] | None
    topic: Callable[[bytes], Any]
    listen_key: Callable[[str, str], Request] | None = (
        None  # (method, API key): the key in a private stream's path
    )


def _binance_feeds(market: int, symbols: Symbols, depths: Depths, trades: bool) -> list[Any]:
    books = [stream_name(s, x) for s in symbols for x in ("depth@100ms", "bookTicker")]
    if market == Market.BINANCE_SPOT:
        books += [stream_name(s, "trade") for s in symbols if trades]
    if market == Market.BINANCE_SPOT or not trades:
        return [BinanceSession("stream", market, books)]
    others = [stream_name(s, x) for s in symbols for x in ("aggTrade", "markPrice@1s")]
    return [BinanceSession("stream", market, books), BinanceSession("stream", market, others)]


def _binance_orders(market: int) -> Any:
    return BinanceSession("api", market, user_data=market == Market.BINANCE_SPOT)


def _bybit_feeds(market: int, symbols: Symbols, depths: Depths, trades: bool) -> list[Any]:
    topics = [f"orderbook.{d}.{s}" for s in symbols for d in dict.fromkeys((depths[s], 1))]
    topics += [f"{name}.{s}" for s in symbols for name in ("publicTrade", "tickers") if trades]
    return [BybitSession("public", market, topics, watch=True)]


def _okx_feeds(market: int, symbols: Symbols, depths: Depths, trades: bool) -> list[Any]:
    books = {400: "books", 50: "books50-l2-tbt"}
    others = ("bbo-tbt", "trades") if trades else ("bbo-tbt",)
    topics = [(c, s) for s in symbols for c in dict.fromkeys((books[depths[s]], *others))]
    return [OkxSession("public", topics)]


def _okx_requests(market: int, symbols: Symbols) -> list[Request]:
    kinds = sorted({"SWAP" if s.endswith("-SWAP") else "SPOT" for s in symbols})
    return [okx_rest.instruments_request(kind) for kind in kinds]


def _member(name: str) -> Callable[[bytes], str | None]:
    """Reads a string member of a frame, wherever it stands and however it is spaced; None where it is not
    there."""
    find = re.compile(rf'"{name}"\s*:\s*"([!#-~]+)"'.encode()).search
    return lambda frame: m.group(1).decode() if (m := find(frame)) else None


_channel, _inst = _member("channel"), _member("instId")


def _okx_topic(frame: bytes) -> tuple[str, str] | None:
    channel, inst = _channel(frame), _inst(frame)
    return (channel, inst) if channel and inst else None


def _binance(market: int) -> MarketRow:
    return MarketRow(
        wire=BinanceWire,
        feeds=_binance_feeds,
        orders=_binance_orders,
        private=None,
        listen_key=None if market == Market.BINANCE_SPOT else binance_rest.listen_key,
        instruments=lambda market, symbols: [binance_rest.exchange_info(market)],
        read=lambda market, reply: binance_rest.instruments(reply, market),
        snapshot=lambda market, symbol: binance_rest.depth(market, symbol),
        topic=_member("stream"),
    )


def _bybit(market: int) -> MarketRow:
    return MarketRow(
        wire=BybitWire,
        feeds=_bybit_feeds,
        orders=lambda market: BybitSession("trade", market),
        private=lambda market: BybitSession("private", market),
        instruments=lambda market, symbols: [bybit_rest.instruments_info(market)],
        read=lambda market, reply: bybit_rest.instruments(reply),
        snapshot=None,
        topic=_member("topic"),
    )


MARKETS: dict[int, MarketRow] = {
    int(Market.BINANCE_SPOT): _binance(int(Market.BINANCE_SPOT)),
    int(Market.BINANCE_USDM): _binance(int(Market.BINANCE_USDM)),
    int(Market.BYBIT_SPOT): _bybit(int(Market.BYBIT_SPOT)),
    int(Market.BYBIT_LINEAR): _bybit(int(Market.BYBIT_LINEAR)),
    int(Market.OKX): MarketRow(
        wire=OkxWire,
        feeds=_okx_feeds,
        orders=lambda market: OkxSession("private", [("orders", "ANY")]),
        private=None,
        instruments=_okx_requests,
        read=lambda market, reply: okx_rest.instruments(reply),
        snapshot=None,
        topic=_okx_topic,
    ),
}


def listen_key_session(market: int, reply: bytes) -> Any:
    """The private-stream session that a listen-key reply opens. Raises ValueError for any other reply."""
    key = msgspec.json.decode(reply, type=dict[str, str]).get("listenKey", "")
    if not key:
        raise ValueError("no listenKey in the reply")
    return BinanceSession("stream", market, listen_key=key, combined=False)


def make_wire(instruments: Instruments, market: int, deployment: str, epoch: int) -> Wire:
    """A decoder and encoder for one market. Lines of one market share it: it keeps no state between
    frames."""
    return MARKETS[market].wire(instruments, market, deployment, epoch)
