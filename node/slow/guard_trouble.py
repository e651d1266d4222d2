"""When the guard tells of a trouble that lasts: at once, then later and later, and that it goes on trying."""

SECOND_NS = 1_000_000_000
WAITS_NS = tuple(x * SECOND_NS for x in (5, 10, 30, 60, 300))  # between two words on it; the last one stays
CALM_NS = 2 * 60 * SECOND_NS  # so long without any: the next one is a new one


class Lasting:
    """The troubles of one market in a row. `note` each of them; `since_s` and `attempts` say how long it has
    been so. Times are monotonic ns."""

    def __init__(self) -> None:
        self.attempts = self.words = 0
        self.since_ns = self.last_ns = self.due_ns = 0

    def note(self, now_ns: int) -> bool:
        """One more attempt that did not work: should a person be told of it?"""
        if self.attempts and now_ns - self.last_ns > CALM_NS:
            self.end()
        if not self.attempts:
            self.since_ns = self.due_ns = now_ns
        self.attempts, self.last_ns = self.attempts + 1, now_ns
        if now_ns < self.due_ns:
            return False
        self.due_ns = now_ns + self.wait_ns
        self.words += 1
        return True

    def end(self) -> None:
        """It works again."""
        self.attempts = self.words = 0

    @property
    def wait_ns(self) -> int:
        return WAITS_NS[min(self.words, len(WAITS_NS) - 1)]

    def since_s(self, now_ns: int) -> int:
        return (now_ns - self.since_ns) // SECOND_NS

    def text(self, trouble: str, pid: int, now_ns: int) -> str:
        """What is told, behind a `note` that said so: how it stands, when it ends, what a person can do.
        `pid`: the guard's."""
        next_s = (self.due_ns - now_ns) // SECOND_NS
        goes_on = f"tries on until the venue answers and shows nothing open; next word in {next_s} s"
        if self.words <= 1:
            return f"guard: {trouble}; {goes_on}"
        return (
            f"guard: not clear for {self.since_s(now_ns)} s, {self.attempts} attempts: {trouble}; {goes_on}; "
            f"meanwhile cancel at the venue itself, or end the guard with `kill {pid}`"
        )
