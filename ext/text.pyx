"""Exact decimals for Python callers: text <-> grid steps, by the same code that reads frames.

`Grid` is a step such as 0.10 (a tick or a lot). `Grid.parse("61234.50")` gives whole steps or raises ValueError that
says why; `Grid.format` is its exact inverse.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

tg_setup()

WHY = {
    TG_SYNTAX: "not the JSON expected here",
    TG_NUMBER: "not a plain decimal",
    TG_GRID: "off the grid",
    TG_RANGE: "out of range",
    TG_DEEP: "nested too deep",
    TG_MANY: "too many levels",
}


cdef class Grid:
    """A step of `mantissa / 10**decimals`. Raises ValueError for a step that is not a positive plain decimal."""
    cdef tg_grid g
    cdef readonly str step

    def __init__(self, step: str):
        digits, _, frac = step.partition(".")
        frac = frac.rstrip("0")
        if not (digits.isascii() and digits.isdigit() and (frac == "" or frac.isascii() and frac.isdigit())):
            raise ValueError(f"step {step!r}: not a plain decimal")
        if len(frac) > TG_MAX_DECIMALS or len(digits) > 12:
            raise ValueError(f"step {step!r}: out of range")
        mantissa = int(digits + frac)
        if not 0 < mantissa < 10**18:
            raise ValueError(f"step {step!r}: must be above zero")
        self.g.mantissa = mantissa
        self.g.decimals = len(frac)
        self.step = step

    @property
    def mantissa(self):
        return self.g.mantissa

    @property
    def decimals(self):
        return self.g.decimals

    def parse(self, text: str) -> int:
        """Steps of the decimal `text`; ValueError where it is no plain decimal, off the grid or out of range."""
        cdef bytes raw = b'"' + text.encode() + b'"'
        cdef tg_cur c
        cdef int64_t out = 0
        c.p = PyBytes_AS_STRING(raw)
        c.end = c.p + PyBytes_GET_SIZE(raw)
        code = tg_decimal(&c, &self.g, &out)
        if code or c.p != c.end:
            raise ValueError(f"{text[:60]!r}: {WHY.get(code, WHY[TG_SYNTAX])} (step {self.step})")
        return out

    def parse_slow(self, text: str) -> int:
        """The same by the scalar path: the twin that tests compare the vector path with."""
        cdef bytes raw = text.encode()
        cdef int64_t out = 0
        code = tg_steps_slow(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), self.g, &out)
        if code:
            raise ValueError(f"{text[:60]!r}: {WHY[code]} (step {self.step})")
        return out

    def format(self, steps: int, keep_zeros: bool = False) -> str:
        """Decimal text of `steps`, without exponent; `keep_zeros` pads to all decimals of the step."""
        cdef char out[64]
        return out[:tg_put_decimal(out, steps, &self.g, keep_zeros)].decode()


def skip_value(raw: bytes):
    """Bytes consumed by one JSON value at the start of `raw`, or None where it is malformed."""
    cdef tg_cur c
    c.p = PyBytes_AS_STRING(raw)
    c.end = c.p + PyBytes_GET_SIZE(raw)
    return c.p - PyBytes_AS_STRING(raw) if tg_skip(&c) else None


def read_int(raw: bytes):
    """(value, bytes consumed) of a JSON integer, or None where it is refused. For tests."""
    cdef tg_cur c
    cdef int64_t out = 0
    c.p = PyBytes_AS_STRING(raw)
    c.end = c.p + PyBytes_GET_SIZE(raw)
    return None if tg_int(&c, &out) else (out, c.p - PyBytes_AS_STRING(raw))
