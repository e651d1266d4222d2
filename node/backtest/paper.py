"""A paper venue for replays: takes the engine's order frames, answers in the venue's own wire format.

It is the simulated venues' order desk (`node/venues/<v>/fake.py`) without a market: what rests there is only
ours. Orders are accepted at once, cancels confirmed at once, as soon as the frame that caused them is done.
An order fills as a maker, at its own price, when a later recorded trade prints THROUGH that price, up to that
trade's size: at the price itself others may have been ahead of us, so that does not count. Orders that want
to take (IOC, FOK, market) find nobody here and expire. Nothing is random; time is an argument.
"""

from collections.abc import Callable
from typing import Protocol

from ext.engine import Engine, LineKind
from ext.records import Market, Side
from ext.wire import ListSink, Wire
from node.backtest.instruments import WIRES
from node.venues.binance import fake as binance
from node.venues.bybit import fake as bybit
from node.venues.bybit import rules as bybit_rules
from node.venues.fakes import Connection, FakeVenue, Listing
from node.venues.okx import fake as okx
from node.venues.values import InstrumentRow

ROUNDS = 16  # of orders and answers between two frames; the rest waits for the next
FORGET_EVERY = 1_000  # orders
SIZE_MAX = 2**56  # lots: what the matching engine takes at once
QUOTES = ("USDT", "USDC", "USD", "BTC", "ETH", "EUR")


class Answers(Protocol):
    """`Engine.on_bytes`."""

    def __call__(self, line: int, frame: bytes, now_ns: int) -> int: ...


class Desk:
    """One venue: its fake, and which line of the engine belongs to which connection."""

    def __init__(self, fake: FakeVenue):
        self.fake = fake
        self.lines: dict[int, int] = {}  # connection number -> line
        self.orders: dict[int, Connection] = {}  # line -> connection that orders go to
        self.remembered = 0  # orders, when the closed ones were last forgotten

    def join(self, line: int, connection: Connection, takes_orders: bool) -> None:
        self.lines[connection.number] = line
        if takes_orders:
            self.orders[line] = connection


class Paper:
    """The paper venues of a run over `rows` (their order is that of the engine's instruments).

    `join` adds the order and private lines to an engine; `taker` goes to its Recorder; `pump` after every
    frame.
    """

    def __init__(self, rows: list[InstrumentRow]):
        self.listings = [_listing(row) for row in rows]
        self.desks: list[Desk] = []
        self.by_line: dict[int, Desk] = {}
        self.queue: list[tuple[int, bytes]] = []
        self.readers: dict[int, Wire] = {}

    def join(self, engine: Engine, now_ns: int) -> None:
        """Open the desks of all markets of the engine's instruments, and bring their lines up."""
        by_market: dict[int, list[Listing]] = {}
        for listing in self.listings:
            by_market.setdefault(listing.market, []).append(listing)
        self.readers = {market: WIRES[market](engine.instruments, market) for market in by_market}
        for family, open_desk in (
            ((Market.BINANCE_SPOT, Market.BINANCE_USDM), _open_binance),
            ((Market.BYBIT_SPOT, Market.BYBIT_LINEAR), _open_bybit),
            ((Market.OKX,), _open_okx),
        ):
            markets = [m for m in family if m in by_market]
            if markets:
                self._open(engine, markets, [x for m in markets for x in by_market[m]], open_desk, now_ns)

    def _open(
        self, engine: Engine, markets: list[Market], listings: list[Listing], open_desk: "Opener", now_ns: int
    ) -> None:
        lines: list[int] = []

        def line(market: int, kind: LineKind) -> int:
            name = f"paper {LineKind(kind).name} {market}"
            lines.append(engine.add_line(name, kind, WIRES[market](engine.instruments, market)))
            return lines[-1]

        desk = open_desk(listings, [int(m) for m in markets], line, now_ns)
        desk.fake.take()  # what was said while connecting is for sessions, and there are none here
        self.desks.append(desk)
        for number in lines:
            self.by_line[number] = desk
            engine.on_line(number, True, now_ns)

    # ---- a run ----

    def taker(self, line: int, frame: bytes) -> None:
        """An order frame left the engine."""
        self.queue.append((line, frame))

    def pump(self, answer: Answers, now_ns: int) -> None:
        """Carry out what was ordered, and answer; answers may cause orders."""
        for _ in range(ROUNDS):
            if not self.queue:
                return
            queue, self.queue = self.queue, []
            for line, frame in queue:
                desk = self.by_line[line]
                desk.fake.receive(desk.orders[line], frame.decode(), now_ns)
            self._deliver(answer, now_ns)

    def _deliver(self, answer: Answers, now_ns: int) -> None:
        for desk in self.desks:
            for connection, text in desk.fake.take():
                answer(desk.lines[connection.number], text.encode(), now_ns)
            if desk.fake.counts["orders"] - desk.remembered >= FORGET_EVERY:
                desk.fake.forget_closed()
                desk.remembered = desk.fake.counts["orders"]

    def on_trades(
        self,
        market: int,
        frame: bytes,
        answer: Answers,
        now_ns: int,
        is_new: Callable[[dict], bool] = lambda event: True,
    ) -> None:
        """A frame of recorded trades: fill what they print through. `is_new`: a trade that no other line
        told of."""
        sink = ListSink()
        self.readers[market].read(frame, sink)
        for event in sink.events:
            if event["type"] == "trade" and is_new(event):
                self._print(self.listings[event["instrument"]], event, now_ns)
        self._deliver(answer, now_ns)
        self.pump(answer, now_ns)

    def _print(self, listing: Listing, event: dict, now_ns: int) -> None:
        """The recorded taker goes on to our orders that are better than its price."""
        side, price, size = event["side"], event["price_ticks"], event["size_lots"]
        limit = price + 1 if side == Side.SELL else price - 1
        ours = listing.engine.best(1 - side)
        if ours is None or limit < 1 or (ours[0] < limit if side == Side.SELL else ours[0] > limit):
            return
        listing.engine.trade(side, limit, min(size, SIZE_MAX))
        desk = next(x for x in self.desks if (listing.market, listing.symbol) in x.fake.listings)
        desk.fake.settle(listing, now_ns)

    def rests(self, instrument: int) -> bool:
        """Does an order of ours rest on this instrument?"""
        engine = self.listings[instrument].engine
        return engine.best(Side.BUY) is not None or engine.best(Side.SELL) is not None

    def counts(self) -> dict[str, int]:
        """Orders, cancels, fills, rejects so far, of all desks."""
        out = dict.fromkeys(("orders", "cancels", "fills", "rejects"), 0)
        for desk in self.desks:
            for name in out:
                out[name] += desk.fake.counts[name]
        return out


def _listing(row: InstrumentRow) -> Listing:
    quote = next((x for x in QUOTES if row.symbol.endswith(x)), "USDT")
    base, _, rest = row.symbol.partition("-")
    if rest:
        quote = rest.partition("-")[0]
    return Listing(
        row.symbol,
        row.tick,
        row.lot,
        row.market,
        base if rest else row.symbol.removesuffix(quote),
        quote,
        row.contract,
        row.inst_code,
        row.is_perpetual,
        row.min_notional,
    )


# ---- what each venue wants of a client before it takes orders ----------------------------------------------

Opener = Callable[[list[Listing], list[int], Callable[[int, LineKind], int], int], Desk]


def _open_binance(listings: list[Listing], markets: list[int], line, now_ns: int) -> Desk:
    """Spot: events come on the order connection. USD-M: on a stream of their own, by listen key."""
    fake = binance.BinanceFake(listings)
    desk = Desk(fake)
    for market in markets:
        connection = fake.open(binance.PRODUCTS[market].api + "?returnRateLimits=false", now_ns)
        desk.join(line(market, LineKind.ORDER_LINE), connection, True)
        if market == Market.BINANCE_SPOT:
            fake.receive(connection, '{"id":"1","method":"userDataStream.subscribe"}', now_ns)
            continue
        key = fake.add_listen_key(market, now_ns + binance.KEY_LIFE_NS)
        stream = fake.open(f"/private/ws?listenKey={key}", now_ns)
        desk.join(line(market, LineKind.PRIVATE_LINE), stream, False)
    return desk


def _open_bybit(listings: list[Listing], markets: list[int], line, now_ns: int) -> Desk:
    """A trade connection per market (the engine has a line for each), and a private one for both."""
    fake = bybit.BybitFake(listings)
    desk = Desk(fake)
    for market in markets:
        connection = fake.open(bybit_rules.TRADE_PATH, now_ns)
        desk.join(line(market, LineKind.ORDER_LINE), connection, True)
        private = fake.open(bybit_rules.PRIVATE_PATH, now_ns)
        name = bybit_rules.CATEGORY[market]
        fake.receive(private, f'{{"op":"subscribe","args":["order.{name}","execution.{name}"]}}', now_ns)
        desk.join(line(market, LineKind.PRIVATE_LINE), private, False)
    return desk


def _open_okx(listings: list[Listing], markets: list[int], line, now_ns: int) -> Desk:
    """Orders and what becomes of them on one connection."""
    fake = okx.OkxFake(listings)
    desk = Desk(fake)
    connection = fake.open("/ws/v5/private", now_ns)
    topic = '{"op":"subscribe","args":[{"channel":"orders","instType":"ANY"}]}'
    fake.receive(connection, topic, now_ns)
    desk.join(line(markets[0], LineKind.ORDER_LINE), connection, True)
    return desk
