"""Public streams beside books: bars, price limits, tickers; the faults of feeds."""

import json

from node.venues.fakes import BUY

MS, S = 1_000_000, 1_000_000_000


def public(venue, *topics, path="/v5/public/linear"):
    connection = venue.open(path)
    return connection, venue.say(connection, op="subscribe", args=list(topics))


def test_bars_are_pushed_each_second_and_closed_at_the_end(venue):
    venue.now = venue.now // (60 * S) * (60 * S) + 58 * S
    connection, (answer, first) = public(venue, "kline.1.BTCUSDT")
    assert answer["success"]
    row = first["data"][0]
    assert (row["interval"], row["end"] - row["start"], row["confirm"]) == ("1", 59_999, False)
    closed = []
    for _ in range(40):
        venue.linear.engine.trade(BUY, 100_001, 10)
        venue.pass_time(100 * MS)
        for frame in venue.heard(connection):
            closed += [x for x in frame["data"] if x["confirm"]]
    assert [x["start"] for x in closed] == [row["start"]]
    assert float(closed[0]["volume"]) > 0


def test_price_limits_are_pushed_when_they_change(venue):
    connection, _ = public(venue, "priceLimit.BTCUSDT")
    venue.pass_time(400 * MS)
    (frame,) = venue.heard(connection)
    assert frame["data"] == {"symbol": "BTCUSDT", "buyLmt": "10100.00", "sellLmt": "9900.00"}
    venue.pass_time(400 * MS)
    assert venue.heard(connection) == []


def test_topics_of_categories_that_are_not_here_do_not_exist(venue):
    for path in ("/v5/public/inverse", "/v5/public/option"):
        _, (answer,) = public(venue, "orderbook.50.BTCUSDT", path=path)
        assert answer["ret_msg"] == "error:handler not found,topic:orderbook.50.BTCUSDT"
    _, (answer,) = public(venue, "kline.7.BTCUSDT")
    assert not answer["success"]


def test_the_faults_of_books_strike_at_the_topics(venue):
    connection, (_, first) = public(venue, "orderbook.50.BTCUSDT")
    faults, us = venue.fake.faults, [first["data"]["u"]]
    faults.add("book.gap", count=1)
    for i in range(3):
        venue.linear.engine.set_level(BUY, 99_999, 100 + i)
        venue.pass_time()
        us += [x["data"]["u"] for x in venue.heard(connection)]
    assert us == [us[0], us[0] + 2, us[0] + 3]
    faults.add("book.dup", count=1)
    venue.linear.engine.set_level(BUY, 99_999, 200)
    venue.pass_time()
    assert len(venue.heard(connection)) == 2
    faults.add("book.cross", ticks=3, count=1)
    venue.linear.engine.set_level(BUY, 99_999, 201)
    venue.pass_time()
    (frame,) = venue.heard(connection)
    assert max(float(p) for p, _ in frame["data"]["b"]) == 10000.4
    venue.fake.strike(faults.add("book.reset", symbol="BTCUSDT"), venue.now)
    (frame,) = venue.heard(connection)
    assert (frame["type"], frame["data"]["u"]) == ("snapshot", 1)
    assert [faults.counts[x] for x in ("book.gap", "book.dup", "book.cross")] == [1, 1, 1]


def test_status_has_a_connection_of_its_own(venue):
    connection = venue.open("/v5/public/misc/status")
    assert venue.say(connection, op="subscribe", args=["system.status"])[0]["success"]
    assert not venue.say(connection, op="subscribe", args=["orderbook.50.BTCUSDT"])[0]["success"]
    venue.fake.strike(venue.fake.faults.add("status.maintenance", s=5), venue.now)
    (frame,) = venue.heard(connection)
    assert (frame["topic"], frame["data"][0]["state"]) == ("system.status", "ongoing")
    venue.pass_time(6 * S)
    assert venue.heard(connection)[0]["data"][0]["state"] == "completed"
    json.dumps(frame)
