"""`tickgate trades TARGET`: fills, fees, funding and realised profit by FIFO lots, from the tape alone.

Two passes over what happened: the first collects it, because the fee of a fill may come behind it; the
second goes by the venue's times and closes lots.
"""

import csv
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ext.records import LegKind, Nature, Side, door_row, fill_row, report_row, state_row
from ext.tape import Record, RecordType
from node.errors import Failed, UserError, of_place
from node.sheet import narrow_table, put
from node.slow.audit import coin_of, trade_id
from node.slow.lots import NONE, Lots, Part
from node.slow.places import E8, Place, plain
from node.slow.reading import Records, parse_time, utc
from node.slow.told import FOUND, Run, run_of

LegKey = tuple[str, str, int]  # market, symbol, records.LegKind


@dataclass
class Happened:
    """Something that moved a position or its money, before lots are reckoned. `quantity` is signed coins,
    `amount` quote: of a correction, what coins that come in cost."""

    kind: str  # trade, funding, correction
    place: Place
    leg: int
    at_ns: int
    record: int
    quantity: Decimal = NONE
    amount: Decimal = NONE
    price: Decimal = NONE
    fee: Decimal | None = None  # paid is above zero; None: the venue has not told it
    fee_coin: str = ""
    fee_value: Decimal | None = None
    trade_id: str = ""
    client_id: str = ""
    venue_id: str = ""
    note: str = ""

    @property
    def is_in_kind(self) -> bool:
        """Is its fee paid in the very coins that it trades?"""
        return not self.place.is_perpetual and bool(self.fee) and self.fee_coin == self.place.base


@dataclass
class Row:
    """One row of the export: a fill, or the part of one that closes one lot or opens one. All numbers are
    exact text; "" where there is none or nobody knows. The fee of a fill stands in its last row."""

    time_utc: str
    kind: str
    venue: str
    symbol: str
    leg: str
    side: str
    quantity: str
    price: str
    quote_amount: str
    quote_coin: str
    fee: str
    fee_coin: str
    fee_value: str
    cost_basis: str
    proceeds: str
    realised: str
    acquired_at: str
    lot_quantity: str
    position_after: str
    trade_id: str
    client_id: str
    venue_order_id: str
    note: str


COLUMNS = tuple(Row.__dataclass_fields__)
SHOWN = 20  # rows for a person: what a screen takes
WIDE = 104  # columns of text from which a row is one line


@dataclass
class Total:
    """Of one symbol in one year, in its quote coin. `fees` are those with a value that are not part of a
    lot already."""

    fills: int = 0
    bought: Decimal = NONE
    sold: Decimal = NONE
    proceeds: Decimal = NONE
    cost_basis: Decimal = NONE
    realised: Decimal = NONE
    fees: Decimal = NONE
    coin_fees: Decimal = NONE  # paid in the traded coins
    funding: Decimal = NONE
    unvalued: dict[str, Decimal] = field(default_factory=dict)
    unknown_fees: int = 0

    @property
    def net(self) -> Decimal:
        return self.realised - self.fees + self.funding


@dataclass
class Trades:
    """`rows` since the time asked for; `totals` of these, by (year, venue, symbol, quote coin); `open`:
    what is left at the end of the tape, of each leg."""

    rows: list[Row]
    totals: dict[tuple[str, str, str, str], Total]
    open: list[dict[str, str]]
    torn: str
    damage: str

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": [asdict(x) for x in self.rows],
            "totals": [_total_json(key, x) for key, x in self.totals.items()],
            "open": self.open,
            "torn": self.torn,
            "damage": self.damage,
        }

    def check(self) -> None:
        """To be called when all was shown. Raises Failed where the tape is damaged."""
        if self.damage:
            raise Failed(f"the tape is damaged, and what is shown is what lies before: {self.damage}")


class Collected:
    """What a tape tells of trades, fees, funding and corrections. `feed` it records in order."""

    def __init__(self) -> None:
        self.happened: list[Happened] = []
        self.run: Run | None = None
        self.marks: dict[tuple[str, str], tuple[Place, dict[str, Any]]] = {}
        self._trades: dict[tuple[str, int, int, int], Happened] = {}
        self._prices: dict[str, Decimal] = {}  # of one coin, in the account's currency
        self._held: dict[
            LegKey, tuple[Decimal, Decimal]
        ] = {}  # coins and their cost, as the node counted them

    def feed(self, record: Record) -> None:
        """One record. Unknown types, and records in front of the first CONFIG, are left alone."""
        if record.type == RecordType.CONFIG:
            self.run = run_of(record, 1 if self.run is None else self.run.number + 1)
        method = METHODS.get(record.type)
        if method is not None and self.run is not None:
            method(self, record)

    def _place(self, number: int) -> Place | None:
        assert self.run is not None
        return self.run.place(number)

    def _fill(self, record: Record) -> None:
        row = fill_row(record.payload)
        report, place = row["report"], self._place(row["report"]["instrument"])
        if place is None:
            return
        assert self.run is not None
        quantity = place.coins(report["size_lots"])
        own = report["order_id"]
        happened = Happened(
            "trade",
            place,
            row["leg"],
            report["event_ns"] or record.now_ns,
            record.sequence,
            -quantity if report["side"] else quantity,
            place.money(report["price_ticks"] * report["size_lots"]),
            place.price(report["price_ticks"]),
            trade_id=trade_id(report["trade_hi"], report["trade_lo"]),
            client_id=self.run.client_id(report["epoch"] or self.run.epoch, own) if own else "",
            venue_id=report["venue_id"],
            note=_notes(report, self.run),
        )
        self.happened.append(happened)
        self._trades[place.name, report["side"], report["trade_hi"], report["trade_lo"]] = happened
        held = place.coins(row["leg_lots"]), place.money(row["leg_cost"])
        self._held[place.market, place.symbol, row["leg"]] = held
        if place.base:
            self._prices[place.base] = happened.price
        self._fee(happened, report)

    def _report(self, record: Record) -> None:
        """A fee that came behind its fill."""
        row = report_row(record.payload)
        if row["kind"] != "REPORT_FILL" or row["fee_is_quote"] < 0:
            return
        for place in (
            [self._place(row["instrument"])]
            if row["instrument"] >= 0
            else self.run.places
            if self.run
            else []
        ):
            happened = (
                self._trades.get((place.name, row["side"], row["trade_hi"], row["trade_lo"]))
                if place
                else None
            )
            if happened is not None and happened.fee is None and self._is_of(happened, row):
                self._fee(happened, row)

    def _is_of(self, happened: Happened, row: dict[str, Any]) -> bool:
        """A report that names no symbol must name the order: trade ids count anew on each symbol."""
        assert self.run is not None
        own = self.run.client_id(row["epoch"] or self.run.epoch, row["order_id"]) if row["order_id"] else ""
        named = own == happened.client_id if own else row["venue_id"] == happened.venue_id
        return row["instrument"] >= 0 or (named and bool(own or row["venue_id"]))

    def _fee(self, happened: Happened, report: dict[str, Any]) -> None:
        if report["fee_is_quote"] < 0:
            return
        place, coin = happened.place, coin_of(happened.place, report)
        happened.fee, happened.fee_coin = report["fee_e8"] * E8, coin
        price = {place.quote: Decimal(1), place.base: happened.price}.get(coin) if coin else None
        price = self._prices.get(coin) if price is None else price
        if not happened.fee:
            happened.fee_value = NONE
        elif price is not None:
            happened.fee_value = happened.fee * price

    def _mark(self, record: Record) -> None:
        row = state_row(record.payload)
        place = self._place(row["instrument"])
        if place is None or not row["bid_ticks"] or not row["ask_ticks"]:
            return
        self.marks[place.market, place.symbol] = place, row
        if place.base:
            self._prices[place.base] = place.price(row["bid_ticks"] + row["ask_ticks"]) / 2

    def _door(self, record: Record) -> None:
        row = door_row(record.payload)
        if row["door"] == "DOOR_COIN":
            raw = row["b"].to_bytes(8, "little", signed=True) + row["c"].to_bytes(8, "little", signed=True)
            if row["a"] > 0:
                self._prices[raw.rstrip(b"\0").decode("ascii", "replace")] = row["a"] * E8
            return
        place = self._place(row["instrument"])
        if place is None:
            return
        if row["door"] == "DOOR_FUNDING":
            self.happened.append(
                Happened("funding", place, 0, record.now_ns, record.sequence, amount=row["a"] * E8)
            )
        elif row["door"] == "DOOR_POSITION":
            self._position(place, row, record)

    def _position(self, place: Place, row: dict[str, Any], record: Record) -> None:
        """A start puts back what was counted, which is nothing new. Anything else is a correction: of the
        difference, because fees paid in kind are in the lots and not in what the node counts."""
        leg, now, cost = row["order_id"], place.coins(row["a"]), place.money(row["c"])
        key = (place.market, place.symbol, leg)
        held, held_cost = self._held.get(key, (NONE, NONE))
        self._held[key] = now, cost
        if now == held:
            return
        more = abs(cost) if held * now <= 0 else abs(cost - held_cost)
        self.happened.append(
            Happened(
                "correction",
                place,
                leg,
                record.now_ns,
                record.sequence,
                now - held,
                more,
                note="the position as the venue shows it, or as an operator told",
            )
        )


METHODS = {
    RecordType.FILL: Collected._fill,
    RecordType.REPORT: Collected._report,
    RecordType.MARK: Collected._mark,
    RecordType.DOOR: Collected._door,
}


def _notes(report: dict[str, Any], run: Run) -> str:
    """What is said of a fill that `run` counted."""
    told = [] if report["order_id"] else ["not this node's order"]
    if run.is_older(report["event_ns"]):
        told.append(FOUND)
    if report["nature"]:
        told.append(Nature(report["nature"]).name.lower())
    return "; ".join(told)


def trades_of(directory: Path, *, since: str = "", symbol: str = "") -> Trades:
    """Read a whole tape and reckon. Raises UserError where there is none, or the time or symbol is none."""
    from_ns = parse_time(since, "--since", time.time_ns()) if since else 0
    records, collected = Records(directory, {RecordType.CONFIG, *METHODS}), Collected()
    last_ns = 0
    for record in records:
        last_ns = record.now_ns
        try:
            collected.feed(record)
        except (ValueError, KeyError, IndexError) as error:
            raise Failed(f"{directory}: record {record.sequence} cannot be read: {error}") from None
    if since:  # before the end of a tape that ended earlier
        from_ns = parse_time(since, "--since", min(time.time_ns(), last_ns))
    places = [*(collected.run.places if collected.run else []), *(x.place for x in collected.happened)]
    known = {name for x in places for name in (x.symbol, x.name)}
    if symbol and symbol not in known:
        raise UserError(f"--symbol {symbol}: this tape has {', '.join(sorted(known)) or 'no instrument'}")
    return reckon(collected, from_ns, symbol, records.torn, records.damage)


def reckon(
    collected: Collected, from_ns: int = 0, symbol: str = "", torn: str = "", damage: str = ""
) -> Trades:
    """Rows, totals and open lots of what was collected; lots are reckoned from the beginning, whatever is
    shown. `symbol`: of this one only, on every venue or, with the market in front of it, on one."""
    legs: dict[LegKey, tuple[Place, Lots]] = {}
    out = Trades([], {}, [], torn, damage)
    for x in _in_order(collected.happened):
        key = (x.place.market, x.place.symbol, x.leg)
        lots = legs.setdefault(key, (x.place, Lots()))[1]
        rows = list(_rows(x, lots))
        if x.at_ns >= from_ns and symbol in ("", x.place.symbol, x.place.name):
            out.rows += [row for row, _ in rows]
            _add_up(out.totals, x, [part for _, part in rows])
    out.open = [_open(place, leg, lots, collected) for (_, _, leg), (place, lots) in legs.items() if lots.lots
                and symbol in ("", place.symbol, place.name)]  # fmt: skip
    return out


def _in_order(happened: list[Happened]) -> list[Happened]:
    """By the venue's time, but never across a correction of the same leg: that was of what was counted by
    then."""
    floor: dict[LegKey, int] = {}
    placed: list[tuple[int, int, Happened]] = []
    for x in happened:
        key = (x.place.market, x.place.symbol, x.leg)
        if x.kind == "correction":
            floor[key] = max(floor.get(key, 0), x.at_ns)
        placed.append((max(x.at_ns, floor.get(key, 0)), x.record, x))
    return [x for _, _, x in sorted(placed, key=lambda row: row[:2])]


def _rows(x: Happened, lots: Lots) -> Iterator[tuple[Row, Part | None]]:
    if x.kind == "funding":
        yield _row(x, amount=x.amount, realised=x.amount, position=lots.quantity), None
        return
    if x.kind == "correction":
        lots.correct(x.quantity, x.amount)
        side = "in" if x.quantity > 0 else "out"
        yield _row(x, quantity=abs(x.quantity), side=side, position=lots.quantity), None
        return
    in_kind = x.fee if x.is_in_kind and x.fee is not None else NONE
    parts = lots.trade(x.quantity - in_kind, x.amount, x.at_ns)
    left = abs(x.quantity)
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        quantity = left if last else part.quantity
        left -= quantity
        yield _part_row(x, part, quantity, last), part


def _part_row(x: Happened, part: Part, quantity: Decimal, last: bool) -> Row:
    sells = x.quantity < 0
    row = _row(
        x,
        quantity=quantity,
        side=Side(int(sells)).name.lower(),
        amount=part.amount,
        position=part.position,
        fee=x.fee if last else None,
        lot_quantity=part.quantity,
    )
    row.fee_coin = x.fee_coin if last else ""
    row.fee_value = plain(x.fee_value) if last and x.fee_value is not None else ""
    if last and x.fee is None:
        row.note = "; ".join(filter(None, (row.note, "the venue has not told the fee")))
    elif last and x.fee_value is None:
        row.note = "; ".join(
            filter(None, (row.note, f"no price of {x.fee_coin} on this tape: fee without a value"))
        )
    elif last and x.is_in_kind:
        paid = f"fee in the coins themselves: they are {plain(abs(part.quantity))} of this row, not "
        row.note = "; ".join(filter(None, (row.note, paid + plain(quantity))))
    if part.closed is None:
        if sells and not x.place.is_perpetual:
            row.note = "; ".join(filter(None, (row.note, "sold coins that this tape did not see bought")))
        return row
    cost, proceeds = (part.lot_amount, part.amount) if sells else (part.amount, part.lot_amount)
    row.cost_basis, row.proceeds, row.realised = plain(cost), plain(proceeds), plain(part.realised)
    row.acquired_at = utc(part.closed.acquired_ns)
    if not part.closed.acquired_ns:
        row.note = "; ".join(filter(None, (row.note, "acquired before this tape")))
    return row


def _row(
    x: Happened, *, quantity: Decimal | None = None, side: str = "", amount: Decimal | None = None,
    realised: Decimal | None = None, position: Decimal = NONE, fee: Decimal | None = None,
    lot_quantity: Decimal | None = None,
) -> Row:  # fmt: skip
    def shown(number: Decimal | None) -> str:
        return "" if number is None else plain(number)

    return Row(
        time_utc=utc(x.at_ns),
        kind=x.kind,
        venue=x.place.market,
        symbol=x.place.symbol,
        leg=LegKind(x.leg).name.lower() if x.leg else "",
        side=side,
        quantity=shown(quantity),
        price=plain(x.price) if x.kind == "trade" else "",
        quote_amount=shown(amount),
        quote_coin=x.place.quote,
        fee=shown(fee),
        fee_coin="",
        fee_value="",
        cost_basis="",
        proceeds="",
        realised=shown(realised),
        acquired_at="",
        lot_quantity=shown(lot_quantity),
        position_after=plain(position),
        trade_id=x.trade_id,
        client_id=x.client_id,
        venue_order_id=x.venue_id,
        note=x.note,
    )


def _add_up(totals: dict[tuple[str, str, str, str], Total], x: Happened, parts: list[Part | None]) -> None:
    key = (utc(x.at_ns)[:4], x.place.market, x.place.symbol, x.place.quote)
    total = totals.setdefault(key, Total())
    if x.kind == "funding":
        total.funding += x.amount
    if x.kind != "trade":
        return
    total.fills += 1
    if x.quantity > 0:
        total.bought += x.quantity
    else:
        total.sold -= x.quantity
    for part in parts:
        if part is None or part.closed is None:
            continue
        sells = x.quantity < 0
        total.proceeds += part.amount if sells else part.lot_amount
        total.cost_basis += part.lot_amount if sells else part.amount
        total.realised += part.realised
    if x.fee is None:
        total.unknown_fees += 1
    elif x.is_in_kind:
        total.coin_fees += x.fee
    if x.fee is None:
        pass
    elif x.fee_value is None:
        total.unvalued[x.fee_coin] = total.unvalued.get(x.fee_coin, NONE) + x.fee
    elif not x.is_in_kind:
        total.fees += x.fee_value


def _open(place: Place, leg: int, lots: Lots, collected: Collected) -> dict[str, str]:
    """What is left of a leg: its quantity, what it cost, and its value at the last mid on the tape."""
    told = {
        "venue": place.market,
        "symbol": place.symbol,
        "leg": LegKind(leg).name.lower() if leg else "",
        "quantity": plain(lots.quantity),
        "cost": plain(lots.cost),
        "quote_coin": place.quote,
        "oldest": utc(lots.lots[0].acquired_ns),
        "mid": "",
        "unrealised": "",
    }
    mark = collected.marks.get((place.market, place.symbol))
    if mark is not None:
        mid = mark[0].price(mark[1]["bid_ticks"] + mark[1]["ask_ticks"]) / 2
        told |= {"mid": plain(mid), "unrealised": plain(lots.quantity * mid - lots.cost)}
    return told


def _total_json(key: tuple[str, str, str, str], x: Total) -> dict[str, Any]:
    names = ("bought", "sold", "proceeds", "cost_basis", "realised", "fees", "funding", "net")
    return (
        dict(zip(("year", "venue", "symbol", "quote_coin"), key, strict=True))
        | {"fills": x.fills}
        | {name: plain(getattr(x, name)) for name in names}
        | {"coin_fees": plain(x.coin_fees)}
        | {"unvalued_fees": {k: plain(v) for k, v in x.unvalued.items()}, "unknown_fees": x.unknown_fees}
    )


# ---- for people ----


def write_csv(found: Trades, path: Path) -> None:
    """The rows, with a head line. Raises UserError where the file cannot be written, Failed where the disk
    is full."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([getattr(row, name) for name in COLUMNS] for row in found.rows)
    except OSError as error:
        raise of_place(f"--csv {path}", error) from None


def print_trades(found: Trades, console: Console, rows: bool = True) -> None:
    """The last rows in short (the CSV has all of them, and all columns), what each symbol came to and all of
    them together, and what is open."""
    join = " " if console.width >= WIDE else "\n"
    if rows and found.rows:
        put(_rows_table(found.rows[-SHOWN:], join), console)
        if len(found.rows) > SHOWN:
            more = f"{len(found.rows) - SHOWN} earlier rows are not shown: --csv FILE and --json have all"
            console.print(Text(more))
    if not found.totals:
        console.print("no fill, no funding and no correction in what was asked for")
    else:
        put(_totals_table(found, join), console)
    for line in _remarks(found):
        console.print(Text(line))


def _totals_table(found: Trades, join: str) -> Table:
    """A row for each symbol in each year, and where there are several, one for all in a quote coin."""
    table = narrow_table(("year", "instrument"), ("fills", "realised", "fees", "funding", "net"))
    for (year, venue, symbol, quote), total in found.totals.items():
        sums = map(_short, (total.realised, total.fees, total.funding))
        net = join.join((_short(total.net), quote))
        table.add_row(year, join.join((venue, symbol)), str(total.fills), *sums, net)
    for quote in dict.fromkeys(x[3] for x in found.totals):
        of_coin = [total for key, total in found.totals.items() if key[3] == quote]
        if len(of_coin) > 1:
            names = ("realised", "fees", "funding", "net")
            *most, net = (_short(sum((getattr(x, name) for x in of_coin), NONE)) for name in names)
            fills = str(sum(x.fills for x in of_coin))
            table.add_row("all", "", fills, *most, join.join((net, quote)), style="bold")
    return table


def _rows_table(rows: list[Row], join: str) -> Table:
    """A row for each; `join`: between the two halves of a cell."""
    table = narrow_table(("time (UTC)", "instrument", "what"), ("quantity", "price", "fee", "realised"))
    for x in rows:
        does = "close" if x.acquired_at or x.realised else "open"
        table.add_row(
            join.join((x.time_utc[5:10], x.time_utc[11:19])),
            join.join((x.venue, x.symbol)),
            x.kind if x.kind != "trade" else join.join((x.side, does)),
            x.quantity,
            x.price,
            join.join((_short(Decimal(x.fee)), x.fee_coin)) if x.fee else "",
            _short(Decimal(x.realised)) if x.realised else "",
        )
    return table


def _short(amount: Decimal) -> str:
    """As many of eight decimals as fit into ten characters; the CSV and --json are exact."""
    whole = len(f"{amount:.0f}")
    return f"{amount:.{min(8, max(2, 9 - whole))}f}"


def _remarks(found: Trades) -> Iterator[str]:
    for x in found.open:
        value = f", unrealised {_short(Decimal(x['unrealised']))} at {x['mid']}" if x["mid"] else ""
        leg = f" {x['leg']}" if x["leg"] else ""
        place = f"{x['venue']} {x['symbol']}{leg}"
        cost = f"{_short(Decimal(x['cost']))} {x['quote_coin']}"
        yield f"open: {place} {x['quantity']} at a cost of {cost}{value}"
    for (year, venue, symbol, _), total in found.totals.items():
        for coin, amount in total.unvalued.items():
            place = f"{year} {venue} {symbol}"
            yield f"{place}: fees of {plain(amount)} {coin} have no value here: no price of it on this tape"
        if total.coin_fees:
            yield (
                f"{year} {venue} {symbol}: fees of {plain(total.coin_fees)} were paid in the traded coins: "
                "the venue's balance is that much below bought less sold, and so are the lots here"
            )
        if total.unknown_fees:
            yield f"{year} {venue} {symbol}: the venue has not told the fees of {total.unknown_fees} fills"
    if found.torn:
        yield f"the tape's end is not whole; what lies before it is shown: {found.torn}"
