"""The nouns, seen from Python: the enums, the rows a tape holds, and `Approved`, which Python cannot create."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset


cdef bint _minting = False


cdef class Approved:
    def __cinit__(self):
        if not _minting:
            raise TypeError("Approved is made by the risk gate only")

    @property
    def order_id(self):
        return self.order_id


cdef Approved mint():
    """A blank Approved. `ext.risk` is the only caller (a test reads the sources to make sure)."""
    global _minting
    _minting = True
    try:
        return Approved.__new__(Approved)
    finally:
        _minting = False


cdef const void* _rows(bytes payload, Py_ssize_t size, str what) except NULL:
    if PyBytes_GET_SIZE(payload) != size:
        raise ValueError(f"{what} record of {PyBytes_GET_SIZE(payload)} bytes: must have {size} (another layout?)")
    return PyBytes_AS_STRING(payload)


def verdict_row(bytes payload) -> dict:
    """A VERDICT record: {intent, reason, value, limit, order_id}. ValueError where the size is wrong."""
    row = <object>(<const VerdictRow*>_rows(payload, sizeof(VerdictRow), "VERDICT"))[0]
    row["reason"] = Reason(row["reason"]).name
    return row


def decision_row(bytes payload) -> dict:
    """A DECISION record: {order_id, instrument, low2, high2, changed_ns, last_id, state, bids, asks, checks}. Levels are (ticks,
    lots); checks are {reason, sense, value, limit, whole}. ValueError where the size is wrong."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef const DecisionRow* row = <const DecisionRow*>PyBytes_AS_STRING(payload)
    cdef const CheckRow* check = <const CheckRow*>(row + 1)
    cdef int i
    if size < <Py_ssize_t>sizeof(DecisionRow) or size != <Py_ssize_t>(sizeof(DecisionRow) + row.checks * sizeof(CheckRow)):
        raise ValueError(f"DECISION record of {size} bytes: must have {sizeof(DecisionRow)} and {sizeof(CheckRow)} for each "
                         "check (another layout?)")
    return {"order_id": row.order_id, "instrument": row.instrument, "low2": row.low2, "high2": row.high2,
            "changed_ns": row.changed_ns, "last_id": row.last_id, "state": row.state,
            "bids": [(row.bids[i].price_ticks, row.bids[i].size_lots) for i in range(min(row.bid_count, DECISION_LEVELS))],
            "asks": [(row.asks[i].price_ticks, row.asks[i].size_lots) for i in range(min(row.ask_count, DECISION_LEVELS))],
            "checks": [check_row(&check[i]) for i in range(row.checks)]}


cdef dict check_row(const CheckRow* check):
    return {"reason": Reason(check.reason).name, "sense": Sense(check.sense).name, "value": check.value, "limit": check.limit,
            "whole": check.whole}


def signal_row(bytes payload) -> dict:
    """A SIGNAL record: {strategy, instrument, kind, a, b, c, d}."""
    row = <object>(<const SignalRow*>_rows(payload, sizeof(SignalRow), "SIGNAL"))[0]
    del row["pad"]
    return row


def fill_row(bytes payload) -> dict:
    """A FILL record: {report, position_lots, cash, cost, leg, leg_lots, leg_cash, leg_cost}."""
    cdef FillRow fill = (<const FillRow*>_rows(payload, sizeof(FillRow), "FILL"))[0]
    fill.report.fee_coin[sizeof(fill.report.fee_coin) - 1] = 0     # as in `_report`
    row = <object>fill
    row["report"] = _report(payload)
    return row


def report_row(bytes payload) -> dict:
    """A REPORT record."""
    _rows(payload, sizeof(Report), "REPORT")
    return _report(payload)


def _report(bytes payload):
    cdef Report report = (<const Report*>PyBytes_AS_STRING(payload))[0]
    cdef int size = min(max(report.venue_id_size, 0), <int>sizeof(report.venue_id))    # a tape may be anybody's
    report.fee_coin[sizeof(report.fee_coin) - 1] = 0    # what makes a dict of it looks for the end of a text
    row = <object>report
    row["venue_id"], row["venue_id_size"] = report.venue_id[:size].decode("ascii", "replace"), size
    row["fee_coin"] = report.fee_coin[:sizeof(report.fee_coin)].split(b"\0")[0].decode("ascii", "replace")
    row["kind"] = ReportKind(report.kind).name
    return row


def stop_row(bytes payload) -> dict:
    """A STOP record."""
    row = <object>(<const StopRow*>_rows(payload, sizeof(StopRow), "STOP"))[0]
    row["reason"], row["policy"] = Reason(row["reason"]).name, StopPolicy(row["policy"]).name
    return row


def state_row(bytes payload) -> dict:
    """One instrument of a MARK record."""
    return <object>(<const StateRow*>_rows(payload, sizeof(StateRow), "MARK"))[0]


def equity_row(bytes payload) -> dict:
    """An EQUITY record: one purse, or everything (purse -1)."""
    return <object>(<const EquityRow*>_rows(payload, sizeof(EquityRow), "EQUITY"))[0]


def evidence_rows(bytes payload) -> list:
    """An EVIDENCE record: its reports."""
    cdef Py_ssize_t count = PyBytes_GET_SIZE(payload) // sizeof(Report)
    if not count or PyBytes_GET_SIZE(payload) % sizeof(Report):
        raise ValueError(f"EVIDENCE record of {PyBytes_GET_SIZE(payload)} bytes: must have a multiple of {sizeof(Report)}")
    return [_report(payload[i * sizeof(Report):(i + 1) * sizeof(Report)]) for i in range(count)]


def door_row(bytes payload) -> dict:
    """A DOOR record; `text` is what stands behind the row: the venue's id of an adopted order, else ""."""
    cdef bytes head = payload[:sizeof(DoorRow)]     # by a name: a piece that nobody holds is freed before it is read
    row = <object>(<const DoorRow*>_rows(head, sizeof(DoorRow), "DOOR"))[0]
    row["door"] = Door(row["door"]).name
    row["text"] = payload[sizeof(DoorRow):].decode("ascii", "replace")
    return row


def hash_row(bytes payload) -> dict:
    """A HASH record: a hash of each room's state."""
    return <object>(<const HashRow*>_rows(payload, sizeof(HashRow), "HASH"))[0]


def pack_reports(rows) -> bytes:
    """Reports as dicts (absent members: 0, or -1 where that means "not said") to the bytes of an EVIDENCE record.
    ValueError where a member is not one of Report's, or a number does not fit."""
    cdef Report report
    out = bytearray()
    for row in rows:
        unknown = set(row) - set(REPORT_FIELDS)
        if unknown:
            raise ValueError(f"report: {sorted(unknown)[0]!r} is no member of it")
        memset(&report, 0, sizeof(report))
        venue_id = row.get("venue_id", "").encode()
        if len(venue_id) > 40:
            raise ValueError("report: venue_id is longer than 40 characters")
        coin = row.get("fee_coin", "").encode()
        coin = coin if len(coin) < 12 else b""
        try:
            report.kind, report.instrument, report.side = row["kind"], row.get("instrument", -1), row.get("side", 0)
            report.maker, report.order_id, report.epoch = row.get("maker", 0), row.get("order_id", 0), row.get("epoch", 0)
            report.price_ticks, report.size_lots = row.get("price_ticks", 0), row.get("size_lots", 0)
            report.filled_lots, report.trade_hi = row.get("filled_lots", -1), row.get("trade_hi", 0)
            report.trade_lo, report.fee_e8 = row.get("trade_lo", 0), row.get("fee_e8", 0)
            report.fee_is_quote, report.code = row.get("fee_is_quote", -1), row.get("code", 0)
            report.group, report.nature = row.get("group", 0), row.get("nature", 0)
            report.order_ticks, report.order_lots = row.get("order_ticks", -1), row.get("order_lots", -1)
            report.event_ns, report.leg = row.get("event_ns", 0), row.get("leg", -1)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"report: {error}") from None
        report.venue_id_size = <int32_t>len(venue_id)
        memcpy(report.venue_id, <const char*>venue_id, len(venue_id))
        memcpy(report.fee_coin, <const char*>coin, len(coin))
        out += (<const char*>&report)[:sizeof(report)]
    return bytes(out)


REPORT_FIELDS = ("kind", "instrument", "side", "maker", "order_id", "epoch", "price_ticks", "size_lots", "filled_lots",
                 "trade_hi", "trade_lo", "fee_e8", "fee_is_quote", "code", "group", "nature", "order_ticks", "order_lots",
                 "event_ns", "leg", "fee_coin", "venue_id")


def sent_row(bytes payload) -> dict:
    """A SENT record: {order_id, frame_ns, sent_ns, written}."""
    return <object>(<const SentRow*>_rows(payload, sizeof(SentRow), "SENT"))[0]
