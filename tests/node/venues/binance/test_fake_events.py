"""Who hears what: accounts apart, wrapping, order of answer and event, subscriptions that end."""

import json

import pytest
from binance_venue import (
    MARKETS,
    NOW,
    Rest,
    answer,
    api,
    ask,
    events,
    order,
    signed,
    two_accounts,
    user_line,
    venue,
)

from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM


@pytest.mark.parametrize("first", [False, True])
def test_events_follow_the_answer_or_come_before_it(first):
    fake = venue(events_first=first)
    line, _ = user_line(fake, BINANCE_SPOT)
    rows = ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))
    assert ["status" in x for x in rows] == ([False, False, True] if first else [True, False, False])


@pytest.mark.parametrize("market", MARKETS)
def test_an_account_hears_of_itself_alone(market):
    fake = venue(accounts=two_accounts(), credentials_required=True)
    one, two = Rest(fake), Rest(fake, "second", "second")
    if market == BINANCE_SPOT:
        line = api(fake, market)
        answer(fake, line, "userDataStream.subscribe.signature", **signed({}))
    else:
        key = one.post("/fapi/v1/listenKey", sign_it=False)[1]["listenKey"]
        fake.open(f"/private/ws?listenKey={key}", NOW)
    assert two.place(market)[0] == 200
    assert events(fake) == []
    assert one.place(market)[0] == 200
    assert len(events(fake)) >= 1


def test_a_combined_private_stream_names_its_key():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    key = next(iter(fake.listen_keys))
    line = fake.open(f"/private/stream?listenKey={key}", NOW)
    Rest(fake).place(BINANCE_USDM)
    (frame,) = [json.loads(x) for c, x in fake.take() if c is line]
    assert (frame["stream"], frame["data"]["e"]) == (key, "ORDER_TRADE_UPDATE")


def test_a_closed_key_is_silent():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    Rest(fake).delete("/fapi/v1/listenKey", sign_it=False)
    Rest(fake).place(BINANCE_USDM)
    assert events(fake) == []


def test_a_margin_call_lists_positions():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    row = {
        "s": "BTCUSDT",
        "ps": "BOTH",
        "pa": "1",
        "mt": "CROSSED",
        "iw": "0",
        "mp": "1",
        "up": "0",
        "mm": "1",
    }
    fake.events.margin_call(fake.accounts[1], [row], fake.accounts[1].balance("USDT", "usdm").total, NOW)
    (told,) = events(fake)
    assert (told["e"], told["cw"], told["p"]) == ("MARGIN_CALL", "10000000.00000000", [row])


@pytest.mark.parametrize("name", ["exec.drop", "exec.dup"])
def test_faults_of_reports_strike(name):
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    fake.faults.add(name, kind="order")
    rows = ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))
    fake.tick(NOW)
    rows += [json.loads(x) for _, x in fake.take()]
    reports = [x for x in rows if x.get("event", {}).get("e") == "executionReport"]
    assert (len(reports), fake.faults.counts[name]) == (0 if name == "exec.drop" else 2, 1)


def test_a_status_that_nobody_documented():
    fake = venue()
    line, _ = user_line(fake, BINANCE_SPOT)
    fake.faults.add("exec.unknown_status", text="PONDERING")
    rows = ask(fake, line, id="a", method="order.place", params=order(BINANCE_SPOT))
    assert [x["event"]["X"] for x in rows if x.get("event", {}).get("e") == "executionReport"] == [
        "PONDERING"
    ]
