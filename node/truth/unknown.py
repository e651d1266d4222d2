"""One order whose fate is not known: what to ask when, and when its absence is proven.

Nothing here resolves an order because time went by. It ends when the engine has heard a terminal word, when
the order is known to be live, or when the proof of absence is whole: asked after the last moment at which
its frame could have taken effect, the venue twice did not know it, its complete list of open orders did not
hold it, its trades since the send hold none of it, and all of that inside the time for which the venue
remembers a closed order.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from ext.records import OrderType
from node.truth.settings import Settings

CLOSED = ("FILLED", "CANCELED", "REJECTED", "EXPIRED", "NEVER_EXISTED")
UNRESOLVED = ("INTENT", "SENT", "ACKED", "UNKNOWN")


@dataclass(frozen=True, slots=True)
class Proof:
    """Why an order never was: when the answers were asked for, all behind `ripe_ns`."""

    ripe_ns: int
    not_found_ns: tuple[int, ...]
    listed_ns: int
    trades_ns: int


class Pace:
    """Due times that double from `first_ns` to `cap_ns`, each drawn between half and the whole (from a
    seed)."""

    def __init__(self, first_ns: int, cap_ns: int, rng: Random, due_ns: int):
        self.step_ns, self.cap_ns, self.rng, self.due_ns = first_ns, cap_ns, rng, due_ns

    def is_due(self, now_ns: int) -> bool:
        return now_ns >= self.due_ns

    def took(self, now_ns: int) -> None:
        self.due_ns = now_ns + self.rng.randint(self.step_ns // 2, self.step_ns)
        self.step_ns = min(2 * self.step_ns, self.cap_ns)


class Case:
    """Order `row` of the engine's table (a dict). The owner passes what happened, and asks what is due."""

    def __init__(
        self,
        row: dict[str, Any],
        symbol: str,
        client_id: str,
        window_ns: int,
        settings: Settings,
        rng: Random,
        now_ns: int,
    ):
        self.id, self.instrument = row["id"], row["instrument"]
        self.symbol, self.client_id, self.settings = symbol, client_id, settings
        self.opened_ns = now_ns
        self.since_ns = row["state_ns"] if row["state"] == "UNKNOWN" else now_ns
        sent_ns = max(row["sent_ns"], row["intent_ns"]) if row["sent_ns"] else max(self.since_ns, now_ns)
        self.sent_ns = sent_ns
        self.asked_from_ns = row["intent_ns"] or sent_ns  # trades are wanted from here on
        self.is_stop = row["type"] == OrderType.STOP_MARKET
        self.made_id = ""  # the venue's id of the order that a triggered stop made
        window_ns = max(window_ns, settings.stop_window_ns) if self.is_stop else window_ns
        self.window_ns = window_ns
        self.ripe_ns = sent_ns + window_ns + settings.absence_margin_ns
        self.query = Pace(settings.ask_first_ns, settings.ask_cap_ns, rng, now_ns)
        self.cancel = Pace(settings.ask_first_ns, settings.ask_cap_ns, rng, now_ns)
        self.is_asking = self.is_canceling = self.was_neutralised = self.was_told = False
        self.was_paged = self.was_late = False
        self.is_missing = False  # looked for although the table says that it is live
        self.heard_ns = row["heard_ns"]
        self._not_found: list[int] = []
        self._listed_ns = self._trades_ns = 0

    # ---- what is due ----

    def wants_neutralising(self, row: dict[str, Any], now_ns: int) -> bool:
        """A cancel, once, that the engine keeps repeating: at once for an unknown order, late for one that
        was acked."""
        if self.was_neutralised or self.is_missing:
            return False
        late = now_ns - self.opened_ns > self.settings.neutralise_acked_ns
        return row["state"] in ("UNKNOWN", "INTENT", "SENT") or (late and row["state"] == "ACKED")

    def wants_rest_cancel(self, row: dict[str, Any], line_up: bool, now_ns: int) -> bool:
        """By the other path where the order line is down, or up and silent."""
        wanted = row["state"] == "UNKNOWN" or bool(row["cancel_wanted"]) or self.was_neutralised
        if not wanted or self.is_canceling or not self.cancel.is_due(now_ns):
            return False
        return not line_up or now_ns - self.opened_ns > self.settings.second_path_ns

    def wants_query(self, row: dict[str, Any], now_ns: int) -> bool:
        """At once, but for an order that is live and only waits for its cancel or its fills: those come
        by themselves."""
        if self.is_asking or not self.query.is_due(now_ns) or self.is_early(row, now_ns):
            return False
        quiet = row["state"] in ("LIVE", "PARTIAL") and not (
            self.is_missing or row["doubt"] or row["amending"]
        )
        return not quiet or now_ns - self.opened_ns > self.settings.second_path_ns

    def is_early(self, row: dict[str, Any], now_ns: int) -> bool:
        """In flight, or just taken: its report is still under way, and who asks now learns nothing."""
        if row["doubt"] or self.is_missing:
            return False
        acked = row["state"] == "ACKED" and now_ns - row["acked_ns"] < self.settings.report_due_ns
        return acked or row["state"] in ("INTENT", "SENT")

    def wants_lists(self, now_ns: int) -> bool:
        """The open orders and the trades are all that the proof still needs."""
        asked = self._not_found and now_ns > self.ripe_ns
        return bool(asked) and not (self._listed_ns and self._trades_ns)

    @property
    def is_algo(self) -> bool:
        """A stop of which nobody knows that it triggered: some venues keep those apart."""
        return self.is_stop and not self.made_id

    def query_left(self, now_ns: int) -> None:
        self.is_asking = True
        self.query.took(now_ns)
        if now_ns > self.ripe_ns:  # the proof needs two, a second apart
            apart_ns = self.settings.not_found_apart_ns
            self.query.due_ns = min(self.query.due_ns, now_ns + apart_ns + apart_ns // 10)

    # ---- what happened ----

    def heard(self, row: dict[str, Any]) -> None:
        """The venue said something of this order: what was found missing before is void."""
        if row["heard_ns"] > self.heard_ns:
            self.heard_ns = row["heard_ns"]
            self.found()

    def found(self) -> None:
        self._not_found, self._listed_ns, self._trades_ns = [], 0, 0

    def not_found(self, left_ns: int) -> None:
        """The venue says that there is no such order, in answer to a request that left at `left_ns`."""
        if left_ns <= self.ripe_ns or left_ns <= self.heard_ns:
            return  # the frame might still have entered behind this answer
        apart_ns = self.settings.not_found_apart_ns
        if not self._not_found or left_ns - self._not_found[-1] >= apart_ns:
            self._not_found.append(left_ns)

    def listed(self, left_ns: int, present: bool) -> None:
        """A complete list of the open orders of every namespace, asked for at `left_ns`."""
        if present:
            self.found()
        elif left_ns > max(self.ripe_ns, self.heard_ns):
            self._listed_ns = left_ns

    def traded(self, left_ns: int, from_ns: int, present: bool) -> None:
        """The complete trades of the symbol from `from_ns` on, asked for at `left_ns`."""
        if present:
            self.found()
        elif left_ns > max(self.ripe_ns, self.heard_ns) and from_ns <= self.asked_from_ns:
            self._trades_ns = left_ns

    # ---- the end ----

    def proof(self, row: dict[str, Any], retention_ns: int, now_ns: int) -> Proof | None:
        """The proof of absence, where it is whole. An order that traded was there, and never gets one."""
        if now_ns <= self.ripe_ns or row["filled_lots"] or len(self._not_found) < self.settings.not_founds:
            return None
        if not (self._listed_ns and self._trades_ns) or self.is_beyond(retention_ns, now_ns):
            return None
        return Proof(self.ripe_ns, tuple(self._not_found), self._listed_ns, self._trades_ns)

    def is_beyond(self, retention_ns: int, now_ns: int) -> bool:
        """The venue may have forgotten the order: that it does not know it proves nothing any more."""
        return now_ns - max(self.sent_ns, self.heard_ns) >= retention_ns

    def is_over(self, row: dict[str, Any]) -> bool:
        """Nothing to find out any more: closed, or live with nothing open about it."""
        if row["state"] in CLOSED:
            return True
        open_ends = (
            row["cancel_wanted"] or row["doubt"] or row["behind_ns"] or row["amending"] or row["final_state"]
        )
        return row["state"] in ("LIVE", "PARTIAL") and not open_ends and not self.is_missing

    def amend_is_lost(self, row: dict[str, Any], left_ns: int) -> bool:
        """An answer that left at `left_ns` shows the order without its amend, behind the last moment at
        which the amend's frame could have taken effect."""
        return (
            bool(row["amending"])
            and left_ns > row["amend_ns"] + self.window_ns + self.settings.absence_margin_ns
        )

    def is_unknown(self, row: dict[str, Any]) -> bool:
        """Its exposure is reserved without anybody knowing whether it is there."""
        return row["state"] in UNRESOLVED or self.is_missing
