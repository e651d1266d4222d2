"""The strategy of `tickgate drill`: orders that rest far from the market, and a loop to hang in."""

import os
from pathlib import Path

from ext.records import TimeInForce
from ext.strategy import Strategy

EACH, HANG, TAKE = "TICKGATE_DRILL_EACH", "TICKGATE_DRILL_HANG", "TICKGATE_DRILL_TAKE"
TAKE_TIMES = 8  # of the smallest order: more than one level of a thin book
FAR_PPM = 4_000  # from the mid: inside the collar, far behind the book
DEPTH_PPM = 800  # from the first to the last of them


class Resting(Strategy):
    """Keeps `TICKGATE_DRILL_EACH` buys on each instrument, a step apart, placed one in a turn. While the file
    `TICKGATE_DRILL_HANG` exists it does not return: a loop that is busy for ever. With `TICKGATE_DRILL_TAKE`
    it first buys a position on each perpetual."""

    def __init__(self) -> None:
        self.each = int(os.environ.get(EACH, "10"))
        self.hang = Path(os.environ.get(HANG, "/nonexistent"))
        self.takes = bool(os.environ.get(TAKE))
        self.asked_ns: dict[int, int] = {}

    def on_book(self, instrument: int, now_ns: int) -> int:
        resting = len(self.open_orders(instrument))
        bid, ask = self.best(instrument)
        if resting >= self.each or not (bid and ask):
            return 0
        if now_ns - self.asked_ns.get(instrument, 0) < 20_000_000:  # leave the venue's answer some time
            return 0
        self.asked_ns[instrument] = now_ns
        row = self.instruments.row(instrument)
        if self.takes and row["is_perpetual"] and not self.position(instrument):
            self.buy(instrument, ask[0], self.lots(row, ask[0]) * TAKE_TIMES, TimeInForce.IOC)
            self.asked_ns[instrument] += 1_000_000_000  # never two under way
            return 0
        mid = (bid[0] + ask[0]) // 2
        ticks = mid - mid * (FAR_PPM + resting * DEPTH_PPM // self.each) // 1_000_000
        step = max(row["tick_step"], 1)
        self.buy(instrument, ticks // step * step, self.lots(row, ticks), TimeInForce.GTC)
        return 0

    def lots(self, row: dict, ticks: int) -> int:
        """The smallest size that the venue takes."""
        step = max(row["lot_step"], 1)
        least = max(row["min_size_lots"], step)
        worth = max(ticks * row["money_mul"] // row["money_div"], 1)  # of one lot, e8
        return max(-(-least // step), -(-row["min_notional_e8"] * 5 // 4 // worth // step)) * step

    def on_timer(self, now_ns: int) -> int:
        while self.hang.exists():
            pass
        return 0
