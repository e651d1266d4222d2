"""The clock of one desk's venue: when it is asked for, and what follows from what it says."""

from ext.records import HaltReason
from node.truth.budget import Budget
from node.truth.clock import ClockLevel, VenueClock
from node.truth.desk import Ask, Purpose, VenueDesk
from node.truth.halts import REDUCE_ONLY, Halts
from node.truth.native import Native
from node.truth.settings import MS, Settings
from node.venues.values import Reply, RestError


class Pulse:
    """Asks for the venue's time, more often while it is not known well, and tells the engine what order
    frames are stamped with."""

    def __init__(self, desk: VenueDesk, native: Native, budget: Budget, halts: Halts, settings: Settings):
        self.desk, self.native, self.budget, self.halts, self.settings = desk, native, budget, halts, settings
        self.clock = VenueClock(settings)
        self.due_ns = 0
        self._asked = False
        self._level = ClockLevel.OK
        self._was_known = False  # at start it is not, and nobody needs to be told

    def hurry(self, now_ns: int) -> None:
        self.due_ns = min(self.due_ns, now_ns)

    def stepped(self, now_ns: int) -> None:
        """A clock was set: nothing that was measured before counts."""
        self.clock.forget()
        self.hurry(now_ns)
        self._judge(now_ns)

    def tick(self, now_ns: int) -> None:
        if now_ns >= self.due_ns and not self._asked:
            self._asked = True
            self.due_ns = now_ns + self.settings.clock_every_ns
            ask = Ask(self.desk, self.desk.rest.time(), Purpose.RECONCILE, "time", lambda reply, at_ns: None)
            ask.then = lambda reply, at_ns: self._answer(ask, reply, at_ns)
            self.budget.put(ask)
        self._judge(now_ns)

    def _answer(self, ask: Ask, reply: Reply | None, now_ns: int) -> None:
        self._asked = False
        try:
            venue_ns = self.desk.rest.read_time(reply) if reply is not None else 0
        except (RestError, ValueError):
            venue_ns = 0
        steps = self.clock.steps
        known = self.clock.on_sample(ask.left_ns, venue_ns, now_ns)
        if not known or not self.clock.is_settled(now_ns):
            self.due_ns = min(self.due_ns, now_ns + self.settings.clock_hurry_ns)
        if not known:
            self.halts.tell(self.desk.title(), "clock: no useful answer from the venue; asked again", now_ns)
        if self.clock.steps != steps:
            self.halts.tell(
                self.desk.title(), "clock: ours or the venue's was set by hand or NTP: measured anew", now_ns
            )
        if known:
            offset_ns, error_ns = self.clock.offset_ns(now_ns), self.clock.error_ns(now_ns)
            self.native.venue_clock(self.desk.market, offset_ns, error_ns, now_ns)
        self._judge(now_ns)

    def _judge(self, now_ns: int) -> None:
        level = self.clock.level(now_ns)
        is_first = not self._was_known and self.clock.is_settled(now_ns)
        if level == self._level and not is_first:
            return
        self._level = level
        self._was_known |= is_first
        if self._was_known and (level != ClockLevel.OK or not is_first):
            self.halts.tell(self.desk.title(), f"clock: {self._in_words(level, now_ns)}", now_ns)
        for product in self.desk.products.values():
            if level == ClockLevel.STOP:
                self.halts.hold(product.instrument, HaltReason.HALT_CLOCK, REDUCE_ONLY, "clock", now_ns)
            else:
                self.halts.free(product.instrument, HaltReason.HALT_CLOCK, "clock", now_ns)

    def _in_words(self, level: ClockLevel, now_ns: int) -> str:
        """What is so, what it means, what helps."""
        if not self.clock.is_settled(now_ns):
            return "the venue's is not known: reduce-only until it answers requests for its time"
        offset_ns, error_ns = self.clock.offset_ns(now_ns), self.clock.error_ns(now_ns)
        side = "ahead of" if offset_ns > 0 else "behind"
        told = f"the venue's is {abs(offset_ns) // MS} ms {side} ours, to within {-(-error_ns // MS)} ms"
        if level == ClockLevel.OK:
            return f"{told}: fine again"
        means = "reduce-only" if level == ClockLevel.STOP else "still trading"
        is_ours = abs(offset_ns) > error_ns
        return f"{told}: {means}; {'set this machine by NTP' if is_ours else 'the connection is slow'}"
