"""Limits: every ceiling, whole or not at all, versions, lists, time windows, the way over a tape and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.limits import CEILINGS, LimitTable
from ext.records import WindowKind

SEC = 10**9
DAY = 86_400 * SEC
E8 = 10**8
BASE = {
    "max_size_lots": 100,
    "max_notional_e8": E8,
    "max_position_lots": 500,
    "collar_ppm": 50_000,
    "stale_ns": SEC,
    "max_open_orders": 8,
}
ACCOUNT = {
    "max_open_orders": -1,
    "max_coin_e8": -1,
    "max_venue_e8": -1,
    "max_total_e8": -1,
    "max_leverage_milli": -1,
    "margin_free_ppm": -1,
    "liquidation_ppm": -1,
    "max_daily_loss_e8": -1,
    "max_drawdown_ppm": -1,
}
SPANS = {"walk_ns": SEC, "range_ns": SEC, "jump_ns": SEC, "funding_ns": SEC}
INSTRUMENT = [*BASE, *SPANS, "duplicate_ns", "max_open_notional_e8", "walk_ppm", "slippage_ppm", "spread_ppm"]
INSTRUMENT += ["range_ppm", "jump_ppm", "jump_pause_ns", "max_loss_e8", "funding_ppm", "leverage"]
INSTRUMENT += ["maintenance_ppm"]
FLOWS = {"cancel_ratio_milli": 5000, "cancel_ratio_ns": SEC, "trade_ratio_milli": 5000}
REPEAT = {"fills": 5, "trips": 5, "window_ns": SEC}


def table():
    return LimitTable(2, 64)


def calls():
    """(name of the field, its ceiling, a call that sets it)."""
    for name in INSTRUMENT:
        ceiling = 64 if name == "max_open_orders" else CEILINGS[name]
        yield name, ceiling, lambda t, v, name=name: t.set_limits(0, **{**BASE, **SPANS, name: v})
    for name in ACCOUNT:
        ceiling = 64 if name == "max_open_orders" else CEILINGS[name]
        yield name, ceiling, lambda t, v, name=name: t.set_account(**{**ACCOUNT, name: v})
    yield "orders", 1_000_000, lambda t, v: t.set_rate(v, SEC)
    yield "window_ns", 3600 * SEC, lambda t, v: t.set_rate(1, v)
    yield "amends", 1_000_000, lambda t, v: t.set_rate(1, SEC, amends=v)
    yield "cancels", 1_000_000, lambda t, v: t.set_rate(1, SEC, cancels=v)
    for name in FLOWS:
        yield name, CEILINGS[name], lambda t, v, name=name: t.set_flow(**{**FLOWS, name: v})
    for name in REPEAT:
        yield (
            name,
            CEILINGS["window_ns" if name == "window_ns" else name],
            lambda t, v, name=name: t.set_repeat(**{**REPEAT, name: v}),
        )
    yield "day_trades", CEILINGS["day_trades"], lambda t, v: t.set_day_trades(v, 5, -1)
    yield "days", 30, lambda t, v: t.set_day_trades(3, v, -1)
    yield "below_e8", CEILINGS["below_e8"], lambda t, v: t.set_day_trades(3, 5, v)


@pytest.mark.parametrize(("name", "ceiling", "put"), list(calls()))
def test_no_limit_goes_above_its_ceiling_and_a_refused_set_changes_nothing(name, ceiling, put):
    limits = table()
    put(limits, ceiling)
    before = limits.as_dict()
    for wrong in (ceiling + 1, ceiling * 1000, -2, -(2**70), 1.5, float("nan"), "5", None, True):
        with pytest.raises(ValueError, match=rf"{name} .*: must be -?\d+ to {ceiling}"):
            put(limits, wrong)
        assert limits.as_dict() == before
    assert before["version"] == 1


def test_an_instrument_that_is_none_is_refused():
    for number in (-1, 2):
        with pytest.raises(ValueError, match="the table has 2"):
            table().set_limits(number, **BASE)
        with pytest.raises(ValueError, match="the table has 2"):
            table().allow(0, number, True)


@pytest.mark.parametrize(
    ("name", "span"),
    [
        ("walk_ppm", "walk_ns"),
        ("range_ppm", "range_ns"),
        ("jump_ppm", "jump_ns"),
        ("funding_ppm", "funding_ns"),
    ],
)
def test_what_is_measured_over_a_time_needs_that_time(name, span):
    with pytest.raises(ValueError, match=f"{name} 0: needs {span}"):
        table().set_limits(0, **BASE, **{name: 0})
    table().set_limits(0, **BASE, **{name: 0, span: 1})


def test_ratios_and_repeats_need_their_time_too_and_a_repeat_of_none_makes_no_sense():
    with pytest.raises(ValueError, match="cancel_ratio_ns"):
        table().set_flow(cancel_ratio_milli=1, cancel_ratio_ns=0, trade_ratio_milli=-1)
    with pytest.raises(ValueError, match="window_ns"):
        table().set_repeat(fills=1, trips=-1, window_ns=0)
    with pytest.raises(ValueError, match="fills 0"):
        table().set_repeat(fills=0, trips=-1, window_ns=SEC)


def test_each_change_raises_the_version():
    limits = table()
    for step, change in enumerate(
        (
            lambda: limits.set_limits(0, **BASE),
            lambda: limits.set_account(**ACCOUNT),
            lambda: limits.set_rate(1, SEC),
            lambda: limits.set_flow(**FLOWS),
            lambda: limits.set_repeat(**REPEAT),
            lambda: limits.set_windows([]),
            lambda: limits.set_day_trades(3, 5, -1),
            lambda: limits.allow(1, 0, True),
        ),
        1,
    ):
        change()
        assert limits.version == step


@pytest.mark.parametrize("strategy", [-1, 64, 1000])
def test_a_strategy_that_cannot_have_a_list_is_refused(strategy):
    with pytest.raises(ValueError, match="0 to 63"):
        table().allow(strategy, 0, True)


@pytest.mark.parametrize(
    "window",
    [(5, 5, 0), (-1, 5, 0), (2 * DAY, DAY, 0), (0, 5, 2), (0, 5, -1), (2 * DAY, 2 * DAY, 1), (1, 2**62, 0)],
)
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(ValueError, match="time window 1"):
        table().set_windows([(0, 5, 0), window])
    with pytest.raises(ValueError, match="at most 64"):
        table().set_windows([(0, 5, 0)] * 65)


def twin(windows, now):
    """The strictest kind that holds, the slow way."""
    found = [-1]
    for begin, end, kind in windows:
        if end <= DAY and begin <= DAY:
            time = now % DAY
            inside = begin <= time < end if begin < end else time >= begin or time < end
        else:
            inside = begin <= now < end
        if inside:
            found.append(kind)
    return max(found)


NOWS = st.integers(0, 12)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(NOWS, NOWS, st.integers(0, 1)).filter(lambda w: w[0] != w[1] and w[1]), max_size=6),
    st.lists(st.tuples(NOWS, st.integers(1, 12), st.integers(0, 1)), max_size=3),
    st.integers(0, 40),
)
def test_windows_are_those_of_the_twin_at_every_hour(daily, whole, hour):
    """Daily ones in units of two hours, whole ones from the second day on."""
    unit = DAY // 12
    windows = [(a * unit, b * unit, kind) for a, b, kind in daily]
    windows += [(2 * DAY + a * unit, 2 * DAY + (a + n) * unit, kind) for a, n, kind in whole]
    limits = table()
    limits.set_windows(windows)
    for now in (hour * unit, hour * unit + 1, max(hour * unit - 1, 0)):
        assert limits.window_now(now) == twin(windows, now)
        kind, until = limits.window_until(now)
        assert kind == twin(windows, now)
        assert until > now
        assert twin(windows, until - 1) == kind


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**47), st.integers(-1, 5000), st.integers(0, 63), st.booleans())
def test_limits_come_back_from_the_tape_as_they_were(size, leverage, strategy, allowed):
    limits, other = table(), table()
    limits.set_limits(1, **{**BASE, "max_size_lots": size})
    limits.set_account(**{**ACCOUNT, "max_leverage_milli": leverage})
    limits.set_windows([(0, 5, WindowKind.FLAT)])
    limits.allow(strategy, 1, allowed)
    limits.set_rate(7, SEC, 3, 4)
    other.unpack(limits.pack())
    assert other.as_dict() == limits.as_dict()
    assert other.pack() == limits.pack()


def test_a_record_of_another_layout_or_table_is_refused_and_changes_nothing():
    limits = table()
    packed = limits.pack()
    for wrong in (b"", packed[:-1], packed + b"\0", b"\0" * len(packed), LimitTable(3, 64).pack()):
        with pytest.raises(ValueError, match="LIMITS record"):
            limits.unpack(wrong)
    assert limits.pack() == packed
