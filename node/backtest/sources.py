"""Recordings as streams of lines. Two forms, each plain, gzip'd or zstd'd; all is told from the content.

(a) JSON lines `{"t":..., "venue":..., "channel":..., "raw":...}`, optionally with `dir` and `url`: what was
    recorded where.
(b) Lines `receive-time raw-frame`, as hftbacktest's collector writes them: neither venue nor channel is told,
    so both are read from the frame's own shape. Receive times are ns; 16 digits are us and 13 are ms, as
    older collectors wrote.

Spot and perpetual share symbols, so form (b) must say which it is. Binance does in nearly every message
(`pu`, `e` on bookTicker, `M` on trades). Bybit does in trades (`L`), tickers and the key order of deep books;
a file with none of these is read as linear, unless the caller names the market.

Files are streamed: memory stays bounded whatever their size. A file that ends in the middle of a line, as a
recorder leaves it that was killed, is read up to there, and a note says so. All else that can be wrong with a
file is a UserError.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import orjson
import zstandard

from ext.records import Market
from node.errors import UserError

MARKETS = {
    "binance-spot": int(Market.BINANCE_SPOT),
    "binance-usdm": int(Market.BINANCE_USDM),
    "bybit-spot": int(Market.BYBIT_SPOT),
    "bybit-linear": int(Market.BYBIT_LINEAR),
    "okx": int(Market.OKX),
}
VENUES = {number: name for name, number in MARKETS.items()}

READ_SIZE = 1 << 18
ZSTD_READ_SIZE = 1 << 13  # one byte of zstd can stand for 40,000
OUT_SIZE = 1 << 22
LINE_MAX = 1 << 26  # the longest line known, an instruments reply, has 2 MB
SAMPLE_LINES, SAMPLE_SIZE = 5_000, 1 << 23  # what the products of a form (b) file are told from
GZIP, ZSTD, ZSTD_SKIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"


class Line(msgspec.Struct, gc=False):
    """One line: a frame as it came over the wire, or what a client did (`dir` "send", channels "connect",
    "request").

    `t` is the receive time in ns, None where unknown. `venue` is a key of MARKETS, or whatever the recorder
    wrote. Channels that begin with "rest:" are replies to requests, and `url` the request where it is known.
    """

    raw: str
    venue: str = ""
    channel: str = ""
    t: int | None = None
    dir: str | None = None
    url: str | None = None


def check_market(market: str | None) -> None:
    """Raises UserError where there is no such market."""
    if market is not None and market not in MARKETS:
        raise UserError(f"--market {market}: must be one of {', '.join(MARKETS)}")


_decoder = msgspec.json.Decoder(Line)


class Recording:
    """One file. `market` names the product of a form (b) file that does not show it. `on_read(bytes)` is told
    of every piece of the file as it is read, for a progress bar. Raises UserError where the file cannot be
    what it should."""

    def __init__(self, path: Path, market: str | None = None):
        check_market(market)
        self.path = path
        self.on_read: Callable[[int], None] | None = None
        self.first_line = 1  # number of the first line of the batch last given
        self.notes: list[str] = []
        self.is_json = self._probe()
        self.shapes = None if self.is_json else self._shapes(market)

    def batches(self) -> Iterator[list[Line]]:
        """All lines, in order, some thousand at a time."""
        read = self._json_lines if self.is_json else self._plain_lines
        self.first_line = 1
        for block in blocks(self.path, self.on_read, self._cut):
            lines = read(block)
            if lines:
                yield lines
            self.first_line += block.count(b"\n")

    # ---- what is it? ----

    def _probe(self) -> bool:
        """True for form (a), False for form (b)."""
        for block in blocks(self.path, cut=self._cut):
            text = block.lstrip()
            if text[:1] == b"{":
                return True
            stamp, _, frame = text[:100].partition(b" ")
            if stamp.isdigit() and len(stamp) >= 13 and frame:
                return False
            if text:
                raise UserError(
                    f"{self.path}: not a recording: line 1 is neither a JSON object nor a time and a frame"
                )
        raise UserError(f"{self.path}: is empty" + (", but for a line that is cut off" if self.notes else ""))

    def _cut(self, what: str) -> None:
        """The file ends before its last line does."""
        note = f"{self.path}: {what} cut off at its end: read up to there"
        if note not in self.notes:  # it is read more than once
            self.notes.append(note)

    def _is_cut(self, block: bytes, number: int) -> bool:
        """Is what went wrong in this line that the file ends in it? A first line must be whole."""
        if block.endswith(b"\n") or number == 1 or number != self.first_line + block.count(b"\n"):
            return False
        self._cut("the last line is")
        return True

    def _shapes(self, market: str | None) -> "Shapes":
        shapes = Shapes(str(self.path), _sample(self.path), market)
        self.notes += shapes.notes
        return shapes

    # ---- the two forms ----

    def _json_lines(self, block: bytes) -> list[Line]:
        try:
            lines = _decoder.decode_lines(block)
        except msgspec.MsgspecError:
            lines = self._json_slow(block)
        return lines

    def _json_slow(self, block: bytes) -> list[Line]:
        """Line by line: skips blank ones, and finds the one that is wrong."""
        out = []
        for number, text in enumerate(block.split(b"\n"), self.first_line):
            if text.strip():
                try:
                    out.append(_decoder.decode(text))
                except msgspec.MsgspecError as error:
                    if not self._is_cut(block, number):
                        raise UserError(
                            f"{self.path}: line {number}: not a line of a recording: {error}"
                        ) from None
        return out

    def _plain_lines(self, block: bytes) -> list[Line]:
        out = []
        assert self.shapes is not None
        label = self.shapes.label
        for number, text in enumerate(block.split(b"\n"), self.first_line):
            stamp, _, frame = text.rstrip(b"\r").partition(b" ")
            if stamp.isdigit() and len(stamp) < 20 and frame:
                raw = frame.decode("utf-8", "surrogateescape")
                out.append(Line(raw, *label(raw), _nanoseconds(int(stamp))))
            elif text.strip() and not self._is_cut(block, number):
                raise UserError(f"{self.path}: line {number}: not a receive time and a frame: {_short(text)}")
        if out and not block.endswith(b"\n") and not _is_json(out[-1].raw) and self._is_cut(block, number):
            out.pop()
        return out


def frame_bytes(line: Line) -> bytes:
    """The frame as it came over the wire."""
    return line.raw.encode("utf-8", "surrogateescape")


def _nanoseconds(stamp: int) -> int:
    if stamp >= 10**17:
        return stamp
    return stamp * 1000 if stamp >= 10**14 else stamp * 1_000_000


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _short(text: bytes) -> str:
    return repr(text[:60].decode("utf-8", "replace"))


# ---- bytes -------------------------------------------------------------------------------------------------


def blocks(
    path: Path,
    on_read: Callable[[int], None] | None = None,
    cut: Callable[[str], None] = lambda what: None,
) -> Iterator[bytes]:
    """The file's text, cut behind line ends; only the last block may lack one. `cut` is told where packed
    data ends too early: of it, whole lines are all there is."""
    parts: list[bytes] = []
    held = 0
    try:
        for chunk in _chunks(path, on_read):
            end = chunk.rfind(b"\n") + 1
            if end:
                yield b"".join([*parts, chunk[:end]])
                parts, held = [chunk[end:]], len(chunk) - end
            else:
                parts.append(chunk)
                held += len(chunk)
            if held > LINE_MAX:
                raise UserError(f"{path}: a line of more than {LINE_MAX >> 20} MB: not a recording")
    except _CutOff as error:
        cut(str(error))
        return
    if held:
        yield b"".join(parts)


class _CutOff(Exception):
    """Packed data that ends before it says so."""


def _chunks(path: Path, on_read: Callable[[int], None] | None) -> Iterator[bytes]:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: not a plain file: it has to be read twice")
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            if head[:2] == GZIP:
                yield from _unzip(path, _read(file, READ_SIZE, on_read))
            elif head == ZSTD or head[1:] == ZSTD_SKIP:
                yield from _unzstd(path, _read(file, ZSTD_READ_SIZE, on_read))
            else:
                yield from _read(file, READ_SIZE, on_read)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory: name the recordings in it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _read(file, size: int, on_read: Callable[[int], None] | None) -> Iterator[bytes]:
    while chunk := file.read(size):
        if on_read is not None:
            on_read(len(chunk))
        yield chunk


def _unzip(path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """gzip, members one after the other; zeros behind the last one are padding."""
    member = None
    for chunk in chunks:
        while chunk:
            if member is None:
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                member = zlib.decompressobj(31)
            try:
                out = member.decompress(chunk, OUT_SIZE)
            except zlib.error as error:
                raise UserError(f"{path}: broken gzip data: {error}") from None
            if out:
                yield out
            chunk = member.unused_data if member.eof else member.unconsumed_tail
            if member.eof:
                member = None
    if member is not None:
        raise _CutOff("the gzip data is")


def _unzstd(path: Path, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """zstd, frames one after the other."""
    frame = None
    for chunk in chunks:
        while chunk:
            frame = frame or zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
            try:
                out = frame.decompress(chunk)
            except zstandard.ZstdError as error:
                raise UserError(f"{path}: broken zstd data: {error}") from None
            if out:
                yield out
            chunk = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = None
    if frame is not None:
        raise _CutOff("the zstd data is")


# ---- what a frame shows of itself --------------------------------------------------------------------------


class Shape(msgspec.Struct, frozen=True):
    """What a frame is about: kind "depth", "trade", "aggregate", "quote", "mark" or "other". `depth` 0: all
    levels."""

    kind: str
    symbol: str = ""
    depth: int = 0


OTHER = Shape("other")
_BINANCE = {"depthUpdate": "depth", "trade": "trade", "aggTrade": "aggregate", "bookTicker": "quote"}
_BINANCE |= {"markPriceUpdate": "mark"}
_OKX_DEPTH = {"books": 400, "books-l2-tbt": 400, "books50-l2-tbt": 50, "books5": 5, "bbo-tbt": 1}
_OKX = dict.fromkeys(_OKX_DEPTH, "depth") | {"trades": "trade", "trades-all": "trade"}
_OKX |= {"mark-price": "mark", "funding-rate": "mark"}


def describe(market: int, raw: str) -> Shape:
    """Shape of a frame of a market; OTHER where it holds no market data that the decoders read."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return OTHER
    if not isinstance(message, dict):
        return OTHER
    if market in (Market.BINANCE_SPOT, Market.BINANCE_USDM):
        return _describe_binance(message)
    return _describe_bybit(message) if market != Market.OKX else _describe_okx(message)


def _describe_binance(message: dict) -> Shape:
    stream = message.get("stream")
    stream = stream if isinstance(stream, str) else ""
    body = message.get("data") if stream else message
    if not isinstance(body, dict):
        return OTHER
    name, _, channel = stream.partition("@")
    digits = channel.removeprefix("depth").partition("@")[0] if channel.startswith("depth") else ""
    depth = int(digits) if digits.isdecimal() and len(digits) < 6 else 0
    symbol, event = body.get("s"), body.get("e")
    if not isinstance(symbol, str):
        return Shape("depth", name.upper(), depth) if depth and "lastUpdateId" in body else OTHER
    if event is None and {"u", "b", "B", "a", "A"} <= body.keys():
        return Shape("quote", symbol)
    kind = _BINANCE.get(event) if isinstance(event, str) else None
    if kind is None or (kind == "depth" and stream and not channel.startswith("depth")):
        return OTHER
    return Shape(kind, symbol, depth if kind == "depth" else 0)


def _describe_bybit(message: dict) -> Shape:
    topic = message.get("topic")
    if not isinstance(topic, str):
        return OTHER
    name, _, rest = topic.partition(".")
    depth, _, symbol = rest.partition(".")
    if name == "orderbook" and depth.isdecimal() and symbol and len(depth) < 6:
        return Shape("depth", symbol, int(depth))
    kind = {"publicTrade": "trade", "tickers": "mark"}.get(name)
    return Shape(kind, rest) if kind and rest else OTHER


def _describe_okx(message: dict) -> Shape:
    arg = message.get("arg")
    if not isinstance(arg, dict) or "data" not in message:
        return OTHER
    channel, symbol = arg.get("channel"), arg.get("instId")
    if not isinstance(channel, str) or not isinstance(symbol, str) or channel not in _OKX:
        return OTHER
    return Shape(_OKX[channel], symbol, _OKX_DEPTH.get(channel, 0))


# ---- form (b): venue and channel from the frame ------------------------------------------------------------


class Shapes:
    """Gives each frame of one form (b) file its venue and channel. `sample` are frames from the start of the
    file."""

    def __init__(self, path: str, sample: list[str], market: str | None = None):
        self.path = path
        self.notes: list[str] = []
        self.cache: dict[str, tuple[str, str]] = {}
        self.products = {"okx": "okx"}
        if market is not None:
            self.products[market.partition("-")[0]] = market
        self.home = ""  # where a frame that shows nothing is counted
        for raw in sample:
            family = _family(raw)[0]
            if family and not self.home:
                self.home = family
        if not self.home:
            raise UserError(f"{path}: no frame of Binance, Bybit or OKX in it")
        if "binance" not in self.products:
            self.products["binance"] = self._binance(sample)
        if "bybit" not in self.products:
            self.products["bybit"] = self._bybit(sample)
        self.home = self.products[self.home]

    def label(self, raw: str) -> tuple[str, str]:
        """(venue, channel) of a frame. The start of a frame repeats, so that most are found in a cache."""
        if raw.startswith('{"stream":"'):
            key = raw[: raw.find('"', 11)]
        elif raw.startswith('{"topic":"'):
            key = raw[: raw.find('"', 10)]
        elif raw.startswith('{"arg":{'):
            key = raw[: raw.find("}", 8)]
        else:
            return self._label(raw)
        found = self.cache.get(key)
        if found is None:
            found = self._label(raw)
            if len(self.cache) < 100_000:
                self.cache[key] = found
        return found

    def _label(self, raw: str) -> tuple[str, str]:
        family, channel = _family(raw)
        return self.products.get(family, self.home), channel

    def _binance(self, sample: list[str]) -> str:
        found = {x for x in map(_binance_product, sample) if x}
        if len(found) > 1:
            raise UserError(
                f"{self.path}: both Binance spot and USD-M: split the file, or name one with --market"
            )
        return found.pop() if found else "binance-spot"

    def _bybit(self, sample: list[str]) -> str:
        """Trades and tickers show the product. Deep books by their key order: spot has `ts` before `type`."""
        hint, seen = "", False
        for raw in sample:
            product, is_sure = _bybit_product(raw)
            if is_sure:
                return product
            hint = hint or product
            seen = seen or raw.startswith('{"topic":')
        if seen and not hint:
            self.notes.append(
                f"{self.path}: nothing shows whether it is Bybit spot or linear: read as linear (--market)"
            )
        return hint or "bybit-linear"


def _sample(path: Path) -> list[str]:
    out: list[str] = []
    size = 0
    for block in blocks(path):
        for text in block.split(b"\n"):
            out.append(text.partition(b" ")[2].decode("utf-8", "surrogateescape"))
        size += len(block)
        if len(out) >= SAMPLE_LINES or size >= SAMPLE_SIZE:
            break
    return out[:SAMPLE_LINES]


def _family(raw: str) -> tuple[str, str]:
    """("binance", "btcusdt@trade"), ("", "") for a frame that shows nothing."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "", ""
    if not isinstance(message, dict):
        return "", ""
    if isinstance(message.get("stream"), str) and "data" in message:
        return "binance", message["stream"]
    if isinstance(message.get("topic"), str):
        return "bybit", message["topic"]
    arg = message.get("arg")
    if isinstance(arg, dict) and isinstance(arg.get("channel"), str):
        return "okx", f"{arg['channel']}:{arg.get('instId', '')}"
    shape = _describe_binance(message)
    if shape.symbol:
        return "binance", f"{shape.symbol.lower()}@{message.get('e', 'bookTicker')}"
    return _reply_family(message)


def _reply_family(message: dict) -> tuple[str, str]:
    """Replies to requests that a collector wrote among the frames."""
    if "lastUpdateId" in message and "bids" in message:
        return "binance", "rest:depth"
    if isinstance(message.get("symbols"), list):
        return "binance", "rest:exchangeInfo"
    if isinstance(message.get("result"), dict) and isinstance(message["result"].get("list"), list):
        return "bybit", "rest:instruments-info"
    rows = message.get("data")
    if (
        "code" in message
        and isinstance(rows, list)
        and rows
        and isinstance(rows[0], dict)
        and "instType" in rows[0]
    ):
        return "okx", "rest:instruments"
    return "", ""


def _binance_product(raw: str) -> str:
    """What a frame shows; "" where it shows nothing."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    body = message.get("data", message) if isinstance(message, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("s"), str):
        return ""
    event = body.get("e")
    if event is None and {"u", "b", "B", "a", "A"} <= body.keys():
        return "binance-spot"
    if event == "depthUpdate":
        return "binance-usdm" if "pu" in body else "binance-spot"
    if event in ("trade", "aggTrade"):
        return "binance-spot" if "M" in body else "binance-usdm"
    return "binance-usdm" if event in ("bookTicker", "markPriceUpdate") else ""


def _bybit_product(raw: str) -> tuple[str, bool]:
    """(product or "", whether it is certain)."""
    if not raw.startswith('{"topic":'):
        return "", False
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "", False
    topic, data = message["topic"], message.get("data")
    if not isinstance(topic, str):
        return "", False
    if topic.startswith("publicTrade.") and isinstance(data, list) and data and isinstance(data[0], dict):
        return "bybit-linear" if "L" in data[0] else "bybit-spot", True
    if topic.startswith("tickers.") and isinstance(data, dict):
        is_spot = message.get("type") == "snapshot" and "markPrice" not in data
        return "bybit-spot" if is_spot else "bybit-linear", True
    if topic.startswith("orderbook.") and not topic.startswith("orderbook.1."):
        keys = list(message)
        if "type" in keys and "ts" in keys:
            return "bybit-spot" if keys.index("ts") < keys.index("type") else "bybit-linear", False
    return "", False
