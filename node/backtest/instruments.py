"""The instruments of a run: which occur in the recordings, and what tick and lot they have.

In this order: a file that the user gives, an instruments reply in the recordings, else inferred: the finest
decimal grid that prices and sizes use, trailing zeros aside. The file of the user is one of

- a venue's own reply: Binance `exchangeInfo`, Bybit `instruments-info`, OKX `public/instruments`;
- our form, a list of rows, as TOML, JSON or JSON lines:

      [[instruments]]
      market = "binance-usdm"     # or binance-spot, bybit-spot, bybit-linear, okx; also written `venue`
      symbol = "BTCUSDT"
      tick = "0.10"
      lot = "0.001"
      contract = "1"              # optional: base coins in one size unit (OKX contracts)
      min_size = "0.001"          # optional, as are min_notional and inst_code (OKX instIdCode)

A venue's tick and lot are those of today's orders; books hold older levels that are off them. A few such
levels make the grid that is read with finer than the tick that is stated, so that no level is lost. Many mean
that the file is wrong.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import orjson

from ext.instruments import Instruments
from ext.records import Market
from ext.text import Grid
from ext.venues.binance import BinanceWire
from ext.venues.bybit import BybitWire
from ext.venues.okx import OkxWire
from ext.wire import ListSink, Sink, Verdict, Wire
from node.backtest.sources import MARKETS, OTHER, VENUES, Line, Recording, Shape, describe, frame_bytes
from node.errors import UserError
from node.venues.binance import rest as binance_rest
from node.venues.bybit import rest as bybit_rest
from node.venues.okx import rest as okx_rest
from node.venues.values import InstrumentRow

Key = tuple[int, str]  # market, symbol
WIRES: dict[int, type[Wire]] = {
    Market.BINANCE_SPOT: BinanceWire,
    Market.BINANCE_USDM: BinanceWire,
    Market.BYBIT_SPOT: BybitWire,
    Market.BYBIT_LINEAR: BybitWire,
    Market.OKX: OkxWire,
}
BINANCE = (Market.BINANCE_SPOT, Market.BINANCE_USDM)
DECIMALS_MAX = 18
SYMBOL_MAX = 43  # bytes that the instrument table takes
OFF_GRID = "off the grid"
HANDLED = int(Verdict.HANDLED)
NOT_FRAMES = ("skip", "instruments")  # kinds of routes whose lines are no frames
# How decoders name the fields that are read on the instrument's grids; everything else has a grid of its own.
PRICE_FIELDS = {"bid price", "ask price", "p", "b", "a", "px"}
SIZE_FIELDS = {"bid size", "ask size", "q", "v", "B", "A", "sz"}
WRONG_SHARE = 10  # a given grid is wrong where one frame in so many is off it ...
WRONG_MIN = 100  # ... which is said after so many, long before the end of a long file
NO_INST_CODE = 2**31 - 1  # stands for an OKX instrument's code that the recording does not tell
FILE_MAX = 1 << 26
BESIDE = ".instruments.json"  # behind the stem of a recording: what the recorder wrote of its instruments


def instrument_id(key: Key) -> str:
    """`binance-usdm:BTCUSDT`; OKX names the product in the symbol."""
    return f"{VENUES[key[0]]}:{key[1]}"


def traits(market: int, symbol: str) -> tuple[bool, bool]:
    """(tradable, perpetual) as far as market and symbol tell: spot and linear contracts are."""
    if market == Market.OKX:
        parts = symbol.split("-")
        is_swap = len(parts) == 3 and parts[2] == "SWAP" and parts[1] in ("USDT", "USDC")
        return len(parts) == 2 or is_swap, symbol.endswith("-SWAP")
    perpetual = market in (Market.BINANCE_USDM, Market.BYBIT_LINEAR)
    return not (perpetual and ("_" in symbol or "-" in symbol)), perpetual


# ---- the user's file ---------------------------------------------------------------------------------------


class GivenRow(msgspec.Struct, forbid_unknown_fields=True):
    """One row of our own form."""

    symbol: str
    tick: Decimal
    lot: Decimal
    market: str = ""
    venue: str = ""
    contract: Decimal = Decimal(1)
    min_size: Decimal = Decimal(0)
    min_notional: Decimal = Decimal(0)
    inst_code: int = -1


def read_given(path: Path) -> dict[Key, InstrumentRow]:
    """The rows of an `--instruments` file. Raises UserError naming file, row and field."""
    try:
        if path.stat().st_size > FILE_MAX:
            raise UserError(f"{path}: more than {FILE_MAX >> 20} MB: not an instruments file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    text = data.lstrip()
    is_json = path.suffix != ".toml" and (text[:1] == b"{" or re.match(rb"\[\s*[{\]]", text) is not None)
    rows = _read_json(path, data) if is_json else _own_rows(path, _toml_rows(path, data))
    if not rows:
        raise UserError(f"{path}: no instruments in it")
    out: dict[Key, InstrumentRow] = {}
    for row in rows:
        if (row.market, row.symbol) in out:
            raise UserError(f"{path}: {instrument_id((row.market, row.symbol))} is there twice")
        out[row.market, row.symbol] = row
    return out


def read_beside(path: Path) -> dict[Key, InstrumentRow]:
    """The rows of STEM.instruments.json beside a recording STEM.jsonl.zst (or .txt, .gz, unpacked), as
    `tickgate record` writes it; none where there is none. Raises UserError like `read_given`."""
    stem = path.name.removesuffix(".zst").removesuffix(".gz").removesuffix(".jsonl").removesuffix(".txt")
    beside = path.with_name(f"{stem}{BESIDE}")
    return read_given(beside) if beside != path and beside.is_file() else {}


def _toml_rows(path: Path, data: bytes) -> list:
    try:
        tree = tomllib.loads(data.decode(), parse_float=Decimal)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: neither TOML nor JSON: {error}") from None
    return _listed(path, tree)


def _listed(path: Path, tree: Any) -> list:
    rows = tree.get("instruments")
    if not isinstance(rows, list) or len(tree) != 1:
        others = ", ".join(sorted(x for x in tree if x != "instruments"))
        raise UserError(
            f"{path}: must hold a list `instruments`" + (f", and nothing else ({others})" if others else "")
        )
    return rows


def _read_json(path: Path, data: bytes) -> list[InstrumentRow]:
    """A venue's reply, our rows in one document, or our rows one a line."""
    try:
        tree = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        lines = [x for x in data.split(b"\n") if x.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith(b"}"):
            raise UserError(f"{path}: neither TOML nor JSON: {error}") from None
        return _own_rows(path, lines)
    if isinstance(tree, dict) and "symbol" in tree:
        return _own_rows(path, [data])
    if isinstance(tree, list) or "instruments" in tree:
        raw = msgspec.json.decode(data, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
        if isinstance(raw, dict):
            _listed(path, tree)
            raw = msgspec.json.decode(raw["instruments"], type=list[msgspec.Raw])
        return _own_rows(path, [bytes(x) for x in raw])
    reply = reply_market(tree)
    if reply is None:
        raise UserError(
            f"{path}: neither a venue's instruments reply nor a list of rows with symbol, tick and lot"
        )
    try:
        return read_reply(reply, data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _own_rows(path: Path, rows: list) -> list[InstrumentRow]:
    return [_own_row(f"{path}: row {number}", row) for number, row in enumerate(rows, 1)]


def _own_row(where: str, raw: object) -> InstrumentRow:
    """`raw` is JSON text, or a table out of TOML."""
    try:
        if isinstance(raw, bytes):
            row = msgspec.json.decode(raw, type=GivenRow)
        else:
            row = msgspec.convert(raw, GivenRow)
    except msgspec.MsgspecError as error:
        raise UserError(f"{where}: {error}") from None
    name = row.market or row.venue
    if name not in MARKETS or (row.market and row.venue and row.market != row.venue):
        wrong = f"{name!r} is" if name else "it is missing or"
        raise UserError(f"{where}: market: {wrong} not one of {', '.join(MARKETS)}")
    texts: dict[str, Any] = {}
    for field_name in ("tick", "lot", "contract", "min_size", "min_notional"):
        value: Decimal = getattr(row, field_name)
        texts[field_name] = format(value, "f")
        try:
            if value or field_name in ("tick", "lot", "contract"):
                Grid(texts[field_name])
        except ValueError as error:
            raise UserError(f"{where}: {field_name}: {error}") from None
    if not 0 < len(row.symbol.encode()) < 44 or not -1 <= row.inst_code < 2**31:
        raise UserError(f"{where}: {'symbol' if row.inst_code < 2**31 else 'inst_code'}: out of range")
    tradable, perpetual = traits(MARKETS[name], row.symbol)
    return InstrumentRow(
        MARKETS[name], row.symbol, **texts, tradable=tradable, is_perpetual=perpetual, inst_code=row.inst_code
    )


# ---- venues' replies ---------------------------------------------------------------------------------------


def reply_market(message: object) -> int | None:
    """Market of an instruments reply (one of its markets: Bybit's and Binance's rows say which), None if it
    is none."""
    if not isinstance(message, dict):
        return None
    if isinstance(message.get("symbols"), list):
        return int(Market.BINANCE_SPOT)
    if "retCode" in message:
        return int(Market.BYBIT_LINEAR)
    return int(Market.OKX) if "code" in message and isinstance(message.get("data"), list) else None


def read_reply(market: int, reply: bytes, wanted: set[str] | None = None) -> list[InstrumentRow]:
    """Rows of a venue's instruments reply, all or those of `wanted` symbols. ValueError where it is
    malformed. Which product a reply of Binance is of shows in the whole of it, `wanted` or not.

    OKX orders need an `instIdCode`, which replies before 2026 do not have. Nothing here goes to the venue, so
    such instruments are tradable all the same: the run makes one up.
    """
    message = orjson.loads(reply)
    if market in BINANCE:
        product = binance_rest.market_of(reply)
        _pick(message, "symbols", "symbol", wanted)
        return binance_rest.instruments(orjson.dumps(message), product)
    if market != Market.OKX:
        if isinstance(message.get("result"), dict):
            _pick(message["result"], "list", "symbol", wanted)
        return bybit_rest.instruments(orjson.dumps(message))
    _pick(message, "data", "instId", wanted)
    for row in message["data"] if isinstance(message.get("data"), list) else []:
        if isinstance(row, dict) and row.get("instIdCode") is None:
            row["instIdCode"] = NO_INST_CODE
    return okx_rest.instruments(orjson.dumps(message))


def _pick(holder: dict, name: str, symbol: str, wanted: set[str] | None) -> None:
    rows = holder.get(name)
    if wanted is not None and isinstance(rows, list):
        holder[name] = [x for x in rows if isinstance(x, dict) and x.get(symbol) in wanted]


# ---- the first pass ----------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Route:
    """Where the frames of one (venue, channel) go. `symbol` is "" where the channel's name does not fix
    it."""

    market: int
    kind: str  # of a Shape, or "skip", "unknown", "snapshot", "instruments"
    symbol: str = ""
    seen: "Sighting | None" = None  # of that symbol
    line: int = -1  # of the engine
    first: str = ""  # frames of the file being surveyed
    last: str = ""


@dataclass(eq=False)
class Sighting:
    """An instrument that occurs in the recordings, and what the first pass learns of it."""

    key: Key
    row: InstrumentRow
    source: str  # "file", "recording" or "inferred"
    depths: set[int] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    index: int = -1  # in the run's table
    handled: int = 0  # frames, of the file being replayed
    frames: int = 0
    is_refined: bool = False  # a grid of the user's file does not fit everything
    off_frames: int = 0
    off_first: str = ""  # the first value that was off a given grid, and where it stands
    tick: str = "1"  # of the grids that fit all so far
    lot: str = "1"

    def finish(self) -> InstrumentRow:
        """The row to read with: on the stated grid where everything fits it, else on a finer one."""
        if self.source == "inferred":
            return replace(self.row, tick=self.tick, lot=self.lot)
        tradable = self.row.tradable and Decimal(self.tick) == Decimal(self.row.tick)
        return replace(self.row, tick=self.tick, lot=self.lot, tradable=tradable)

    def depth(self) -> int:
        """The channel that its book follows: all levels (0) where there is such a stream, else the deepest;
        -1 = none."""
        return deepest(self.depths)


def deepest(depths: set[int]) -> int:
    """All levels (0) where there is such a channel, else the one that shows most; -1 = none."""
    return 0 if 0 in depths else max(depths, default=-1)


@dataclass(eq=False)
class FileSurvey:
    """What the second pass must know about one file before it begins."""

    frames: int = 0
    snapshots: list[Key | None] = field(default_factory=list)  # owner of each that names none, in order
    spans: dict[Key, list[dict]] = field(default_factory=dict)  # heads of the first and last update (Binance)
    depths: dict[Key, set[int]] = field(default_factory=dict)  # depth channels of each instrument


class BadRecording(UserError):
    """This one cannot be read to its end."""

    def __init__(self, recording: Recording, text: str):
        super().__init__(text)
        self.recording = recording


class Survey:
    """First pass over all recordings: instruments, grids, depth channels, and who owns the snapshots.

    Prices and sizes are read by the decoders themselves, on a grid that is made finer whenever one does not
    fit.
    """

    def __init__(self, given: dict[Key, InstrumentRow] | None, given_path: Path | None = None):
        self.given, self.given_path = given, given_path
        self.beside: dict[Key, InstrumentRow] = {}  # what stands beside the recordings
        self.seen: dict[Key, Sighting] = {}
        self.routes: dict[str, dict[str, Route]] = {}
        self.replies: dict[str, int] = {}  # text -> market; recorders repeat them
        self.wires: dict[int, Wire] = {}  # by market, with the grids that fit all so far
        self.strict: dict[int, Wire] = {}  # by market, with the grids as stated
        self.files: list[FileSurvey] = []
        self.sink = Sink()
        self.path: Path = Path()

    # ---- running over files ----

    def read(self, recording: Recording) -> None:
        """Survey one file."""
        self.path = recording.path
        self.beside |= read_beside(recording.path)
        survey = FileSurvey()
        self.files.append(survey)
        nameless: list[tuple[int, str]] = []
        for routes in self.routes.values():
            for route in routes.values():
                route.first = route.last = ""
        for batch in recording.batches():
            self._lines(batch, recording.first_line, survey, nameless)
        self._finish_file(survey, nameless)

    def _lines(
        self, batch: list[Line], first: int, survey: FileSurvey, nameless: list[tuple[int, str]]
    ) -> None:
        """The loop of the first pass: it is flat for speed."""
        routes, wires, sink = self.routes, self.wires, self.sink
        for number, line in enumerate(batch, first):
            try:
                route = routes[line.venue][line.channel]
            except KeyError:
                route = self.route(line)
            if route.kind in NOT_FRAMES or line.dir == "send":
                if route.kind == "instruments":
                    self._reply(route.market, line.raw)
                continue
            survey.frames += 1
            seen = route.seen
            if seen is None or seen.is_refined or route.market not in wires:
                self._slow_line(route, line, nameless, survey, number)
                continue
            if wires[route.market].read(frame_bytes(line), sink) != HANDLED:
                self._frame(route, line, number)
                continue
            seen.frames += 1
            if route.kind == "depth":
                route.first = route.first or line.raw
                route.last = line.raw

    def _slow_line(
        self, route: Route, line: Line, nameless: list[tuple[int, str]], survey: FileSurvey, number: int
    ) -> None:
        if route.kind == "snapshot":
            self._snapshot(route, line, nameless, survey, number)
        elif route.kind != "unknown":
            self._frame(route, line, number)

    def route(self, line: Line) -> Route:
        """The route of a venue and channel that is seen for the first time."""
        if line.dir == "send" or line.channel in ("connect", "request"):
            return SKIP
        route = self.routes.setdefault(line.venue, {})[line.channel] = self._new_route(line)
        return route

    def _new_route(self, line: Line) -> Route:
        market = MARKETS.get(line.venue, -1)
        if market < 0 or line.channel.startswith(("private:", "user:", "event:", "fixture:")):
            return Route(market, "unknown")
        if line.channel.startswith("rest:"):
            path = line.channel[5:].rpartition("/")[2]
            if path in ("exchangeInfo", "instruments-info", "instruments"):
                return Route(market, "instruments")
            return Route(market, "snapshot" if path == "depth" and market in BINANCE else "unknown")
        route = Route(market, "other")
        self._learn(route, line, describe(market, line.raw))
        return route

    def _learn(self, route: Route, line: Line, shape: Shape) -> Sighting | None:
        """What a frame shows is true of its channel, and of its instrument where the channel's name has the
        symbol."""
        if shape is OTHER:
            return None
        seen = self._sight(route.market, shape)
        route.kind = shape.kind
        if shape.symbol.lower() in line.channel.lower():
            route.symbol, route.seen = shape.symbol, seen
        return seen

    def _frame(self, route: Route, line: Line, number: int) -> None:
        raw = frame_bytes(line)
        verdict = self._wire(route.market).read(raw, self.sink)
        seen = route.seen
        if verdict == Verdict.NOT_MINE or seen is None:
            seen = self._learn(route, line, describe(route.market, line.raw))
            if seen is None:
                return
            verdict = self._wire(route.market).read(raw, self.sink)
        seen.frames += 1
        if route.kind != "mark":
            if verdict == Verdict.BAD:
                self._refine(seen, raw, -1)
            if seen.is_refined:
                self._check_stated(seen, raw, number, -1)
        if route.kind == "depth":
            route.first = route.first or line.raw
            route.last = line.raw

    # ---- instruments and grids ----

    def _sight(self, market: int, shape: Shape) -> Sighting:
        """Note what a frame shows; an instrument is added when first seen."""
        seen = self._add((market, shape.symbol))
        seen.kinds.add(shape.kind)
        if shape.kind == "depth":
            seen.depths.add(shape.depth)
        return seen

    def _add(self, key: Key) -> Sighting:
        seen = self.seen.get(key)
        if seen is None:
            market, symbol = key
            if not 0 < len(symbol.encode("utf-8", "surrogatepass")) <= SYMBOL_MAX:
                raise UserError(f"{self.path}: symbol {symbol[:60]!r}: must have 1 to {SYMBOL_MAX} bytes")
            tradable, perpetual = traits(market, symbol)
            row = InstrumentRow(market, symbol, "1", "1", tradable=tradable, is_perpetual=perpetual)
            seen = self.seen[key] = Sighting(key, row, "inferred")
            if self.given is not None and key in self.given:
                self._state(seen, self.given[key], "file")
            elif self.given is None and key in self.beside:
                self._state(seen, self.beside[key], "recording")
            else:
                for raw, of_market in self.replies.items():
                    self._adopt(of_market, raw, {symbol})
            self._forget(market)
        return seen

    def _forget(self, market: int) -> None:
        """The decoders of a market have grids that are out of date."""
        self.wires.pop(market, None)
        self.strict.pop(market, None)

    def _reply(self, market: int, raw: str) -> None:
        """Keep an instruments reply, and use it for what has been seen; the rest of it waits for what will
        be."""
        if raw not in self.replies:
            self.replies[raw] = market
            self._adopt(market, raw, {symbol for _, symbol in self.seen})

    def _adopt(self, market: int, raw: str, wanted: set[str]) -> None:
        try:
            rows = read_reply(market, raw.encode("utf-8", "surrogateescape"), wanted) if wanted else []
        except (ValueError, KeyError):
            return  # a venue's error, or a reply of another kind: the instruments are inferred then
        for row in rows:
            seen = self.seen.get((row.market, row.symbol))
            if seen is not None and seen.source == "inferred":
                self._state(seen, row, "recording")

    def _state(self, seen: Sighting, row: InstrumentRow, source: str) -> None:
        """A source states tick and lot. What was read before must fit too."""
        seen.row, seen.source = row, source
        if seen.frames == 0:
            seen.tick, seen.lot = row.tick, row.lot
        else:
            seen.tick, seen.lot = _common(seen.tick, row.tick), _common(seen.lot, row.lot)
        self._forget(row.market)

    def _wire(self, market: int, is_strict: bool = False) -> Wire:
        """A decoder with the grids as they are now, or as they are stated."""
        wires = self.strict if is_strict else self.wires
        wire = wires.get(market)
        if wire is None:
            rows = [x for x in self.seen.values() if x.key[0] == market]
            table = Instruments(max(len(rows), 1))
            for x in rows:
                table.add(market, x.key[1], *((x.row.tick, x.row.lot) if is_strict else (x.tick, x.lot)))
            wire = wires[market] = WIRES[market](table, market)
        return wire

    def _refine(self, seen: Sighting, raw: bytes, context: int) -> None:
        """A BAD frame: where a number was off the grid, find the coarsest finer one that it is on."""
        before = seen.tick, seen.lot
        verdict = int(Verdict.BAD)
        while verdict == Verdict.BAD:
            name, reason = self._why(self._wire(seen.key[0]))
            finer = _finer(seen.tick if name in PRICE_FIELDS else seen.lot)
            if not reason.startswith(OFF_GRID) or name not in PRICE_FIELDS | SIZE_FIELDS or finer is None:
                if reason.startswith(OFF_GRID):  # on no grid at all: bad, which is for the engine to count
                    seen.tick, seen.lot = before
                    self._forget(seen.key[0])
                break
            if name in PRICE_FIELDS:
                seen.tick = finer
            else:
                seen.lot = finer
            self._forget(seen.key[0])
            verdict = self._wire(seen.key[0]).read(raw, self.sink, 0, context)
        seen.is_refined = seen.source == "file" and (seen.tick, seen.lot) != (seen.row.tick, seen.row.lot)

    @staticmethod
    def _why(wire: Wire) -> tuple[str, str]:
        """Field and reason of the last BAD."""
        name, _, reason = wire.error().partition(": ")
        return name, reason

    def _check_stated(self, seen: Sighting, raw: bytes, number: int, context: int) -> None:
        """Count the frames that are off the user's grid; too many of them are an error."""
        wire = self._wire(seen.key[0], is_strict=True)
        if wire.read(raw, self.sink, 0, context) != Verdict.BAD:
            return
        name, reason = self._why(wire)
        if not reason.startswith(OFF_GRID):
            return
        seen.off_frames += 1
        if not seen.off_first:
            word, step = ("tick", seen.row.tick) if name in PRICE_FIELDS else ("lot", seen.row.lot)
            value = _value_at(raw, int(reason.rpartition(" ")[2]), step)
            seen.off_first = f"{word} {step} does not fit {name} {value} in {self.path} line {number}"
        if seen.off_frames >= WRONG_MIN and seen.off_frames * WRONG_SHARE > seen.frames:
            raise self._wrong(seen)

    def _wrong(self, seen: Sighting) -> UserError:
        return UserError(f"{self.given_path}: {instrument_id(seen.key)}: {seen.off_first}")

    # ---- snapshots ----

    def _snapshot(
        self, route: Route, line: Line, nameless: list[tuple[int, str]], survey: FileSurvey, number: int
    ) -> None:
        """A REST depth reply: its request names the symbol, or it waits until the file's instruments are
        known."""
        symbol = url_symbol(line.url)
        if symbol:
            self._seed((route.market, symbol), line.raw, number)
        else:
            nameless.append((number, line.raw))
            survey.snapshots.append(None)

    def _seed(self, key: Key, raw: str, number: int) -> None:
        seen = self._add(key)
        seen.kinds.add("snapshot")
        seen.frames += 1
        wire = self._wire(key[0])
        context = wire.instruments.index(key[0], key[1])
        text = raw.encode("utf-8", "surrogateescape")
        if wire.read(text, self.sink, 0, context) == Verdict.BAD:
            self._refine(seen, text, context)
        if seen.is_refined:
            self._check_stated(seen, text, number, context)

    def _finish_file(self, survey: FileSurvey, nameless: list[tuple[int, str]]) -> None:
        """Ids of the first and last update of each book, and the owners of snapshots that name none."""
        for routes in self.routes.values():
            for route in routes.values():
                if route.kind == "depth" and route.symbol and route.first:
                    self._finish_route(survey, route)
        for i, (number, raw) in enumerate(nameless):
            owner = survey.snapshots[i] = self._owner(survey, raw)
            if owner is not None:
                self._seed(owner, raw, number)

    def _finish_route(self, survey: FileSurvey, route: Route) -> None:
        key = (route.market, route.symbol)
        heads = [x for raw in (route.first, route.last) if (x := self._head(route.market, raw))]
        if len(heads) < 2:
            return
        survey.depths.setdefault(key, set()).add(heads[0]["depth"])
        if route.market in BINANCE and not (key in survey.spans and survey.spans[key][0]["depth"] == 0):
            survey.spans[key] = heads

    def _head(self, market: int, raw: str) -> dict | None:
        sink = ListSink()
        self._wire(market).read(raw.encode("utf-8", "surrogateescape"), sink)
        return next((x for x in sink.events if x["type"] == "depth"), None)

    def _owner(self, survey: FileSurvey, raw: str) -> Key | None:
        """The only instrument with a diff stream in the file, else the one whose ids the snapshot falls
        into."""
        spans = {key: x for key, x in survey.spans.items() if x[0]["depth"] == 0}
        if len(spans) > 1:
            at = _last_update_id(raw)
            spans = {k: x for k, x in spans.items() if x[0]["first_id"] - 1 <= at <= x[1]["last_id"]}
        return next(iter(spans)) if len(spans) == 1 else None

    # ---- the outcome ----

    def finish(self) -> None:
        """All files are read: is everything there that a run needs? Raises UserError where not."""
        if not self.seen:
            raise UserError(f"{self.path}: no market data of Binance, Bybit or OKX in it")
        for seen in self.seen.values():
            if seen.off_frames * WRONG_SHARE > seen.frames:
                raise self._wrong(seen)
            if seen.source == "inferred" and self.given is not None:
                name = instrument_id(seen.key)
                raise UserError(
                    f"{self.given_path}: {name} is missing: add its row, or leave --instruments out"
                )

    def notes(self) -> Iterator[str]:
        """What a reader of the results should know of the grids, and of snapshots that nobody owns."""
        lost = sum(owner is None for file in self.files for owner in file.snapshots)
        if lost:
            yield f"{lost} snapshots name no instrument and fit none or several: their books stay unsynced"
        for seen in self.seen.values():
            name, row = instrument_id(seen.key), seen.finish()
            if seen.source == "inferred":
                yield f"{name}: tick {row.tick} and lot {row.lot} inferred from the recording"
                continue
            for word, stated, read in (("tick", seen.row.tick, row.tick), ("lot", seen.row.lot, row.lot)):
                if Decimal(stated) != Decimal(read):
                    yield f"{name}: levels are off the {word} {plain(stated)}: read in steps of {plain(read)}"


SKIP = Route(-1, "skip")


def url_symbol(url: str | None) -> str:
    """`symbol` in the query of an address, "" where there is none."""
    try:
        return parse_qs(urlsplit(url).query).get("symbol", [""])[0] if url else ""
    except ValueError:  # not an address
        return ""


def plain(text: str) -> str:
    """A decimal without trailing zeros."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _finer(step: str) -> str | None:
    """The next finer power of ten, None where there is none."""
    grid = Grid(step)
    decimals = grid.decimals + (grid.mantissa == 1)
    return None if decimals > DECIMALS_MAX else _power(decimals)


def _power(decimals: int) -> str:
    return "1" if decimals == 0 else "0." + "0" * (decimals - 1) + "1"


def _common(inferred: str, stated: str) -> str:
    """A grid that holds what was read on the power of ten `inferred`, and what is on `stated`."""
    grid = Grid(stated)
    decimals = max(Grid(inferred).decimals, grid.decimals)
    return stated if decimals == grid.decimals and grid.mantissa == 1 else _power(decimals)


def _value_at(raw: bytes, at: int, step: str) -> str:
    """The number nearest to byte `at` that is not a multiple of `step`."""
    found = re.finditer(rb'"([0-9]+(?:\.[0-9]+)?)"', raw[max(0, at - 80) : at + 80])
    off = [
        (abs(x.end() + max(0, at - 80) - at), x[1].decode())
        for x in found
        if Decimal(x[1].decode()) % Decimal(step)
    ]
    return min(off)[1] if off else "(value)"


def _last_update_id(raw: str) -> int:
    try:
        at = orjson.loads(raw).get("lastUpdateId")
    except (orjson.JSONDecodeError, AttributeError):
        return -1
    return at if isinstance(at, int) else -1


def survey(
    recordings: list[Recording], given: dict[Key, InstrumentRow] | None, given_path: Path | None,
    on_file: Callable[[Recording], None] = lambda recording: None,
) -> Survey:  # fmt: skip
    """The first pass over all `recordings`; `on_file` is told of each as it begins. Raises BadRecording, and
    UserError for what is no fault of one of them."""
    out = Survey(given, given_path)
    for recording in recordings:
        on_file(recording)
        try:
            out.read(recording)
        except UserError as error:
            raise BadRecording(recording, str(error)) from None
    out.finish()
    return out
