"""What a private stream told of the account besides orders and fills: each row and what it changes."""

from ext.records import HaltReason
from node.truth.evidence import number
from node.truth.halts import REDUCE_ONLY, STOP
from node.truth.watch import Watch
from node.venues.values import AccountNews, BalanceRow, CashRow, ModeRow, OrderRow, PositionRow, StatusRow

Row = PositionRow | BalanceRow | CashRow | ModeRow | StatusRow | OrderRow

VENUE, PHASE = HaltReason.HALT_VENUE, HaltReason.HALT_PHASE
LEVELS = {
    "halt": (VENUE, STOP),
    "cancel_only": (VENUE, STOP),
    "post_only": (PHASE, REDUCE_ONLY),
    "auction": (PHASE, STOP),
    "no_cancel": (PHASE, STOP),
    "maintenance": (VENUE, STOP),
    "settling": (VENUE, STOP),
    "delisting": (VENUE, REDUCE_ONLY),
}


def on_news(watch: Watch, news: AccountNews, now_ns: int) -> None:
    """Take over all rows. A row that cannot be read makes the lists due at once; it changes nothing."""
    for row in news.rows:
        try:
            _row(watch, row, now_ns)
        except ValueError as error:
            watch.halts.tell(watch.desk.title(), f"account news: {error}", now_ns)
            watch.all_due(now_ns)


def _row(watch: Watch, row: Row, now_ns: int) -> None:
    if isinstance(row, StatusRow):
        _status(watch, row, now_ns)
    elif isinstance(row, ModeRow):
        watch.positions.mode(row, now_ns)
    elif isinstance(row, CashRow):
        _cash(watch, row, now_ns)
    elif isinstance(row, PositionRow):
        _position(watch, row, now_ns)
    elif isinstance(row, OrderRow):
        _order(watch, row, now_ns)


def _order(watch: Watch, row: OrderRow, now_ns: int) -> None:
    """An order of a namespace that only the cold side reads. One that the table does not hold is for the
    next pass."""
    key = watch.owners.key(row.client_id)
    if key[1] and watch.table.find(key) is not None:
        watch.cases.learn(row, now_ns, now_ns, key)
    else:
        watch.hurry(now_ns)


def _position(watch: Watch, row: PositionRow, now_ns: int) -> None:
    """A stream position may be older or newer than our fills: where it differs, the list is asked soon."""
    watch.positions.modes([row], now_ns)
    instrument = watch.reader.instrument(row.market, row.symbol)
    if instrument is None or not row.size:
        return
    if watch.reader.lots(instrument, row.size) != watch.native.account.position(instrument)["lots"]:
        watch.due["positions"] = min(watch.due["positions"], now_ns + watch.settings.settle_ns)


def _cash(watch: Watch, row: CashRow, now_ns: int) -> None:
    """Where the venue lists such money, the list counts it: stream and list name the same payment differently
    (kind, id, time), and what cannot be told apart would be counted twice."""
    if not watch.lists_cash:
        watch.moved(row, now_ns)
        return
    number(row.amount, "amount")
    if row.kind == "liquidation":
        watch.reconciler.liquidated(row.symbol or watch.desk.title(), now_ns)
    watch.due["balances"] = min(watch.due["balances"], now_ns + watch.settings.settle_ns)


def _status(watch: Watch, row: StatusRow, now_ns: int) -> None:
    """A symbol ("" = all) changed its state. It trades again when a complete pass behind that agreed."""
    for symbol, product in watch.desk.products.items():
        if row.symbol in ("", symbol):
            _state(watch, row, symbol, product.instrument, now_ns)


def _state(watch: Watch, row: StatusRow, symbol: str, instrument: int, now_ns: int) -> None:
    if row.at_ns:
        watch.endings.announce(instrument, row.at_ns, now_ns)
    if row.status == "trading":
        was_said = watch.stated.pop(instrument, None) is not None
        # that the venue as a whole works again withdraws no announcement
        is_held = watch.halts.has(instrument, VENUE) or watch.halts.has(instrument, PHASE)
        if is_held and (row.symbol or instrument not in watch.endings.ends_ns):
            watch.reopens(instrument, was_said, now_ns)
    elif row.status in LEVELS:
        reason, level = LEVELS[row.status]
        watch.reopening.pop(instrument, None)
        watch.halts.hold(instrument, reason, level, "status", now_ns)
        watch.halts.free(instrument, VENUE if reason == PHASE else PHASE, "status", now_ns)
        if watch.stated.get(instrument) != row.status:  # lists say the same every minute, for days
            watch.stated[instrument] = row.status
            watch.halts.tell(
                watch.desk.place(symbol), f"the venue says {row.status} {row.text}".rstrip(), now_ns
            )
    else:
        watch.cases.odd(instrument, f"the venue says {row.status!r} {row.text}".rstrip(), now_ns)
        watch.hurry(now_ns)
