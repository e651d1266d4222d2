"""How many requests a venue may get from here, and which go first."""

import heapq
from collections import deque
from dataclasses import dataclass

from ext.records import BudgetKind
from node.truth.desk import Ask, Purpose
from node.truth.settings import Settings
from node.venues.values import Bucket, BudgetRow

PAUSES = {429: "pause_429_ns", 418: "pause_418_ns", 403: "pause_403_ns"}


class Window:
    """What the venue counted last, and what left since. What a request weighs there, the next answer tells:
    until then each counts as one, and the share that is not used has room for the rest."""

    def __init__(self, interval_ns: int, limit: int):
        self.interval_ns, self.limit = interval_ns, limit
        self.told, self.told_ns, self.told_left_ns = 0, 0, 0
        self.sent: deque[int] = deque()

    def charge(self, now_ns: int) -> None:
        self.sent.append(now_ns)

    def used(self, now_ns: int) -> int:
        """An upper bound of what the venue has counted in its window."""
        while self.sent and self.sent[0] <= now_ns - self.interval_ns:
            self.sent.popleft()
        told = self.told if now_ns - self.told_ns < self.interval_ns else 0
        return told + len(self.sent)

    def on_row(self, row: BudgetRow, left_ns: int, now_ns: int) -> None:
        """The venue's own count, out of the answer to a request that left at `left_ns`."""
        if row.limit > 0:
            self.limit = row.limit
        if row.used < 0:
            return
        if left_ns < self.told_left_ns and now_ns - self.told_ns < self.interval_ns:
            self.told = max(self.told, row.used)  # an older answer: counts must not fall by it
            return
        self.told, self.told_ns, self.told_left_ns = row.used, now_ns, left_ns
        while self.sent and self.sent[0] <= left_ns:
            self.sent.popleft()


Key = tuple[int | str, int]
WEIGHT = int(BudgetKind.BUDGET_WEIGHT)
SHARED: Key = (WEIGHT, 0)  # who finds no room here is not overtaken


@dataclass(frozen=True, slots=True)
class Room:
    """A window that counts a request. While one is full, requests that it does not count may go first."""

    key: Key
    window: Window


class Budget:
    """The queue of one desk. `take` gives what may leave now, cancels first; a pause holds everything on
    this path. The venue's published limits are of its desks together (`VenueDesk.buckets`)."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.windows: dict[tuple[int, int], Window] = {}
        self.queue: list[tuple[int, int, Ask]] = []
        self.flying: set[Ask] = set()
        self.paused_until_ns = 0
        self.kind_until_ns: dict[int, int] = {}
        self.pauses = 0
        self._count = 0
        self._row = 0  # pauses in a row
        self._refused_ns = 0  # when the last of them began
        self.windows[WEIGHT, 0] = Window(settings.plain_interval_ns, settings.plain_limit)

    def put(self, ask: Ask) -> None:
        self._count += 1
        ask.number = self._count
        heapq.heappush(self.queue, (int(ask.purpose), ask.number, ask))

    def take(self, now_ns: int) -> list[Ask]:
        """Requests to write now. They are charged, and stamped with `now_ns` as the time they left."""
        out: list[Ask] = []
        held: list[tuple[int, int, Ask]] = []
        full: set[Key] = set()
        while self.queue and now_ns >= self.paused_until_ns:
            entry = heapq.heappop(self.queue)
            ask = entry[2]
            rooms = self._rooms(ask)
            if now_ns < self.kind_until_ns.get(_kind(ask), 0) or any(x.key in full for x in rooms):
                held.append(entry)
                continue
            blocked = self._blocked(ask, rooms, now_ns)
            if blocked:
                held.append(entry)
                if SHARED in blocked:
                    break  # what comes behind is less urgent
                full |= blocked
                continue
            self._charge(ask, rooms, now_ns)
            out.append(ask)
        for entry in held:
            heapq.heappush(self.queue, entry)
        return out

    def _charge(self, ask: Ask, rooms: list[Room], now_ns: int) -> None:
        ask.left_ns = now_ns
        self.flying.add(ask)
        for room in rooms:
            room.window.charge(now_ns)

    def _rooms(self, ask: Ask) -> list[Room]:
        """Every window that counts this request. What nobody said a limit of is counted by a careful one."""
        buckets = [_bucket(ask.desk.buckets, x) for x in ask.desk.rest.buckets(ask.request)]
        kinds = (WEIGHT, _kind(ask))
        rows = [(key, w) for key, w in self.windows.items() if key[0] in kinds]
        named = [(key, w) for key, w in rows if key[1]]
        if not named and not buckets:
            named = rows
        return buckets + [Room(SHARED if key[0] == WEIGHT else key, w) for key, w in named]

    def _blocked(self, ask: Ask, rooms: list[Room], now_ns: int) -> set[Key]:
        """What has no room for it."""
        urgent = ask.purpose <= Purpose.UNKNOWN
        if not urgent and len(self.flying) >= self.settings.in_flight:
            return {SHARED}
        is_cancel = ask.purpose == Purpose.CANCEL
        return {x.key for x in rooms if not self._has_room(x, urgent, is_cancel, now_ns)}

    def _has_room(self, room: Room, urgent: bool, is_cancel: bool, now_ns: int) -> bool:
        used = room.window.used(now_ns)
        share = room.window.limit * self.settings.local_share // 100
        if urgent:  # questions about unknown orders never take what the cancels of them need
            share = share if is_cancel else share * (100 - self.settings.cancel_share) // 100
        else:
            share = share * (100 - self.settings.reserved_share) // 100
        return used < share or used == 0  # where the share is less than one request, one goes alone

    def done(self, ask: Ask) -> None:
        self.flying.discard(ask)

    def late(self, now_ns: int) -> list[Ask]:
        """Requests without an answer for too long; they are taken out."""
        if not self.flying:
            return []
        before_ns = now_ns - self.settings.answer_ns
        out = sorted((x for x in self.flying if x.left_ns < before_ns), key=lambda x: x.number)
        self.flying.difference_update(out)
        return out

    def on_answer(self, ask: Ask, status: int, rows: list[BudgetRow], offset_ns: int, now_ns: int) -> int:
        """The venue's counters in an answer. Returns until when this path is closed, 0 where it is open."""
        said_until_ns = 0
        for row in rows:
            until_ns = row.until_ns - offset_ns if row.until_ns else 0
            if until_ns and row.kind in (BudgetKind.BUDGET_WEIGHT, _kind(ask)):
                said_until_ns = max(said_until_ns, until_ns)
            elif until_ns:
                self.kind_until_ns[row.kind] = max(self.kind_until_ns.get(row.kind, 0), until_ns)
            self._window(row).on_row(row, ask.left_ns, now_ns)
        if status in PAUSES:
            if not self._row or ask.left_ns > self._refused_ns:  # not one of several under way together
                self._row += 1
                self._refused_ns = now_ns
            pause_ns = getattr(self.settings, PAUSES[status]) << min(self._row - 1, 10)
            own_ns = now_ns + min(pause_ns, self.settings.pause_cap_ns)
            said_until_ns = said_until_ns or own_ns
        elif 200 <= status < 300:
            self._row = 0
        return self.pause(said_until_ns, now_ns)

    def pause(self, until_ns: int, now_ns: int) -> int:
        """Nothing leaves on this path before `until_ns` (our clock)."""
        if until_ns > max(self.paused_until_ns, now_ns):
            self.paused_until_ns = until_ns
            self.pauses += 1
        return self.paused_until_ns if self.paused_until_ns > now_ns else 0

    def _window(self, row: BudgetRow) -> Window:
        key = (row.kind, row.interval_ns or self.settings.plain_interval_ns)
        if key not in self.windows:
            self.windows[key] = Window(key[1], row.limit if row.limit > 0 else self.settings.plain_limit)
        return self.windows[key]


def _kind(ask: Ask) -> int:
    return int(BudgetKind.BUDGET_CANCELS if ask.purpose == Purpose.CANCEL else BudgetKind.BUDGET_WEIGHT)


def _bucket(shared: dict[tuple[str, int], Window], bucket: Bucket) -> Room:
    key = (bucket.name, bucket.interval_ns)
    if key not in shared:
        shared[key] = Window(bucket.interval_ns, bucket.limit)
    return Room(key, shared[key])
