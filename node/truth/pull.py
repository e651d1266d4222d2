"""A list that a venue answers in pages: rows only when the last page is in."""

from collections.abc import Callable
from typing import Any

from node.truth.desk import Ask, Purpose, VenueDesk
from node.venues.values import Reply, Request, RestError, Said

Reader = Callable[[Reply], tuple[list[Any], Request | None]]


class Pull:
    """`requests` and all the pages behind them. While it runs, `waiting` holds what must be asked next.
    `left_ns` is when the first request left: whatever was heard later is newer than these rows."""

    def __init__(self, desk: VenueDesk, what: str, requests: list[Request], read: Reader, pages_max: int):
        self.desk, self.what, self.read = desk, what, read
        self.waiting = list(requests)
        self.rows: list[Any] = []
        self.left_ns = 0
        self.read_ns = 0
        self.failure: Said | None = None
        self._open = len(requests)
        self._pages_left = pages_max

    @property
    def is_done(self) -> bool:
        """Every page is in, or one of them failed: a part of a list is no list."""
        return self.failure is not None or self._open == 0

    @property
    def is_complete(self) -> bool:
        return self.failure is None and self._open == 0

    def asks(self, purpose: Purpose) -> list[Ask]:
        """The questions that were not asked yet."""
        asks = []
        for request in self.waiting:
            ask = Ask(self.desk, request, purpose, self.what, self._ignore)
            ask.then = self._taker(ask)
            asks.append(ask)
        self.waiting = []
        return asks

    def _ignore(self, reply: Reply | None, now_ns: int) -> None:
        """An ask is never answered before its taker is set."""

    def _taker(self, ask: Ask) -> Callable[[Reply | None, int], None]:
        def take(reply: Reply | None, now_ns: int) -> None:
            self.left_ns = min(self.left_ns or ask.left_ns, ask.left_ns)
            self.read_ns = max(self.read_ns, now_ns)
            self._page(reply)

        return take

    def _page(self, reply: Reply | None) -> None:
        self._open -= 1
        if self.failure is not None:
            return
        if reply is None:
            self.failure = Said(outcome=0, text="no answer")
            return
        try:
            rows, following = self.read(reply)
        except RestError as error:
            self.failure = error.said
            return
        except ValueError as error:
            self.failure = Said(outcome=0, text=f"cannot be understood: {error}")
            return
        self.rows += rows
        if following is None:
            return
        self._pages_left -= 1
        if self._pages_left < 0:
            self.failure = Said(outcome=0, text="pages without end")
            return
        self.waiting.append(following)
        self._open += 1


def one_page(read: Callable[[Reply], list[Any]]) -> Reader:
    """A reader of an answer that has no pages."""
    return lambda reply: (read(reply), None)
