"""The naive twin of decoders and book: dicts of text, `json` and `Decimal`, the venues' rules word for word,
nothing shared with the code under test. Import it by name (`import twin`)."""

import json
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

Side = dict[str, str]  # price -> size, both without padding zeros


def plain(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


class TwinBook:
    """One instrument: levels as text. `synced` only while every update continued the one before."""

    def __init__(self) -> None:
        self.bids: Side = {}
        self.asks: Side = {}
        self.synced = False
        self.seeded = False  # a requested snapshot is loaded, and no update has joined it yet
        self.last_id = -1
        self.waiting: list[dict] = []
        self.gaps = 0
        self.updates = 0

    def replace(self, bids: list, asks: list, last_id: int) -> None:
        self.bids, self.asks = {}, {}
        self.change(bids, asks)
        self.last_id = last_id

    def change(self, bids: list, asks: list) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size, *_ in levels:
                if Decimal(size) == 0:
                    side.pop(plain(price), None)
                else:
                    side[plain(price)] = plain(size)

    def applied(self, bids: list, asks: list, last_id: int) -> None:
        self.change(bids, asks)
        self.last_id, self.synced, self.seeded = last_id, True, False
        self.updates += 1

    def gap(self) -> None:
        self.gaps += 1
        self.synced = False

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Both sides, best first."""
        bids = sorted(self.bids.items(), key=lambda x: Decimal(x[0]), reverse=True)
        return bids, sorted(self.asks.items(), key=lambda x: Decimal(x[0]))


class Twin:
    """All books of a recording, by id ("binance-spot:BTCUSDT"). Feed it the lines of a JSON recording, as
    dicts.

    `only` is the instrument of a depth snapshot that does not say whose it is. Of several order book channels
    of one instrument it follows the one of `depth` levels, where that is given.
    """

    def __init__(self, only: str = "", depth: int = 0) -> None:
        self.books: dict[str, TwinBook] = {}
        self.only, self.depth = only, depth

    def feed(self, line: dict) -> None:
        venue, channel = line["venue"], line["channel"]
        if channel in ("connect", "request", "reply"):
            return
        if channel.startswith("rest:"):
            if channel.endswith("depth"):
                query = parse_qs(urlsplit(line.get("url", "")).query)
                self.seed(
                    f"{venue}:{query['symbol'][0]}" if "symbol" in query else self.only,
                    json.loads(line["raw"]),
                )
        elif venue.startswith("binance") and "@depth" in channel:
            data = json.loads(line["raw"])["data"]
            self.binance(self.book(f"{venue}:{data['s']}"), data, is_usdm=venue.endswith("usdm"))
        elif venue.startswith("bybit") and channel.startswith("orderbook."):
            self.bybit(venue, json.loads(line["raw"]))
        elif venue == "okx" and channel.startswith("books"):
            self.okx(json.loads(line["raw"]))

    def book(self, name: str) -> TwinBook:
        return self.books.setdefault(name, TwinBook())

    def seed(self, name: str, data: dict) -> None:
        """A snapshot that was asked for: splice what has been waiting."""
        book = self.book(name)
        if book.synced:
            return
        book.replace(data["bids"], data["asks"], data["lastUpdateId"])
        book.seeded = True
        waiting, book.waiting = book.waiting, []
        for update in waiting:
            self.binance(book, update, is_usdm=name.startswith("binance-usdm"))

    def binance(self, book: TwinBook, data: dict, is_usdm: bool) -> None:
        if not (book.synced or book.seeded):
            book.waiting.append(data)
            return
        last = book.last_id
        if is_usdm:
            old = data["u"] < last if book.seeded else data["u"] <= last and data["pu"] != last
            good = data["U"] <= last <= data["u"] or data["pu"] == last if book.seeded else data["pu"] == last
        else:
            old = data["u"] <= last
            good = data["U"] <= last + 1 <= data["u"] if book.seeded else data["U"] == last + 1
        if old:
            return
        if good:
            book.applied(data["b"], data["a"], data["u"])
        elif book.synced:
            book.gap()
        else:
            book.seeded = False

    def bybit(self, venue: str, message: dict) -> None:
        _, depth, symbol = message["topic"].split(".", 2)
        if self.depth and int(depth) != self.depth:
            return
        book, data = self.book(f"{venue}:{symbol}"), message["data"]
        if message["type"] == "snapshot":
            book.replace([], [], 0)
            book.applied(data["b"], data["a"], data["u"])
        elif book.synced and data["u"] == book.last_id + 1:
            book.applied(data["b"], data["a"], data["u"])
        elif book.synced:
            book.gap()

    def okx(self, message: dict) -> None:
        book = self.book(f"okx:{message['arg']['instId']}")
        for data in message["data"]:
            last_id = data.get("seqId", -1)
            if message["action"] == "snapshot":
                book.replace([], [], 0)
                book.applied(data["bids"], data["asks"], last_id)
            elif book.synced and data.get("prevSeqId", -1) in (-1, book.last_id):
                book.applied(data["bids"], data["asks"], last_id)
            elif book.synced:
                book.gap()


def feed_all(twin: Twin, lines: Iterator[dict]) -> Twin:
    for line in lines:
        twin.feed(line)
    return twin
