"""Which symbol is held back, why, and by whom: a reason ends when the last who gave it takes it back."""

from collections.abc import Callable
from dataclasses import dataclass

from ext.records import HaltReason
from node.truth.native import Native

REDUCE_ONLY, STOP = 1, 2
TELL_AGAIN_NS = 60 * 10**9
Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that the venue and the node see differently, or do not know."""

    where: str
    what: str
    since_ns: int


class Halts:
    """Keeps the engine's halts equal to the sum of what its sources say. The same word twice is one word."""

    def __init__(self, native: Native, tell: Tell):
        self.native, self._tell = native, tell
        self.held: dict[tuple[int, int], dict[str, int]] = {}  # (instrument, reason) -> source -> level
        self._told: dict[str, int] = {}

    def hold(self, instrument: int, reason: HaltReason, level: int, source: str, now_ns: int) -> bool:
        """`source` wants the instrument held; True where that is new."""
        sources = self.held.setdefault((instrument, int(reason)), {})
        before = max(sources.values(), default=0)
        is_new = source not in sources
        sources[source] = level
        if max(sources.values()) != before:
            self.native.halt(instrument, int(reason), max(sources.values()), now_ns)
        return is_new

    def free(self, instrument: int, reason: HaltReason, source: str, now_ns: int) -> bool:
        """`source` takes its word back; True where it had given it."""
        sources = self.held.get((instrument, int(reason)), {})
        if source not in sources:
            return False
        before = sources.pop(source)
        if not sources:
            del self.held[instrument, int(reason)]
            self.native.resume(instrument, int(reason), now_ns)
        elif max(sources.values()) < before:
            self.native.halt(instrument, int(reason), max(sources.values()), now_ns)
        return True

    def has(self, instrument: int, reason: HaltReason, source: str = "") -> bool:
        sources = self.held.get((instrument, int(reason)), {})
        return source in sources if source else bool(sources)

    def tell(self, where: str, text: str, now_ns: int, again_ns: int = TELL_AGAIN_NS) -> None:
        """Tell people, the same thing at most once a minute."""
        key = f"{where}: {text}"
        if now_ns - self._told.get(key, -again_ns) < again_ns:
            return
        if len(self._told) > 4096:
            self._told.clear()
        self._told[key] = now_ns
        self._tell(where, text)
