"""Private streams: who hears what, and rows that have every documented member."""

from decimal import Decimal

from node.venues.bybit.fake import BybitFake

ORDER = """
category symbol orderId orderLinkId isLeverage blockTradeId price qty side positionIdx orderStatus
createType cancelType rejectReason avgPrice leavesQty leavesValue cumExecQty cumExecValue cumExecFee
closedPnl feeCurrency timeInForce orderType stopOrderType orderIv marketUnit triggerPrice takeProfit
stopLoss tpslMode tpLimitPrice slLimitPrice tpTriggerBy slTriggerBy triggerDirection triggerBy
lastPriceOnCreated reduceOnly closeOnTrigger placeType smpType smpGroup smpOrderId createdTime
updatedTime cumFeeDetail rpiTakerAccess rpiMatchedQty slippageToleranceType slippageTolerance
parentOrderLinkId
"""
EXECUTION = """
category symbol isLeverage orderId orderLinkId side orderPrice orderQty leavesQty createType
orderType stopOrderType execFee execId execPrice execQty execPnl execType execValue execTime isMaker
feeRate markPrice indexPrice underlyingPrice tradeIv markIv blockTradeId closedSize extraFees seq
feeCurrency marketUnit
"""
POSITION = """
category symbol side size positionIdx positionValue riskId riskLimitValue entryPrice markPrice
leverage breakEvenPrice autoAddMargin positionIM positionMM positionIMByMp positionMMByMp liqPrice
takeProfit stopLoss trailingStop unrealisedPnl curRealisedPnl cumRealisedPnl sessionAvgPrice
positionStatus adlRankIndicator isReduceOnly createdTime updatedTime openTime seq mmrSysUpdatedTime
leverageSysUpdatedTime tpslMode bustPrice positionBalance tradeMode
"""
WALLET = """
accountType accountIMRate accountMMRate totalEquity totalWalletBalance totalMarginBalance
totalAvailableBalance totalPerpUPL totalInitialMargin totalMaintenanceMargin accountIMRateByMp
accountMMRateByMp totalInitialMarginByMp totalMaintenanceMarginByMp accountLTV coin
"""
COIN = """
coin equity usdValue walletBalance locked spotHedgingQty borrowAmount accruedInterest totalOrderIM
totalPositionIM totalPositionMM unrealisedPnl cumRealisedPnl bonus collateralSwitch marginCollateral
colRes spotBorrow free availableToBorrow availableToWithdraw
"""


def rows(frames, topic):
    return [x["data"][0] for x in frames if x["topic"] == topic]


def test_every_documented_member_is_there(venue):
    connection = venue.private("order", "execution", "position", "wallet")
    venue.order(orderType="Market", qty="0.1")
    venue.order(category="spot", price="10000.1", qty="0.1")
    venue.pass_time()
    frames = venue.heard(connection)
    linear, spot = (
        next(x for x in rows(frames, "order") if x["category"] == name) for name in ("linear", "spot")
    )
    assert set(ORDER.split()) <= set(linear)
    assert set(spot) >= set(ORDER.split()) - {"createType", "tpslMode", "closedPnl", "lastPriceOnCreated"}
    assert not {"tpslMode", "createType"} & set(spot)
    assert set(EXECUTION.split()) <= set(rows(frames, "execution")[0])
    assert set(POSITION.split()) == set(rows(frames, "position")[0])
    assert set(WALLET.split()) == set(rows(frames, "wallet")[0])
    assert set(COIN.split()) == set(rows(frames, "wallet")[0]["coin"][0])
    assert all(x["id"] for x in frames)
    assert {x["creationTime"] for x in frames[:-1]} == {(venue.now - 20_000_000) // 1_000_000}


def test_positions_are_told_on_every_action_and_the_wallet_a_little_later(venue):
    connection = venue.private("position", "wallet")
    order_id = venue.order()
    venue.post("order/amend", category="linear", symbol="BTCUSDT", orderId=order_id, qty="0.2")
    venue.post("order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    assert [x["topic"] for x in venue.heard(connection)] == ["position"] * 3
    venue.order(category="spot", qty="1")
    assert venue.heard(connection) == []
    venue.pass_time()
    (frame,) = venue.heard(connection)
    coins = {x["coin"]: x for x in frame["data"][0]["coin"]}
    assert coins["USDT"]["locked"] == "9900"


def test_nobody_hears_of_another_account(two_accounts):
    venue = two_accounts
    mine = venue.open("/v5/private", login=True)
    other = venue.open("/v5/private", login=True, key="second", secret="second")
    for connection in (mine, other):
        venue.say(connection, op="subscribe", args=["order", "execution", "position", "wallet"])
    venue.order(orderType="Market")
    venue.pass_time()
    frames = venue.fake.take()
    assert {to for to, _ in frames} == {mine}


def test_a_topic_by_category_hears_its_category_only(venue):
    connection = venue.private("order.spot", "execution.linear")
    venue.order(orderType="Market")
    venue.order(category="spot", qty="0.1")
    assert [x["topic"] for x in venue.heard(connection)] == ["execution.linear", "order.spot"]


def test_the_liquidation_price_of_a_short_is_above_and_of_a_small_long_is_nowhere(venue):
    venue.order(side="Sell", orderType="Market", qty="4")
    short = Decimal(venue.position()["liqPrice"] or "0")
    assert short == 0 or short > 10000
    venue.post("account/set-margin-mode", setMarginMode="ISOLATED_MARGIN")
    assert 10000 < Decimal(venue.position()["liqPrice"]) < 11100


def test_all_private_topics_are_taken_and_others_are_not(venue):
    assert BybitFake.strict is False
    for topics, ok in (
        (["order", "execution", "execution.fast", "position", "wallet", "greeks"], True),
        (["order.linear", "execution.fast.linear", "position.linear"], True),
        (["dcp.future", "dcp.spot"], True),
        (["nonsense"], False),
        (["order", "order.spot"], False),
    ):
        connection = venue.open("/v5/private", login=True)
        (answer,) = venue.say(connection, op="subscribe", args=topics)
        assert answer["success"] is ok
