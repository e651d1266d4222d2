"""The order desk: what happens to orders of every kind, and an hour of everything at once."""

import random
from decimal import Decimal

import pytest

from ext.match import STP_MODES
from node.venues.fakes import (
    BUY,
    SECOND,
    SELL,
    FakeOrder,
    FakeVenue,
    Key,
    Listing,
    Refusal,
    make_account,
)


class Told(FakeVenue):
    """Remembers what it is told."""

    def __init__(self, *arguments, **options):
        self.told = []
        super().__init__(*arguments, **options)

    def receive(self, connection, text, now_ns):
        self.told.append(("received", text))

    def push_trade(self, listing, trade_id, price_ticks, size_lots, taker_side, now_ns):
        self.told.append(("trade", price_ticks, size_lots))

    def on_accepted(self, order, now_ns):
        self.told.append(("accepted", order.client_id))

    def on_fill(self, order, trade_id, price_ticks, size_lots, is_maker, now_ns):
        assert self.trade.id == trade_id
        assert self.trade.order is order
        self.told.append(("fill", order.client_id, price_ticks, size_lots))

    def on_done(self, order, reason, now_ns):
        assert order.done == reason
        self.told.append(("done", order.client_id, reason))

    def on_triggered(self, order, now_ns):
        self.told.append(("triggered", order.client_id))

    def on_amended(self, order, now_ns):
        self.told.append(("amended", order.client_id, order.price_ticks, order.size_lots))

    def on_amend_failed(self, order, reason, now_ns):
        self.told.append(("amend failed", order.client_id))

    def on_prevented(self, taker, maker, price_ticks, size_lots, now_ns):
        self.told.append(("prevented", taker.client_id, maker.client_id, size_lots))

    def on_balance(self, account, coin, amount, kind, now_ns, listing):
        self.told.append(("balance", kind, coin, amount))

    def said(self, *kinds):
        out = [x for x in self.told if not kinds or x[0] in kinds]
        self.told.clear()
        return out


def spot(**more):
    return Listing("BTCUSDT", "0.1", "0.001", 1, base="BTC", **more)


def perp(**more):
    return Listing("BTCUSDT", "0.1", "0.001", 2, base="BTC", is_perpetual=True, **more)


@pytest.fixture
def venue():
    made = Told([spot(), perp()], accounts=[make_account(i, COINS, keys=[]) for i in (1, 2, 3)])
    for listing in made.listings.values():
        listing.engine.set_level(BUY, 600_000, 50)
        listing.engine.set_level(SELL, 600_010, 50)
    made.tick(0)
    made.said()
    return made


COINS = [("", "BTC"), ("", "USDT"), ("", "BNB")]
NOW = 1_000_000


def make(venue, market=1, side=BUY, price=599_000, size=10, client_id="a", tif="gtc", **more):
    return FakeOrder(venue.listings[market, "BTCUSDT"], 0, client_id, side, price, size, tif, None, **more)


def put(venue, order_type="limit", now_ns=NOW, **more):
    order = make(venue, **more)
    venue.place(order_type, order, now_ns)
    return order


def balance(venue, coin, owner=1):
    return venue.accounts[owner].balance(coin)


# ---- money ----


def test_a_resting_buy_holds_its_value_and_a_cancel_lets_it_go(venue):
    order = put(venue)
    assert balance(venue, "USDT").locked == Decimal("599")
    assert venue.cancel(order, NOW)
    assert balance(venue, "USDT").locked == 0
    assert venue.audit() == []


def test_a_fill_moves_both_coins_and_the_fee_is_in_what_was_received(venue):
    put(venue, price=600_010, size=10)
    assert balance(venue, "BTC").total == 10_000 + Decimal("0.01") - Decimal("0.00001")
    assert balance(venue, "USDT").total == 10_000_000 - Decimal("600.01")
    put(venue, side=SELL, price=600_000, size=10, client_id="b")
    assert balance(venue, "USDT").total == 10_000_000 - Decimal("600.01") + 600 - Decimal("0.6")
    assert venue.audit() == []


def test_a_better_price_than_the_limit_gives_the_difference_back(venue):
    put(venue, price=610_000, size=60)
    assert balance(venue, "USDT").locked == Decimal("61000") * 10 / 1000
    assert balance(venue, "USDT").total == 10_000_000 - Decimal("60001") * 50 / 1000


def test_who_has_too_little_is_refused_by_check_and_by_place(venue):
    balance(venue, "USDT").total = Decimal(100)
    order = make(venue)
    order.order_type = "limit"
    assert venue.check(order).name == "funds"
    with pytest.raises(Refusal, match="USDT"):
        venue.place("limit", order, NOW)
    market = make(venue, size=10, tif="ioc")
    market.order_type = "market"
    assert venue.check(market).name == "funds"
    market.size_lots = 1
    assert venue.check(market) is None


def test_fees_can_be_in_a_third_coin_and_rebates_are_paid_out(venue):
    account = venue.accounts[1]
    account.fee_coin, account.fee_prices = "BNB", {"BNB": Decimal(500)}
    account.fee_rates[1, "BTCUSDT"] = (Decimal("-0.0001"), Decimal("0.001"))
    put(venue, price=600_010, size=10)
    assert balance(venue, "BNB").total == 10_000 - Decimal("0.00120002")
    put(venue, side=SELL, price=700_000, size=10, client_id="b")
    venue.listings[1, "BTCUSDT"].engine.set_level(BUY, 700_000, 10)
    venue.tick(NOW)
    assert balance(venue, "BNB").total > 10_000 - Decimal("0.00120002")
    assert venue.audit() == []


def test_a_position_averages_its_entry_realises_and_turns(venue):
    put(venue, market=2, price=600_010, size=50)
    position = venue.accounts[1].position(venue.listings[2, "BTCUSDT"])
    assert (position.lots, position.entry) == (50, Decimal("60001"))
    put(venue, market=2, side=SELL, price=600_000, size=20, client_id="b")
    assert (position.lots, position.realised) == (30, Decimal("-0.02"))
    put(venue, market=2, side=SELL, price=600_000, size=30, client_id="c")
    put(venue, market=2, side=SELL, price=599_990, size=10, client_id="d")
    assert position.lots == 0
    assert venue.audit() == []


def test_legs_of_a_hedged_account_are_apart(venue):
    venue.accounts[1].hedge = True
    put(venue, market=2, price=600_010, size=10, leg="long")
    put(venue, market=2, side=SELL, price=600_000, size=4, client_id="b", leg="short")
    account = venue.accounts[1]
    held = {key[2]: p.lots for key, p in account.positions.items()}
    assert held == {"long": 10, "short": -4}
    assert venue.audit() == []


def test_funding_is_paid_by_longs_and_got_by_shorts(venue):
    put(venue, market=2, price=600_010, size=10)
    put(venue, market=2, side=SELL, price=600_000, size=10, client_id="b", owner=2)
    venue.said()
    before = balance(venue, "USDT").total
    listing = venue.listings[2, "BTCUSDT"]
    venue.tick(listing.funding_interval_ns + NOW)
    paid = Decimal("0.01") * Decimal("60000.5") * Decimal("0.0001")
    assert balance(venue, "USDT").total == before - paid.quantize(Decimal("1e-8"))
    assert [x[1] for x in venue.said("balance")] == ["funding", "funding"]
    assert venue.audit() == []


def test_margin_is_asked_for_by_leverage(venue):
    account = venue.accounts[1]
    account.balance("USDT").total = Decimal(1000)
    order = make(venue, market=2, price=600_000, size=330)
    order.order_type = "limit"
    assert venue.check(order) is None
    order.size_lots = 340
    assert venue.check(order).name == "funds"
    account.set_leverage(order.listing, 100)
    assert venue.check(order) is None
    with pytest.raises(Refusal, match="leverage"):
        account.set_leverage(order.listing, 126)


def test_who_cannot_keep_a_position_is_liquidated_and_the_debt_made_good(venue):
    account = venue.accounts[1]
    account.balance("USDT").total = Decimal(100)
    venue.set_accounts(list(venue.accounts.values()))
    put(venue, market=2, price=600_010, size=30)
    put(venue, market=2, price=400_000, size=1, client_id="rest")
    engine = venue.listings[2, "BTCUSDT"].engine
    for price, _size in engine.levels(BUY):
        engine.set_level(BUY, price, 0)
    engine.set_level(BUY, 500_000, 10)
    engine.set_level(SELL, 500_010, 10)
    venue.tick(5 * SECOND)
    assert account.position(venue.listings[2, "BTCUSDT"]).lots == 0
    assert account.balance("USDT").total == 0
    assert ("done", "rest", "liquidation") in venue.told
    natures = {x.nature for x in account.trades}
    assert natures == {"trade", "liquidation"}
    assert [x.kind for x in account.incomes] == ["insurance"]
    assert venue.audit() == []


# ---- kinds of orders ----


def test_a_stop_waits_and_goes_to_the_book_when_its_price_is_traded(venue):
    stop = put(venue, "stop_market", side=SELL, price=0, size=5, tif="ioc", trigger_ticks=599_950)
    assert venue.said() == [("accepted", "a")]
    assert stop.waits
    assert venue.open_orders() == [stop]
    engine = stop.listing.engine
    engine.set_level(BUY, 599_950, 20)
    engine.trade(SELL, 599_950, 51)
    venue.tick(NOW)
    assert [x[0] for x in venue.said()] == ["trade", "trade", "triggered", "trade", "fill"]
    assert stop.done == "filled"
    assert venue.audit() == []


def test_a_stop_on_the_mark_fires_by_the_mark_and_can_be_cancelled_before(venue):
    one = put(
        venue, "stop_limit", side=BUY, price=605_000, trigger_ticks=601_000, trigger_on="mark", market=2
    )
    two = put(
        venue, "stop_limit", price=605_000, trigger_ticks=601_000, trigger_on="index", market=2, client_id="b"
    )
    assert venue.cancel(two, NOW)
    venue.tick(NOW)
    assert one.waits
    one.listing.mark_factor = Decimal("1.01")
    venue.tick(NOW)
    assert (one.done, two.done) == ("filled", "canceled")


def test_an_amend_keeps_the_number_and_only_a_smaller_size_keeps_the_place(venue):
    first, second = put(venue), put(venue, client_id="b")
    engine = first.listing.engine
    assert venue.amend(first, None, 5, NOW) == ""
    assert engine.ahead(second.number) == 5
    assert venue.amend(first, None, 8, NOW) == ""
    assert engine.ahead(first.number) == 10
    number = first.number
    assert venue.amend(first, 600_010, 60, NOW) == ""
    assert (first.number, first.filled_lots, first.leaves_lots) == (number, 50, 10)
    assert venue.amend(first, None, 50, NOW) == "filled"
    assert venue.amend(first, None, 60, NOW) == "no_change"
    assert venue.amend(first, None, 55, NOW) == ""
    assert first.leaves_lots == 5
    assert engine.size(BUY, 600_010) == 5
    venue.cancel(first, NOW)
    assert venue.amend(first, None, 70, NOW) == "unknown"
    assert venue.amend(second, 599_000_000, None, NOW) == "percent_price"
    assert venue.amend(second, None, 10**9, NOW) == "funds"
    assert venue.audit() == []


def test_an_order_that_traded_moved_and_traded_again_can_still_be_made_smaller(venue):
    order = put(venue, size=10)
    engine = order.listing.engine
    engine.fill(order.number, 4)
    assert venue.amend(order, 598_000, None, NOW) == ""
    engine.fill(order.number, 2)
    assert venue.amend(order, None, 8, NOW) == ""
    assert (order.filled_lots, order.leaves_lots, engine.size(BUY, 598_000)) == (6, 2, 2)
    assert venue.amend(order, 597_000, 9, NOW) == ""
    assert engine.size(BUY, 597_000) == order.leaves_lots == 3
    assert venue.audit() == []


@pytest.mark.parametrize("mode", STP_MODES)
def test_every_self_trade_mode_leaves_orders_and_money_consistent(venue, mode):
    resting = put(venue, side=SELL, price=600_005, size=10)
    taker = put(venue, price=600_005, size=15, client_id="b", stp=mode)
    assert venue.audit() == []
    ends = {"none": ("filled", ""), "expire_taker": ("", "stp"), "expire_maker": ("stp", "")}
    ends |= {"expire_both": ("stp", "stp"), "decrement": ("stp", "")}
    assert (resting.done, taker.done) == ends[mode]
    if mode == "decrement":
        assert (taker.prevented_lots, taker.leaves_lots) == (10, 5)
        put(venue, side=SELL, price=600_005, size=5, client_id="c", owner=2)
        assert taker.done == "filled"
    assert venue.audit() == []


def test_reduce_only_is_cut_to_the_position_and_shrinks_with_it(venue):
    none = make(venue, market=2, side=SELL, reduce_only=True)
    none.order_type = "limit"
    assert venue.check(none).name == "reduce_only"
    put(venue, market=2, price=600_010, size=10)
    order = make(venue, market=2, side=SELL, price=610_000, size=30, reduce_only=True, client_id="r")
    order.order_type = "limit"
    assert venue.check(order) is None
    assert order.size_lots == 10
    venue.place("limit", order, NOW)
    put(venue, market=2, side=SELL, price=600_000, size=4, client_id="s")
    assert order.leaves_lots == 6
    put(venue, market=2, side=SELL, price=600_000, size=6, client_id="t")
    assert order.done == "reduce_only"
    venue.reduce_only_rule = "refuse"
    put(venue, market=2, price=600_010, size=10, client_id="u")
    order = make(venue, market=2, side=SELL, price=610_000, size=30, reduce_only=True, client_id="v")
    order.order_type = "limit"
    assert venue.check(order).name == "reduce_only"


def test_reduce_only_never_turns_a_position_even_in_one_sweep(venue):
    put(venue, market=2, price=600_010, size=10)
    put(venue, market=2, side=SELL, price=600_020, size=8, client_id="s")
    order = put(venue, market=2, side=SELL, price=600_021, size=10, client_id="r", reduce_only=True)
    venue.said()
    venue.listings[2, "BTCUSDT"].engine.set_level(BUY, 600_030, 200)
    venue.tick(NOW)
    assert venue.truth(1)["positions"]["2:BTCUSDT:net"]["lots"] == 0
    assert (order.done, order.filled_lots) == ("reduce_only", 2)
    assert venue.audit() == []


def test_orders_of_an_account_are_found_by_it_and_by_nobody_else(venue):
    mine, theirs = put(venue), put(venue, owner=2, price=598_000)
    first, second = venue.accounts[1], venue.accounts[2]
    listing = mine.listing
    assert venue.find_order(listing, "a", 0, first) is mine
    assert venue.find_order(listing, "a", 0, second) is theirs
    assert venue.find_order(listing, "", mine.number, second) is None
    assert venue.open_orders(first) == [mine]
    assert venue.cancel_all(second, listing, NOW) == [theirs]
    assert venue.closed_orders(second) == [theirs]
    assert venue.open_orders(None, 1) == [mine]
    assert venue.open_orders(None, 2) == []


def test_what_the_venue_archives_is_not_found_any_more(venue):
    venue.retention_ns = 10 * SECOND
    order = put(venue)
    venue.cancel(order, NOW)
    assert venue.find_order(order.listing, "a") is order
    venue.tick(NOW + 11 * SECOND)
    assert venue.find_order(order.listing, "a") is None
    assert venue.closed_orders() == []
    assert venue.truth(1)["orders"] == {"a": 1}


def test_a_client_id_twice_is_refused_by_the_rule_of_the_venue(venue):
    order = put(venue)
    again = make(venue)
    again.order_type = "limit"
    assert venue.check(again).name == "duplicate_id"
    venue.cancel(order, NOW)
    assert venue.check(again) is None
    venue.duplicate_rule = "ever"
    assert venue.check(again).name == "duplicate_id"


# ---- faults of orders ----


def test_an_order_fills_while_it_is_cancelled(venue):
    venue.faults.add("order.fill_on_cancel", part="full", count=1)
    venue.faults.add("order.fill_on_cancel", part="0.3", count=1)
    first, second = put(venue), put(venue, client_id="b")
    assert not venue.cancel(first, NOW)
    assert first.done == "filled"
    assert venue.cancel(second, NOW)
    assert (second.done, second.filled_lots) == ("canceled", 3)
    assert venue.faults.counts == {"order.fill_on_cancel": 2}
    assert venue.audit() == []


def test_orders_are_filled_expired_cut_or_rejected_by_the_venue(venue):
    def with_fault(name, **arguments):
        venue.faults.clear()
        fault = venue.faults.add(name, count=1, **arguments)
        order = put(venue, client_id=name)
        venue.tick(venue.now_ns + SECOND)
        assert fault.hits == 1
        assert venue.audit() == []
        return order

    assert with_fault("order.fill_immediately").done == "filled"
    assert with_fault("order.expire", reason="expired", delay_ms=5).done == "expired"
    assert with_fault("order.stp", delay_ms=5).done == "stp"
    assert with_fault("order.reject_late", delay_ms=5).done == "rejected"
    assert with_fault("order.zero_fill_filled").filled_lots == 0
    assert with_fault("order.amend_qty", part="0.5").leaves_lots == 5
    split = with_fault("order.split", k=3)
    children = [x for x in venue.orders.values() if x.notes.get("parent") == split.number]
    assert split.size_lots + sum(x.size_lots for x in children) == 10
    assert len(children) == 2
    assert with_fault("order.amend_qty", part="full").leaves_lots == 10
    venue.faults.clear()
    venue.faults.add("order.algo")
    put(venue, client_id="algo")
    assert venue.faults.counts["order.algo"] == 1
    assert any(x.is_stop for x in venue.open_orders())


def test_an_amend_fails_after_it_was_acknowledged_or_changes_the_id(venue):
    venue.faults.add("order.amend_fail_late", count=1)
    order = put(venue)
    assert venue.amend(order, 598_000, None, NOW) == ""
    assert order.price_ticks == 599_000
    venue.tick(NOW + SECOND)
    assert ("amend failed", "a") in venue.told
    venue.faults.add("order.amend_id_change", count=1)
    assert venue.amend(order, 598_000, None, NOW) == ""
    assert order.client_id != "a"
    assert venue.find_order(order.listing, "a") is order
    assert venue.find_order(order.listing, order.client_id) is order


def test_a_refusal_can_be_injected_by_name_or_code(venue):
    order = make(venue)
    order.order_type = "limit"
    venue.faults.add("order.reject", filter="max_orders", count=1)
    assert venue.check(order).name == "max_orders"
    venue.faults.add("ack.error", code="-1007", live=False, count=1)
    assert (venue.check(order).name, order.number) == ("injected", 0)
    assert venue.check(order) is None


def test_keys_are_known_by_name_and_refused_by_reason():
    account = make_account(1, COINS, keys=[Key("k", ips=("10.0.0.1",), expires_ns=5, environment="demo")])
    venue = Told([spot()], accounts=[account])
    assert venue.key("other") is None
    found, key = venue.key("k")
    assert found is account
    assert venue.why_not(key, 0) == "ip"
    assert venue.why_not(key, 0, ip="10.0.0.1") == "environment"
    venue.environment = "demo"
    assert venue.why_not(key, 5, ip="10.0.0.1") == "expired"
    assert venue.why_not(key, 0, "withdraw", "10.0.0.1") == "right"
    assert venue.why_not(key, 0, "trade", "10.0.0.1") == ""


# ---- an hour of everything ----

HOUR_FAULTS = [
    ("order.fill_on_cancel", {"every": 0.1, "part": "part"}),
    ("order.fill_immediately", {"every": 0.02, "part": "0.4"}),
    ("order.reject_late", {"every": 0.02}),
    ("order.expire", {"every": 0.02, "delay_ms": 300}),
    ("order.stp", {"every": 0.01, "delay_ms": 200}),
    ("order.amend_qty", {"every": 0.03, "delay_ms": 100}),
    ("order.amend_fail_late", {"every": 0.1}),
    ("order.split", {"every": 0.02, "k": 3}),
    ("order.algo", {"every": 0.01}),
    ("order.zero_fill_filled", {"every": 0.01}),
    ("exec.split", {"every": 0.2, "k": 3}),
    ("exec.fee", {"every": 0.1, "coin": "BNB"}),
    ("acct.funding", {"period_ns": 60 * SECOND, "rate": "0.0003"}),
    ("acct.deposit", {"period_ns": 300 * SECOND, "amount": "1000"}),
    ("acct.withdraw", {"period_ns": 310 * SECOND, "amount": "500", "account": 2}),
    ("acct.drift", {"period_ns": 700 * SECOND, "amount": "0.5"}),
    ("acct.adl", {"period_ns": 500 * SECOND, "part": "part"}),
    ("acct.liquidation", {"period_ns": 900 * SECOND, "part": "part", "account": 3}),
    ("acct.external_order", {"period_ns": 100 * SECOND, "account": 2, "size_lots": 5}),
    ("status.halt", {"period_ns": 600 * SECOND, "s": 5}),
]


class Hour:
    """Random orders of three accounts, a background that moves, and faults; one step is 250 ms."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        accounts = [make_account(i, COINS, keys=[]) for i in (1, 2, 3)]
        accounts[2].hedge = True
        self.venue = Told([spot(), perp()], seed, accounts)
        self.venue.reduce_only_rule = self.rng.choice(["cut", "refuse"])
        for name, options in HOUR_FAULTS:
            self.venue.faults.add(name, **options)
        self.number, self.mid = 0, 600_000

    def step(self, now_ns):
        rng, venue = self.rng, self.venue
        self.mid += rng.randint(-40, 40)
        for listing in venue.listings.values():
            side = rng.getrandbits(1)
            away = rng.randint(1, 60) * (-1 if side == BUY else 1)
            listing.engine.set_level(side, self.mid + away, rng.randint(0, 40))
            if rng.random() < 0.3:
                listing.engine.trade(rng.getrandbits(1), self.mid, rng.randint(1, 30))
        venue.tick(now_ns)
        for _ in range(rng.randint(0, 2)):
            self.act(now_ns)

    def act(self, now_ns):
        open_orders = self.venue.open_orders()
        chance = self.rng.random()
        if open_orders and chance < 0.3:
            self.venue.cancel(self.rng.choice(open_orders), now_ns)
        elif open_orders and chance < 0.45:
            order = self.rng.choice(open_orders)
            price = order.price_ticks + self.rng.randint(-20, 20) if order.price_ticks else None
            self.venue.amend(order, price, order.size_lots + self.rng.randint(-10, 10), now_ns)
        elif chance < 0.47:
            self.venue.cancel_all(self.venue.accounts[self.rng.randint(1, 3)], None, now_ns)
        else:
            self.place(now_ns)

    def place(self, now_ns):
        rng, venue = self.rng, self.venue
        self.number += 1
        listing = rng.choice(list(venue.listings.values()))
        owner, side = rng.randint(1, 3), rng.getrandbits(1)
        kind = rng.choice(["limit", "limit", "limit", "market", "stop_limit", "stop_market"])
        tif = (
            "ioc"
            if kind in ("market", "stop_market")
            else rng.choice(["gtc", "gtc", "ioc", "fok", "post_only"])
        )
        price = 0 if kind in ("market", "stop_market") else self.mid + rng.randint(-50, 50)
        order = FakeOrder(
            listing, 0, f"c{self.number}", side, price, rng.randint(1, 30), tif, None,
            owner=owner, order_type=kind, stp=rng.choice(STP_MODES), leg=self.leg(listing, owner),
            trigger_ticks=self.mid + rng.randint(-80, 80), trigger_on=rng.choice(["last", "mark", "index"]),
            reduce_only=listing.is_perpetual and rng.random() < 0.3,
        )  # fmt: skip
        if venue.check(order, now_ns) is None:
            try:
                venue.place(kind, order, now_ns)
            except Refusal:
                assert kind != "market"

    def leg(self, listing, owner):
        hedged = listing.is_perpetual and owner == 3
        return self.rng.choice(["long", "short"]) if hedged else "net"


def recount(venue):
    """The ledgers from the trades alone: coins and positions of every account since its start."""
    for account in venue.accounts.values():
        coins, lots = {}, {}
        for x in account.trades:
            base, quote = x.listing.coins
            sign = 1 if x.side == BUY else -1
            moves = [(x.fee_coin, -x.fee)]
            if x.listing.is_perpetual:
                moves.append((x.listing.settle_coin, x.realised))
                key = (*x.listing.key, x.order.leg)
                lots[key] = lots.get(key, 0) + sign * x.size_lots
            else:
                moves += [(base, sign * x.listing.amount(x.size_lots)), (quote, -sign * x.notional)]
            for coin, amount in moves:
                coins[coin] = coins.get(coin, Decimal(0)) + amount
        for income in account.incomes:
            coins[income.coin] = coins.get(income.coin, Decimal(0)) + income.amount
        start = {c: b.total for c, b in make_account(1, COINS).balances.items()}
        for coin, amount in coins.items():
            assert account.balance(coin).total == start[coin] + amount, (account.owner, coin)
        for key, p in account.positions.items():
            assert p.lots == lots.get(key, 0), key


def cash_of_perpetuals(venue):
    """Realised profit is what was paid in less what was paid out, and the cost of what is still open."""
    total = sum(x.realised for a in venue.accounts.values() for x in a.trades)
    flow = sum(
        (-1 if x.side == BUY else 1) * x.notional
        for a in venue.accounts.values()
        for x in a.trades
        if x.listing.is_perpetual
    )
    cost = sum(p.cost for a in venue.accounts.values() for p in a.positions.values())
    assert total == flow + cost


def reduce_only_opened(venue):
    """Fills of reduce-only orders that did not make the position smaller."""
    out = []
    for account in venue.accounts.values():
        lots = {}
        for x in account.trades:
            if not x.listing.is_perpetual:
                continue
            key = (*x.listing.key, x.order.leg)
            before = lots.get(key, 0)
            lots[key] = before + (x.size_lots if x.side == BUY else -x.size_lots)
            if x.order.reduce_only and abs(lots[key]) != abs(before) - x.size_lots:
                out.append(x)
    return out


@pytest.mark.parametrize("seed", [1, 2])
def test_an_hour_of_everything_loses_and_makes_nothing(seed):
    hour = Hour(seed)
    venue = hour.venue
    for i in range(14_400 // 4):
        hour.step(10**15 + i * SECOND)
        if i % 100 == 0:
            assert venue.audit() == []
    assert venue.audit() == []
    recount(venue)
    cash_of_perpetuals(venue)
    for order in venue.orders.values():
        assert order.filled_lots + order.prevented_lots <= order.size_lots
    booked = {}
    for x in (t for a in venue.accounts.values() for t in a.trades):
        booked[x.order.number] = booked.get(x.order.number, 0) + x.size_lots
    assert booked == {n: x.filled_lots for n, x in venue.orders.items() if x.filled_lots}
    assert reduce_only_opened(venue) == []
    struck = {name for name, n in venue.faults.counts.items() if n}
    assert struck == {name for name, _ in HOUR_FAULTS}
    assert venue.counts["fills"] > 1000
    for listing in venue.listings.values():
        listing.engine.audit()
        resting = {x.number for x in venue.open_orders(None, None, listing) if not x.waits}
        assert all(listing.engine.ahead(n) is not None for n in resting)


def test_the_same_seed_gives_the_same_hour():
    def run(seed):
        hour = Hour(seed)
        for i in range(400):
            hour.step(10**15 + i * SECOND)
        return [hour.venue.truth(x) for x in hour.venue.accounts], hour.venue.faults.counts, hour.venue.told

    assert run(5) == run(5)
    assert run(5) != run(6)
