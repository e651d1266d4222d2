"""Spot account requests and what is asked of `/sapi`."""

from decimal import Decimal

from binance_venue import NOW, Rest, venue

from node.venues.binance.rules import BINANCE_SPOT
from node.venues.fakes import MS


def test_the_account_has_documented_members_and_exact_balances():
    client = Rest(venue())
    client.place(BINANCE_SPOT)
    status, body = client.get("/api/v3/account")
    assert status == 200
    assert {"makerCommission", "commissionRates", "canTrade", "accountType", "permissions", "uid"} <= set(
        body
    )
    rows = {x["asset"]: x for x in body["balances"]}
    assert rows["USDT"] == {"asset": "USDT", "free": "9999940.10000000", "locked": "59.90000000"}


def test_zero_balances_may_be_left_out():
    fake = venue()
    fake.accounts[1].balance("XRP")
    client = Rest(fake)
    assert "XRP" in {x["asset"] for x in client.get("/api/v3/account")[1]["balances"]}
    assert "XRP" not in {
        x["asset"] for x in client.get("/api/v3/account", omitZeroBalances="true")[1]["balances"]
    }


def test_own_trades_are_found_by_order_and_by_id():
    client = Rest(venue())
    numbers = [client.place(BINANCE_SPOT, price="6000.05", quantity="0.015")[1]["orderId"] for _ in range(2)]
    rows = client.get("/api/v3/myTrades", symbol="BTCUSDT")[1]
    assert [x["orderId"] for x in rows] == [numbers[0]] * 2 + [numbers[1]] * 2
    assert sum(Decimal(x["qty"]) for x in rows) == Decimal("0.03")
    assert all(x["isBuyer"] and not x["isMaker"] and x["commissionAsset"] == "BTC" for x in rows)
    assert client.get("/api/v3/myTrades", symbol="BTCUSDT", orderId=numbers[1])[1] == rows[2:]
    assert client.get("/api/v3/myTrades", symbol="BTCUSDT", fromId=rows[1]["id"])[1] == rows[1:]
    assert client.get("/api/v3/myTrades", symbol="BTCUSDT", limit=1)[1] == rows[-1:]
    assert client.get("/api/v3/myTrades", symbol="BTCUSDT", startTime=NOW // MS + 1)[1] == []
    far = {"startTime": 1, "endTime": 2 * 86_400_000}
    assert client.get("/api/v3/myTrades", symbol="BTCUSDT", **far)[1]["code"] == -1127


def test_the_unfilled_order_count_is_told_and_falls_with_the_first_fill():
    client = Rest(venue())
    for _ in range(3):
        client.place(BINANCE_SPOT)
    assert [x["count"] for x in client.get("/api/v3/rateLimit/order")[1]] == [3, 3]
    client.place(BINANCE_SPOT, price="6000.01", quantity="0.001")
    assert [x["count"] for x in client.get("/api/v3/rateLimit/order")[1]] == [3, 3]


def test_commission_has_three_parts():
    body = Rest(venue()).get("/api/v3/account/commission", symbol="BTCUSDT")[1]
    assert body["standardCommission"]["taker"] == "0.00100000"
    assert {"specialCommission", "taxCommission", "discount"} <= set(body)


def test_what_clients_ask_of_sapi_is_answered():
    client = Rest(venue())
    coins = client.get("/sapi/v1/capital/config/getall")[1]
    assert {x["coin"] for x in coins} == {"BNB", "BTC", "USDT"}
    assert all(x["networkList"] for x in coins)
    assert client.get("/sapi/v1/account/apiRestrictions")[1]["enableSpotAndMarginTrading"]
    assert client.get("/sapi/v1/asset/tradeFee", symbol="BTCUSDT")[1][0]["takerCommission"] == "0.001"
    assert client.get("/sapi/v1/system/status", sign_it=False)[1] == {"status": 0, "msg": "normal"}
    assert client.get("/sapi/v1/account/status")[1] == {"data": "Normal"}
