"""What faults do at the doors of a venue, and to accounts, sessions and listings."""

import json
from decimal import Decimal

import pytest

from node.venues.fakes import BUY, MS, SECOND, SELL, FakeOrder, FakeVenue, Key, Listing, make_account

NOW = 10 * SECOND


class Doors(FakeVenue):
    """Answers by `reply`, reports by `report`."""

    def __init__(self):
        listings = [
            Listing("BTCUSDT", "0.1", "0.001", 1, base="BTC"),
            Listing("BTCUSDT", "0.1", "0.001", 2, base="BTC", is_perpetual=True),
        ]
        keys = [Key("k")]
        accounts = [make_account(i, [("", "BTC"), ("", "USDT")], keys=keys if i == 1 else []) for i in (1, 2)]
        self.calls = []
        super().__init__(listings, 1, accounts)

    def receive(self, connection, text, now_ns):
        message = json.loads(text)
        self.reply(connection, f'{{"id":{message["id"]},"status":200,"result":{{}}}}', "place")

    def http(self, method, target, headers, body, now_ns):
        self.calls.append((method, target))
        listing = next(iter(self.listings.values()))
        order = self.find_order(listing, "a")
        return 200, json.dumps({"order": order and [order.filled_lots, order.done]}).encode()

    def on_fill(self, order, trade_id, price_ticks, size_lots, is_maker, now_ns):
        self.report(order.connection, f'{{"fill":{trade_id},"X":"FILLED"}}', "execution", order)

    def on_done(self, order, reason, now_ns):
        self.report(order.connection, f'{{"done":"{reason}","X":"CANCELED"}}', "order", order)

    def on_config(self, account, what, listing, now_ns):
        self.calls.append(("config", what))

    def on_status(self, listing, now_ns):
        self.calls.append(("status", listing.status))

    def on_session_fault(self, kind, connections, fault, now_ns):
        self.calls.append((kind, len(connections)))

    def on_book_reset(self, listing, now_ns):
        self.calls.append(("reset", listing.market))


@pytest.fixture
def venue():
    made = Doors()
    for listing in made.listings.values():
        listing.engine.set_level(BUY, 600_000, 50)
        listing.engine.set_level(SELL, 600_010, 50)
    made.tick(NOW)
    return made


@pytest.fixture
def client(venue):
    return venue.open("/private", NOW)


def said(venue, now_ns=None):
    if now_ns is not None:
        venue.tick(now_ns)
    return [text for _, text in venue.take()]


def put(venue, client, client_id="a", side=BUY, price=599_000, size=10, market=1):
    order = FakeOrder(venue.listings[market, "BTCUSDT"], 0, client_id, side, price, size, "gtc", client)
    venue.place("limit", order, venue.now_ns)
    return order


def request(venue, n, method="order.place"):
    return json.dumps({"id": n, "method": method})


def answer(n):
    return f'{{"id":{n},"status":200,"result":{{}}}}'


# ---- answers ----


def test_an_answer_is_lost_doubled_late_or_overtaken(venue, client):
    def asked(name, **options):
        venue.faults.clear()
        venue.faults.add(name, count=1, **options)
        for n in (1, 2):
            venue.hear(client, request(venue, n), venue.now_ns)
        assert venue.faults.counts[name] == 1
        return said(venue), said(venue, venue.now_ns + SECOND)

    assert asked("ack.drop") == ([answer(2)], [])
    assert asked("ack.dup") == ([answer(1), answer(1), answer(2)], [])
    assert asked("ack.delay", delay_ms=500) == ([answer(2)], [answer(1)])
    assert asked("ack.swap") == ([answer(2), answer(1)], [])


def test_an_answer_that_waits_for_its_swap_comes_at_last(venue, client):
    venue.faults.add("ack.swap", count=1)
    venue.hear(client, request(venue, 1), NOW)
    assert said(venue) == []
    assert said(venue, NOW + 6 * SECOND) == [answer(1)]


@pytest.mark.parametrize(
    ("frame", "code", "path", "value"),
    [
        ({"id": 1, "status": 200, "result": {}}, "-1007", ("error", "code"), -1007),
        ({"reqId": "1", "retCode": 0, "data": {}}, "10016", ("retCode",), 10016),
        (
            {"id": "1", "code": "0", "data": [{"sCode": "0", "ordId": "5"}]},
            "51054",
            ("data", 0, "sCode"),
            "51054",
        ),
    ],
)
def test_an_answer_becomes_an_error_in_the_dialect_it_has(venue, frame, code, path, value):
    out = json.loads(venue.error_text(code, json.dumps(frame), "place"))
    for key in path:
        out = out[key]
    assert out == value


def test_an_answer_waits_for_the_fill(venue, client):
    venue.faults.add("ack.after_fill", count=1)
    order = put(venue, client)
    venue.reply(client, "ack", "place", order)
    assert said(venue) == []
    order.listing.engine.fill(order.number, 10)
    assert [json.loads(x).get("fill") if x != "ack" else x for x in said(venue, NOW + 1)] == [1, "ack"]


def test_a_stalled_engine_keeps_orders_and_lets_queries_through(venue, client):
    venue.faults.add("me_stall", for_ns=2 * SECOND, now_ns=NOW)
    venue.hear(client, request(venue, 1), NOW)
    venue.hear(client, request(venue, 2, "order.status"), NOW)
    assert said(venue, NOW + SECOND) == [answer(2)]
    assert venue.request("POST", "/api/v3/order", {}, b"", NOW + SECOND).again_ns
    assert venue.request("GET", "/api/v3/order", {}, b"", NOW + SECOND).status == 200
    assert said(venue, NOW + 2 * SECOND) == [answer(1)]
    assert venue.faults.counts["me_stall"] == 1


# ---- reports ----


def test_reports_are_lost_doubled_shuffled_or_unknown(venue, client):
    def filled(name, **options):
        venue.faults.clear()
        venue.faults.add(name, **options)
        order = put(venue, client)
        for _ in range(3):
            order.listing.engine.fill(order.number, 1)
        venue.cancel(order, venue.now_ns)
        now = said(venue, venue.now_ns)
        later = said(venue, venue.now_ns + SECOND)
        venue.take()
        return [json.loads(x) for x in now + later]

    def kinds(rows):
        return ["fill" if "fill" in x else "done" for x in rows]

    assert kinds(filled("exec.drop", count=1)) == ["fill", "fill", "done"]
    assert len(filled("exec.dup", every=1.0)) == 8
    shuffled = filled("exec.reorder", window=4)
    assert sorted(kinds(shuffled)) == ["done", "fill", "fill", "fill"]
    first = min(x["fill"] for x in shuffled if "fill" in x)
    assert shuffled[0].get("fill") != first, "another order than it happened in"
    assert kinds(filled("exec.delay", count=1, delay_ms=100)) == ["fill", "fill", "done", "fill"]
    assert {x["X"] for x in filled("exec.unknown_status", text="ODD")} == {"ODD"}
    assert len(filled("exec.split", k=2, count=1)) == 4
    assert filled("order.accept_silent") == []
    assert len(filled("exec.drop", kind="order")) == 3


# ---- REST ----


def test_rest_is_spoiled_before_or_after_it_was_carried_out(venue):
    venue.faults.add("rest.status", status=503, body="Unknown error", live=False, count=1)
    answered = venue.request("POST", "/x", {}, b"", NOW)
    assert (answered.status, answered.body, venue.calls) == (503, b"Unknown error", [])
    venue.faults.add("rest.status", status=403, body="<html>", count=1)
    assert venue.request("POST", "/x", {}, b"", NOW).status == 403
    assert venue.calls == [("POST", "/x")]
    venue.faults.add("rest.body", body="[]", count=1, path="/x")
    assert venue.request("GET", "/y", {}, b"", NOW).body != b"[]"
    assert venue.request("GET", "/x", {}, b"", NOW).body == b"[]"
    venue.faults.add("rest.body", truncate=3, count=1)
    assert venue.request("GET", "/x", {}, b"", NOW).body == b'{"o'
    venue.faults.add("rest.drop", count=1)
    assert venue.request("GET", "/x", {}, b"", NOW).drop
    venue.faults.add("rest.delay", delay_ms=7, count=1)
    assert venue.request("GET", "/x", {}, b"", NOW).delay_ns == 7 * MS


def test_queries_show_the_past_or_nothing_yet_while_commands_see_the_truth(venue, client):
    order = put(venue, client)
    venue.tick(NOW + SECOND)
    order.listing.engine.fill(order.number, 4)
    venue.tick(NOW + 2 * SECOND)
    venue.faults.add("rest.stale_by", ms=1500, count=1)
    body = venue.request("GET", "/x", {}, b"", NOW + 2 * SECOND).body
    assert json.loads(body) == {"order": [0, ""]}
    assert json.loads(venue.request("GET", "/x", {}, b"", NOW + 2 * SECOND).body) == {"order": [4, ""]}
    venue.faults.add("rest.not_found_for", ms=30_000)
    assert json.loads(venue.request("GET", "/x", {}, b"", NOW + 3 * SECOND).body) == {"order": None}
    assert json.loads(venue.request("POST", "/x", {}, b"", NOW + 3 * SECOND).body) == {"order": [4, ""]}
    assert json.loads(venue.request("GET", "/x", {}, b"", NOW + 31 * SECOND).body) == {"order": [4, ""]}


# ---- accounts, sessions, listings ----


def strike(venue, name, **arguments):
    venue.strike(venue.faults.add(name, **arguments), venue.now_ns)


def test_accounts_get_lose_and_drift(venue):
    usdt = venue.accounts[1].balance("USDT")
    start = usdt.total
    strike(venue, "acct.deposit", coin="USDT", amount="5.5")
    strike(venue, "acct.withdraw", coin="USDT", amount="2")
    strike(venue, "acct.drift", coin="USDT", amount="-0.25")
    assert usdt.total - start == Decimal("3.25")
    strike(venue, "acct.drift", lots=7, market=2)
    assert venue.truth(1)["positions"]["2:BTCUSDT:net"]["lots"] == 7
    strike(venue, "acct.withdraw", coin="USDT", amount="99999999999")
    assert usdt.total == 0
    assert venue.audit() == []


def test_positions_are_closed_by_the_venue(venue, client):
    put(venue, client, price=600_010, size=20, market=2)
    put(venue, client, "b", price=590_000, market=2)
    strike(venue, "acct.adl", part="0.25", market=2)
    assert venue.truth(1)["positions"]["2:BTCUSDT:net"]["lots"] == 15
    assert len(venue.open_orders()) == 1
    strike(venue, "acct.liquidation", part="full", market=2)
    assert venue.truth(1)["positions"]["2:BTCUSDT:net"]["lots"] == 0
    assert venue.open_orders() == []
    natures = [x.nature for x in venue.accounts[1].trades]
    assert natures == ["trade", "adl", "liquidation"]
    assert venue.audit() == []


def test_what_finds_nothing_to_strike_is_not_counted(venue):
    for name in ("acct.liquidation", "acct.adl", "acct.funding", "session.kick", "px.storm", "market.crash"):
        strike(venue, name)
        assert venue.faults.counts[name] == 0, name
    strike(venue, "acct.external_order", side="buy", price_ticks=10**12)
    assert venue.faults.counts["acct.external_order"] == 0
    strike(venue, "status.halt", symbol="NOWHERE")
    assert venue.faults.counts["status.halt"] == 0
    strike(venue, "market.mark")
    assert venue.faults.counts["market.mark"] == 1


def test_somebody_else_uses_the_account(venue):
    strike(venue, "acct.external_order", account=2, side="sell", size_lots=3, market=1)
    (order,) = venue.open_orders()
    assert (order.owner, order.side, order.size_lots, order.client_id) == (2, SELL, 3, "web1")
    strike(venue, "acct.external_order", order_type="market", size_lots=3, market=2)
    assert venue.truth(1)["positions"]["2:BTCUSDT:net"]["lots"] == 3


def test_settings_change_from_outside(venue):
    strike(venue, "acct.leverage", leverage=50)
    strike(venue, "acct.posmode", hedge=True)
    strike(venue, "acct.collateral_price", coin="USDT", price="0.65")
    assert venue.accounts[1].leverage_of(venue.listings[2, "BTCUSDT"]) == 50
    assert venue.accounts[1].hedge
    assert venue.calls == [("config", "leverage"), ("config", "posmode"), ("config", "collateral_price")]


def test_listings_halt_change_and_go(venue, client):
    listing = venue.listings[2, "BTCUSDT"]
    order = put(venue, client, price=600_010, size=20, market=2)
    rests = put(venue, client, "b", market=2)
    strike(venue, "status.halt", s=2, market=2)
    order = FakeOrder(listing, 0, "z", BUY, 599_000, 10, "gtc", client)
    assert venue.check(order).name == "status"
    venue.tick(venue.now_ns + 3 * SECOND)
    assert venue.check(order) is None
    strike(venue, "status.tick_change", multiple=7, market=2)
    assert venue.check(order).name == "tick"
    strike(venue, "status.phase", phase="auction", market=2)
    assert listing.status == "auction"
    strike(venue, "status.delist", market=2)
    assert (rests.done, listing.status) == ("delisted", "delisted")
    assert venue.truth(1)["positions"]["2:BTCUSDT:net"]["lots"] == 0
    strike(venue, "status.relist", inst_code=77, market=2)
    assert (listing.inst_code, listing.status) == (77, "trading")
    assert venue.audit() == []


def test_maintenance_expires_half_of_the_orders_and_ends(venue, client):
    orders = [put(venue, client, str(i)) for i in range(6)]
    strike(venue, "status.maintenance", s=5)
    assert [x.done for x in orders] == ["expired", "", "expired", "", "expired", ""]
    assert venue.maintenance
    venue.tick(venue.now_ns + 5 * SECOND)
    assert not venue.maintenance
    assert {x.status for x in venue.listings.values()} == {"trading"}


def test_sessions_end_by_age_by_force_or_by_the_subclass(venue, client):
    other = venue.open("/public", NOW)
    strike(venue, "session.kick", path="/private", code=4006, reason="bye")
    assert (client.closing, other.closing) == ((4006, "bye"), None)
    venue.faults.add("session.max_age", s=60)
    venue.tick(NOW + 61 * SECOND)
    assert other.closing == (1001, "max age")
    strike(venue, "session.revoke", key="k")
    assert venue.key("k") is None
    strike(venue, "session.expire")
    strike(venue, "book.reset", market=1)
    assert venue.calls == [("revoke", 2), ("expire", 2), ("reset", 1)]


def test_subscriptions_fail_or_are_taken_back(venue, client):
    client.topics["books"] = 1
    venue.faults.add("session.sub_fail", topic="trades")
    venue.faults.add("session.sub_ack_then_kick", topic="books", delay_ms=20, count=1)
    assert venue.sub_fault(client, "trades") == "fail"
    assert venue.sub_fault(client, "other") == ""
    assert venue.sub_fault(client, "books") == "kick"
    assert client.topics
    venue.tick(NOW + SECOND)
    assert not client.topics


def test_keys_and_addresses_are_refused_by_a_fault(venue):
    _, key = venue.key("k")
    venue.faults.add("session.key", why="environment", count=1)
    venue.faults.add("session.ip_denied", count=1)
    assert [venue.why_not(key, NOW) for _ in range(3)] == ["environment", "ip", ""]


def test_the_dead_mans_switch_fires_though_nobody_is_dead(venue, client):
    order = put(venue, client)
    venue.faults.add("dms.fire", after_ns=SECOND)
    venue.tick(NOW + 2 * SECOND)
    assert order.done == "countdown"


def test_items_of_a_batch_fail_one_by_one(venue, client):
    venue.faults.add("ack.batch", code="51008", client_id="b")
    assert venue.item_fault(put(venue, client)) is None
    assert venue.item_fault(put(venue, client, "b")).get("code") == "51008"


def test_the_mark_moves_away_without_a_market(venue):
    strike(venue, "market.mark", percent="10", s=1, market=2)
    listing = venue.listings[2, "BTCUSDT"]
    assert venue.mark_ticks(listing) == 660_005
    venue.tick(venue.now_ns + 2 * SECOND)
    assert venue.mark_ticks(listing) == 600_005


def test_an_announced_end_has_its_window_and_is_settled_at_the_index(venue, client):
    listing = venue.listings[2, "BTCUSDT"]
    put(venue, client, price=600_010, size=20, market=2)
    strike(venue, "market.mark", percent="5", market=2)
    strike(venue, "status.delist", in_s=60, window_s=20, market=2)
    assert (listing.ends_ns, listing.status) == (venue.now_ns + 60 * SECOND, "trading")
    venue.tick(venue.now_ns + 41 * SECOND)
    order = FakeOrder(listing, 0, "z", SELL, 600_020, 10, "gtc", client)
    assert venue.check(order).name == "delisting"
    order.reduce_only = True
    assert venue.check(order) is None
    venue.tick(venue.now_ns + 20 * SECOND)
    assert listing.status == "delisted"
    (fill,) = [x for x in venue.truth(1)["fills"].values() if x["nature"] == "settlement"]
    assert fill["price_ticks"] == 600_005  # not five per cent above
    assert venue.audit() == []


def test_in_an_auction_the_book_is_shown_crossed_and_the_matching_engine_is_not(venue):
    listing = venue.listings[2, "BTCUSDT"]
    strike(venue, "status.phase", phase="auction", s=5, market=2)
    assert listing.shown(BUY, 5) == [(600_030, 3), (600_000, 50)]
    assert listing.shown(SELL, 5) == listing.engine.levels(SELL, 5)
    assert listing.engine.best(BUY)[0] == 600_000
    venue.tick(venue.now_ns + 6 * SECOND)
    assert listing.shown(BUY, 5) == [(600_000, 50)]
