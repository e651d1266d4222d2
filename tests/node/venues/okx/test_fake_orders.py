"""Orders: answers, amends with two results, self-trade, fees, faults of orders and of answers."""

import pytest
from okx_client import PRIVATE, SWAP, Venue, code, rows_of, states

from node.venues.fakes import BUY, MS, SECOND, SELL, Faults
from node.venues.okx import fake_orders

ORDERS = {"channel": "orders", "instType": "ANY"}


def amend(venue: Venue, connection, **arg) -> list:
    args = [{"instIdCode": 3, **arg}]
    return venue.tell(connection, {"id": "a1", "op": "amend-order", "args": args})


def cancel(venue: Venue, connection, **arg) -> list:
    args = [{"instIdCode": 3, **arg}]
    return venue.tell(connection, {"id": "c1", "op": "cancel-order", "args": args})


def faulty(name: str, **arguments) -> Venue:
    faults = Faults(1)
    faults.add(name, **arguments)
    return Venue(faults=faults)


# ---- amends ----


def test_an_amend_is_answered_and_then_told_with_its_request_id():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, clOrdId="m1")
    ack, push = amend(venue, connection, clOrdId="m1", newSz="2", newPx="59998", reqId="r1")
    assert (ack["op"], ack["data"][0]["sCode"], ack["data"][0]["reqId"]) == ("amend-order", "0", "r1")
    row = push["data"][0]
    assert (row["state"], row["px"], row["sz"], row["ordId"]) == (
        "live",
        "59998",
        "2",
        ack["data"][0]["ordId"],
    )
    assert (row["reqId"], row["amendResult"], row["amendSource"]) == ("r1", "0", "1")


@pytest.mark.parametrize(
    ("arg", "want"),
    [
        ({"clOrdId": "nobody", "newSz": "2"}, "51503"),
        ({"clOrdId": "m1"}, "51500"),
        ({"clOrdId": "m1", "newSz": "0"}, "51020"),
        ({"clOrdId": "m1", "newSz": "x"}, "51000"),
        ({"clOrdId": "m1", "newSz": "0.000000001"}, "51121"),
        ({"clOrdId": "m1", "newPx": "1.05"}, "51150"),
        ({"clOrdId": "m1", "newPx": "600000"}, "51137"),
        ({"clOrdId": "m1", "newPx": "60000.1"}, "51511"),
        ({"clOrdId": "m1", "newSz": "900000"}, "51008"),
        ({"clOrdId": "m1", "newSz": "2", "reqId": "a-b"}, "51000"),
        ({"newSz": "2"}, "51000"),
    ],
)
def test_an_amend_that_cannot_be_is_refused_and_changes_nothing(arg, want):
    venue = Venue()
    connection = venue.private()
    venue.order(connection, clOrdId="m1", ordType="post_only")
    assert code(amend(venue, connection, **arg)) == want
    (order,) = venue.fake.open_orders()
    assert (order.price_ticks, order.size_lots) == (599_990, 10**8)


def test_an_amend_to_what_is_filled_ends_the_order():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, clOrdId="m1", px="60000.1", sz="0.000003")
    _, push = amend(venue, connection, clOrdId="m1", newSz="0.000001", reqId="r1")
    row = push["data"][0]
    assert (row["state"], row["accFillSz"], row["reqId"]) == ("filled", "0.000001", "r1")
    assert venue.fake.open_orders() == []


def test_an_amend_that_fails_late_leaves_the_order_or_takes_it():
    for cancels, state, result in ((False, "live", "-1"), (True, "canceled", "1")):
        venue = faulty("order.amend_fail_late", delay_ms=30)
        connection = venue.private()
        venue.order(connection, clOrdId="m1")
        (ack,) = amend(venue, connection, clOrdId="m1", newSz="2", reqId="r1", cxlOnFail=cancels)
        assert ack["data"][0]["sCode"] == "0"
        (row,) = rows_of(venue.wait(connection, 50 * MS), "orders")
        assert (row["state"], row["amendResult"], row["reqId"], row["sz"]) == (state, result, "r1", "1")
        assert venue.fake.faults.counts["order.amend_fail_late"] == 1


def test_a_fourth_amend_in_flight_is_refused():
    venue = faulty("order.amend_fail_late", delay_ms=30)
    connection = venue.private()
    venue.order(connection, clOrdId="m1")
    answers = [amend(venue, connection, clOrdId="m1", newSz=str(2 + i))[0] for i in range(4)]
    assert [x["data"][0]["sCode"] for x in answers] == ["0", "0", "0", "51513"]


def test_the_same_order_twice_in_a_batch_of_amends_is_refused_once():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, clOrdId="m1")
    arg = {"instIdCode": 3, "clOrdId": "m1"}
    args = [arg | {"newSz": "2"}, arg | {"newSz": "3"}]
    answer = venue.tell(connection, {"id": "b1", "op": "batch-amend-orders", "args": args})[0]
    assert [x["sCode"] for x in answer["data"]] == ["0", "51512"]
    assert answer["code"] == "2"


def test_the_venue_may_change_a_size_by_itself():
    venue = faulty("order.amend_qty", part="0.5", delay_ms=20)
    connection = venue.private()
    venue.order(connection, sz="1")
    (row,) = rows_of(venue.wait(connection, 50 * MS), "orders")
    assert (row["amendSource"], row["sz"], row["amendResult"], row["reqId"]) == ("4", "0.5", "", "")


# ---- what becomes of orders ----


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("cancel_maker", "canceled", "live"),
        ("cancel_taker", "live", "canceled"),
        ("cancel_both", *["canceled"] * 2),
    ],
)
def test_self_trade_prevention_goes_by_the_mode_of_the_taker(mode, maker, taker):
    venue = Venue()
    connection = venue.private()
    venue.swap.engine.set_level(SELL, 600_001, 0)
    venue.swap.engine.set_level(SELL, 600_002, 0)
    venue.order(connection, **SWAP, side="sell", px="60000.1", sz="1", clOrdId="maker")
    frames = venue.order(connection, **SWAP, px="60000.1", sz="1", clOrdId="taker", stpMode=mode)
    last = {x["clOrdId"]: x for x in rows_of(frames, "orders")}
    known = {x: last[x]["state"] if x in last else "live" for x in ("maker", "taker")}
    assert known == {"maker": maker, "taker": taker}
    assert {x["cancelSource"] for x in last.values() if x["state"] == "canceled"} == {"32"}
    assert venue.fake.counts["fills"] == 0


def test_a_reduce_only_order_goes_with_the_position():
    venue = Venue()
    connection = venue.private()
    venue.order(connection, **SWAP, ordType="market", px=None, sz="1")
    venue.order(connection, **SWAP, side="sell", px="61000", sz="1", reduceOnly=True, clOrdId="r1")
    frames = venue.order(connection, **SWAP, side="sell", ordType="market", px=None, sz="0.4")
    row = [x for x in rows_of(frames, "orders") if x["clOrdId"] == "r1"][-1]
    assert (row["state"], row["amendSource"], row["sz"]) == ("live", "4", "0.6")
    frames = venue.order(connection, **SWAP, side="sell", ordType="market", px=None, sz="0.6")
    row = [x for x in rows_of(frames, "orders") if x["clOrdId"] == "r1"][-1]
    assert (row["state"], row["cancelSource"]) == ("canceled", "17")


def test_the_fills_channel_is_for_the_better_tiers_and_returns_numeric_ids():
    venue = Venue()
    assert code(venue.subscribe(venue.open(PRIVATE), {"channel": "fills"})) == "64003"
    venue = Venue(tbt=True)
    connection = venue.private()
    venue.subscribe(connection, {"channel": "fills"})
    for client_id, want in (("123", "123"), ("abc", "0")):
        frames = venue.order(connection, **SWAP, ordType="market", px=None, sz="0.01", clOrdId=client_id)
        (row,) = rows_of(frames, "fills")
        assert (row["clOrdId"], row["execType"], row["fillSz"], row["side"]) == (want, "T", "0.01", "buy")
        assert "fee" not in row


def test_a_fee_can_be_in_another_coin_or_a_rebate():
    venue = faulty("exec.fee", coin="quote", rate="-0.0001")
    frames = venue.order(venue.private(), px="60000.1", sz="0.000001", ordType="ioc")
    row = rows_of(frames, "orders")[-1]
    assert (row["fillFeeCcy"], row["fillFee"], row["feeCcy"]) == ("USDT", "0.00000600001", "USDT")


def test_an_accepted_order_can_still_come_to_nothing():
    venue = faulty("order.reject_late", delay_ms=20)
    connection = venue.private()
    assert states(venue.order(connection)) == ["live"]
    (row,) = rows_of(venue.wait(connection, 50 * MS), "orders")
    assert (row["state"], row["accFillSz"]) == ("canceled", "0")
    venue = faulty("order.zero_fill_filled")
    frames = venue.order(venue.private(), **SWAP, ordType="market", px=None)
    row = rows_of(frames, "orders")[-1]
    assert (row["state"], row["fillSz"], row["accFillSz"], row["tradeId"]) == ("filled", "0", "0", "")


def test_an_order_that_is_accepted_in_silence_is_never_told_of():
    venue = faulty("order.accept_silent")
    connection = venue.private()
    frames = venue.order(connection)
    assert states(frames) == []
    assert frames[0]["data"][0]["sCode"] == "0"


@pytest.mark.parametrize(("part", "state", "filled"), [("part", "canceled", "0.5"), ("full", "filled", "1")])
def test_a_cancel_may_meet_a_fill(part, state, filled):
    venue = faulty("order.fill_on_cancel", part=part)
    connection = venue.private()
    venue.order(connection, clOrdId="m1")
    frames = cancel(venue, connection, clOrdId="m1")
    row = rows_of(frames, "orders")[-1]
    assert (row["state"], row["accFillSz"]) == (state, filled)
    assert frames[0]["data"][0]["sCode"] == ("0" if part == "part" else "51400")


# ---- answers and reports that go wrong ----


def test_an_answer_can_be_lost_late_double_or_swapped():
    venue = faulty("ack.drop", count=1)
    connection = venue.private()
    assert [x.get("op") for x in venue.order(connection)] == [None], "the push only"
    assert len(venue.fake.open_orders()) == 1
    venue = faulty("ack.dup", count=1)
    assert [x.get("op") for x in venue.order(venue.private())] == ["order", "order", None]
    venue = faulty("ack.delay", delay_ms=100)
    connection = venue.private()
    venue.order(connection)
    assert [x.get("op") for x in venue.wait(connection, 150 * MS)] == ["order"]


def test_an_error_answer_may_be_a_lie_or_the_truth():
    for live, orders in ((True, 1), (False, 0)):
        venue = faulty("ack.error", code="50026", live=live, op="place", count=1)
        frames = venue.order(venue.private())
        assert code(frames[:1]) == "50026"
        assert len(venue.fake.open_orders()) == orders
        assert venue.fake.faults.counts["ack.error"] == 1


def test_items_of_a_batch_fail_or_are_missing_one_by_one():
    arg = {"instIdCode": 3, "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "59999", "sz": "1"}
    message = {"id": "b1", "op": "batch-orders", "args": [arg | {"clOrdId": x} for x in "abc"]}
    venue = faulty("ack.batch", code="51008", skip=1, count=1)
    answer = venue.tell(venue.private(), message)[0]
    assert ([x["sCode"] for x in answer["data"]], answer["code"]) == (["0", "51008", "0"], "2")
    assert len(venue.fake.open_orders()) == 2
    venue = faulty("ack.batch", missing=True, skip=1, count=1)
    answer = venue.tell(venue.private(), message)[0]
    assert [x["clOrdId"] for x in answer["data"]] == ["a", "c"]
    assert len(venue.fake.open_orders()) == 3


def test_a_repeated_push_has_another_time():
    venue = faulty("exec.dup", delay_ms=20)
    connection = venue.private()
    (first,) = rows_of(venue.order(connection), "orders")
    (again,) = rows_of(venue.wait(connection, 50 * MS), "orders")
    assert {k: v for k, v in first.items() if k != "uTime"} == {
        k: v for k, v in again.items() if k != "uTime"
    }
    assert first["uTime"] != again["uTime"]


def test_a_report_can_be_lost_or_carry_a_word_that_nobody_knows():
    venue = faulty("exec.drop", kind="order", count=1)
    assert states(venue.order(venue.private())) == []
    venue = faulty("exec.unknown_status", text="mystery", count=1)
    assert states(venue.order(venue.private())) == ["mystery"]


# ---- limits ----


def test_the_sixty_first_order_in_two_seconds_is_too_many_and_cancels_have_their_own_share():
    venue = Venue(rate_limits=True)
    connection = venue.private()
    for i in range(60):
        assert code(venue.order(connection, clOrdId=f"o{i}")[:1]) == "0"
    (answer,) = venue.order(connection)
    assert (answer["code"], answer["data"]) == ("50011", [])
    assert code(cancel(venue, connection, clOrdId="o0")[:1]) == "0"
    assert venue.ask("POST", "trade/order", {"instId": "BTC-USDT"})[0] == 429
    assert venue.order(connection, **SWAP, px="59999")[0]["code"] == "0", "per instrument"
    venue.wait(connection, 2 * SECOND)
    assert venue.order(connection)[0]["code"] == "0"


def test_new_and_amended_swap_orders_have_a_cap_of_their_own(monkeypatch):
    monkeypatch.setattr(fake_orders, "CAP", 3)
    venue = Venue(rate_limits=True)
    connection = venue.private()
    assert [venue.order(connection, **SWAP)[0]["code"] for _ in range(4)] == ["0", "0", "0", "50061"]
    assert venue.order(connection)[0]["code"] == "0", "spot does not count"


def test_a_batch_has_a_larger_bucket_and_fails_item_by_item():
    venue = Venue(rate_limits=True)
    connection = venue.private()
    arg = {**SWAP, "side": "buy", "ordType": "limit", "px": "50000", "sz": "1"}
    message = {"id": "b1", "op": "batch-orders", "args": [arg] * 20}
    answers = [venue.tell(connection, message)[0] for _ in range(16)]
    assert [x["code"] for x in answers] == ["0"] * 15 + ["1"]
    assert {x["sCode"] for x in answers[-1]["data"]} == {"50011"}
    assert venue.fake.counts["orders"] == 300


def test_orders_of_others_have_rows_like_any_other():
    venue = Venue()
    connection = venue.private()
    venue.strike(
        "acct.external_order", symbol="BTC-USDT-SWAP", side="buy", price_ticks=590_000, size_lots=100
    )
    (row,) = rows_of(venue.take(connection), "orders")
    assert (row["state"], row["px"], row["sz"], row["ordType"]) == ("live", "59000", "1", "limit")
    assert row["clOrdId"].startswith("web")


@pytest.mark.parametrize(
    ("name", "category"), [("acct.liquidation", "full_liquidation"), ("acct.adl", "adl")]
)
def test_what_the_venue_does_to_a_position_is_told_with_its_category(name, category):
    venue = Venue()
    connection = venue.private()
    venue.order(connection, **SWAP, ordType="market", px=None, sz="1")
    venue.order(connection, **SWAP, side="buy", px="50000", sz="1", clOrdId="mine")
    venue.strike(name)
    rows = rows_of(venue.take(connection), "orders")
    assert category in {x["category"] for x in rows}
    assert venue.lots() == 0
    forced = [x for x in rows if x["category"] == category and x["fillSz"] != "0"]
    assert {x["tradeId"] for x in forced} == {"0"}
    assert int(venue.get("trade/fills")[0]["tradeId"]) < 0
    mine = [x for x in rows if x["clOrdId"] == "mine"]
    if name == "acct.liquidation":
        assert mine[-1]["cancelSource"] == "3"


def test_depth_of_makers_is_told_before_takers():
    """A taker that meets another account's order: both hear of it."""
    venue = Venue()
    connection = venue.private()
    venue.order(connection, **SWAP, side="sell", px="60000", sz="1")
    venue.swap.engine.place(BUY, 600_000, 50, "ioc", 0)
    venue.fake.tick(venue.now)
    (row,) = rows_of(venue.take(connection), "orders")
    assert (row["execType"], row["accFillSz"]) == ("M", "0.5")
