"""Loss stops: one tick short of the line nothing happens, on it everything does, once, in the same event."""

import pytest
from lossdesk import (
    ACCOUNT,
    BUY,
    CANCEL,
    E8,
    FLATTEN,
    MS,
    REDUCE,
    SEC,
    SELL,
    START,
    Desk,
    ReportKind,
)

from ext.records import HaltReason, Latch, Market, Reason, WindowKind, stop_row
from ext.strategy import Strategy
from ext.tape import RecordType, TapeReader, TapeWriter

DAY = 86_400 * SEC
LOSS = {"max_loss_e8": 10 * E8}  # 100 lots of 0.01 lose it with 100 ticks of 0.1


class Seller(Strategy):
    """Keeps one sell order far away, and can be asked for an order of any kind."""

    def __init__(self):
        self.wanted = []

    def on_timer(self, now_ns):
        wanted, self.wanted = self.wanted, []
        for do in wanted:
            do(self)
        return 0


def resting(desk, i=0, side=SELL, ticks=10_500, lots=3):
    """A resting order of the strategy."""
    desk.engine.strategies[0].wanted.append(lambda s: (s.sell if side == SELL else s.buy)(i, ticks, lots))
    desk.time()
    (order,) = [x for x in desk.of_desk(0, i, True) if x["state"] == "SENT"]
    desk.tell(order["id"], ReportKind.REPORT_LIVE)
    return order["id"]


def known(desk, capital_e8=1000 * E8):
    """Equity is known, and its peak and its day begin."""
    desk.engine.capital(0, capital_e8, desk.now)
    desk.time()
    return desk


# ---- position loss ----


def test_a_position_loss_one_tick_short_of_the_limit_does_nothing():
    desk = Desk(limits=LOSS)
    desk.hold(100)
    desk.market(9_901, 9_903)
    assert desk.fired() == []
    assert desk.sent == []
    assert desk.risk.halts(0) == {}
    assert desk.stops.state()["crossed"] == 0


def test_the_loss_of_a_fill_that_was_heard_of_behind_an_amend_far_down_is_a_loss():
    desk = Desk(limits=LOSS, strategy=Seller())
    order = resting(desk, side=BUY, ticks=9_990, lots=100)
    desk.tell(order, ReportKind.REPORT_AMENDED, order_ticks=8_100, order_lots=100)
    desk.fill(order, 100, 9_990)
    desk.market(9_891, 9_893)
    assert desk.fired() == []
    desk.market(9_890, 9_892)
    assert len(desk.fired()) == 1


def test_what_is_paid_out_or_in_below_the_peak_fires_no_drawdown_and_hides_none():
    desk = known(Desk(account={"max_drawdown_ppm": 100_000}))
    desk.engine.funding(0, -50 * E8, desk.now)
    for amount in (-900, 900, -950, 950, 5000, -5000):
        desk.engine.flow(0, amount * E8, desk.now)
        desk.time()
        assert desk.fired() == []
    desk.engine.flow(0, -900 * E8, desk.now)
    desk.engine.funding(0, -263 * E8 // 100, desk.now)  # 50 is left of 52.63: 47.37 is nine tenths
    desk.time()
    assert desk.fired() == []
    desk.engine.funding(0, -E8 // 100, desk.now)
    desk.time()
    assert len(desk.fired()) == 1


@pytest.mark.parametrize(
    ("lots", "bid", "ask", "side", "bound"),
    [(100, 9_900, 9_902, SELL, 9_802), (-100, 10_098, 10_100, BUY, 10_199)],
)
def test_a_position_loss_at_the_limit_closes_it_in_the_same_event(lots, bid, ask, side, bound):
    desk = Desk(limits=LOSS)
    desk.hold(lots)
    desk.market(bid, ask)
    (order,) = desk.exits()
    assert (order["side"], order["size_lots"], order["price_ticks"], order["reduce_only"]) == (
        side,
        100,
        bound,
        1,
    )
    assert order["intent_ns"] == desk.now  # no later call did it
    assert desk.sent[-1]["args"][0]["timeInForce"] == "IOC"
    assert desk.risk.halts(0) == {"HALT_STOP": 2}
    assert desk.risk.latched == 0  # one instrument only


def test_a_stop_fires_once_until_an_operator_resumes_and_then_again():
    desk = Desk(limits=LOSS, on_position_loss=CANCEL)
    desk.hold(100)
    for bid in (9_900, 9_800, 9_700):
        desk.market(bid, bid + 2)
        desk.time()
    assert desk.stops.state()["crossed"] == 1
    desk.engine.resume(0, HaltReason.HALT_DRIFT, desk.now)  # another reason: nothing is released
    desk.market(9_690, 9_692)
    assert desk.stops.state()["crossed"] == 1
    desk.engine.resume(0, HaltReason.HALT_STOP, desk.now)
    assert desk.fired() == []
    desk.market(9_680, 9_682)
    assert desk.stops.state()["crossed"] == 2


def test_a_fill_crosses_a_line_as_a_price_does():
    desk = Desk(limits=LOSS)
    desk.market(9_000, 9_001)
    desk.engine.set_position(0, 5, -5 * 9_100, desk.now)
    desk.tell(0, ReportKind.REPORT_FILL, instrument=0, side=BUY, size_lots=95, price_ticks=9_200, trade_lo=7)
    assert desk.fired() == ["POSITION_LOSS PBTC"]
    assert [x["size_lots"] for x in desk.exits()] == [100]


def test_a_mark_price_alone_crosses_a_line():
    desk = Desk(limits=LOSS)
    desk.hold(100)
    row = (
        b'{"topic":"tickers.PBTC","type":"delta","ts":1,"cs":2,"data":{"symbol":"PBTC","markPrice":"990.0"}}'
    )
    desk.now += MS
    desk.engine.on_bytes(desk.feeds[Market.BYBIT_LINEAR], row, desk.now)
    assert desk.fired() == ["POSITION_LOSS PBTC"]
    assert len(desk.exits()) == 1


def test_a_limit_of_nothing_stops_with_the_first_loss_and_one_that_is_not_asked_for_never():
    desk = Desk("PBTC", "PETH", limits={"max_loss_e8": 0})
    desk.market(9_990, 9_992)
    assert desk.fired() == []  # nothing is held
    desk.hold(1)
    desk.market(9_998, 10_000)
    assert desk.fired() == ["POSITION_LOSS PBTC"]
    free = Desk()
    free.hold(10_000)
    free.market(1, 3)
    assert free.fired() == []


def test_a_position_that_was_never_marked_is_no_loss_yet():
    desk = Desk(limits=LOSS, quiet=True)
    desk.hold(100)
    desk.time()
    assert (desk.fired(), desk.exits()) == ([], [])
    desk.market(9_900, 9_902)
    assert desk.fired() == ["POSITION_LOSS PBTC"]


# ---- daily loss, drawdown ----


def test_a_daily_loss_closes_everything_and_latches():
    desk = known(Desk("PBTC", "PETH", "SSOL", account={"max_daily_loss_e8": 20 * E8}))
    for i in range(3):
        desk.hold(100, i=i)
    desk.hold(-50, i=1)
    desk.market(9_850, 9_852)
    assert desk.fired() == []
    desk.market(9_800, 9_802)  # 100 lots * 200 ticks, the spot position is not marked down yet
    assert desk.fired() == ["DAILY_LOSS"]
    assert [(x["instrument"], x["side"], x["size_lots"]) for x in desk.exits()] == [
        (0, SELL, 100),
        (1, BUY, 50),
        (2, SELL, 100),
    ]
    assert desk.risk.latched == Latch.LATCH_STOP
    assert all(desk.risk.halts(i) == {"HALT_STOP": 2} for i in range(3))


def test_a_daily_loss_begins_anew_with_the_day():
    desk = known(Desk(account={"max_daily_loss_e8": 20 * E8}))
    desk.hold(100)
    desk.market(9_850, 9_852)
    desk.now = (desk.now // DAY + 1) * DAY
    desk.time(0)
    desk.market(9_700, 9_702)
    assert desk.fired() == []  # 15 today, 30 since the position began
    desk.market(9_650, 9_652)
    assert desk.fired() == ["DAILY_LOSS"]


def test_a_drawdown_is_measured_from_the_peak_in_the_very_millionth():
    desk = known(Desk(account={"max_drawdown_ppm": 100_000}))
    desk.hold(1000)
    desk.market(10_500, 10_502)  # 1000 lots * 500 ticks * 10**5: 500 more than 1000
    desk.time()
    desk.market(10_351, 10_353)  # 1351 of 1500
    assert desk.fired() == []
    desk.market(10_350, 10_352)
    assert desk.fired() == ["DRAWDOWN"]
    assert desk.risk.latched == Latch.LATCH_STOP


def test_deposits_and_withdrawals_are_neither_gain_nor_loss():
    desk = known(Desk(account={"max_drawdown_ppm": 100_000, "max_daily_loss_e8": 50 * E8}))
    desk.engine.flow(0, -500 * E8, desk.now)
    desk.time()
    desk.engine.flow(0, 300 * E8, desk.now)
    desk.time()
    assert desk.fired() == []


def test_nothing_of_the_account_fires_before_its_capital_is_known():
    desk = Desk(account={"max_drawdown_ppm": 0, "max_daily_loss_e8": 0})
    desk.hold(1000)
    desk.market(5_000, 5_002)
    desk.time()
    assert desk.fired() == []


def test_the_stops_of_everything_are_released_with_their_latch_and_new_risk_waits_for_the_cool_down():
    desk = known(Desk(account={"max_daily_loss_e8": 20 * E8}, strategy=Seller(), cooldown_ns=10 * SEC))
    desk.hold(100)
    desk.market(9_800, 9_802)
    desk.fill(desk.exits()[0]["id"], 100)
    desk.engine.restore_peak(1000 * E8, desk.engine.equity.sums()["equity_e8"], desk.now // DAY, desk.now)
    desk.engine.latch(Latch.LATCH_STOP, False, desk.now)
    desk.engine.resume(0, HaltReason.HALT_STOP, desk.now)
    desk.market(9_800, 9_802)
    assert desk.fired() == []
    assert desk.risk.probe(0, BUY, 9_790, 1, desk.now) == "COOLDOWN"
    assert desk.risk.probe(0, BUY, 9_790, 1, desk.now + 10 * SEC) == "OK"


# ---- margin ----


def margined(**policy):
    """1000 lots at 1000 of a perpetual (notional 10,000), in a purse of 600, 200 maintenance."""
    desk = Desk("PBTC", "SETH", account={"liquidation_ppm": 20_000}, **policy)
    desk.engine.equity.set_row(0, 10, 20_000)
    desk.hold(1000)
    desk.hold(10, i=1)
    return known(desk, 600 * E8)


def test_a_purse_near_liquidation_halves_its_perpetuals_until_it_is_far_again():
    desk = margined()
    desk.market(9_810, 9_812)  # 410 left, 196.2 of it bound: 2.18 % of the notional
    assert desk.fired() == []
    desk.market(9_780, 9_782)  # 380 left: 1.88 %
    assert desk.fired() == ["LIQUIDATION_NEAR purse 0"]
    (order,) = desk.exits()
    assert (order["instrument"], order["size_lots"]) == (0, 500)
    assert (desk.risk.halts(0), desk.risk.halts(1)) == ({"HALT_MARGIN": 1}, {})
    desk.fill(order["id"], 500, 9_780)
    desk.market(9_770, 9_772)
    desk.time(200 * MS)
    assert len(desk.exits()) == 1  # far again
    desk.market(9_350, 9_352)  # and near once more: it is still latched, and goes on
    assert [x["size_lots"] for x in desk.exits()] == [500, 250]
    assert desk.stops.state()["crossed"] == 1


def test_a_purse_near_liquidation_is_closed_where_the_policy_says_so_and_only_cancelled_where_it_says_that():
    flat, still = margined(on_margin=FLATTEN), margined(on_margin=CANCEL)
    for desk in (flat, still):
        desk.market(9_780, 9_782)
        assert desk.risk.halts(0) == {"HALT_MARGIN": 2}
    assert [x["size_lots"] for x in flat.exits()] == [1000 // 2]  # the venue's largest order
    assert still.exits() == []


def test_a_collateral_coin_that_loses_its_peg_is_a_margin_stop():
    desk = margined()
    desk.engine.capital(0, 0, desk.now)
    desk.engine.set_coin_price("USDE", E8, desk.now)
    desk.engine.capital(0, 600 * E8, desk.now, coin="USDE")
    desk.time()
    assert desk.fired() == []
    desk.engine.set_coin_price("USDE", 65 * E8 // 100, desk.now)
    desk.time()
    assert desk.fired() == ["LIQUIDATION_NEAR purse 0"]
    assert [x["size_lots"] for x in desk.exits()] == [500]


def test_orders_that_rest_cross_the_line_and_are_cancelled_before_anything_is_sold():
    desk = Desk(strategy=Seller(), on_margin=REDUCE)
    desk.engine.equity.set_row(0, 10, 20_000)
    desk.hold(500)
    known(desk, 300 * E8)
    desk.engine.strategies[0].wanted.append(lambda s: s.buy(0, 9_900, 500))
    desk.time()
    order = desk.of_desk(0)[0]
    desk.tell(order["id"], ReportKind.REPORT_LIVE)
    desk.risk.set_account(**ACCOUNT | {"liquidation_ppm": 20_000})  # the gate would not have let it pass
    desk.market(9_950, 9_952)  # 275 left, 100 bound: 3.5 % of what is held, 1.7 % of the worst case
    assert desk.fired() == ["LIQUIDATION_NEAR purse 0"]
    assert desk.exits() == []
    assert desk.orders.order(order["id"])["cancel_asked"] == 1


@pytest.mark.parametrize("policy", [CANCEL, REDUCE, FLATTEN])
def test_orders_of_unknown_fate_that_only_reduce_are_no_loss_and_fire_nothing(policy):
    """What they may have filled unheard counts in the gate; a stop closes what there is."""
    desk = Desk(on_margin=policy)
    desk.engine.equity.set_row(0, 10, 20_000)
    desk.hold(500)
    known(desk, 300 * E8)
    for _ in range(4):  # one after the other, as the position came and went
        order = desk.orders.intend(0, SELL, 9_990, 500, desk.now, reduce_only=True)
        desk.tell(order, ReportKind.REPORT_UNCERTAIN)
    desk.risk.set_account(**ACCOUNT | {"liquidation_ppm": 20_000})
    desk.market(9_950, 9_952)
    worth = desk.engine.equity.worth(0)
    assert worth["perpetual_e8"] == desk.engine.instruments.money(0, worth["ticks"], 1500)  # the gate's
    assert desk.engine.equity.sure(0) == desk.engine.instruments.money(0, worth["ticks"], 500)
    assert desk.fired() == []
    assert desk.exits() == []
    assert desk.risk.halts(0) == {}


# ---- policies ----


@pytest.mark.parametrize(("policy", "level"), [(CANCEL, 2), (REDUCE, 1), (FLATTEN, 2)])
def test_every_policy_cancels_all_that_rests_in_the_same_event(policy, level):
    desk = Desk("PBTC", "PETH", limits=LOSS, on_position_loss=policy, strategy=Seller())
    desk.hold(100)
    mine, other = resting(desk), resting(desk, 1)
    desk.market(9_900, 9_902)
    assert [x["args"][0]["orderLinkId"] for x in desk.cancels()] == [
        desk.wires[Market.BYBIT_LINEAR].client_id(mine)
    ]
    assert desk.orders.order(other)["cancel_wanted"] == 0
    assert desk.risk.halts(0) == {"HALT_STOP": level}
    assert len(desk.exits()) == (policy == FLATTEN)


@pytest.mark.parametrize(("policy", "reason"), [(CANCEL, "HALTED"), (REDUCE, "OK"), (FLATTEN, "HALTED")])
def test_strategies_may_reduce_only_where_the_policy_lets_them(policy, reason):
    desk = known(Desk(account={"max_daily_loss_e8": 5 * E8}, on_daily_loss=policy))
    desk.hold(100)
    desk.market(9_900, 9_902)
    assert desk.fired() == ["DAILY_LOSS"]
    for order in desk.exits():
        desk.expire(order["id"])
    assert desk.risk.try_order(0, SELL, 9_900, 10, desk.now, reduce_only=True)[0] == reason
    assert desk.risk.try_order(0, BUY, 9_900, 10, desk.now)[0] in ("LATCHED", "HALTED", "REDUCE_ONLY")


# ---- operators, time ----


def test_flatten_closes_and_keeps_closing_until_it_is_released():
    desk = Desk("PBTC", "SBTC", strategy=Seller())
    desk.hold(100)
    desk.hold(40, i=1)
    order = resting(desk)
    desk.engine.flatten(-1, HaltReason.HALT_OPERATOR, desk.now)
    assert [(x["instrument"], x["size_lots"]) for x in desk.exits()] == [(0, 100), (1, 40)]
    assert desk.orders.order(order)["cancel_asked"] == 1
    for row in desk.exits():
        desk.fill(row["id"], row["size_lots"])
    assert desk.stops.state()["flat"] == [True, True]
    desk.fill(order, 3, 10_500)  # the cancel came too late: short now, and closed again
    assert [(x["side"], x["size_lots"]) for x in desk.exits(0)] == [(SELL, 100), (BUY, 3)]
    desk.fill(desk.exits(0)[-1]["id"], 3)
    desk.engine.resume(0, HaltReason.HALT_OPERATOR, desk.now)
    assert desk.stops.state()["exiting"] == [1]
    desk.engine.flatten(0, HaltReason.HALT_OPERATOR, desk.now)
    with pytest.raises(IndexError):
        desk.engine.flatten(9, HaltReason.HALT_OPERATOR, desk.now)


def test_flat_by_a_time_closes_in_time_and_ends_with_it():
    desk = Desk("PBTC")
    desk.hold(100)
    begin = START + SEC
    desk.risk.set_windows([(begin, begin + SEC, WindowKind.FLAT)])
    desk.time(begin - desk.now - 1)
    assert desk.exits() == []
    desk.time(1)
    assert desk.fired() == ["WINDOW"]
    assert desk.risk.halts(0) == {"HALT_WINDOW": 2}
    (order,) = desk.exits()
    desk.fill(order["id"], 100)
    desk.time(SEC)
    assert desk.fired() == []
    assert desk.risk.halts(0) == {}
    desk.hold(10)
    desk.market(9_999, 10_001)
    assert len(desk.exits()) == 1


def test_a_window_that_only_forbids_new_positions_closes_nothing():
    desk = Desk()
    desk.hold(100)
    desk.risk.set_windows([(START, START + DAY, WindowKind.NO_NEW)])
    desk.time()
    assert (desk.fired(), desk.exits()) == ([], [])


# ---- the tape ----


def script(desk):
    known(desk)
    desk.stops.protect(0, 50_000)
    desk.hold(100)
    desk.market(9_990, 9_992)
    desk.market(9_880, 9_882)
    desk.fill(desk.exits()[0]["id"], 60)
    desk.expire(desk.exits()[0]["id"])
    for _ in range(8):
        desk.time()
    for row in desk.exits(open_only=True):
        desk.fill(row["id"], 40)
    desk.time()


def test_a_stop_is_on_the_tape_with_value_limit_and_equity_and_the_same_calls_give_the_same_bytes(tmp_path):
    tapes = []
    for name in ("a", "b"):
        desk = Desk(limits=LOSS, tape=TapeWriter(tmp_path / name, now_ns=1, segment_size=1 << 20))
        script(desk)
        assert desk.lots() == 0
        tapes.append([(r.type, r.now_ns, r.payload) for r in TapeReader(tmp_path / name, follow=True)])
    assert tapes[0] == tapes[1]
    (row,) = [stop_row(payload) for kind, _, payload in tapes[0] if kind == RecordType.STOP]
    assert row == {
        "reason": "POSITION_LOSS",
        "instrument": 0,
        "policy": "STOP_FLATTEN",
        "purse": -1,
        "value": 12 * E8,
        "limit": 10 * E8,
        "equity_e8": 988 * E8,
    }
    kinds = [RecordType(kind).name for kind, _, _ in tapes[0]]
    at = kinds.index("STOP")
    assert kinds[at - 1 : at + 5] == ["FRAME", "STOP", "DOOR", "VERDICT", "DECISION", "ORDER_OUT"]


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("exit_slippage_ppm", 200_001, "exit_slippage_ppm 200001"),
        ("exit_slippage_ppm", -1, "exit_slippage_ppm -1"),
        ("exit_retry_ns", 0, "exit_retry_ns 0"),
        ("cooldown_ns", -1, "cooldown_ns -1"),
        ("on_margin", 3, "on_margin 3"),
        ("on_position_loss", -1, "on_position_loss -1"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(field, value, what):
    with pytest.raises(ValueError, match=what):
        Desk(**{field: value})


def test_reasons_of_rows_are_reasons_of_the_gate():
    names = ("DAILY_LOSS", "POSITION_LOSS", "DRAWDOWN", "LIQUIDATION_NEAR", "WINDOW", "COOLDOWN")
    assert all(hasattr(Reason, name) for name in names)


# ---- an equity that is not known any more ----


def unpriced_fee(desk):
    """A fee in a coin that nobody ever gave a price: the equity is not known from here on."""
    desk.trades += 1
    desk.tell(
        0,
        ReportKind.REPORT_FILL,
        instrument=0,
        side=BUY,
        size_lots=1,
        price_ticks=10_000,
        trade_lo=desk.trades,
        fee_e8=E8,
        fee_is_quote=0,
        fee_coin="BNB",
    )
    assert not desk.engine.equity.known
    return desk


@pytest.mark.parametrize(
    ("line", "fired"),
    [
        ({"max_drawdown_ppm": 100_000}, "DRAWDOWN"),
        ({"max_daily_loss_e8": 10 * E8}, "DAILY_LOSS"),
        ({"liquidation_ppm": 91_000}, "LIQUIDATION_NEAR purse 0"),
    ],
)
def test_a_fee_without_a_price_does_not_switch_the_stops_off(line, fired):
    desk = known(Desk(account=line), 100 * E8)
    desk.hold(99)
    desk.time()
    unpriced_fee(desk)
    desk.market(9_998, 10_000)
    assert desk.fired() == []
    desk.market(9_899, 9_901)  # 10.1 lost of 100
    assert desk.fired() == [fired]
    assert len(desk.exits()) == 1


def test_capital_that_is_learned_in_pieces_fires_nothing():
    desk = Desk("PBTC", "SETH", account={"max_drawdown_ppm": 10_000, "max_daily_loss_e8": E8})
    desk.engine.equity.set_purse(Market.BYBIT_SPOT, 1)
    desk.engine.restore_peak(2000 * E8, 2000 * E8, START // DAY, desk.now)
    desk.engine.capital(0, 1000 * E8, desk.now)
    desk.time()
    assert desk.fired() == []
    desk.engine.capital(1, 1000 * E8, desk.now)
    desk.time()
    assert desk.fired() == []


# ---- a protective order that comes too late ----


def test_a_protective_order_whose_trigger_is_crossed_closes_the_position_itself(tmp_path):
    desk = Desk(tape=TapeWriter(tmp_path / "tape", now_ns=1), on_position_loss=CANCEL)
    desk.stops.protect(0, 50_000)
    desk.market(9_399, 9_401)
    desk.hold(100)
    desk.time()
    assert desk.fired() == ["POSITION_LOSS PBTC"]
    assert [(x["side"], x["size_lots"]) for x in desk.exits()] == [(SELL, 100)]
    assert desk.risk.halts(0) == {"HALT_STOP": 2}
    for _ in range(100):
        desk.time()
    assert desk.stops.state()["crossed"] == 1
    desk.engine.tape.close(desk.now)
    rows = [stop_row(x.payload) for x in TapeReader(tmp_path / "tape") if x.type == RecordType.STOP]
    assert [(x["reason"], x["instrument"], x["value"], x["limit"]) for x in rows] == [
        ("POSITION_LOSS", 0, 601 * E8 // 10, 50 * E8)
    ]
