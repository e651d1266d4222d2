"""Open orders, history, executions: filters, pages, retention."""

S = 1_000_000_000
DAY_NS = 86_400 * S
DAY_MS = 86_400_000


def pages(venue, path, key, **query):
    out, cursor = [], ""
    while True:
        result = venue.get(path, **query, **({"cursor": cursor} if cursor else {}))
        out.append([x[key] for x in result["list"]])
        cursor = result["nextPageCursor"]
        if not cursor:
            return out


def test_open_orders_come_in_pages_newest_first_each_once(venue):
    ids = []
    for i in range(7):
        ids.append(venue.order(price=f"99{i}0.0"))
        venue.now += S
    found = pages(venue, "order/realtime", "orderId", category="linear", symbol="BTCUSDT", limit=3)
    assert found == [ids[:3:-1], ids[3:0:-1], ids[:1]]
    assert venue.get("order/realtime", category="linear", settleCoin="USDT", limit=50)["category"] == "linear"
    assert venue.get("order/realtime", category="linear", symbol="ETHUSDT")["list"] == []
    venue.get("order/realtime", 10001, category="linear")
    venue.get("order/realtime", 10001, category="linear", symbol="BTCUSDT", limit=51)
    assert venue.get("order/realtime", category="inverse", symbol="BTCUSD")["list"] == []


def test_a_closed_order_is_found_by_its_ids_until_the_service_restarts(venue):
    order_id = venue.order(orderLinkId="mine")
    venue.post("order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    for query in ({"orderId": order_id}, {"orderLinkId": "mine"}, {"symbol": "BTCUSDT", "openOnly": 1}):
        (row,) = venue.get("order/realtime", category="linear", **query)["list"]
        assert (row["orderId"], row["orderStatus"]) == (order_id, "Cancelled")
    assert venue.get("order/realtime", category="linear", symbol="BTCUSDT")["list"] == []
    venue.now += S
    venue.fake.restart_orders(venue.now)
    assert venue.get("order/realtime", category="linear", orderLinkId="mine")["list"] == []
    assert len(venue.get("order/history", category="linear", orderLinkId="mine")["list"]) == 1


def test_an_order_without_fills_is_gone_after_a_day_and_one_with_fills_is_not(venue):
    gone, kept = venue.order(), venue.order(orderType="Market")
    venue.post("order/cancel", category="linear", symbol="BTCUSDT", orderId=gone)
    assert len(venue.get("order/history", category="linear")["list"]) == 2
    venue.pass_time(DAY_NS + S)
    assert [x["orderId"] for x in venue.get("order/history", category="linear")["list"]] == [kept]
    assert venue.get("order/realtime", category="linear", orderId=gone)["list"] == []
    venue.pass_time(7 * DAY_NS)
    assert venue.get("order/history", category="linear")["list"] == []
    start = venue.now // 1_000_000 - 9 * DAY_MS
    assert len(venue.get("order/history", category="linear", startTime=start)["list"]) == 1
    venue.get("order/history", 10001, category="linear", startTime=start, endTime=start + 8 * DAY_MS)


def test_history_filters_by_status(venue):
    venue.order(orderType="Market")
    order_id = venue.order()
    venue.post("order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    found = venue.get("order/history", category="linear", orderStatus="Cancelled")["list"]
    assert [x["orderId"] for x in found] == [order_id]


def test_executions_come_in_pages_and_are_filtered(venue):
    first = venue.order(orderType="Market", qty="12")
    venue.order(orderType="Market", qty="1", orderLinkId="second")
    found = pages(venue, "execution/list", "execId", category="linear", limit=2)
    flat = [x for page in found for x in page]
    assert (len(flat), len(set(flat))) == (4, 4)
    rows = venue.get("execution/list", category="linear", orderId=first)["list"]
    assert sum(float(x["execQty"]) for x in rows) == 12
    assert len(venue.get("execution/list", category="linear", orderLinkId="second")["list"]) == 1
    assert venue.get("execution/list", category="linear", execType="Funding")["list"] == []
    assert venue.get("execution/list", category="spot")["list"] == []
    row = rows[0]
    assert (row["feeRate"], row["feeCurrency"], row["isMaker"], row["execType"]) == (
        "0.00055",
        "USDT",
        False,
        "Trade",
    )
    assert "category" not in row


def test_closed_profit_is_per_closing_order(venue):
    venue.order(orderType="Market", qty="1")
    closing = venue.order(side="Sell", orderType="Market", qty="0.4")
    (row,) = venue.get("position/closed-pnl", category="linear", symbol="BTCUSDT")["list"]
    assert (row["orderId"], row["closedSize"], row["avgEntryPrice"], row["avgExitPrice"]) == (
        closing,
        "0.400",
        "10000.1",
        "9999.9",
    )
    fee = 0.4 * 9999.9 * 0.00055
    assert abs(float(row["closedPnl"]) - (-0.2 * 0.4 - fee)) < 1e-9
    assert float(venue.row(closing)["closedPnl"]) == float(row["closedPnl"])


def test_a_stale_answer_shows_an_order_as_it_was(venue):
    order_id = venue.order(price="9999.9")
    venue.pass_time(S)
    venue.post("order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    venue.fake.faults.add("rest.stale_by", ms=500, count=1)
    assert venue.row(order_id)["orderStatus"] == "New"
    assert venue.row(order_id)["orderStatus"] == "Cancelled"
