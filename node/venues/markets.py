"""One row per market: which decoder, which sessions, which requests. The only table that names all venues."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ext.instruments import Instruments
from ext.records import BudgetKind, Market
from ext.venues.binance import BinanceWire
from ext.venues.bybit import BybitWire
from ext.venues.okx import OkxWire
from ext.wire import Wire
from node.venues.binance import rest as binance_rest
from node.venues.binance import rules as binance_rules
from node.venues.binance.account import Rest as BinanceRest
from node.venues.binance.rules import stream_name
from node.venues.binance.session import Session as BinanceSession
from node.venues.bybit import rest as bybit_rest
from node.venues.bybit import rules as bybit_rules
from node.venues.bybit.session import Session as BybitSession
from node.venues.keys import Key
from node.venues.okx import rest as okx_rest
from node.venues.okx import rules as okx_rules
from node.venues.okx.session import Session as OkxSession
from node.venues.values import InstrumentRow, Reply, Request, Rest

Symbols = list[str]
Depths = dict[str, int]


Line = tuple[str, Any]  # ("streams" or "orders": which address, its session or None: made of a reply)
Rule = tuple[int, int, int, bool]  # BudgetKind, limit, interval in ns, a bucket for each instrument


@dataclass(frozen=True)
class MarketRow:
    """What a market needs. `feeds` gives the sessions of one line, each on a connection of its own; `orders`
    the order-entry session, which `orders_tell_all` where reports, positions and balances come on it too;
    `private` the other connections that tell of them. Where a private session is None, `listen_key(market,
    api_key)` gives what makes the request for it, and the session of the reply. `codes` is the error table of
    the decoder, `budgets` the venue's published request limits, `attempts` how many connection attempts of
    one machine the venue takes in how many ns."""

    wire: type[Wire]
    feeds: Callable[[int, Symbols, Depths, bool], list[Any]]
    orders: Callable[[int, Key | None], Any]
    orders_tell_all: bool
    private: Callable[[int, Key | None], list[Line]]
    instruments: Callable[[int, Symbols], list[Request]]
    read: Callable[[int, bytes], list[InstrumentRow]]
    snapshot: Callable[[int, str], Request] | None
    topic: Callable[[bytes], Any]
    rest: Callable[[int, Key, int], Rest]
    codes: list[tuple[int, int, int, int, int]]
    budgets: Callable[[int], list[Rule]]
    attempts: tuple[int, int]
    listen_key: (
        Callable[[int, str, Key | None], tuple[Callable[[], Request], Callable[[Reply], Any]]] | None
    ) = None

    def channel(self, frame: bytes) -> str:
        """What recordings call the channel of a frame: "btcusdt@trade", "orderbook.50.BTCUSDT",
        "books:BTC-USDT"; "reply" where it is of none."""
        topic = self.topic(frame)
        if topic is None:
            return "reply"
        return topic if isinstance(topic, str) else ":".join(topic)


def _binance_feeds(market: int, symbols: Symbols, depths: Depths, trades: bool) -> list[Any]:
    books = [stream_name(s, x) for s in symbols for x in ("depth@100ms", "bookTicker")]
    if market == Market.BINANCE_SPOT:
        books += [stream_name(s, "trade") for s in symbols if trades]
    if market == Market.BINANCE_SPOT or not trades:
        return [BinanceSession("stream", market, books)]
    others = [stream_name(s, x) for s in symbols for x in ("aggTrade", "markPrice@1s")]
    return [BinanceSession("stream", market, books), BinanceSession("stream", market, others)]


def _binance_orders(market: int, key: Key | None) -> Any:
    return BinanceSession("api", market, key=key, user_data=market == Market.BINANCE_SPOT)


def _binance_listen_key(market: int, api_key: str, key: Key | None) -> Any:
    def opened(reply: Reply) -> Any:
        name = binance_rest.read_listen_key(reply)
        return BinanceSession("stream", market, key=key, listen_key=name, combined=False)

    return (lambda: binance_rest.listen_key("POST", api_key)), opened


def _bybit_feeds(market: int, symbols: Symbols, depths: Depths, trades: bool) -> list[Any]:
    topics = [f"orderbook.{d}.{s}" for s in symbols for d in dict.fromkeys((depths[s], 1))]
    topics += [f"{name}.{s}" for s in symbols for name in ("publicTrade", "tickers") if trades]
    return [BybitSession("public", market, topics, watch=True)]


def _okx_feeds(market: int, symbols: Symbols, depths: Depths, trades: bool) -> list[Any]:
    books = {400: "books", 50: "books50-l2-tbt"}
    others = ("bbo-tbt", "trades") if trades else ("bbo-tbt",)
    topics = [(c, s) for s in symbols for c in dict.fromkeys((books[depths[s]], *others))]
    news = [("instruments", kind) for kind in _okx_kinds(symbols)] + [("status", "")]
    return [OkxSession("public", topics + news)]


def _okx_kinds(symbols: Symbols) -> list[str]:
    return sorted({"SWAP" if s.endswith("-SWAP") else "SPOT" for s in symbols})


def _okx_requests(market: int, symbols: Symbols) -> list[Request]:
    return [okx_rest.instruments_request(kind) for kind in _okx_kinds(symbols)]


def _member(name: str) -> Callable[[bytes], str | None]:
    """Reads a string member of a frame, wherever it stands and however it is spaced; None where it is not
    there."""
    find = re.compile(rf'"{name}"\s*:\s*"([!#-~]+)"'.encode()).search
    return lambda frame: m.group(1).decode() if (m := find(frame)) else None


_channel, _inst = _member("channel"), _member("instId")


def _okx_topic(frame: bytes) -> tuple[str, str] | None:
    channel, inst = _channel(frame), _inst(frame)
    return (channel, inst) if channel and inst else None


def _rules(rows: Any) -> list[Rule]:
    """The limits on orders, cancels and amends out of a venue's table, whichever way it spells them. Those
    on OKX's conditional orders are not limits on all orders."""
    out = []
    for row in rows:
        if "algo" in getattr(row, "name", ""):
            continue
        if row.kind < BudgetKind.BUDGET_WEIGHT and row.limit > 2:
            by_instrument = getattr(row, "scope", "account") == "instrument"
            out.append((int(row.kind), row.limit, row.interval_ns, by_instrument))
    return out


def _binance(market: int) -> MarketRow:
    is_spot = market == Market.BINANCE_SPOT
    return MarketRow(
        wire=BinanceWire,
        feeds=_binance_feeds,
        orders=_binance_orders,
        orders_tell_all=is_spot,
        private=lambda market, key: [] if is_spot else [("streams", None)],
        listen_key=None if is_spot else _binance_listen_key,
        instruments=lambda market, symbols: [binance_rest.exchange_info(market)],
        read=lambda market, reply: binance_rest.instruments(reply, market),
        snapshot=lambda market, symbol: binance_rest.depth(market, symbol),
        topic=_member("stream"),
        rest=BinanceRest,
        codes=binance_rules.CODES[market],
        budgets=lambda market: _rules(binance_rules.BUDGETS[market]),
        attempts=binance_rules.ATTEMPTS,
    )


def _bybit(market: int) -> MarketRow:
    return MarketRow(
        wire=BybitWire,
        feeds=_bybit_feeds,
        orders=lambda market, key: BybitSession("trade", market, key=key),
        orders_tell_all=False,
        private=lambda market, key: [("orders", BybitSession("private", market, key=key))],
        instruments=lambda market, symbols: [bybit_rest.instruments_info(market)],
        read=lambda market, reply: bybit_rest.instruments(reply),
        snapshot=None,
        topic=_member("topic"),
        rest=bybit_rest.Rest,
        codes=bybit_rules.CODES,
        budgets=lambda market: _rules(bybit_rules.BUDGETS[market]),
        attempts=bybit_rules.ATTEMPTS,
    )


MARKETS: dict[int, MarketRow] = {
    int(Market.BINANCE_SPOT): _binance(int(Market.BINANCE_SPOT)),
    int(Market.BINANCE_USDM): _binance(int(Market.BINANCE_USDM)),
    int(Market.BYBIT_SPOT): _bybit(int(Market.BYBIT_SPOT)),
    int(Market.BYBIT_LINEAR): _bybit(int(Market.BYBIT_LINEAR)),
    int(Market.OKX): MarketRow(
        wire=OkxWire,
        feeds=_okx_feeds,
        orders=lambda market, key: OkxSession("private", okx_rules.PRIVATE_TOPICS, key=key),
        orders_tell_all=True,
        private=lambda market, key: [("orders", OkxSession("business", okx_rules.ALGO_TOPICS, key=key))],
        instruments=_okx_requests,
        read=lambda market, reply: okx_rest.instruments(reply),
        snapshot=None,
        topic=_okx_topic,
        rest=okx_rest.Rest,
        codes=okx_rules.CODES,
        budgets=lambda market: _rules(okx_rules.BUDGETS[market]),
        attempts=okx_rules.ATTEMPTS,
    ),
}


def make_wire(instruments: Instruments, market: int, deployment: str, epoch: int) -> Wire:
    """A decoder and encoder for one market. Lines of one market share it: it keeps no state between
    frames."""
    return MARKETS[market].wire(instruments, market, deployment, epoch)
