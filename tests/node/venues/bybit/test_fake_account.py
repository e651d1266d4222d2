"""Positions and their settings, wallet, transaction log, assets, keys."""

from decimal import Decimal

LEVERAGE = {"category": "linear", "symbol": "BTCUSDT"}


def wallet(venue, coin="USDT"):
    (row,) = venue.get("account/wallet-balance", accountType="UNIFIED", coin=coin)["list"]
    return row, row["coin"][0]


def test_a_position_is_there_by_symbol_even_when_flat_and_by_coin_only_when_open(venue):
    assert venue.position()["side"] == ""
    assert venue.get("position/list", category="linear", settleCoin="USDT")["list"] == []
    venue.order(side="Sell", orderType="Market", qty="0.5")
    (row,) = venue.get("position/list", category="linear", settleCoin="USDT")["list"]
    assert (row["side"], row["size"], row["avgPrice"], row["leverage"]) == ("Sell", "0.5", "9999.9", "10")
    assert float(row["positionIM"]) > float(row["positionMM"]) > 0
    venue.get("position/list", 10001, category="linear")
    assert venue.get("position/list", category="inverse", symbol="BTCUSD")["list"] == []


def test_leverage_has_two_decimals_and_must_change(venue):
    venue.post("position/set-leverage", **LEVERAGE, buyLeverage="12.5", sellLeverage="12.5")
    assert venue.position()["leverage"] == "12.5"
    venue.post("position/set-leverage", 110043, **LEVERAGE, buyLeverage="12.50", sellLeverage="12.5")
    venue.post("position/set-leverage", 110013, **LEVERAGE, buyLeverage="101", sellLeverage="101")
    venue.post("position/set-leverage", 10001, **LEVERAGE, buyLeverage="10", sellLeverage="11")
    venue.post("position/set-leverage", 10001, **LEVERAGE, buyLeverage=10, sellLeverage=10)
    venue.fake.strike(venue.fake.faults.add("acct.leverage", leverage=50), venue.now)
    assert venue.position()["leverage"] == "50"


def test_both_legs_are_held_in_hedge_mode(venue):
    venue.post("position/switch-mode", 110025, **LEVERAGE, mode=0)
    venue.post("position/switch-mode", **LEVERAGE, mode=3)
    venue.order(10001, orderType="Market")
    venue.order(orderType="Market", qty="0.3", positionIdx=1)
    venue.order(side="Sell", orderType="Market", qty="0.2", positionIdx=2)
    assert [(venue.position(i)["side"], venue.position(i)["size"]) for i in (1, 2)] == [
        ("Buy", "0.3"),
        ("Sell", "0.2"),
    ]
    venue.order(side="Sell", orderType="Market", qty="1", positionIdx=1, reduceOnly=True)
    assert venue.position(1)["size"] == "0"
    venue.post("position/switch-mode", 110024, **LEVERAGE, mode=0)
    venue.order(orderType="Market", qty="0.2", positionIdx=2, reduceOnly=True)
    order_id = venue.order(positionIdx=1)
    venue.post("position/switch-mode", 110028, **LEVERAGE, mode=0)
    venue.post("order/cancel", **LEVERAGE, orderId=order_id)
    venue.post("position/switch-mode", **LEVERAGE, mode=0)


def test_the_wallet_adds_up(venue):
    before = venue.account.balance("USDT").total
    venue.order(orderType="Market", qty="1")
    total, coin = wallet(venue)
    fee = Decimal("10000.1") * Decimal("0.00055")
    assert Decimal(coin["walletBalance"]) == before - fee
    assert Decimal(coin["equity"]) == Decimal(coin["walletBalance"]) + Decimal(coin["unrealisedPnl"])
    assert Decimal(total["totalMarginBalance"]) == Decimal(total["totalWalletBalance"]) + Decimal(
        total["totalPerpUPL"]
    )
    assert Decimal(coin["totalPositionIM"]) > 0
    venue.order(qty="1", price="9000")
    assert Decimal(wallet(venue)[1]["totalOrderIM"]) == Decimal(900)
    venue.order(category="spot", qty="1", price="9000")
    assert wallet(venue)[1]["locked"] == "9000"
    venue.get("account/wallet-balance", 10001, accountType="SPOT")
    venue.get("account/wallet-balance", 10001, accountType="UNIFIED", coin="NOPE")


def test_a_spot_buy_pays_its_fee_in_base_and_a_sell_in_quote(venue):
    start = {x: venue.account.balance(x).total for x in ("BTC", "USDT")}
    buy = venue.order(category="spot", price="10000.1", qty="1")
    assert venue.row(buy, "spot")["cumFeeDetail"] == {"BTC": "0.001"}
    assert venue.account.balance("BTC").total - start["BTC"] == Decimal("0.999")
    sell = venue.order(category="spot", side="Sell", price="9999.9", qty="1")
    assert venue.row(sell, "spot")["cumFeeDetail"] == {"USDT": "9.9999"}


def test_a_rebate_is_paid_in_the_other_coin(venue):
    venue.account.fee_rates[venue.spot.key] = (Decimal("-0.0001"), Decimal("0.001"))
    order_id = venue.order(category="spot", price="9999.9", qty="1")
    venue.spot.engine.trade(1, 99_999, 6_000_000)
    venue.pass_time()
    assert venue.row(order_id, "spot")["cumFeeDetail"] == {"USDT": "-0.99999"}


def test_the_transaction_log_explains_every_balance(venue):
    start = {x: venue.account.balance(x).total for x in ("BTC", "USDT")}
    venue.order(orderType="Market", qty="1")
    venue.order(category="spot", price="10000.1", qty="1")
    venue.order(side="Sell", orderType="Market", qty="1")
    venue.fake.strike(venue.fake.faults.add("acct.deposit", coin="USDT", amount="250"), venue.now)
    rows = venue.get("account/transaction-log", accountType="UNIFIED", limit=50)["list"]
    for coin, before in start.items():
        mine = [x for x in rows if x["currency"] == coin]
        assert sum(Decimal(x["change"]) for x in mine) == venue.account.balance(coin).total - before
        assert Decimal(mine[0]["cashBalance"]) == venue.account.balance(coin).total
    assert {x["type"] for x in rows} == {"TRADE", "TRANSFER_IN"}
    assert len({x["id"] for x in rows}) == len(rows)


def test_the_margin_mode_is_that_of_the_account(venue):
    assert venue.get("account/info")["marginMode"] == "REGULAR_MARGIN"
    venue.post("account/set-margin-mode", 110026, setMarginMode="REGULAR_MARGIN")
    venue.post("account/set-margin-mode", 3400045, setMarginMode="PORTFOLIO_MARGIN")
    venue.post("position/set-auto-add-margin", 110076, **LEVERAGE, autoAddMargin=1)
    venue.post("account/set-margin-mode", setMarginMode="ISOLATED_MARGIN")
    venue.post("position/set-auto-add-margin", **LEVERAGE, autoAddMargin=1)
    assert venue.position()["autoAddMargin"] == 1
    venue.post("position/switch-isolated", 100028, **LEVERAGE, tradeMode=1, buyLeverage="5", sellLeverage="5")


def test_a_key_tells_what_it_may(two_accounts):
    def info(key, ip="127.0.0.1"):
        return two_accounts.raw("GET", "/v5/user/query-api", "", key=key, secret=key, ip=ip)[1]["result"]

    mine = info("simulated")
    assert (mine["readOnly"], mine["uta"], mine["ips"]) == (0, 1, ["*"])
    assert mine["permissions"]["ContractTrade"] == ["Order", "Position"]
    reader = info("reader")
    assert (reader["readOnly"], reader["permissions"]["Spot"]) == (1, [])
    bound = info("bound", "10.1.2.3")
    assert (bound["ips"], bound["deadlineDay"]) == (["10.1.2.3"], 0)
    assert bound["expiredAt"].startswith("2024-03-21T")


def test_assets_and_borrowing_are_answered(venue):
    rows = venue.get("asset/coin/query-info", coin="BTC")["rows"]
    assert [x["coin"] for x in rows] == ["BTC"]
    balance = venue.get("asset/transfer/query-account-coins-balance", accountType="UNIFIED", coin="USDT,BTC")[
        "balance"
    ]
    assert [x["coin"] for x in balance] == ["USDT", "BTC"]
    venue.get("asset/transfer/query-account-coins-balance", 131002, accountType="UNIFIED")
    one = venue.get("asset/transfer/query-account-coin-balance", accountType="FUND", coin="USDT")
    assert one["balance"]["walletBalance"] == "0"
    check = venue.get("order/spot-borrow-check", category="spot", symbol="BTCUSDT", side="Sell")
    assert check["spotMaxTradeQty"] == "10000"
    before = venue.post("order/pre-check", **LEVERAGE, side="Buy", orderType="Limit", qty="1", price="9900")
    assert before["postImrE4"] >= before["preImrE4"]
    assert venue.fake.orders == {}


def test_drift_of_a_position_is_told_to_nobody(venue):
    positions = venue.private("position")
    venue.fake.strike(
        venue.fake.faults.add("acct.drift", symbol="BTCUSDT", market=venue.linear.market, lots=5), venue.now
    )
    assert venue.heard(positions) == []
    assert venue.position()["size"] == "0.005"
