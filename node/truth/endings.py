"""Symbols that the venue is going to delist: nothing new from the announcement on, and flat before the
end."""

from datetime import UTC, datetime

from ext.records import HaltReason
from node.amounts import amount_text
from node.truth.desk import VenueDesk
from node.truth.halts import REDUCE_ONLY, STOP, Halts
from node.truth.native import Native

SOURCE = "ending"


class Endings:
    """The announced ends of one desk's symbols. `flat_ns`: positions are closed so long before an end; 0 =
    the venue settles them."""

    def __init__(self, desk: VenueDesk, native: Native, halts: Halts, flat_ns: int):
        self.desk, self.native, self.halts, self.flat_ns = desk, native, halts, flat_ns
        self.ends_ns: dict[int, int] = {}  # by instrument, on the venue's clock
        self.closing: set[int] = set()

    def announce(self, instrument: int, at_ns: int, now_ns: int) -> None:
        """The venue names the time of an end, or another one than before."""
        if self.ends_ns.get(instrument) == at_ns:
            return
        self.ends_ns[instrument] = at_ns
        level = STOP if instrument in self.closing else REDUCE_ONLY
        self.halts.hold(instrument, HaltReason.HALT_VENUE, level, SOURCE, now_ns)
        flat = f"positions are closed {self.flat_ns // (60 * 10**9)} min before"
        self._tell(
            instrument,
            f"is delisted at {_time(at_ns)}: reduce-only from now on; "
            + (flat if self.flat_ns else "what is held then, the venue settles at its index"),
            now_ns,
        )

    def withdraw(self, instrument: int, now_ns: int) -> None:
        """It goes on after all. An exit that is out stays out; nothing more is closed."""
        if self.ends_ns.pop(instrument, 0):
            self.closing.discard(instrument)
            self.halts.free(instrument, HaltReason.HALT_VENUE, SOURCE, now_ns)

    def tick(self, offset_ns: int, now_ns: int) -> None:
        """Time passes. `offset_ns`: the venue's clock minus ours."""
        for instrument, at_ns in self.ends_ns.items() if self.flat_ns else ():
            left_ns = at_ns - now_ns - offset_ns
            if left_ns > self.flat_ns:
                continue
            if instrument not in self.closing:
                self._close(instrument, now_ns)
            elif 0 < left_ns < self.flat_ns // 2 and not self.native.is_flat(instrument):
                lots = self.native.account.position(instrument)["lots"]
                held = amount_text(self.native.instruments, instrument, lots)
                text = f"{held} still open, and the venue settles it at its index at {_time(at_ns)}"
                self._tell(instrument, text, now_ns)

    def _close(self, instrument: int, now_ns: int) -> None:
        self.closing.add(instrument)
        self.halts.hold(instrument, HaltReason.HALT_VENUE, STOP, SOURCE, now_ns)
        self.native.flatten(instrument, int(HaltReason.HALT_VENUE), now_ns)
        self._tell(instrument, "its end is near: stopped, and what is open is closed", now_ns)

    def _tell(self, instrument: int, text: str, now_ns: int) -> None:
        self.halts.tell(self.desk.place(self.desk.symbol(instrument)), text, now_ns)


def _time(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"
