"""Accounts: rows that add up, pushes that follow, settings that hold."""

import itertools
from decimal import Decimal

import pytest
from okx_client import PRIVATE, SWAP, Venue, code, rows_of

from node.venues.fakes import MS, SECOND

BOTH = {"channel": "balance_and_position"}
HOUR = 3600 * SECOND


def balance(venue: Venue, coin: str) -> dict:
    ((row,),) = [x["details"] for x in venue.get(f"account/balance?ccy={coin}")]
    return row


def watch(venue: Venue, *args: dict):
    connection = venue.open(PRIVATE)
    frames = venue.subscribe(connection, *args)
    return connection, frames


# ---- rows ----


def test_a_spot_trade_moves_both_coins_and_the_fee_is_in_the_bought_one():
    venue = Venue()
    usdt, btc = Decimal(balance(venue, "USDT")["cashBal"]), Decimal(balance(venue, "BTC")["cashBal"])
    venue.place(instId="BTC-USDT", tdMode="cash", px="60000.1", sz="0.000001", ordType="ioc")
    assert Decimal(balance(venue, "USDT")["cashBal"]) == usdt - Decimal("0.0600001")
    assert Decimal(balance(venue, "BTC")["cashBal"]) == btc + Decimal("0.000001") - Decimal("0.000000001")
    (fill,) = venue.get("trade/fills?instType=SPOT")
    assert (fill["fee"], fill["feeCcy"], fill["feeRate"]) == ("-0.000000001", "BTC", "-0.001")


def test_a_position_has_the_sums_of_its_fills():
    venue = Venue()
    venue.place(ordType="market", sz="3")
    (row,) = venue.get("account/positions?instType=SWAP")
    assert (row["pos"], row["posSide"], row["mgnMode"], row["ccy"]) == ("3", "net", "cross", "USDT")
    assert row["avgPx"] == "60000.166666666667"
    assert Decimal(row["upl"]) == (Decimal(row["markPx"]) - Decimal("60000.1666666666667")).quantize(
        Decimal("0.0001")
    ) * Decimal("0.03") or row["upl"].startswith("-0.00")
    assert Decimal(row["imr"]) == Decimal(row["notionalUsd"]) / 20
    detail = balance(venue, "USDT")
    assert Decimal(detail["imr"]) >= Decimal(row["imr"])
    assert Decimal(detail["eq"]) == Decimal(detail["cashBal"]) + Decimal(row["upl"])
    assert venue.get("account/positions?instType=SPOT") == []
    assert venue.get(f"account/positions?posId={row['posId']}") == venue.get("account/positions")


def test_a_short_position_is_negative_and_a_closed_one_is_history():
    venue = Venue()
    venue.place(side="sell", ordType="market", sz="1")
    (row,) = venue.get("account/positions")
    assert row["pos"] == "-1"
    venue.place(ordType="market", sz="1")
    assert venue.get("account/positions") == []
    (past,) = venue.get("account/positions-history?instType=SWAP")
    assert (past["direction"], past["openAvgPx"], past["closeAvgPx"]) == ("short", "59999.9", "60000.1")
    assert (past["pnl"], past["closeTotalPos"], past["type"]) == ("-0.002", "1", "2")
    assert Decimal(past["realizedPnl"]) == Decimal(past["pnl"]) + Decimal(past["fee"])


def test_an_order_through_zero_is_two_positions():
    venue = Venue()
    venue.place(ordType="market", sz="1")
    venue.place(side="sell", ordType="market", sz="1.5")
    assert [x["pos"] for x in venue.get("account/positions")] == ["-0.5"]
    assert [x["direction"] for x in venue.get("account/positions-history")] == ["long"]


def test_an_isolated_position_has_margin_of_its_own():
    venue = Venue()
    venue.place(tdMode="isolated", ordType="market")
    (row,) = venue.get("account/positions")
    assert (row["mgnMode"], row["imr"]) == ("isolated", "")
    assert Decimal(row["margin"]) == Decimal("600.001") / 20
    body = {"instId": "BTC-USDT-SWAP", "posSide": "net", "type": "add", "amt": "10"}
    assert venue.post("account/position/margin-balance", body)["code"] == "0"
    (more,) = venue.get("account/positions")
    assert Decimal(more["margin"]) == Decimal(row["margin"]) + 10
    assert Decimal(more["liqPx"]) < Decimal(row["liqPx"]) < Decimal(row["avgPx"])
    venue.place(side="sell", ordType="market")
    assert venue.post("account/position/margin-balance", body)["code"] == "51023"


def test_every_coin_is_explained_by_its_bills():
    venue = Venue()
    start = {x: Decimal(balance(venue, x)["cashBal"]) for x in ("USDT", "BTC")}
    venue.place(instId="BTC-USDT", tdMode="cash", ordType="market", sz="0.1")
    venue.place(ordType="market", sz="2")
    venue.strike("acct.deposit", coin="USDT", amount="5")
    venue.now += 9 * HOUR
    venue.fake.tick(venue.now)
    venue.place(side="sell", ordType="market", sz="2")
    bills = venue.get("account/bills")
    for coin, before in start.items():
        mine = [x for x in bills if x["ccy"] == coin]
        assert before + sum(Decimal(x["balChg"]) for x in mine) == Decimal(balance(venue, coin)["cashBal"])
        assert Decimal(mine[0]["bal"]) == Decimal(balance(venue, coin)["cashBal"])
        for newer, older in itertools.pairwise(mine):
            assert Decimal(newer["bal"]) - Decimal(newer["balChg"]) == Decimal(older["bal"])
    assert {(x["type"], x["subType"]) for x in bills} == {("2", "1"), ("2", "2"), ("1", "11"), ("8", "173")}
    (funding,) = venue.get("account/bills?type=8")
    assert funding["instId"] == "BTC-USDT-SWAP"
    ids = [int(x["billId"]) for x in bills]
    assert ids == sorted(ids, reverse=True)
    assert len(venue.get(f"account/bills?after={ids[2]}&limit=2")) == 2


def test_settings_are_kept_and_guarded():
    venue = Venue()
    lever = {"instId": "BTC-USDT-SWAP", "lever": "7", "mgnMode": "cross"}
    assert venue.post("account/set-leverage", lever)["data"][0]["lever"] == "7"
    (row,) = venue.get("account/leverage-info?instId=BTC-USDT-SWAP&mgnMode=cross")
    assert (row["lever"], row["posSide"]) == ("7", "net")
    for change, want in (
        ({"lever": "1000"}, "59102"),
        ({"lever": "0"}, "51000"),
        ({"mgnMode": "both"}, "51000"),
        ({"instId": ""}, "50015"),
        ({"instId": "BTC-USDT"}, "51010"),
    ):
        assert venue.post("account/set-leverage", lever | change)["code"] == want
    venue.place()
    assert venue.post("account/set-leverage", lever)["code"] == "59107"
    assert venue.post("account/set-position-mode", {"posMode": "long_short_mode"})["code"] == "59000"
    assert venue.post("account/set-position-mode", {"posMode": "net_mode"})["code"] == "0"
    assert venue.post("account/set-account-stp-mode", {"stpMode": "cancel_taker"})["code"] == "0"
    config = venue.get("account/config")[0]
    assert (config["acctLv"], config["posMode"], config["acctStpMode"]) == ("2", "net_mode", "cancel_taker")


@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("account/max-size?instId=BTC-USDT-SWAP&tdMode=cross", 1),
        ("account/max-size?instId=BTC-USDT,BTC-USDT-SWAP&tdMode=cross", 2),
        ("account/max-avail-size?instId=BTC-USDT&tdMode=cash", 1),
        ("account/max-withdrawal?ccy=USDT", 1),
        ("account/trade-fee?instType=SWAP&instFamily=BTC-USDT", 1),
        ("account/instruments?instType=SPOT", 1),
        ("account/interest-rate", 2),
        ("account/interest-accrued", 0),
        ("account/account-position-risk", 1),
        ("account/risk-state", 1),
        ("asset/currencies", 2),
        ("asset/currencies?ccy=BTC", 1),
        ("asset/asset-valuation", 1),
        ("users/subaccount/list", 0),
    ],
)
def test_a_private_call_is_answered(path, rows):
    assert len(Venue().get(path)) == rows


def test_a_transfer_moves_between_the_two_purses():
    venue = Venue()
    before = Decimal(balance(venue, "USDT")["cashBal"])
    body = {"ccy": "USDT", "amt": "5", "from": "18", "to": "6"}
    number = venue.post("asset/transfer", body)["data"][0]["transId"]
    assert Decimal(balance(venue, "USDT")["cashBal"]) == before - 5
    assert venue.get("asset/balances")[0]["bal"] == "5"
    assert venue.get(f"asset/transfer-state?transId={number}")[0]["state"] == "success"
    back = {"ccy": "USDT", "amt": "6", "from": "6", "to": "18"}
    assert venue.post("asset/transfer", back)["code"] == "58350"


# ---- pushes ----


def test_snapshots_come_first_and_in_pages():
    venue = Venue()
    venue.place(ordType="market")
    _, frames = watch(venue, {"channel": "account"}, {"channel": "positions", "instType": "ANY"}, BOTH)
    pushes = {x["arg"]["channel"]: x for x in frames if "data" in x}
    for channel in ("account", "positions"):
        push = pushes[channel]
        assert (push["eventType"], push["curPage"], push["lastPage"]) == ("snapshot", 1, True)
        assert push["arg"]["uid"]
    assert len(pushes["account"]["data"][0]["details"]) == 2
    assert pushes["balance_and_position"]["data"][0]["eventType"] == "snapshot"
    assert pushes["positions"]["data"][0]["pos"] == "1"


def test_a_fill_is_told_at_once_and_then_gathered():
    venue = Venue()
    connection, _ = watch(venue, {"channel": "account"}, {"channel": "positions", "instType": "SWAP"}, BOTH)
    venue.place(ordType="market", sz="3")
    frames = venue.take(connection)
    assert {x["arg"]["channel"] for x in frames} == {"balance_and_position"}
    rows = rows_of(frames, "balance_and_position")
    assert [x["eventType"] for x in rows] == ["filled"] * 2
    assert rows[-1]["posData"][0]["pos"] == "3"
    assert rows[-1]["trades"][0]["tradeId"] == rows[-1]["posData"][0]["tradeId"]
    frames = venue.wait(connection, 60 * MS)
    assert [x["eventType"] for x in frames] == ["event_update"] * 2, "gathered into one of each"
    assert "curPage" not in frames[0]


def test_a_closed_position_is_told_once_with_nothing_in_it():
    venue = Venue()
    venue.place(ordType="market")
    connection, _ = watch(venue, {"channel": "positions", "instType": "ANY"})
    venue.place(side="sell", ordType="market")
    (row,) = rows_of(venue.wait(connection, 100 * MS), "positions")
    assert (row["pos"], row["avgPx"]) == ("0", "")
    assert rows_of(venue.wait(connection, 6 * SECOND, SECOND), "positions") == []


@pytest.mark.parametrize(("interval", "pushes"), [("0", 0), ("2000", 5), ("", 2)])
def test_how_often_a_regular_snapshot_comes_is_up_to_the_client(interval, pushes):
    venue = Venue()
    arg = {"channel": "account", "extraParams": f'{{"updateInterval": "{interval}"}}'}
    connection, frames = watch(venue, arg)
    assert "extraParams" not in next(x for x in frames if "data" in x)["arg"]
    assert len(rows_of(venue.wait(connection, 11 * SECOND, 500 * MS), "account")) == pushes


def test_a_resting_order_holds_money_and_account_says_so():
    venue = Venue()
    connection, _ = watch(venue, {"channel": "account", "ccy": "USDT"})
    venue.place(instId="BTC-USDT", tdMode="cash", px="50000", sz="0.1", clOrdId="m1")
    assert balance(venue, "USDT")["ordFrozen"] == "5000"
    venue.post("trade/cancel-order", {"instId": "BTC-USDT", "clOrdId": "m1"})
    (row,) = rows_of(venue.wait(connection, 100 * MS), "account")
    assert row["details"][0]["ordFrozen"] == "0"


@pytest.mark.parametrize(
    ("name", "event"),
    [("acct.deposit", "transferred"), ("acct.withdraw", "transferred"), ("acct.funding", "funding_fee")],
)
def test_what_no_trade_made_is_told_with_its_event(name, event):
    venue = Venue()
    venue.place(ordType="market")
    connection, _ = watch(venue, BOTH)
    venue.strike(name)
    (row,) = rows_of(venue.take(connection), "balance_and_position")
    assert row["eventType"] == event
    assert row["balData"][0]["ccy"] == "USDT"


def test_drift_is_told_by_nobody():
    venue = Venue()
    connection, _ = watch(venue, BOTH, {"channel": "account"})
    before = Decimal(balance(venue, "USDT")["cashBal"])
    venue.strike("acct.drift", coin="USDT", amount="0.5")
    assert Decimal(balance(venue, "USDT")["cashBal"]) == before + Decimal("0.5")
    assert venue.wait(connection, SECOND, 100 * MS) == []
    assert venue.get("account/bills") == []


def test_private_channels_want_their_type():
    venue = Venue()
    connection = venue.open(PRIVATE)
    assert code(venue.subscribe(connection, {"channel": "positions"})) == "60018"
    assert code(venue.subscribe(connection, {"channel": "orders", "instType": "NONE"})) == "60018"
    frames = venue.subscribe(connection, {"channel": "liquidation-warning", "instType": "SWAP"})
    assert frames[0]["event"] == "subscribe"


def test_a_leverage_changed_by_somebody_shows_in_the_position():
    venue = Venue()
    venue.order(venue.private(), **SWAP, ordType="market", px=None)
    connection, _ = watch(venue, {"channel": "positions", "instType": "ANY"})
    venue.strike("acct.leverage", leverage=50)
    (row,) = rows_of(venue.wait(connection, 100 * MS), "positions")
    assert row["lever"] == "50"
