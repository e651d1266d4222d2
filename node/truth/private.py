"""Is the private stream of a desk proven to tell everything?"""

from collections.abc import Callable

from node.truth.desk import VenueDesk
from node.truth.halts import Halts
from node.truth.native import Native


class Private:
    """Proven by a complete pass that left behind the moment when the stream came up, or answered a probe.
    `refresh(market)` asks the owner to replace the connection; `hurry(now_ns)` asks for such a pass."""

    def __init__(self, desk: VenueDesk, native: Native, halts: Halts, hurry: Callable[[int], None]):
        self.desk, self.native, self.halts, self.hurry = desk, native, halts, hurry
        self.refresh: Callable[[int], None] = lambda market: None
        self.up = not desk.has_private
        self.is_suspect = self.is_proven = False
        self.from_ns = 0

    def on_line(self, up: bool, now_ns: int) -> None:
        self.up, self.is_suspect, self.from_ns = up, False, now_ns
        self._set(False, now_ns)
        if up:
            self.hurry(now_ns)

    def suspect(self, now_ns: int) -> None:
        """An order was acknowledged and is known to the venue, and the stream said nothing of it."""
        if self.is_suspect or not self.desk.has_private:
            return
        self.is_suspect = True
        self.halts.tell(
            self.desk.title(), "the private stream kept an order back: it must prove itself", now_ns
        )
        self._set(False, now_ns)
        self.hurry(now_ns)
        self.refresh(self.desk.market)

    def on_probe(self, now_ns: int) -> None:
        """The stream answered a probe, or told of an order behind the suspicion: it delivers."""
        if self.is_suspect:
            self.is_suspect, self.from_ns = False, now_ns
            self.hurry(now_ns)

    def swept(self, left_ns: int, now_ns: int) -> None:
        """A complete pass over orders and trades that left at `left_ns` was taken over."""
        if self.up and not self.is_suspect and left_ns >= self.from_ns:
            self._set(True, now_ns)

    def _set(self, ok: bool, now_ns: int) -> None:
        self.is_proven = ok
        self.native.private_proven(self.desk.market, ok, now_ns)
