"""The guard of one market, without I/O and without a clock: what to ask the venue next, given what it said.

At most one request is under way at a time, so that two exits never are. The order of things: list what is
open and cancel what is ours until a list shows nothing; with the policy "flatten" close positions; then list
again until nothing was shown twice, the second time of the whole market, `confirm_ns` apart (an order that
was on its way when the node stopped may still arrive so much later). Nothing is ever given up: after trouble
the same is tried again, later and later, and a list is believed before any answer to a cancel.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

MS = 1_000_000
AGAIN_NS = 100 * MS  # after a list that still shows something: the venue needs a moment
TROUBLE_NS, TROUBLE_MAX_NS = 200 * MS, 5_000 * MS
LIMITED_NS, LIMITED_MAX_NS = 2_000 * MS, 60_000 * MS  # after "too many requests": 60 s is the longest window
SETTLE_NS = 500 * MS  # a list of positions may lag behind a fill for so long
EXIT_MAX_NS = 5_000 * MS  # between two exits that filled nothing
CHUNK = 10  # orders in one cancel step: the smallest batch of any venue
ZEROS = 2


class Do(Enum):
    """What a step asks for."""

    LIST = "list"
    CANCEL = "cancel"
    POSITIONS = "positions"
    EXIT = "exit"


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """One order as the venue lists it. `space`: which of the venue's lists it came from."""

    order_id: str
    client_id: str
    symbol: str
    space: str = ""
    protective: bool = False  # a reduce-only stop


@dataclass(frozen=True, slots=True)
class Held:
    """A position. `size` > 0, in the venue's unit for orders; `leg`: "" in net mode, else long or short;
    `mode`: of its margin, where orders must say it."""

    symbol: str
    is_long: bool
    size: Decimal
    leg: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do at the venue now."""

    do: Do
    orders: tuple[OpenOrder, ...] = ()
    whole: bool = False  # list the whole market, not only what is configured
    single: bool = False  # one request for each order: a batch did not work
    held: Held | None = None
    number: int = 0  # of an exit, for its id


@dataclass(frozen=True, slots=True)
class Trouble:
    """A step that did not work. `is_limit`: too many requests; `wait_ns`: as long as the venue said;
    `is_sure`: the venue did not do it, and never will."""

    text: str
    is_limit: bool = False
    is_sure: bool = False
    wait_ns: int = 0


@dataclass
class Tally:
    """What was done, for the journal."""

    cancelled: set[str] = field(default_factory=set)
    foreign: int = 0
    kept: int = 0
    exits: int = 0
    requests: int = 0
    troubles: int = 0
    first_listed_ns: int = 0
    zero_ns: int = 0  # when a list first showed nothing of ours
    last_trouble: str = ""


class Case:
    """One market from the moment the node was found standing still. `next(now_ns)` gives a step or None;
    each step is answered by `on_orders`, `on_cancelled`, `on_positions`, `on_exit`, or `on_trouble`.

    `is_ours(client_id)`; `symbols` whose positions may be closed (empty: none, as on spot); `window_ns`: how
    long after it was written the venue may still carry out a request.
    """

    def __init__(
        self,
        *,
        is_ours: Callable[[str], bool],
        symbols: frozenset[str],
        flatten: bool,
        keep_stops: bool,
        foreign: bool,
        confirm_ns: int,
        window_ns: int,
    ):
        self.is_ours, self.symbols, self.foreign = is_ours, symbols, foreign
        self.flatten, self.keep_stops = flatten and bool(symbols), keep_stops
        self.confirm_ns, self.window_ns = confirm_ns, window_ns
        self.tally = Tally()
        self.due_ns = 0
        self.is_flat = not self.flatten
        self.zeros = 0
        self._queue: list[Step] = []
        self._flying: Step | None = None
        self._single = False
        self._trouble_ns = TROUBLE_NS
        self._limited_ns = LIMITED_NS
        self._exit_ns: dict[tuple[str, str], int] = {}  # by leg: when the next exit may leave
        self._exit_wait_ns: dict[tuple[str, str], int] = {}

    @property
    def is_done(self) -> bool:
        return self.zeros >= ZEROS and self.is_flat and not self._queue and self._flying is None

    def next(self, now_ns: int) -> Step | None:
        """What to do now; None: nothing before `due_ns`, while a step is under way, or ever (`is_done`)."""
        if self._flying is not None or self.is_done or now_ns < self.due_ns:
            return None
        if not self._queue:
            wants_positions = self.zeros > 0 and not self.is_flat
            self._queue.append(Step(Do.POSITIONS) if wants_positions else Step(Do.LIST, whole=self.zeros > 0))
        self._flying = self._queue.pop(0)
        self.tally.requests += 1
        return self._flying

    def look_again(self, now_ns: int) -> None:
        """Start over with the lists: the node still stands, or stands again."""
        self.zeros, self.is_flat, self.due_ns = 0, not self.flatten, now_ns

    # ---- answers ----

    def _landed(self) -> Step:
        step, self._flying = self._flying, None
        assert step is not None
        return step

    def _worked(self) -> None:
        self._trouble_ns, self._limited_ns = TROUBLE_NS, LIMITED_NS

    def on_orders(self, rows: list[OpenOrder], now_ns: int) -> None:
        """The complete list of what is open on this market."""
        self._landed()
        self._worked()
        self.tally.first_listed_ns = self.tally.first_listed_ns or now_ns
        wanted = [x for x in rows if self._is_wanted(x)]
        self.tally.foreign = sum(not self.is_ours(x.client_id) for x in rows)
        self.tally.kept = len(rows) - self.tally.foreign - sum(self.is_ours(x.client_id) for x in wanted)
        if wanted:
            self.zeros = 0
            self._single |= all(
                x.order_id in self.tally.cancelled for x in wanted
            )  # asked for, and still there
            self._queue = [
                Step(Do.CANCEL, tuple(part), single=self._single)
                for group in _alike(wanted)
                for part in _chunks(group, CHUNK)
            ]
            self.due_ns = now_ns
            return
        self.zeros += 1
        self.tally.zero_ns = self.tally.zero_ns or now_ns
        self.due_ns = now_ns if not self.is_flat else now_ns + self.confirm_ns

    def _is_wanted(self, order: OpenOrder) -> bool:
        """Never another's, unless it was said that there are no others."""
        if not (self.foreign or self.is_ours(order.client_id)):
            return False
        is_needed = not (self.flatten and self.is_flat)
        return not (order.protective and self.keep_stops and is_needed)

    def on_cancelled(self, now_ns: int) -> None:
        """The venue answered a cancel. What it did, the next list says."""
        step = self._landed()
        self._worked()
        self.tally.cancelled |= {x.order_id for x in step.orders}
        self.due_ns = now_ns if self._queue else now_ns + AGAIN_NS

    def on_positions(self, rows: list[Held], now_ns: int) -> None:
        """The complete list of positions on this market."""
        self._landed()
        self._worked()
        open_rows = [x for x in rows if x.symbol in self.symbols and x.size > 0]
        if not open_rows:
            self.is_flat, self.zeros, self.due_ns = True, 0, now_ns  # now the lists once more
            return
        ready = [x for x in open_rows if self._exit_ns.get((x.symbol, x.leg), 0) <= now_ns]
        if not ready:
            self.due_ns = min(self._exit_ns[x.symbol, x.leg] for x in open_rows)
            return
        self.tally.exits += 1
        self._queue = [Step(Do.EXIT, held=ready[0], number=self.tally.exits)]
        self.due_ns = now_ns

    def on_exit(self, filled: Decimal | None, now_ns: int) -> None:
        """An exit was answered: it is over, whatever of it filled (None: the venue does not say)."""
        step = self._landed()
        self._worked()
        assert step.held is not None
        leg = (step.held.symbol, step.held.leg)
        has_filled = filled is None or filled > 0
        wait_ns = SETTLE_NS if has_filled else min(2 * self._exit_wait_ns.get(leg, SETTLE_NS), EXIT_MAX_NS)
        self._exit_wait_ns[leg] = wait_ns
        self._exit_ns[leg] = now_ns + wait_ns
        self.due_ns = now_ns  # other legs need not wait; this one does

    def on_trouble(self, trouble: Trouble, now_ns: int) -> None:
        """The step did not work, or nobody knows whether it did."""
        step = self._landed()
        self.tally.troubles += 1
        self.tally.last_trouble = trouble.text
        if trouble.is_limit:
            wait_ns = min(max(trouble.wait_ns, self._limited_ns), LIMITED_MAX_NS)
            self._limited_ns = min(2 * self._limited_ns, LIMITED_MAX_NS)
        else:
            wait_ns = self._trouble_ns
            self._trouble_ns = min(2 * self._trouble_ns, TROUBLE_MAX_NS)
        if step.do is Do.CANCEL:
            self._single = not self._single  # a batch that does not work must not be in the way for ever
        if step.do is Do.EXIT:
            assert step.held is not None
            # one that may still be carried out must be over before there is another
            over_ns = now_ns + SETTLE_NS + (0 if trouble.is_sure else self.window_ns)
            self._exit_ns[step.held.symbol, step.held.leg] = max(over_ns, now_ns + wait_ns)
        if step.do is not Do.CANCEL or trouble.is_limit:
            self._queue = []  # what was known is old by then: list again
        self.due_ns = now_ns + (wait_ns if not self._queue else 0)


def _alike(orders: list[OpenOrder]) -> list[list[OpenOrder]]:
    """By what one request can hold: one symbol of one of the venue's lists."""
    groups: dict[tuple[str, str], list[OpenOrder]] = {}
    for order in orders:
        groups.setdefault((order.space, order.symbol), []).append(order)
    return list(groups.values())


def _chunks(orders: list[OpenOrder], most: int) -> list[list[OpenOrder]]:
    return [orders[i : i + most] for i in range(0, len(orders), most)]
