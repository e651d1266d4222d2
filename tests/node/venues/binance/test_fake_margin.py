"""USD-M balances, positions, margin and modes."""

from decimal import Decimal

import pytest
from binance_venue import NOW, Rest, events, user_line, venue

from node.venues.binance.rules import BINANCE_USDM

MARKET = {"type": "MARKET", "timeInForce": None, "price": None}


def opened(quantity="0.100"):
    fake = venue()
    client = Rest(fake)
    assert client.place(BINANCE_USDM, quantity=quantity, **MARKET)[0] == 200
    return fake, client


def test_balances_agree_between_versions():
    _, client = opened()
    v2, v3 = (client.get(f"/fapi/{x}/balance")[1] for x in ("v2", "v3"))
    assert v2 == v3
    row = next(x for x in v3 if x["asset"] == "USDT")
    fee = Decimal("60000.1") * Decimal("0.1") * Decimal("0.0005")
    assert Decimal(row["balance"]) == 10_000_000 - fee
    assert Decimal(row["availableBalance"]) < Decimal(row["balance"])


def test_the_account_adds_up():
    _, client = opened()
    for version in ("v2", "v3"):
        body = client.get(f"/fapi/{version}/account")[1]
        usdt = next(x for x in body["assets"] if x["asset"] == "USDT")
        assert Decimal(usdt["marginBalance"]) == Decimal(usdt["walletBalance"]) + Decimal(
            usdt["unrealizedProfit"]
        )
        assert body["totalWalletBalance"] == usdt["walletBalance"]
        (row,) = body["positions"]
        assert (row["symbol"], row["positionAmt"], row["positionSide"]) == ("BTCUSDT", "0.100", "BOTH")
    assert client.get("/fapi/v2/account")[1]["positions"][0]["leverage"] == "20"


def test_position_risk_v3_lists_what_is_held_or_ordered():
    client = Rest(venue())
    assert client.get("/fapi/v3/positionRisk")[1] == []
    client.place(BINANCE_USDM)
    (row,) = client.get("/fapi/v3/positionRisk")[1]
    assert (row["positionAmt"], "leverage" in row) == ("0.000", False)
    (row,) = client.get("/fapi/v2/positionRisk")[1]
    assert (row["leverage"], row["marginType"]) == ("20", "cross")


def test_the_liquidation_price_is_where_margin_meets_maintenance():
    fake, client = opened()
    account = fake.accounts[1]
    account.balance("USDT", "usdm").total = Decimal(1000)
    (row,) = client.get("/fapi/v3/positionRisk")[1]
    price, size, entry = Decimal(row["liquidationPrice"]), Decimal("0.1"), Decimal("60000.1")
    assert abs((Decimal(1000) + size * (price - entry)) - size * price * Decimal("0.004")) < Decimal("0.05")


@pytest.mark.parametrize(("value", "code"), [(10, None), (0, -4028), (126, -4028), ("x", -1100)])
def test_leverage_is_set_within_its_limits(value, code):
    fake = venue()
    user_line(fake, BINANCE_USDM)
    body = Rest(fake).post("/fapi/v1/leverage", symbol="BTCUSDT", leverage=value)[1]
    assert body.get("code") == code
    assert [x["ac"]["l"] for x in events(fake)] == ([10] if code is None else [])


def test_margin_type_and_modes_change_only_while_nothing_is_open():
    fake, client = opened()
    isolated = {"symbol": "BTCUSDT", "marginType": "ISOLATED"}
    assert client.post("/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED")[1]["code"] == -4046
    assert client.post("/fapi/v1/marginType", **isolated)[1]["code"] == -4048
    client.place(BINANCE_USDM, side="SELL", quantity="0.100", **MARKET)
    client.place(BINANCE_USDM)
    assert client.post("/fapi/v1/marginType", **isolated)[1]["code"] == -4047
    assert client.post("/fapi/v1/positionSide/dual", dualSidePosition="true")[1]["code"] == -4067
    client.delete("/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert client.post("/fapi/v1/marginType", **isolated)[1]["code"] == 200
    assert client.get("/fapi/v1/symbolConfig")[1][0]["marginType"] == "ISOLATED"
    assert client.post("/fapi/v1/multiAssetsMargin", multiAssetsMargin="true")[1]["code"] == -4167
    assert client.post("/fapi/v1/multiAssetsMargin", multiAssetsMargin="false")[1]["code"] == -4171
    assert client.get("/fapi/v1/positionSide/dual")[1] == {"dualSidePosition": False}
    assert fake.accounts[1].hedge is False


def test_brackets_rise_and_their_sums_fit():
    (row,) = Rest(venue()).get("/fapi/v1/leverageBracket", symbol="BTCUSDT")[1]
    cum = floor = before = Decimal(0)
    for x in row["brackets"]:
        rate = Decimal(str(x["maintMarginRatio"]))
        cum += floor * (rate - before)
        assert (x["notionalFloor"], Decimal(str(x["cum"]))) == (floor, cum)
        floor, before = Decimal(x["notionalCap"]), rate


def test_trades_and_income_tell_the_same_story():
    fake, client = opened()
    client.place(BINANCE_USDM, side="SELL", quantity="0.100", **MARKET)
    trades = client.get("/fapi/v1/userTrades", symbol="BTCUSDT")[1]
    incomes = client.get("/fapi/v1/income")[1]
    for kind, name in (("COMMISSION", "commission"), ("REALIZED_PNL", "realizedPnl")):
        mine = sum(Decimal(x["income"]) for x in incomes if x["incomeType"] == kind)
        told = sum(Decimal(x[name]) for x in trades)
        assert mine == (-told if kind == "COMMISSION" else told)
    wallet = fake.accounts[1].balance("USDT", "usdm").total
    assert wallet == 10_000_000 + sum(Decimal(x["income"]) for x in incomes)
    assert client.get("/fapi/v1/income", incomeType="FUNDING_FEE")[1] == []
    assert client.get("/fapi/v1/userTrades", symbol="BTCUSDT", fromId=trades[-1]["id"])[1] == trades[-1:]


def test_small_requests_are_answered():
    client = Rest(venue())
    assert client.get("/fapi/v1/commissionRate", symbol="BTCUSDT")[1]["takerCommissionRate"] == "0.0005"
    assert client.get("/fapi/v1/accountConfig")[1]["dualSidePosition"] is False
    assert client.get("/fapi/v1/apiTradingStatus")[1]["updateTime"] == NOW // 10**6
    assert client.get("/fapi/v1/feeBurn")[1] == {"feeBurn": False}
    assert client.get("/fapi/v1/adlQuantile")[1][0]["symbol"] == "BTCUSDT"
    assert client.post("/fapi/v1/positionMargin", symbol="BTCUSDT", amount="1", type="1")[1]["code"] == -4046
