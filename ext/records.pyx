"""The nouns, seen from Python: the enums, the rows a tape holds, and `Approved`, which Python cannot create."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE


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


def fill_row(bytes payload) -> dict:
    """A FILL record: {report, position_lots, cash}."""
    row = <object>(<const FillRow*>_rows(payload, sizeof(FillRow), "FILL"))[0]
    row["report"] = _report(payload)
    return row


def report_row(bytes payload) -> dict:
    """A REPORT record."""
    _rows(payload, sizeof(Report), "REPORT")
    return _report(payload)


def _report(bytes payload):
    cdef const Report* report = <const Report*>PyBytes_AS_STRING(payload)
    row = <object>report[0]
    row["venue_id"] = report.venue_id[:report.venue_id_size].decode("ascii", "replace")
    row["kind"] = ReportKind(report.kind).name
    return row


def state_row(bytes payload) -> dict:
    """One instrument of a MARK record."""
    return <object>(<const StateRow*>_rows(payload, sizeof(StateRow), "MARK"))[0]


def sent_row(bytes payload) -> dict:
    """A SENT record: {order_id, frame_ns, sent_ns, written}."""
    return <object>(<const SentRow*>_rows(payload, sizeof(SentRow), "SENT"))[0]
