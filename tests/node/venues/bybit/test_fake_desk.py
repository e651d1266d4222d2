"""Orders in the venue: what is told of them, in which order; amend, cancel, batches; the faults of orders."""

import json

import pytest

from node.venues.fakes import BUY, SELL

MS, S = 1_000_000, 1_000_000_000


def statuses(frames, topic="order"):
    return [x["data"][0]["orderStatus"] for x in frames if x["topic"].startswith(topic)]


@pytest.fixture
def both(venue):
    """A trade connection and a private one that hears of orders and executions."""
    return venue.open("/v5/trade", login=True), venue.private("order", "execution", "execution.fast")


def place(venue, trade, op="order.create", **wish):
    order = {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.1",
        "price": "9900.0",
    }
    venue.fake.take()
    venue.requests += 1
    header = {"X-BAPI-TIMESTAMP": str(venue.now // MS)}
    wish = wish if op != "order.create" else order | wish
    message = {"reqId": f"r{venue.requests}", "header": header, "op": op, "args": [wish]}
    venue.fake.hear(trade, json.dumps(message), venue.now)
    frames = [(to, json.loads(text)) for to, text in venue.fake.take()]
    return [x for to, x in frames if to is trade], [x for to, x in frames if to is not trade]


def test_an_order_is_new_then_partly_filled_then_filled(venue, both):
    ack, told = place(venue, both[0], price="9999.9", orderLinkId="a")
    assert ack[0]["data"]["orderLinkId"] == "a"
    assert statuses(told) == ["New"]
    venue.linear.engine.trade(SELL, 99_999, 5_040)
    venue.pass_time()
    part = venue.heard(both[1])
    assert [x["topic"] for x in part] == ["execution.fast", "execution", "order"]
    assert part[0]["data"][0]["orderLinkId"] == ""  # a maker's
    assert part[1]["data"][0]["execType"] == "Trade"
    assert part[1]["id"] == part[2]["id"]
    assert statuses(part) == ["PartiallyFilled"]
    venue.linear.engine.trade(SELL, 99_999, 60)
    venue.pass_time()
    row = venue.heard(both[1])[-1]["data"][0]
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"], row["avgPrice"]) == (
        "Filled",
        "0.1",
        "0",
        "9999.9",
    )
    assert list(row["cumFeeDetail"]) == ["USDT"]


@pytest.mark.parametrize(
    ("changes", "status", "why"),
    [
        ({"price": "10000.1", "timeInForce": "PostOnly"}, "Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ({"price": "9900", "timeInForce": "IOC"}, "Cancelled", "EC_NoImmediateQtyToFill"),
        ({"price": "10000.1", "qty": "6", "timeInForce": "FOK"}, "Cancelled", "EC_NoEnoughQtyToFill"),
        (
            {"category": "spot", "price": "10000.1", "timeInForce": "PostOnly"},
            "Rejected",
            "EC_PostOnlyWillTakeLiquidity",
        ),
        (
            {"category": "spot", "price": "10000.1", "qty": "6", "timeInForce": "IOC"},
            "PartiallyFilledCanceled",
            "EC_NoImmediateQtyToFill",
        ),
    ],
)
def test_an_order_that_cannot_stay_is_acknowledged_and_then_ended(venue, both, changes, status, why):
    ack, told = place(venue, both[0], **changes)
    assert ack[0]["retCode"] == 0
    row = [x for x in told if x["topic"] == "order"][-1]["data"][0]
    assert (row["orderStatus"], row["rejectReason"], row["leavesQty"]) == (status, why, "0")


def test_an_amend_keeps_the_ids_and_counts_the_whole_size(venue):
    order_id = venue.order(price="9999.9", orderLinkId="a")
    venue.linear.engine.trade(SELL, 99_999, 5_040)
    venue.pass_time()
    amend = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}
    assert venue.post("order/amend", **amend, qty="0.05") == {"orderId": order_id, "orderLinkId": "a"}
    row = venue.row(order_id)
    assert (row["qty"], row["leavesQty"], row["orderStatus"]) == ("0.05", "0.01", "PartiallyFilled")
    venue.post("order/amend", 10001, **amend, qty="0.05")
    venue.post("order/amend", 110064, **amend, qty="0.04")
    venue.post("order/amend", 110003, **amend, price="9900.05")
    venue.post("order/amend", 10001, category="linear", symbol="BTCUSDT", price="9900")
    venue.post("order/amend", 110001, category="linear", symbol="BTCUSDT", orderId="nope", price="9900")
    venue.post("order/amend", 170213, category="spot", symbol="BTCUSDT", orderId="nope", price="9900")


def test_an_amend_across_the_book_takes_and_its_fast_fill_has_no_client_id(venue, both):
    place(venue, both[0], orderLinkId="a")
    ack, told = place(
        venue, both[0], "order.amend", category="linear", symbol="BTCUSDT", orderLinkId="a", price="10000.1"
    )
    assert ack[0]["retCode"] == 0
    assert statuses(told) == ["New", "Filled"]
    fast = next(x for x in told if x["topic"] == "execution.fast")["data"][0]
    assert (fast["isMaker"], fast["orderLinkId"]) == (False, "")


def test_a_cancel_that_loses_to_a_fill_is_told_as_filled_twice(venue, both):
    place(venue, both[0], orderLinkId="a")
    venue.fake.faults.add("order.fill_on_cancel", part="full")
    ack, told = place(venue, both[0], "order.cancel", category="linear", symbol="BTCUSDT", orderLinkId="a")
    assert ack[0]["retCode"] == 0
    orders = [x["data"][0] for x in told if x["topic"] == "order"]
    assert [(x["orderStatus"], x["cancelType"], x["rejectReason"]) for x in orders] == [
        ("Filled", "UNKNOWN", "EC_NoError"),
        ("Filled", "CancelByUser", "EC_OrigClOrdIDDoesNotExist"),
    ]
    assert len([x for x in told if x["topic"] == "execution"]) == 1


def test_a_partly_filled_order_ends_cancelled_on_linear_and_partly_filled_on_spot(venue):
    for category, listing, status in (
        ("linear", venue.linear, "Cancelled"),
        ("spot", venue.spot, "PartiallyFilledCanceled"),
    ):
        order_id = venue.order(category=category, price="9999.9", qty="1")
        listing.engine.trade(SELL, 99_999, listing.engine.ahead(listing.engine.next_order_id - 1) + 100)
        venue.pass_time()
        venue.post("order/cancel", category=category, symbol="BTCUSDT", orderId=order_id)
        row = venue.row(order_id, category)
        assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (
            status,
            "CancelByUser",
            "EC_PerCancelRequest",
        )
        assert float(row["cumExecQty"]) > 0


def test_cancel_all_needs_a_scope_on_linear_and_takes_plain_orders_on_spot(venue):
    ids = [venue.order(), venue.order(triggerPrice="9000", triggerDirection=2)]
    venue.post("order/cancel-all", 10001, category="linear")
    assert venue.post("order/cancel-all", category="linear", symbol="ETHUSDT")["list"] == []
    only = venue.post("order/cancel-all", category="linear", symbol="BTCUSDT", orderFilter="StopOrder")
    assert [x["orderId"] for x in only["list"]] == ids[1:]
    rest = venue.post("order/cancel-all", category="linear", settleCoin="USDT")
    assert ([x["orderId"] for x in rest["list"]], rest["success"]) == (ids[:1], "1")
    venue.order(category="spot")
    stop = venue.order(category="spot", orderFilter="StopOrder", triggerPrice="9950")
    assert len(venue.post("order/cancel-all", category="spot")["list"]) == 1
    assert venue.row(stop, "spot")["orderStatus"] == "Untriggered"


@pytest.mark.parametrize("category", ["linear", "spot"])
def test_every_item_of_a_batch_has_its_own_answer(venue, category):
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "9900.0"}
    wish = {"category": category, "request": [good | {"orderLinkId": "g"}, good | {"qty": "0"}, good]}
    _, answer, headers = venue.raw("POST", "/v5/order/create-batch", json.dumps(wish))
    rows, codes = answer["result"]["list"], answer["retExtInfo"]["list"]
    assert [x["code"] for x in codes] == [0, 10001 if category == "linear" else 170136, 0]
    assert [bool(x["orderId"]) for x in rows] == [True, False, True]
    assert [bool(x["createAt"]) for x in rows] == [True, False, True]
    assert int(headers["X-Bapi-Limit-Status"]) == int(headers["X-Bapi-Limit"]) - 3
    items = [
        {"symbol": "BTCUSDT", "orderId": rows[0]["orderId"], "qty": "0.2"},
        {"symbol": "BTCUSDT", "orderLinkId": "?"},
    ]
    answer = venue.raw("POST", "/v5/order/amend-batch", json.dumps({"category": category, "request": items}))[
        1
    ]
    assert [x["code"] for x in answer["retExtInfo"]["list"]] == [
        0,
        110001 if category == "linear" else 170213,
    ]
    answer = venue.raw(
        "POST", "/v5/order/cancel-batch", json.dumps({"category": category, "request": items})
    )[1]
    assert [x["code"] for x in answer["retExtInfo"]["list"]] == [
        0,
        110001 if category == "linear" else 170213,
    ]
    assert answer["result"]["list"][1] == {
        "category": category,
        "symbol": "BTCUSDT",
        "orderId": "",
        "orderLinkId": "?",
    }
    assert venue.row(rows[0]["orderId"], category)["qty"] == "0.2"


def test_a_batch_beyond_the_rate_fails_item_by_item(venue):
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "9900.0"}
    answer = venue.raw(
        "POST", "/v5/order/create-batch", json.dumps({"category": "linear", "request": [good] * 12})
    )[1]
    assert [x["code"] for x in answer["retExtInfo"]["list"]] == [0] * 10 + [10006] * 2
    venue.now += S
    many = json.dumps({"category": "linear", "request": [good] * 21})
    assert venue.raw("POST", "/v5/order/create-batch", many)[1]["retCode"] == 10001


def test_faults_of_a_batch_refuse_items_or_leave_them_out(venue):
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.1", "price": "9900.0"}
    body = json.dumps({"category": "linear", "request": [good, good]})
    venue.fake.faults.add("ack.batch", code="10001", count=1)
    answer = venue.raw("POST", "/v5/order/create-batch", body)[1]
    assert [x["code"] for x in answer["retExtInfo"]["list"]] == [10001, 0]
    venue.fake.faults.add("ack.batch", missing=True, count=1)
    answer = venue.raw("POST", "/v5/order/create-batch", body)[1]
    assert [len(answer[x]["list"]) for x in ("result", "retExtInfo")] == [1, 1]
    assert len(venue.fake.open_orders()) == 3


@pytest.mark.parametrize(
    ("smp", "resting", "coming", "fills"),
    [
        ("None", "Filled", "Filled", 2),
        ("CancelMaker", "Cancelled", "New", 0),
        ("CancelTaker", "New", "Cancelled", 0),
        ("CancelBoth", "Cancelled", "Cancelled", 0),
    ],
)
def test_the_coming_order_decides_what_becomes_of_a_self_match(venue, smp, resting, coming, fills):
    venue.linear.engine.set_level(BUY, 99_999, 0)
    maker = venue.order(price="9999.9")
    taker = venue.order(side="Sell", price="9999.9", smpType=smp)
    rows = [venue.row(x) for x in (maker, taker)]
    assert [x["orderStatus"] for x in rows] == [resting, coming]
    for mine, other in (rows, rows[::-1]):
        if mine["orderStatus"] == "Cancelled":
            assert (mine["cancelType"], mine["smpOrderId"]) == ("CancelBySmp", other["orderId"])
    assert venue.fake.counts["fills"] == fills


def test_a_stop_waits_is_triggered_and_trades(venue):
    orders = venue.private("order")
    order_id = venue.order(side="Sell", orderType="Market", triggerPrice="9995", triggerDirection=2)
    assert venue.row(order_id)["orderStatus"] == "Untriggered"
    venue.linear.engine.trade(SELL, 99_900, 250_000)
    venue.pass_time()
    assert statuses(venue.heard(orders)) == ["Untriggered", "Triggered", "Filled"]
    assert venue.row(order_id)["createType"] == "CreateByStopOrder"
    gone = venue.order(triggerPrice="9000", triggerDirection=2)
    venue.post("order/cancel", category="linear", symbol="BTCUSDT", orderId=gone)
    assert venue.row(gone)["orderStatus"] == "Deactivated"


def test_reduce_only_orders_shrink_and_end_with_the_position(venue):
    venue.order(orderType="Market", qty="0.3")
    resting = venue.order(side="Sell", price="10500", qty="0.5", reduceOnly=True)
    assert venue.row(resting)["qty"] == "0.3"
    venue.order(side="Sell", orderType="Market", qty="0.2")
    assert venue.row(resting)["qty"] == "0.1"
    venue.order(side="Sell", orderType="Market", qty="0.1")
    row = venue.row(resting)
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByReduceOnly")
    venue.order(orderType="Market", qty="0.3")
    closing = venue.order(side="Sell", orderType="Market", qty="0", reduceOnly=True, closeOnTrigger=True)
    assert (venue.row(closing)["cumExecQty"], venue.position()["size"]) == ("0.3", "0")


def test_the_faults_of_orders_are_told_in_bybits_words(venue, both):
    faults = venue.fake.faults
    faults.add("order.reject_late", delay_ms=50, count=1)
    ack, told = place(venue, both[0])
    assert (ack[0]["retCode"], told) == (0, [])
    venue.pass_time(100 * MS)
    assert statuses(venue.heard(both[1])) == ["Rejected"]
    faults.add("order.accept_silent", count=1)
    ack, told = place(venue, both[0])
    assert (ack[0]["retCode"], told) == (0, [])
    assert venue.row(ack[0]["data"]["orderId"])["orderStatus"] == "New"
    faults.add("exec.unknown_status", text="Pondering", count=1)
    assert statuses(place(venue, both[0])[1]) == ["Pondering"]
    faults.add("order.split", k=3, count=1)
    _, told = place(venue, both[0], qty="0.3")
    assert len({x["data"][0]["orderId"] for x in told if x["topic"] == "order"}) == 3
    faults.add("order.amend_fail_late", delay_ms=20, count=1)
    ack, _ = place(venue, both[0], orderLinkId="z")
    ack, told = place(
        venue, both[0], "order.amend", category="linear", symbol="BTCUSDT", orderLinkId="z", qty="0.2"
    )
    assert (ack[0]["retCode"], told) == (0, [])
    venue.pass_time(100 * MS)
    (frame,) = venue.heard(both[1])
    assert (frame["data"][0]["orderStatus"], frame["data"][0]["qty"]) == ("New", "0.1")
    for name in (
        "order.reject_late",
        "order.accept_silent",
        "exec.unknown_status",
        "order.split",
        "order.amend_fail_late",
    ):
        assert faults.counts[name] == 1


def test_the_faults_of_acknowledgements(venue, both):
    venue.fake.faults.add("ack.drop", count=1)
    ack, told = place(venue, both[0], orderLinkId="lost")
    assert (ack, statuses(told)) == ([], ["New"])
    venue.fake.faults.add("ack.error", code="10016", count=1)
    ack, told = place(venue, both[0])
    assert (ack[0]["retCode"], ack[0]["retMsg"], statuses(told)) == (10016, "Server error.", ["New"])
    assert ack[0]["reqId"] == f"r{venue.requests}"


@pytest.mark.parametrize(("kind", "exec_type"), [("liquidation", "BustTrade"), ("adl", "AdlTrade")])
def test_what_the_venue_does_to_a_position_is_an_execution_without_our_order(venue, both, kind, exec_type):
    venue.order(orderType="Market", qty="0.3")
    venue.heard(both[1])
    venue.fake.strike(venue.fake.faults.add(f"acct.{kind}"), venue.now)
    rows = [x["data"][0] for x in venue.heard(both[1]) if x["topic"] == "execution"]
    assert {x["execType"] for x in rows} == {exec_type}
    assert {x["orderLinkId"] for x in rows} == {""}
    assert venue.position()["size"] == "0"


def test_a_delisting_closes_the_position_by_a_trade_that_is_no_order(venue, both):
    venue.order(orderType="Market", qty="0.3")
    resting = venue.order()
    venue.heard(both[1])
    venue.fake.strike(venue.fake.faults.add("status.delist", symbol="BTCUSDT"), venue.now)
    frames = venue.heard(both[1])
    (row,) = [x["data"][0] for x in frames if x["topic"] == "execution"]
    assert (row["execType"], row["execQty"], row["createType"]) == ("Delivery", "0.3", "CreateBySettle")
    assert [x["data"][0]["orderId"] for x in frames if x["topic"] == "order"] == [resting]
    assert venue.row(resting)["cancelType"] == "CancelBySettle"
    assert len(venue.get("order/history", category="linear")["list"]) == 2
    assert venue.get("account/transaction-log", type="DELIVERY")["list"]


def test_funding_is_an_execution_whose_fee_is_what_was_paid(venue):
    executions = venue.private("execution")
    venue.order(orderType="Market", qty="0.3")
    before = venue.account.balance("USDT").total
    venue.heard(executions)
    venue.fake.strike(venue.fake.faults.add("acct.funding", rate="0.001", symbol="BTCUSDT"), venue.now)
    (frame,) = venue.heard(executions)
    row = frame["data"][0]
    assert (row["execType"], row["execQty"], row["orderType"], row["side"]) == (
        "Funding",
        "0.3",
        "UNKNOWN",
        "Buy",
    )
    paid = before - venue.account.balance("USDT").total
    assert float(row["execFee"]) == float(paid) > 0
    logged = venue.get("account/transaction-log", type="SETTLEMENT")["list"]
    assert [float(x["funding"]) for x in logged] == [-float(paid)]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("code", ["10000", "10016", "170007", "170146", "170147", "110079"])
def test_an_answer_that_says_nothing_comes_with_and_without_a_live_order(venue, both, code, live):
    venue.fake.faults.add("ack.error", code=code, live=live, count=1)
    ack, told = place(venue, both[0], orderLinkId="a")
    assert (ack[0]["retCode"], ack[0]["data"]) == (int(code), {})
    assert statuses(told) == (["New"] if live else [])
    rows = venue.get("order/realtime", category="linear", orderLinkId="a")["list"]
    assert len(rows) == live
    ack, _ = place(venue, both[0], orderLinkId="a")
    assert ack[0]["retCode"] == (110072 if live else 0)
    assert venue.fake.faults.counts["ack.error"] == 1
