"""Who else uses our name: orders with this deployment's ids that no run on our tape can have placed.

An order of ours that is not in the table was placed by an earlier run, or by a run that the tape does not
know. The second kind means that the tape is missing or older than the venue (restored from a backup), or
that another node with our name is trading now. Ids tell them apart: sequences only rise, so an id beyond
all that the first complete lists held was made after them, by somebody who lives.
"""

from collections.abc import Iterable, Mapping

from ext.records import Latch
from node.phrases import resume_command
from node.truth.halts import Halts
from node.truth.native import Native
from node.truth.settings import Settings
from node.truth.table import Key


class Twins:
    """One for a node: sequences are counted over all its markets. `known`: of each epoch on the tape the
    highest sequence that it used."""

    def __init__(self, native: Native, halts: Halts, settings: Settings):
        self.native, self.halts, self.settings = native, halts, settings
        self.known: Mapping[int, int] = {}
        self.highest: dict[int, int] = {}  # of each epoch: what the first lists held
        self.waiting: set[str] = set()  # desks whose first lists are not in
        self.first = 0  # no sequence of ours is lower
        self.strange_ns = 0  # when an order of a run that is not on the tape was met last, 0 = never
        self.is_twin = False

    def begin(self, known: Mapping[int, int], desks: Iterable[str]) -> None:
        self.known, self.waiting, self.first = known, set(desks), self.native.orders.next_id

    def listed(self, desk: str, keys: set[Key], now_ns: int) -> None:
        """Own orders that complete lists of open orders and trades name."""
        for key in sorted(keys):
            self.met(desk, key, now_ns)
        self.waiting.discard(desk)

    def stray(self, key: Key, now_ns: int) -> None:
        """A stream told of an order of ours that is not in the table. Before the first lists are in it proves
        nothing."""
        if not self.waiting:
            self.met("", key, now_ns)

    def met(self, desk: str, key: Key, now_ns: int) -> None:
        """An order of ours that a list or a stream names."""
        epoch, sequence = key
        orders = self.native.orders
        if not sequence or sequence <= self.known.get(epoch, -1) or orders.whose(sequence, epoch):
            return
        if epoch == orders.epoch:
            is_new = not self.first <= sequence < orders.next_id
        elif desk in self.waiting and epoch < orders.epoch:
            self.highest[epoch] = max(sequence, self.highest.get(epoch, 0))
            self._strange(desk, key, now_ns)
            return
        else:
            is_new = epoch > orders.epoch or sequence > self.highest.get(epoch, 0)
        if is_new:
            self._twin(desk, key, now_ns)

    def _strange(self, desk: str, key: Key, now_ns: int) -> None:
        """The tape does not know it: from now on nothing is trusted before a while has passed without
        another."""
        if not self.strange_ns:
            why = "older than the venue: restored from a backup?" if self.known else "new, or missing:"
            text = f"orders of run {key[0]} are not on the tape, which is {why} Everything is asked for anew"
            self.halts.tell(desk, text, now_ns)
        self.strange_ns = now_ns

    def _twin(self, desk: str, key: Key, now_ns: int) -> None:
        """Somebody lives who uses our name. Both would count the other's orders as nobody's: this one steps
        back."""
        self.strange_ns = now_ns
        if self.is_twin:
            return
        self.is_twin = True
        self.native.latch(int(Latch.LATCH_TWIN), True, now_ns)
        for order_id in self.native.orders.open_orders(-1):
            if not self.native.protects(order_id):
                self.native.want_cancel(order_id, now_ns)
        self.halts.tell(
            desk or "node",
            f"another node of this deployment trades here (run {key[0]}, order {key[1]}): latched; "
            f"stop one of the two, then {resume_command(self.settings.tape)}",
            now_ns,
        )

    def is_settling(self, now_ns: int) -> bool:
        """Too early to trust that nobody else is there."""
        return bool(self.strange_ns) and now_ns - self.strange_ns < self.settings.stranger_ns
