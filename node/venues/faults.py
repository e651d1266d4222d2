"""Faults of a simulated venue: which ones are asked for, when they strike, and how often each did.

A row names an injector (`ack.drop`, `px.blackhole`, ...) and says when: from `after_ns` on (counted from when
it was added, or from the venue's start for a script), for `for_ns`, each time with probability `every`, at
most `count` times, after skipping the first `skip` occasions. Further arguments are the injector's own; one
that names something the occasion is about (symbol, op, kind, side, client_id, path, method, limiter, account,
stream) restricts the row to it; a path does so by any part of it.

Passive injectors strike when something happens (`hit`), active ones at their time by themselves (`due`), and
again every `period_s` where given. All hits are counted in `counts`: a test first proves that its fault
happened. Each row draws from a generator of its own, so that adding one changes no other.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

import orjson

SECOND = 1_000_000_000
MS = 1_000_000

ABOUT = (
    "venue",
    "symbol",
    "market",
    "op",
    "kind",
    "side",
    "client_id",
    "path",
    "method",
    "limiter",
    "account",
    "stream",
    "topic",
    "connection",
)

# What each injector takes beside the common keys: name -> kind of value.
N, S, B, D, P = "number", "text", "boolean", "decimal", "share (full, part, or up to 1)"
WAY = ("in", "out", "both")
CLOSE = range(1000, 5000)  # close codes
HTTP = range(200, 600)
PERCENT = "percent (-900 to 99)"
RATE = "rate (-0.5 to 0.5)"
Kind = str | tuple[str, ...] | range
WHEN: dict[str, Kind] = {"delay_ms": N}
PASSIVE: dict[str, dict[str, Kind]] = {
    "book.gap": {"n": N},
    "book.dup": {},
    "book.reorder": {"window": N},
    "book.freeze": {},
    "book.cross": {"ticks": N},
    "book.bad_checksum": {},
    "book.stale_snapshot": {"by_ms": N},
    "book.keepalive_only": {},
    "ack.drop": {},
    "ack.delay": WHEN,
    "ack.dup": {},
    "ack.error": {"code": S, "live": B},
    "ack.after_fill": WHEN,
    "ack.swap": {},
    "ack.batch": {"code": S, "missing": B},
    "exec.dup": {"delay_ms": N},
    "exec.drop": {},
    "exec.delay": WHEN,
    "exec.reorder": {"window": N},
    "exec.split": {"k": N},
    "exec.fee": {"coin": S, "rate": RATE},
    "exec.unknown_status": {"text": S},
    "order.fill_immediately": {"part": P},
    "order.fill_on_cancel": {"part": P},
    "order.accept_silent": {},
    "order.reject": {"filter": S},
    "order.reject_late": WHEN,
    "order.amend_fail_late": WHEN,
    "order.amend_qty": {"part": P, "delay_ms": N},
    "order.amend_id_change": {},
    "order.expire": {"reason": S, "delay_ms": N},
    "order.stp": {"delay_ms": N},
    "order.split": {"k": N},
    "order.zero_fill_filled": {},
    "order.algo": {},
    "rest.status": {"status": HTTP, "body": S, "live": B},
    "rest.body": {"body": S, "truncate": N},
    "rest.delay": WHEN,
    "rest.drop": {"live": B},
    "rest.not_found_for": {"ms": N},
    "rest.stale_by": {"ms": N},
    "session.ip_denied": {},
    "session.key": {"why": S},
    "session.max_age": {"s": N},
    "session.sub_fail": {},
    "session.sub_ack_then_kick": WHEN,
    "ratelimit": {"limit": N, "retry_after_ms": N},
    "ban": {"ban_s": N, "ip": S},
    "me_stall": {},
    "px.blackhole": {"way": WAY},
    "px.delay": {"delay_ms": N, "jitter_ms": N, "way": WAY},
    "px.rate": {"bytes_per_s": N, "way": WAY},
    "px.chop": {"n": N, "way": WAY},
    "px.merge": {"delay_ms": N, "way": WAY},
    "px.corrupt": {"way": WAY},
    "px.refuse": {},
    "px.rst": {"way": WAY},
    "px.half": {"way": WAY},
}
ACTIVE: dict[str, dict[str, Kind]] = {
    "book.reset": {},
    "session.expire": {},
    "session.revoke": {"key": S},
    "session.shutdown_notice": {"s": N},
    "session.kick": {"code": CLOSE, "reason": S},
    "status.halt": {"s": N},
    "status.cancel_only": {"s": N},
    "status.phase": {"phase": S, "s": N},
    "status.maintenance": {"s": N, "expire": ("all", "half", "none")},
    "status.tick_change": {"multiple": N},
    "status.delist": {"in_s": N, "window_s": N},
    "status.relist": {"inst_code": N},
    "acct.external_order": {
        "price_ticks": N,
        "size_lots": N,
        "order_type": ("limit", "market"),
        "tif": ("gtc", "ioc", "fok", "post_only"),
        "client": S,
    },
    "acct.drift": {"coin": S, "amount": D, "wallet": S, "lots": N, "leg": ("net", "long", "short")},
    "acct.deposit": {"coin": S, "amount": D, "wallet": S},
    "acct.withdraw": {"coin": S, "amount": D, "wallet": S},
    "acct.funding": {"rate": RATE},
    "acct.adl": {"part": P},
    "acct.liquidation": {"part": P},
    "acct.leverage": {"leverage": N, "times": N, "mode": ("cross", "isolated")},
    "acct.posmode": {"hedge": B},
    "acct.collateral_price": {"coin": S, "price": D},
    "market.busy": {"times": N, "s": N},
    "market.crash": {"percent": PERCENT, "s": N},
    "market.gap": {"percent": PERCENT},
    "market.sweep": {"percent": PERCENT},
    "market.spread": {"ticks": N, "s": N},
    "market.empty": {"s": N},
    "market.print": {"percent": PERCENT, "size_lots": N},
    "market.mark": {"percent": PERCENT, "s": N},
    "dms.fire": {},
    "px.storm": {"s": N},
}
NAMES = PASSIVE | ACTIVE
COMMON = {"every", "count", "skip", "after_s", "at_s", "for_s", "period_s", "name"}


def share_of(part: Any) -> Decimal:
    """The factor that a `part` argument means: "part" is a half."""
    return {"full": Decimal(1), "part": Decimal("0.5")}.get(str(part)) or Decimal(str(part))


class FaultError(ValueError):
    """A fault script or row cannot be used; the text is one line for a person."""


@dataclass(eq=False)
class Fault:
    """One row, and what has become of it."""

    number: int
    name: str
    every: float = 1.0
    count: int | None = None
    skip: int = 0
    start_ns: int | None = None  # None: from the first time that is seen
    after_ns: int = 0
    for_ns: int | None = None
    period_ns: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)
    hits: int = 0
    seen: int = 0
    rng: Random = field(default_factory=lambda: Random(0), repr=False)

    def get(self, name: str, default: Any = None) -> Any:
        return self.arguments.get(name, default)

    def ns(self, name: str, default_ns: int = 0) -> int:
        """A time argument in ns: `ns("delay")` reads `delay_ms` or `delay_s`, `ns("")` reads `ms` or `s`."""
        for suffix, unit in (("ms", MS), ("s", SECOND)):
            value = self.arguments.get(f"{name}_{suffix}" if name else suffix)
            if value is not None:
                return int(value * unit)
        return default_ns

    def open_at(self, now_ns: int) -> bool:
        """Is it the row's time, and has it strikes left?"""
        if self.start_ns is None:
            self.start_ns = now_ns
        begin_ns = self.start_ns + self.after_ns
        late = self.for_ns is not None and now_ns >= begin_ns + self.for_ns
        return now_ns >= begin_ns and not late and (self.count is None or self.hits < self.count)

    def end_ns(self) -> int | None:
        """When its time is over, None = never."""
        if self.for_ns is None or self.start_ns is None:
            return None
        return self.start_ns + self.after_ns + self.for_ns

    def fits(self, about: dict[str, Any]) -> bool:
        """Is the occasion one of those that the row is restricted to?"""
        if "live" in about and self.arguments.get("live", True) != about["live"]:
            return False
        if "way" in about and self.arguments.get("way", "both") not in ("both", about["way"]):
            return False
        for key, value in self.arguments.items():
            if key == "path" and key in about:
                if str(value) not in str(about[key]):
                    return False
            elif key in ABOUT and key in about and str(about[key]) != str(value):
                return False
        return True

    def strikes(self) -> bool:
        self.seen += 1
        if self.seen <= self.skip or (self.every < 1 and self.rng.random() >= self.every):
            return False
        self.hits += 1
        return True


class Faults:
    """The faults of one venue. `counts`: name -> hits, of rows that are gone too."""

    def __init__(self, seed: int = 1):
        self.seed = seed
        self.rows: list[Fault] = []
        self.counts: dict[str, int] = {}
        self.start_ns: int | None = None
        self._by_name: dict[str, list[Fault]] = {}
        self._groups: set[str] = set()
        self._number = 0

    def add(
        self,
        name: str,
        *,
        every: float = 1.0,
        count: int | None = None,
        skip: int = 0,
        after_ns: int = 0,
        for_ns: int | None = None,
        period_ns: int = 0,
        now_ns: int | None = None,
        **arguments: Any,
    ) -> Fault:
        """Raises FaultError for a name, argument or value that is not known."""
        check_row(name, every, count, arguments)
        if name in ACTIVE and count is None and not period_ns:
            count = 1
        self._number += 1
        rng = Random(f"{self.seed}/{self._number}/{name}")
        start_ns = self.start_ns if now_ns is None else now_ns
        fault = Fault(
            self._number, name, every, count, skip, start_ns, after_ns, for_ns, period_ns, arguments, rng=rng
        )
        self.rows.append(fault)
        self._by_name.setdefault(name, []).append(fault)
        self._groups.add(name.partition(".")[0])
        self.counts.setdefault(name, 0)
        return fault

    def clear(self, name: str = "") -> int:
        """Take away the rows of a name, or all; returns how many. Counts stay."""
        gone = [x for x in self.rows if not name or x.name == name]
        self.rows = [x for x in self.rows if x not in gone]
        for key in {x.name for x in gone}:
            del self._by_name[key]
        self._groups = {x.partition(".")[0] for x in self._by_name}
        return len(gone)

    def start(self, now_ns: int) -> None:
        """Time begins, for rows that were added before."""
        if self.start_ns is None:
            self.start_ns = now_ns
            for row in self.rows:
                row.start_ns = now_ns if row.start_ns is None else row.start_ns

    def hit(self, name: str, now_ns: int, **about: Any) -> Fault | None:
        """The first row of that name that strikes now. `about` says what the occasion is about."""
        for row in self._by_name.get(name, ()):
            if row.open_at(now_ns) and row.fits(about) and row.strikes():
                self.counts[name] += 1
                return row
        return None

    def standing(self, name: str, now_ns: int, **about: Any) -> Fault | None:
        """As `hit` for a condition that lasts: counts once per row, the first time it is met."""
        for row in self._by_name.get(name, ()):
            counted = row.hits
            row.hits = 0  # a condition is not used up
            is_open = row.open_at(now_ns)
            row.hits = counted
            if is_open and row.fits(about):
                if not row.hits:
                    row.hits = 1
                    self.counts[name] += 1
                return row
        return None

    def touches(self, group: str) -> bool:
        """Is there any row of a group of injectors ("px")?"""
        return group in self._groups

    def any_of(self, *names: str) -> bool:
        """Is there any row of these names?"""
        return bool(self._by_name) and any(name in self._by_name for name in names)

    def due(self, now_ns: int) -> list[Fault]:
        """Active faults whose time has come; each is returned once, or once a period."""
        out = []
        for row in self.rows:
            if row.name not in ACTIVE or not row.open_at(now_ns):
                continue
            assert row.start_ns is not None
            if row.period_ns and now_ns < row.start_ns + row.after_ns + row.seen * row.period_ns:
                continue
            if row.strikes():
                self.counts[row.name] += 1
                out.append(row)
        return out

    def struck(self, fault: Fault) -> None:
        """Count an active fault that was carried out before its time."""
        if not fault.hits:
            fault.hits = fault.seen = 1
            self.counts[fault.name] += 1

    def missed(self, fault: Fault) -> None:
        """It struck, and there was nothing to be struck: no hit."""
        self.counts[fault.name] -= 1

    def load(self, rows: Iterable[dict[str, Any]], venue: str = "", now_ns: int | None = None) -> int:
        """Add the rows of a script; those that name another venue are left out. Returns how many. Raises
        FaultError, and then none is added."""
        made = [parse_row(row, i) for i, row in enumerate(rows, 1)]
        mine = [x for x in made if not venue or x.get("venue", venue) == venue]
        for row in mine:
            row.pop("venue", None)
            self.add(**row, now_ns=now_ns)
        return len(mine)

    def table(self) -> list[dict[str, Any]]:
        """The rows as JSON can hold them."""
        return [
            {"number": x.number, "name": x.name, "hits": x.hits, "every": x.every, "count": x.count}
            | {"after_s": x.after_ns / SECOND, "for_s": None if x.for_ns is None else x.for_ns / SECOND}
            | x.arguments
            for x in self.rows
        ]


def check_row(name: str, every: float, count: int | None, arguments: dict[str, Any]) -> None:
    """Raises FaultError."""
    if name not in NAMES:
        raise FaultError(f"fault {name!r} is not known; there are {', '.join(sorted(NAMES))}")
    if not 0 <= every <= 1:
        raise FaultError(f"{name}: every = {every}: must be a probability, 0 to 1")
    if count is not None and count < 1:
        raise FaultError(f"{name}: count = {count}: must be 1 or more")
    for key, value in arguments.items():
        kind = NAMES[name].get(key)
        if kind is None and key not in ABOUT:
            known = ", ".join([*NAMES[name], *ABOUT])
            raise FaultError(f"{name}: {key} is not an argument; there are {known}")
        if kind is not None and not _is_kind(kind, value):
            raise FaultError(f"{name}: {key} = {str(value)[:60]!r}: must be {_spell(kind)}")
        if kind is None and not isinstance(value, str | int):
            raise FaultError(f"{name}: {key}: must be text or a whole number")
        if key == "account" and (not isinstance(value, int) or value < 1):
            raise FaultError(f"{name}: account = {str(value)[:60]!r}: must be an account's number")
        if key == "side" and value not in ("buy", "sell"):
            raise FaultError(f"{name}: side = {str(value)[:60]!r}: must be buy or sell")


def _spell(kind: Kind) -> str:
    if isinstance(kind, range):
        return f"{kind.start} to {kind.stop - 1}"
    return f"a {kind}" if isinstance(kind, str) else f"one of {', '.join(kind)}"


def _is_kind(kind: Kind, value: Any) -> bool:
    if isinstance(kind, tuple):
        return isinstance(value, str) and value in kind
    if isinstance(kind, range):
        return isinstance(value, int) and value in kind
    if kind == B:
        return isinstance(value, bool)
    if kind == N:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    if kind == P:
        return value in ("full", "part") or (_is_decimal(value) and 0 < Decimal(str(value)) <= 1)
    if kind == RATE:
        return _is_decimal(value) and abs(Decimal(str(value))) <= Decimal("0.5")
    if kind == PERCENT:
        return _is_decimal(value) and -900 <= Decimal(str(value)) <= 99
    return kind != D or _is_decimal(value)


def _is_decimal(value: Any) -> bool:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return False
    if not number.is_finite() or abs(number) >= 10**12:
        return False
    return int(number.as_tuple().exponent) >= -18


def parse_row(row: Any, number: int = 1) -> dict[str, Any]:
    """The keyword arguments of `Faults.add` (and perhaps `venue`) for a row of a script. Raises
    FaultError."""
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise FaultError(f"fault {number}: must be a table with a name")
    out: dict[str, Any] = {"name": row["name"]}
    for key in ("at_s", "after_s", "for_s", "period_s", "every"):
        value = row.get(key)
        if value is not None and not _is_kind(N, value):
            raise FaultError(f"fault {number}, {row['name']}: {key} = {str(value)[:60]!r}: must be a number")
    for key in ("count", "skip"):
        value = row.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise FaultError(f"fault {number}, {row['name']}: {key} = {str(value)[:60]!r}: must be a count")
        if value is not None:
            out[key] = value
    out["every"] = float(1.0 if row.get("every") is None else row["every"])
    out["after_ns"] = int((row.get("at_s") or row.get("after_s") or 0) * SECOND)
    out["for_ns"] = None if row.get("for_s") is None else int(row["for_s"] * SECOND)
    out["period_ns"] = int((row.get("period_s") or 0) * SECOND)
    arguments = {k: v for k, v in row.items() if k not in COMMON}
    try:
        check_row(row["name"], out["every"], out.get("count"), arguments)
    except FaultError as error:
        raise FaultError(f"fault {number}: {error}") from None
    return out | arguments


def read_script(text: str, name: str = "script") -> list[dict[str, Any]]:
    """Rows of a fault script: TOML with `[[fault]]` tables, or a JSON list. Raises FaultError in one
    line."""
    try:
        rows = orjson.loads(text) if text.lstrip().startswith("[") and _looks_json(text) else None
        if rows is None:
            document = tomllib.loads(text)
            unknown = sorted(set(document) - {"fault"})
            if unknown:
                raise FaultError(f"{name}: {unknown[0]} is not known; a script has [[fault]] tables only")
            rows = document.get("fault", [])
    except (tomllib.TOMLDecodeError, orjson.JSONDecodeError) as error:
        raise FaultError(f"{name}: {error}") from None
    except RecursionError:
        raise FaultError(f"{name}: nested too deeply") from None
    if not isinstance(rows, list):
        raise FaultError(f"{name}: must be a list of faults")
    try:
        for i, row in enumerate(rows, 1):
            parse_row(row, i)
    except FaultError as error:
        raise FaultError(f"{name}: {error}") from None
    return rows


def _looks_json(text: str) -> bool:
    """A TOML script begins with `[[fault]]`, a JSON list with `[{` or `[]`."""
    head = "".join(text.split())[:2]
    return head in ("[{", "[]")
