"""Group C of the failure catalogue, the account: one scenario or more for each row."""

import json
from decimal import Decimal

from hands import BUY, MARKET, SELL, VENUES, without_before
from rows import row

from node.limits import lots_of

PERPETUALS = ("binance-usdm", "bybit-linear", "okx")
SPOT = ("binance-spot", "bybit-spot", "okx-spot")
LEVERAGE = {"instrument": {"leverage": 10}}


def lots_agree(hand) -> None:
    assert hand.position() == hand.traded_there()
    if hand.market_name in PERPETUALS:
        assert hand.position() == hand.held_there()


def nothing_differs(hand, *, remembers: bool = True) -> None:
    """Both sides have the same, and nobody is asking about anything any more. A node on a new tape does not
    count the trades of before."""
    lots_agree(hand)
    hand.agree()
    if not hand.is_naive:
        assert (hand.world.differences() if remembers else without_before(hand.world)) == []
        assert hand.reserved(BUY) == hand.reserved(SELL) == 0


def flatten(hand) -> None:
    """Close the position: what a reduce-only symbol still lets through."""
    side = SELL if hand.position() > 0 else BUY
    hand.place(side, hand.through(side), abs(hand.position()), reduce_only=hand.market_name in PERPETUALS)
    hand.run(3)
    assert hand.position() == 0


# ---- 72: drift ----


@row(72, star=True)
def test_72_a_balance_that_nobody_can_explain_holds_the_symbol_and_is_never_made_up(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(8)
    hand.fault("acct.drift", coin="USDT", amount="0.001", wallet=hand.listing.wallet)
    hand.run(66)
    assert hand.hits("acct.drift") == 1
    assert hand.halts() == {"HALT_DRIFT": 1}
    assert hand.told("USDT balance: the venue says")
    assert not hand.may_trade()
    assert hand.position() == hand.traded_there() == hand.size
    taken = hand.taken()
    assert not hand.place(BUY, hand.through(BUY))
    assert hand.taken() == taken
    if hand.market_name in PERPETUALS:
        flatten(hand)


@row(72, star=True, markets=PERPETUALS)
def test_72_a_position_that_no_trade_explains_holds_the_symbol_and_ends_when_both_agree(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(3)
    hand.befall("acct.drift", lots=3)
    hand.run(40)
    assert hand.hits("acct.drift") == 1
    assert hand.held_there() == hand.size + 3
    assert hand.position() == hand.size  # the venue's number is evidence, not a trade
    assert hand.halts() == {"HALT_DRIFT": 1}
    assert hand.told("no trade explains it: reduce-only")
    assert len(hand.strategy.fills) >= 1
    hand.befall("acct.drift", lots=3, side="sell")
    hand.until(hand.may_trade, 80)
    assert hand.told("position: both agree again")
    lots_agree(hand)
    # what came and went at the mark stays in the venue's average entry until it is closed
    assert all("entry cost" in x for x in hand.world.differences())
    flatten(hand)
    hand.run(66)
    assert hand.halts() == {}
    nothing_differs(hand)


@row(72, star=True)
def test_72_a_fill_that_the_stream_kept_back_is_found_in_the_trades_and_counted_once(make, market):
    hand = make(market).ready()
    hand.fault("exec.drop", for_s=1)
    hand.place(BUY, hand.through(BUY))
    hand.run(25)
    assert hand.hits("exec.drop") >= 1
    assert hand.position() == hand.traded_there() == hand.size
    hand.until(hand.may_trade, 60)
    nothing_differs(hand)


# ---- 73: others on the account ----


@row(73, star=True)
def test_73_an_order_by_hand_counts_in_the_exposure_is_told_and_left_alone(make, market):
    hand = make(
        market, changes={"limits": dict.fromkeys(("max_order_base", "max_position_base"), hand_limit(market))}
    ).ready()
    size = 3 * hand.size
    hand.befall("acct.external_order", side="buy", size_lots=size, price_ticks=hand.away(BUY))
    hand.run(12)
    assert hand.hits("acct.external_order") == 1
    assert hand.engine.orders.reserved(0)["foreign_buy_lots"] == size
    assert hand.told("an order that is not ours")
    assert not hand.place(BUY, hand.away(BUY))  # three and one are more than the limit of three
    assert hand.place(SELL, hand.away(SELL))
    hand.engine.halt(0, 1, 2, hand.world.now_ns)  # an operator stops the symbol: ours are cancelled
    hand.run(10)
    assert hand.open_there() == []
    assert len(hand.truth()["open"]) == 1  # and not somebody's hedge


def hand_limit(market: str) -> str:
    """Three of the usual orders, in base coins."""
    from hands import CONTRACTS, SYMBOLS

    return str(3 * Decimal(SYMBOLS[market][2]) * CONTRACTS.get(market, 1))


@row(73, star=True)
def test_73_a_position_that_was_closed_by_hand_is_closed_here(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(3)
    fills = 0 if hand.is_naive else len(hand.strategy.fills)
    hand.befall(
        "acct.external_order",
        side="sell",
        size_lots=hand.size,
        order_type="limit",
        price_ticks=hand.through(SELL),
    )
    hand.run(15)
    assert hand.hits("acct.external_order") == 1
    assert hand.traded_there() == 0
    assert hand.position() == 0
    assert len(hand.strategy.fills) == fills  # not a fill of the strategy's
    hand.run(60)
    assert hand.halts() == {}
    nothing_differs(hand)


# ---- 74, 75: restarts ----


@row(74, star=True)
def test_74_a_restart_neither_invents_nor_deletes_a_position_and_may_be_repeated(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY), 2 * hand.size)
    hand.run(2)
    hand.place(SELL, hand.through(SELL))
    hand.place(BUY, hand.away(BUY))
    hand.run(2)
    held, trades = hand.traded_there(), len(hand.truth()["fills"])
    assert held == hand.size
    for same_epoch, after_s in ((False, 1), (True, 0.3), (False, 40)):
        hand = hand.restart(after_s, same_epoch=same_epoch).ready()
        assert hand.position() == held
        assert hand.strategy.fills == []  # nothing that a strategy could take for a trade of its own
        assert hand.open_there() == []  # the order of before was recognised, and cancelled
        before = hand.engine.account.position(0)
        for _ in range(2):
            hand.look()
            assert hand.engine.account.position(0) == before
            assert hand.halts() == {}
            assert hand.open_here() == []
        hand.agree()
    assert hand.taken() == 3
    assert len(hand.truth()["fills"]) == trades
    assert hand.place(BUY, hand.through(BUY))
    hand.run(3)
    assert hand.position() == hand.traded_there() == 2 * hand.size


@row(74, markets=PERPETUALS)
def test_74_a_position_from_long_ago_is_taken_from_the_venue_once_and_said(make, market):
    """No list of trades goes back that far: the venue's position is the truth for its size."""
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    for _ in range(2):
        hand = hand.restart(1500).ready()
        assert hand.told("taken from the venue")
        assert hand.position() == hand.held_there() == hand.size
        said = len(hand.world.told)
        for _ in range(2):
            hand.look()
        assert hand.position() == hand.size
        assert len(hand.world.told) == said
    assert hand.halts() == {}
    assert hand.strategy.fills == []


@row(74, markets=PERPETUALS)
def test_74_a_venue_that_says_flat_ends_the_start_too(make, market):
    """Opened long ago and closed just now: the trades at hand are a sale, and the venue holds nothing."""
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    hand = hand.restart(1500).ready()
    hand.place(SELL, hand.through(SELL))
    hand.run(2)
    assert hand.held_there() == 0
    hand = hand.restart()
    hand.until(hand.may_trade, 90)
    assert hand.position() == 0
    hand.look()
    assert hand.halts() == {}


@row(74)
def test_74_restarts_at_any_point_of_an_order_agree_in_the_end(make, market):
    hand = make(market).ready()
    for i, wait_s in enumerate((0.0, 0.004, 0.011, 0.02, 0.05, 0.3)):
        hand.strategy.wanted.append(
            lambda s, hand=hand, i=i: s._order(0, i % 2, 0, 0, hand.through(i % 2), hand.size, 0, False)
        )
        hand.strategy.wanted.append(
            lambda s, hand=hand: s._order(0, BUY, 0, 0, hand.away(BUY), hand.size, 0, False)
        )
        hand.run(0.02 + wait_s)
        hand = hand.restart(0.2)
        hand.until(hand.may_trade, 90)
        hand.until(lambda hand=hand: hand.open_here() == [] == hand.open_there(), 90)
        lots_agree(hand)
    assert all(n == 1 for n in hand.truth()["orders"].values())
    hand.look()
    assert hand.halts() == {}
    nothing_differs(hand, remembers=hand.market_name not in PERPETUALS)


@row(75, star=True)
def test_75_a_fill_that_was_recovered_is_not_counted_again_when_the_real_one_comes(make, market):
    hand = make(market).ready()
    frames = hand.record()
    order = hand.place(BUY, hand.through(BUY))
    hand.run(2)
    assert order
    told = [x for x in frames if x[0] == hand.private_role() and fill_in(x[1])]
    assert told
    for _ in range(3):
        hand = hand.restart(15).ready()
        assert hand.position() == hand.traded_there() == hand.size
    for role, text in told:
        hand.bring(role, text)
    assert hand.position() == hand.size
    hand.look()
    assert hand.position() == hand.size
    assert hand.halts() == {}
    hand.agree()


@row(75)
def test_75_the_real_fill_may_come_before_the_list_that_has_it(make, market):
    hand = make(market).ready()
    frames = hand.record()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    told = [x for x in frames if x[0] == hand.private_role() and fill_in(x[1])]
    hand = hand.restart()
    line = hand.world.line(hand.market, hand.private_role())
    hand.until(lambda: hand.engine.lines[line.spec.line].up, 10)
    for role, text in told:
        hand.bring(role, text)
    hand.until(hand.may_trade, 60)
    hand.look()
    assert hand.position() == hand.traded_there() == hand.size
    assert hand.halts() == {}


def fill_in(text: str) -> bool:
    """Is this a frame of a trade?"""
    words = ('"x":"TRADE"', '"topic":"execution', '"tradeId":"')
    return any(x in text for x in words) and '"tradeId":""' not in text


# ---- 76: the venue closes positions ----


@row(76, star=True, markets=PERPETUALS)
def test_76_a_liquidation_stops_everything_until_an_operator_speaks(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.place(SELL, hand.away(SELL))
    hand.run(2)
    fills = 0 if hand.is_naive else len(hand.strategy.fills)
    hand.befall("acct.liquidation", part="full")
    hand.run(1.5)
    assert hand.hits("acct.liquidation") == 1
    assert hand.position() == hand.traded_there() == hand.held_there() == 0
    assert hand.halts().get("HALT_LIQUIDATION") == 2
    assert hand.told("liquidated or deleveraged by the venue: stopped")
    assert len(hand.strategy.fills) == fills
    hand.run(200)
    assert hand.halts() == {"HALT_LIQUIDATION": 2}
    assert hand.open_there() == []
    assert not hand.place(BUY, hand.through(BUY))
    nothing_differs(hand)


@row(76, star=True, markets=PERPETUALS)
def test_76_a_part_taken_by_deleveraging_is_counted_and_stops_the_account(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.place(BUY, hand.away(BUY))
    hand.run(2)
    hand.befall("acct.adl", part="part")
    hand.run(1.5)
    assert hand.hits("acct.adl") == 1
    assert hand.position() == hand.held_there() == hand.size // 2
    assert hand.halts().get("HALT_LIQUIDATION") == 2
    assert hand.told("liquidated or deleveraged")
    hand.run(100)
    assert hand.open_there() == []  # what rested was cancelled
    assert hand.halts() == {"HALT_LIQUIDATION": 2}
    nothing_differs(hand)


# ---- 77, 78, 79, 80: money without trades, fees, dust ----


@row(77, star=True, markets=PERPETUALS, naive=("bybit-linear",))  # only there is funding an execution
def test_77_funding_again_and_again_moves_money_and_no_position(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    hand.befall("acct.funding", period_s=15, rate="0.0003", count=12)
    hand.run(190)
    assert hand.hits("acct.funding") == 12
    assert hand.position() == hand.traded_there() == hand.size
    assert hand.halts() == {}
    assert not hand.told("balance")
    nothing_differs(hand)


@row(78, markets=(*VENUES, "bybit-spot", "okx-spot"))
def test_78_deposits_and_withdrawals_are_cash_and_change_no_limit(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    order = hand.place(BUY, hand.away(BUY))
    hand.run(5)
    wallet = hand.listing.wallet
    hand.fault("acct.deposit", coin="USDT", amount=500, wallet=wallet)
    hand.run(70)
    hand.fault("acct.withdraw", coin="USDT", amount=300, wallet=wallet)
    hand.run(130)
    assert hand.hits("acct.deposit") == hand.hits("acct.withdraw") == 1
    assert hand.halts() == {}
    assert hand.told("of 500")
    assert hand.told("of -300")
    assert hand.state(order) == "LIVE"
    assert hand.position() == hand.size
    purse = next(iter(hand.keeper.purses.values()))
    assert purse.differences() == []
    most = hand.config.instrument[0].limits.max_order_base
    huge = lots_of(hand.world.desk.instruments, 0, most) + hand.size
    assert not hand.place(BUY, hand.away(BUY), huge)
    hand.agree()


@row(79, markets=("binance-spot",))
def test_79_a_fee_in_a_coin_without_a_price_makes_equity_unknown_and_is_told_once(make, market):
    for coins, known in (([], False), ([{"name": "BNB", "price_quote": "600"}], True)):
        hand = make(market, changes={"coin": coins}).ready()
        hand.world.account(hand.market).fee_prices["BNB"] = Decimal(600)
        hand.world.account(hand.market).balance("BNB", hand.listing.wallet).total = Decimal(50)
        hand.fault("exec.fee", coin="BNB", rate="0.001", count=1)
        hand.place(BUY, hand.through(BUY))
        hand.run(90)
        assert hand.hits("exec.fee") == 1
        assert hand.may_trade() == known
        told = [x for x in hand.world.told if "[[coin]]" in x[2]]
        assert len(told) == (0 if known else 1)
        assert hand.engine.risk.refusals().get("EQUITY_UNKNOWN", 0) == 0
        assert bool(hand.place(BUY, hand.away(BUY))) == known


@row(79, markets=(*VENUES, "bybit-spot", "okx-spot"))
def test_79_a_fee_in_whatever_coin_is_explained(make, market):
    hand = make(market).ready()
    for coin, rate in (("BTC", "0.001"), ("USDT", "0.001"), ("BNB", "0.001"), ("USDT", "-0.0001")):
        if market in PERPETUALS and coin == "BTC":
            continue
        hand.fault("exec.fee", coin=coin, rate=rate, count=1)
        hand.place(BUY, hand.through(BUY))
        hand.run(66)
    assert hand.hits("exec.fee") >= 3
    assert hand.position() == hand.traded_there()
    assert not hand.told("balance:"), hand.world.told
    assert hand.halts() == {}
    assert hand.keeper.differences() == []


@row(80, markets=("binance-spot", "bybit-spot"))  # OKX has no least notional
def test_80_a_remainder_below_one_order_is_no_reason_to_try_again_and_again(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(3)
    dust = 1
    hand.place(SELL, hand.through(SELL), hand.size - dust)
    hand.run(3)
    assert hand.position() == dust
    taken, refused = hand.taken(), hand.truth()
    for _ in range(20):
        hand.place(SELL, hand.through(SELL), dust)
    hand.run(60)
    assert hand.taken() == taken  # risk knows the venue's least notional
    assert refused["fills"] == hand.truth()["fills"]
    assert hand.position() == dust == hand.traded_there()
    assert hand.halts() == {}
    nothing_differs(hand)


# ---- 81, 82: how the account is set up ----


@row(81, markets=PERPETUALS)
def test_81_another_leverage_holds_the_symbol_until_it_is_set_back_by_whoever_did_it(make, market):
    hand = make(market, changes=leverage(market)).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    was = hand.fake.accounts[1].leverage_of(hand.listing)
    hand.befall("acct.leverage", times=2)
    hand.run(62)
    assert hand.hits("acct.leverage") == 1
    assert hand.halts() == {"HALT_MODE": 1}
    assert hand.told(f"leverage is {2 * was}, must be {was}: reduce-only")
    assert hand.fake.accounts[1].leverage_of(hand.listing) == 2 * was
    assert not hand.place(BUY, hand.away(BUY))
    flatten(hand)
    hand.befall("acct.leverage", leverage=was)
    hand.until(hand.may_trade, 70)
    assert hand.told("leverage: as configured again")
    nothing_differs(hand)


@row(81, markets=PERPETUALS)
def test_81_another_leverage_is_seen_before_the_first_order_with_nothing_held(make, market):
    hand = make(market, changes={"instrument": {"leverage": 33}})
    hand.run(10)
    assert hand.halts() == {"HALT_MODE": 1}
    assert hand.told("must be 33: reduce-only")
    assert not hand.place(BUY, hand.away(BUY))
    assert hand.taken() == 0


def leverage(market: str) -> dict:
    """A config that wants what the account has."""
    from hands import Ours

    probe = Ours(market)
    return {"instrument": {"leverage": probe.fake.accounts[1].leverage_of(probe.listing)}}


@row(82, star=True, markets=PERPETUALS)
def test_82_hedge_mode_at_the_start_is_refused(make, market):
    hand = make(market, faults=[{"name": "acct.posmode", "hedge": True}])
    hand.run(10)
    assert hand.hits("acct.posmode") == 1
    assert hand.halts() == {"HALT_MODE": 1}
    assert hand.told("hedge mode is on: reduce-only")
    assert not hand.place(BUY, hand.away(BUY))
    assert hand.taken() == 0


@row(82, star=True, markets=PERPETUALS)
def test_82_hedge_mode_in_the_middle_of_trading_holds_the_symbol_and_no_leg_is_opened(make, market):
    """Flat, because no venue changes the mode under a position."""
    hand = make(market).ready()
    hand.fault("acct.posmode", hedge=True)
    hand.run(62)
    assert hand.hits("acct.posmode") == 1
    assert hand.halts().get("HALT_MODE") == 1
    assert hand.told("hedge mode is on: reduce-only")
    taken = hand.taken()
    assert not hand.place(BUY, hand.through(BUY))
    assert hand.taken() == taken
    legs = {k.rpartition(":")[2]: x["lots"] for k, x in hand.truth()["positions"].items()}
    assert not legs.get("short")
    assert not legs.get("long")
    hand.fault("acct.posmode", hedge=False)
    hand.until(hand.may_trade, 80)
    nothing_differs(hand)


HEDGED = {"venue": {"hedge": True}}
POSMODE = {"name": "acct.posmode", "hedge": True}


@row(82, markets=PERPETUALS)
def test_82_one_way_mode_is_refused_where_hedge_mode_is_configured(make, market):
    hand = make(market, changes=HEDGED)
    hand.run(10)
    assert hand.halts() == {"HALT_MODE": 1}
    assert hand.told("hedge mode is off: reduce-only")
    assert not hand.place(BUY, hand.away(BUY), leg=1)
    assert hand.taken() == 0


@row(82, markets=PERPETUALS)
def test_82_one_way_mode_in_the_middle_of_hedged_trading_holds_the_symbol(make, market):
    hand = make(market, changes=HEDGED, faults=[POSMODE]).ready()
    hand.place(BUY, hand.through(BUY), leg=1)
    hand.run(2)
    hand.place(SELL, hand.through(SELL), leg=1)
    hand.run(2)
    assert hand.legs() == hand.legs_there() == (0, 0)
    hand.fault("acct.posmode", hedge=False)
    hand.run(62)
    assert hand.halts().get("HALT_MODE") == 1
    assert hand.told("hedge mode is off: reduce-only")
    taken = hand.taken()
    assert not hand.place(BUY, hand.through(BUY), leg=1)
    assert hand.taken() == taken
    hand.fault("acct.posmode", hedge=True)
    hand.until(hand.may_trade, 80)
    nothing_differs(hand)


@row(82, markets=PERPETUALS)
def test_82_an_order_that_left_before_the_mode_changed_is_refused_and_no_leg_is_opened(make, market):
    """The node does not know yet: the venue refuses the leg, and the position stays what it is."""
    hand = make(market, changes=HEDGED, faults=[POSMODE]).ready()
    hand.fake.accounts[1].hedge = False
    order = hand.place(BUY, hand.through(BUY), leg=1)
    hand.run(3)
    assert hand.state(order) == "REJECTED"
    assert hand.legs() == hand.legs_there() == (0, 0)
    assert hand.held_there() == 0
    assert hand.reserved(BUY) == 0


@row(82, star=True, markets=PERPETUALS)
def test_82_what_closes_one_leg_leaves_the_other_alone(make, market):
    """A net position of nothing is two legs: whoever nets them closes the wrong one, or opens a third."""
    hand = make(market, changes=HEDGED, faults=[POSMODE]).ready()
    hand.place(BUY, hand.through(BUY), leg=1)
    hand.place(SELL, hand.through(SELL), leg=2)
    hand.run(3)
    assert hand.legs_there() == (hand.size, -hand.size)
    hand.place(SELL, hand.through(SELL), leg=1)
    hand.run(3)
    assert hand.legs_there() == (0, -hand.size)
    assert not hand.place(SELL, hand.through(SELL), leg=1)  # there is nothing left to close
    hand.run(3)
    assert hand.legs() == hand.legs_there() == (0, -hand.size)
    assert hand.world.differences() == []


# ---- 83, 84, 85 ----


@row(83, star=True, markets=PERPETUALS)
def test_83_a_position_that_the_venue_settles_is_gone_here_too(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.place(SELL, hand.away(SELL))
    hand.run(2)
    hand.befall("status.delist")
    hand.run(90)
    assert hand.hits("status.delist") == 1
    assert hand.held_there() == 0
    assert hand.position() == 0
    assert hand.open_there() == hand.open_here() == []
    assert not hand.may_trade()
    assert hand.told("the venue says")
    assert not hand.place(BUY, hand.through(BUY))


POSITIONS = {
    "binance-usdm": ("/fapi/v3/positionRisk", "[]"),
    "bybit-linear": (
        "/v5/position/list",
        '{"retCode":0,"retMsg":"OK","result":{"list":[],"nextPageCursor":"","category":"linear"},"retExtInfo":{},"time":1}',
    ),
    "okx": ("/api/v5/account/positions", '{"code":"0","data":[],"msg":""}'),
}


@row(84, star=True, markets=PERPETUALS)
def test_84_an_empty_list_is_not_flat(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    path, body = POSITIONS[market]
    hand.fault("rest.body", path=path, body=body, for_s=60)
    hand.look()
    hand.run(40)
    assert hand.hits("rest.body") >= 1
    assert hand.position() == hand.held_there() == hand.size
    assert hand.halts() == {"HALT_DRIFT": 1}
    assert hand.told("the venue says 0")
    hand.until(hand.may_trade, 120)
    nothing_differs(hand)


@row(84, star=True, markets=PERPETUALS)
def test_84_an_answer_that_is_cut_or_has_no_numbers_says_nothing(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    path, _ = POSITIONS[market]
    for fault in ({"truncate": 40}, {"body": ""}, {"body": "{}"}, {"body": "<html>busy</html>"}):
        hand.fault("rest.body", path=path, count=2, **fault)
        hand.look()
        assert hand.position() == hand.size
    assert hand.hits("rest.body") >= 4
    assert hand.position() == hand.held_there() == hand.size
    hand.until(hand.may_trade, 120)
    nothing_differs(hand)


@row(84, markets=PERPETUALS)
def test_84_an_empty_list_at_the_start_does_not_make_a_position_go_away(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(2)
    path, body = POSITIONS[market]
    hand.fault("rest.body", path=path, body=body, for_s=25)
    hand = hand.restart()
    hand.run(22)
    assert hand.hits("rest.body") >= 1
    assert hand.position() in (0, hand.size)
    assert not hand.may_trade()
    says = hand.is_naive or market == "bybit-linear"  # there how the symbol is set up is missing, too
    assert says or hand.told("names no position: nothing new before it does")
    hand.until(hand.may_trade, 120)
    assert hand.position() == hand.held_there() == hand.size


BALANCES = {
    "binance-spot": (
        "/api/v3/account",
        '{"balances":[],"canTrade":true,"accountType":"SPOT","updateTime":1}',
    ),
    "bybit-spot": (
        "/v5/account/wallet-balance",
        '{"retCode":0,"retMsg":"OK","result":{"list":[{"accountType":"UNIFIED","coin":[]}]},"retExtInfo":{},"time":1}',
    ),
    "okx-spot": ("/api/v5/account/balance", '{"code":"0","data":[{"details":[],"uTime":"1"}],"msg":""}'),
}


@row(84, markets=SPOT)
def test_84_a_wallet_without_coins_holds_the_symbol_and_the_position_stays(make, market):
    hand = make(market).ready()
    hand.place(BUY, hand.through(BUY))
    hand.run(5)
    path, body = BALANCES[market]
    hand.fault("rest.body", path=path, body=body, for_s=30)
    hand.look()
    hand.run(10)
    assert hand.hits("rest.body") >= 1
    assert hand.position() == hand.size
    assert not hand.may_trade()
    hand.run(30)
    hand.until(hand.may_trade, 150)
    nothing_differs(hand)


@row(85)
def test_85_another_program_that_trades_and_cancels_everything_is_noticed_and_survived(make, market):
    hand = make(market).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(2)
    for i in range(6):
        price = hand.through(i % 2)
        hand.befall(
            "acct.external_order", side=("buy", "sell")[i % 2], size_lots=hand.size, price_ticks=price
        )
        hand.befall("acct.external_order", side="buy", size_lots=hand.size, price_ticks=hand.away(BUY, 900))
        hand.run(3)
    hand.fake.cancel_all(hand.fake.accounts[1], None, hand.world.now_ns)  # its timer cancels what we have too
    hand.run(30)
    assert hand.hits("acct.external_order") == 12
    assert hand.state(order) == "CANCELED"
    assert hand.told("an order that is not ours")
    assert hand.position() == hand.traded_there()
    assert hand.taken() == 1
    hand.until(hand.may_trade, 60)
    nothing_differs(hand)


@row(85)
def test_85_where_the_config_says_so_a_stranger_stops_the_symbol(make, market):
    hand = make(market, changes={"reconcile": {"foreign": "halt"}}).ready()
    order = hand.place(BUY, hand.away(BUY))
    hand.run(2)
    hand.befall("acct.external_order", side="buy", size_lots=hand.size, price_ticks=hand.away(BUY, 900))
    hand.run(15)
    assert hand.hits("acct.external_order") == 1
    assert hand.halts() == {"HALT_FOREIGN": 2}
    assert hand.state(order) == "CANCELED"
    assert len(hand.truth()["open"]) == 1


__all__ = ["MARKET"]


# ---- 84: coins that nothing here trades ----

WALLETS = {
    "bybit-linear": ("/v5/account/wallet-balance", "coin", "walletBalance"),
    "okx": ("/api/v5/account/balance", "ccy", "cashBal"),
}


def lie(hand, total: str, bodies: list[bytes]) -> None:
    """The next answer of the wallet says that there is so much bitcoin, and is else as the last one was."""
    path, name, amount = WALLETS[hand.market_name]
    body = json.loads(bodies[-1])
    rows = body["result"]["list"][0]["coin"] if "result" in body else body["data"][0]["details"]
    next(x for x in rows if x[name] == "BTC")[amount] = total
    hand.fault("rest.body", path=path, body=json.dumps(body), count=1)


def answers(hand) -> list[bytes]:
    """What the wallet answers from now on."""
    rest, bodies = hand.world.desk.rest[hand.market], []
    read = rest.read_balances
    rest.read_balances = lambda reply: bodies.append(reply.body) or read(reply)
    return bodies


def worth(hand) -> tuple[int, int, int]:
    equity = hand.engine.equity
    return equity.sums()["equity_e8"], equity.peak_e8, hand.engine.risk.latches


@row(84, markets=tuple(WALLETS))
def test_84_one_answer_that_lies_about_a_coin_that_is_not_traded_here_moves_no_equity(make, market):
    hand = make(market).ready()
    bodies = answers(hand)
    hand.look()
    before = worth(hand)
    for n, total in enumerate(("0", "500"), 1):
        lie(hand, total, bodies)
        hand.run(70)
        assert hand.hits("rest.body") == n
        assert worth(hand) == before
    assert hand.may_trade()


@row(84, markets=tuple(WALLETS))
def test_84_what_really_left_the_wallet_counts_some_seconds_later(make, market):
    hand = make(market).ready()
    bodies = answers(hand)
    hand.look()
    before, asked = worth(hand), len(bodies)
    price = hand.engine.equity.coin_price("BTC")
    hand.world.account(hand.market).balance("BTC", hand.listing.wallet).total -= Decimal("0.5")
    lie(hand, "0", bodies)  # ... and the first answer about it lies
    hand.keeper.look_now(hand.world.now_ns)
    hand.run(6)
    assert hand.hits("rest.body") == 1
    assert len(bodies) - asked in (2, 3)
    assert worth(hand)[0] - before[0] == -price // 2
    assert worth(hand)[2] == 0


@row(84, markets=tuple(WALLETS))
def test_84_a_first_answer_that_lies_about_such_a_coin_sets_no_peak(make, market):
    hand = make(market).ready()
    bodies = answers(hand)
    hand.look()
    before = worth(hand)
    for n, total in enumerate(("0", "500"), 1):
        lie(hand, total, bodies)
        hand = hand.restart()
        hand.until(hand.may_trade, 12)
        assert hand.hits("rest.body") == n
        assert worth(hand) == before
