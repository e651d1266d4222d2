"""The venue's clock against ours, from the midpoints of requests."""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from node.truth.settings import Settings

NOTHING = (0, -1, None)


class ClockLevel(IntEnum):
    OK = 0
    WARN = 1
    STOP = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """At `at_ns` the venue's clock was ahead of ours by `offset_ns`, give or take `error_ns`."""

    offset_ns: int
    error_ns: int
    at_ns: int


class VenueClock:
    """Offset of one venue. The true offset lay inside each sample's bounds when it was taken, whatever the
    network did: the narrowest of the last samples is the best, and one outside its bounds means that a
    clock was set."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.samples: deque[Sample] = deque(maxlen=settings.clock_samples)
        self.steps = 0
        self._unsettled = settings.clock_agree  # samples still wanted before this clock is believed
        self._best: tuple[int, int, Sample | None] = NOTHING  # from when until when, which

    def on_sample(self, left_ns: int, venue_ns: int, read_ns: int, grain_ns: int = 1_000_000) -> bool:
        """A request left, the venue wrote its time (to `grain_ns`), the answer was read. False where it
        says nothing."""
        trip_ns = read_ns - left_ns
        if not 0 <= trip_ns <= self.settings.clock_round_trip_ns or venue_ns <= 0:
            return False
        sample = Sample(venue_ns - left_ns - trip_ns // 2, trip_ns // 2 + grain_ns, read_ns)
        if self._stepped(sample):
            self.steps += 1
            self.forget()
        self.samples.append(sample)
        self._best = NOTHING
        self._unsettled = max(self._unsettled - 1, 0)
        return True

    def forget(self) -> None:
        """Nothing that was measured counts any more."""
        self.samples.clear()
        self._best = NOTHING
        self._unsettled = self.settings.clock_agree

    def _stepped(self, sample: Sample) -> bool:
        """Outside of what any sample allows, by more than a step: both cannot be true of clocks that run
        evenly."""
        return any(
            abs(sample.offset_ns - old.offset_ns)
            > sample.error_ns + self._aged_ns(old, sample.at_ns) + self.settings.clock_step_ns
            for old in self.samples
        )

    def _aged_ns(self, sample: Sample, now_ns: int) -> int:
        age_ns = max(now_ns - sample.at_ns, 0)
        return sample.error_ns + age_ns * self.settings.clock_drift_ppm // 1_000_000

    def best(self, now_ns: int) -> Sample | None:
        """The sample with the narrowest bounds by now, None where there is none that counts."""
        from_ns, until_ns, best = self._best
        if not from_ns <= now_ns <= until_ns:
            old_ns = self.settings.clock_old_ns
            young = [x for x in self.samples if abs(now_ns - x.at_ns) <= old_ns]
            # All bounds grow equally fast, so the narrowest stays so until it is too old: a turn asks often.
            best = min(young, key=self._width, default=None)
            self._best = (now_ns, now_ns if best is None else best.at_ns + old_ns, best)
        return best

    def _width(self, sample: Sample) -> int:
        """Of a sample's bounds at one and the same moment, in parts of 1e6 ns, but for what all have."""
        return sample.error_ns * 1_000_000 - sample.at_ns * self.settings.clock_drift_ppm

    def offset_ns(self, now_ns: int) -> int:
        """The venue's clock minus ours; 0 where it is not known."""
        best = self.best(now_ns)
        return 0 if best is None else best.offset_ns

    def error_ns(self, now_ns: int) -> int:
        """Bound of the error of `offset_ns`; as wide as the stop level or wider while the clock is not to
        be believed."""
        best = self.best(now_ns)
        if best is None or self._unsettled:
            return max(self.settings.clock_stop_ns, 0 if best is None else self._aged_ns(best, now_ns))
        return self._aged_ns(best, now_ns)

    def is_settled(self, now_ns: int) -> bool:
        return self.best(now_ns) is not None and not self._unsettled

    def level(self, now_ns: int) -> ClockLevel:
        """How far from ours the venue's clock may be."""
        worst_ns = abs(self.offset_ns(now_ns)) + self.error_ns(now_ns)
        if not self.is_settled(now_ns) or worst_ns > self.settings.clock_stop_ns:
            return ClockLevel.STOP
        return ClockLevel.WARN if worst_ns > self.settings.clock_warn_ns else ClockLevel.OK
