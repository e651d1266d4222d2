"""Rows that a venue answered -> reports for the engine, in its own integers; and who an order belongs to."""

from collections import OrderedDict
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from ext.records import LegKind, OrderType, ReportKind, Side
from node.truth.desk import VenueDesk
from node.venues.values import OrderRow, TradeRow

STATES = {
    "live": ReportKind.REPORT_LIVE,
    "partial": ReportKind.REPORT_LIVE,
    "untriggered": ReportKind.REPORT_LIVE,
    "filled": ReportKind.REPORT_FILLED,
    "canceled": ReportKind.REPORT_CANCELED,
    "expired": ReportKind.REPORT_EXPIRED,
    "rejected": ReportKind.REPORT_REJECT,
}
OPEN = ("live", "partial", "untriggered")
TERMINAL = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "NEVER_EXISTED")
TYPES = {"limit": OrderType.LIMIT, "market": OrderType.MARKET, "stop_market": OrderType.STOP_MARKET}
BLANK: dict[str, Any] = {
    "kind": 0,
    "instrument": -1,
    "side": 0,
    "maker": 0,
    "order_id": 0,
    "epoch": 0,
    "price_ticks": 0,
    "size_lots": 0,
    "filled_lots": -1,
    "trade_hi": 0,
    "trade_lo": 0,
    "fee_e8": 0,
    "fee_is_quote": -1,
    "code": 0,
    "group": 0,
    "nature": 0,
    "order_ticks": -1,
    "order_lots": -1,
    "event_ns": 0,
    "leg": -1,
    "fee_coin": "",
    "venue_id": "",
}
LEGS = {"": -1, "net": LegKind.NET, "long": LegKind.LONG_LEG, "short": LegKind.SHORT_LEG}
OWNERS = 65_536
LOTS_MOST = 2**47  # as the engine's: no position of any sense is larger
MOST = Decimal(10**20)  # no amount of anything is larger, and sums of them stay exact


def number(text: str, what: str) -> Decimal:
    """A plain number. ValueError for "", NaN and the like (they are not zero), and for what no account can
    hold."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not text.isascii() or "_" in text:
        raise ValueError(f"{what} {text[:40]!r} is not a number")
    if abs(value) > MOST:
        raise ValueError(f"{what} {text[:40]!r} cannot be")
    return value


class Reader:
    """Reads rows of one desk with the instruments' exact grids. ValueError for what is off the grid or of
    another desk."""

    def __init__(self, desk: VenueDesk, instruments: Any):
        self.desk, self.instruments = desk, instruments

    def instrument(self, market: int, symbol: str) -> int | None:
        """The number of a symbol, None where it is not traded here. ValueError where the row is of another
        market."""
        if market != self.desk.market:
            raise ValueError(f"{symbol}: a row of market {market} in an answer of market {self.desk.market}")
        product = self.desk.products.get(symbol)
        return None if product is None else product.instrument

    def lots(self, instrument: int, text: str) -> int:
        sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
        lots = self.instruments.size_grid(instrument).parse(digits)
        if lots > LOTS_MOST:
            raise ValueError(f"{text[:40]!r} cannot be a size")
        return int(sign * lots)

    def ticks(self, instrument: int, text: str) -> int:
        return self.instruments.price_grid(instrument).parse(text)

    def leg(self, row: OrderRow | TradeRow) -> int:
        """LegKind of a row, -1 where it does not say. ValueError for another word."""
        if row.leg not in LEGS:
            raise ValueError(f"{row.symbol}: {row.leg[:20]!r} is no leg")
        return int(LEGS[row.leg])

    def order(self, row: OrderRow, key: tuple[int, int], *, terms: bool) -> dict[str, Any]:
        """What `row` proves of order `key` = (epoch, sequence). `terms`: its price and size are newer than
        what we hold."""
        instrument = self.instrument(row.market, row.symbol)
        if instrument is None:
            raise ValueError(f"{row.symbol}: not traded here")
        kind = STATES.get(row.state, ReportKind.REPORT_ODD)
        report = BLANK | {
            "kind": int(kind),
            "instrument": instrument,
            "side": row.side,
            "order_id": key[1],
            "epoch": key[0],
            "filled_lots": self.lots(instrument, row.filled),
            "event_ns": row.updated_ns,
            "leg": self.leg(row),
            "venue_id": row.venue_id,
        }
        if terms and row.state in OPEN:
            report["order_lots"] = self.lots(instrument, row.size)
            if row.kind == "limit":
                report["order_ticks"] = self.ticks(instrument, row.price)
        return report

    def trade(self, row: TradeRow, key: tuple[int, int]) -> dict[str, Any]:
        """One trade, of order `key` = (epoch, sequence), or of nobody we know: (0, 0)."""
        instrument = self.instrument(row.market, row.symbol)
        if instrument is None:
            raise ValueError(f"{row.symbol}: not traded here")
        fee = number(row.fee, "fee").scaleb(8).to_integral_value(ROUND_HALF_EVEN)
        if (
            self.instruments.money(
                instrument, self.ticks(instrument, row.price), self.lots(instrument, row.size)
            )
            < 1
        ):
            raise ValueError(f"{row.size[:40]} at {row.price[:40]} cannot be a trade")
        return BLANK | {
            "kind": int(ReportKind.REPORT_FILL),
            "instrument": instrument,
            "side": row.side,
            "maker": int(row.is_maker),
            "order_id": key[1],
            "epoch": key[0],
            "price_ticks": self.ticks(instrument, row.price),
            "size_lots": self.lots(instrument, row.size),
            "trade_hi": row.trade_hi,
            "trade_lo": row.trade_lo,
            "fee_e8": int(fee),
            "fee_is_quote": self._coin(row),
            "fee_coin": row.fee_coin,
            "leg": self.leg(row),
            "nature": row.nature,
            "event_ns": row.event_ns,
            "venue_id": row.venue_id,
        }

    def _coin(self, row: TradeRow) -> int:
        """Report.fee_is_quote: 1 quote, 2 base, 0 another coin."""
        product = self.desk.products[row.symbol]
        return 1 if row.fee_coin == product.quote else 2 if row.fee_coin == product.base else 0

    def adoption(self, row: OrderRow, key: tuple[int, int], filled_lots: int) -> dict[str, Any]:
        """Arguments of `engine.adopt` for an own order that the table does not hold. In hedge mode what is on
        the closing side of its leg is reduce-only, whatever the venue calls it; ValueError where it does not
        say of which leg it is."""
        instrument = self.instrument(row.market, row.symbol)
        if instrument is None:
            raise ValueError(f"{row.symbol}: not traded here")
        kind = TYPES.get(row.kind, OrderType.LIMIT)
        price = self.ticks(instrument, row.price) if kind == OrderType.LIMIT else 0
        leg, legged = self.leg(row), self.desk.hedge and self.desk.products[row.symbol].is_perpetual
        if legged and leg not in (LegKind.LONG_LEG, LegKind.SHORT_LEG):
            raise ValueError(f"{row.symbol}: an order of leg {row.leg!r} on an account in hedge mode")
        closes = legged and (row.side == Side.BUY) != (leg == LegKind.LONG_LEG)
        return {
            "instrument": instrument,
            "epoch": key[0],
            "sequence": key[1],
            "side": row.side,
            "type": int(kind),
            "tif": 0,
            "price_ticks": price,
            "size_lots": self.lots(instrument, row.size),
            "filled_lots": filled_lots,
            "reduce_only": row.reduce_only or closes,
            "leg": max(leg, 0),
            "trigger_ticks": self.ticks(instrument, row.trigger) if kind == OrderType.STOP_MARKET else 0,
            "venue_id": row.venue_id,
        }


class Owners:
    """Whose order a venue id is: trades come without the client id on some venues. (0, 0) = somebody
    else's."""

    def __init__(self, wire: Any):
        self.wire = wire
        self.known: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def key(self, client_id: str) -> tuple[int, int]:
        """(epoch, sequence) in a client id of this deployment, (0, 0) where it is not one."""
        sequence, epoch = self.wire.whose(client_id) if client_id.isascii() else (0, 0)
        return (epoch, sequence) if sequence else (0, 0)

    def learn(self, symbol: str, venue_id: str, key: tuple[int, int]) -> None:
        if venue_id:
            self.known[f"{symbol}/{venue_id}"] = key
            self.known.move_to_end(f"{symbol}/{venue_id}")
            while len(self.known) > OWNERS:
                self.known.popitem(last=False)

    def of_trade(self, row: TradeRow) -> tuple[int, int] | None:
        """The order of a trade; None where only the venue can say."""
        if row.client_id:
            return self.key(row.client_id)
        return self.known.get(f"{row.symbol}/{row.venue_id}") if row.venue_id else (0, 0)
