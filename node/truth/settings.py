"""Every time and share of the truth room, in one place; the start values of the failure catalogue, section
8."""

from dataclasses import dataclass

MS = 1_000_000
SEC = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in ns, shares in per cent. What is not said here is said by the venue."""

    tape: str = "CONFIG"  # where the record is: what commands that people are told name

    # an order of unknown fate
    stop_window_ns: int = 30 * SEC  # frame deadline of stop orders: some go by REST, whose stamps live longer
    absence_margin_ns: int = 60 * SEC  # a frame may enter until its deadline, and finish this much later
    not_founds: int = 2
    not_found_apart_ns: int = SEC
    report_due_ns: int = 500 * MS
    ask_first_ns: int = 100 * MS  # first query and first REST cancel, then doubling with jitter
    ask_cap_ns: int = 5 * SEC
    second_path_ns: int = 2 * SEC  # the order line is up and yet no word: cancel by REST as well
    neutralise_acked_ns: int = 5 * SEC  # acked, never reported, not found: cancel it all the same
    reduce_only_ns: int = 10 * SEC
    page_ns: int = 120 * SEC

    # reconciliation
    orders_every_ns: int = 10 * SEC
    positions_every_ns: int = 30 * SEC
    balances_every_ns: int = 60 * SEC
    modes_every_ns: int = 60 * SEC
    keys_every_ns: int = 60 * SEC
    settle_ns: int = 2 * SEC  # news may still be under way: a difference is looked at again after this
    start_settle_ns: int = (
        2 * SEC
    )  # the same at a start: lists may be so much behind what happened while nobody looked
    overlap_ns: int = 120 * SEC  # trades are asked for again from this long before the mark
    start_overlap_ns: int = 600 * SEC
    stranger_ns: int = 5 * SEC  # at start: so long without another order of a run that the tape does not know
    pages_max: int = 200
    foreign: str = "report"  # orders that are not ours: ignore, report, halt; they count in exposure always
    keep_old: bool = False  # own orders of an earlier epoch: keep them, or cancel them
    keep_stops: bool = (
        False  # ... but stops that only reduce: the engine protects positions, and looks after them
    )
    absent_ns: int = 60 * SEC  # at start: a position that no answer names for so long is held to be none
    set_at_start: bool = (
        True  # a position that differs at start is taken from the venue; else the symbol halts
    )

    # a symbol that is going to be delisted
    flat_before_ns: int = 30 * 60 * SEC  # positions are closed so long before; 0 = the venue settles them

    # the venue's clock
    clock_every_ns: int = 10 * SEC
    clock_hurry_ns: int = 300 * MS  # while it is not known well
    clock_samples: int = 16
    clock_round_trip_ns: int = 4 * SEC  # a slower answer says nothing
    clock_old_ns: int = 120 * SEC
    clock_drift_ppm: int = 100
    clock_step_ns: int = 50 * MS
    clock_agree: int = 3  # samples that must agree behind a step
    clock_warn_ns: int = 250 * MS
    clock_stop_ns: int = SEC

    # requests
    answer_ns: int = 10 * SEC  # no answer by then: there will be none that counts
    in_flight: int = 6  # for each desk; cancels and queries of unknown orders do not wait for it
    local_share: int = 70  # of what the venue publishes
    reserved_share: int = 30  # of that, for cancels and queries of unknown orders
    cancel_share: int = 10  # of it, for cancels alone
    plain_limit: int = 20  # requests in `plain_interval_ns` where the venue has said nothing yet
    plain_interval_ns: int = SEC
    pause_429_ns: int = 10 * SEC  # where the answer does not say until when
    pause_403_ns: int = 60 * SEC
    pause_418_ns: int = 120 * SEC
    pause_cap_ns: int = 600 * SEC

    def __post_init__(self):
        if self.foreign not in ("ignore", "report", "halt"):
            raise ValueError(f"foreign {self.foreign!r}: must be ignore, report or halt")
        if not 0 < self.local_share <= 100 or not 0 <= self.reserved_share < 100:
            raise ValueError("shares must be per cent")
        if self.not_founds < 2 or self.not_found_apart_ns < SEC or self.absence_margin_ns < 10 * SEC:
            raise ValueError(
                "a proof of absence needs two answers, a second apart, and a margin of 10 s or more"
            )
