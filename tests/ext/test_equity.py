"""Equity against adding up: after every command each number and each sum is what fractions give."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.account import Account
from ext.equity import Equity
from ext.instruments import Instruments
from ext.orders import Orders
from ext.records import Market, ReportKind

E8, MOST, DAY = 10**8, 2**62 - 1, 86_400_000_000_000
BUY, SELL = 0, 1
SUMS = (
    "profit_e8", "open_e8", "long_e8", "short_e8", "gross_e8", "margin_e8", "maintenance_e8", "perpetual_e8",
    "fees_e8", "funding_e8",
)  # fmt: skip


def table():
    out = Instruments()
    out.add(Market.BINANCE_SPOT, "BTCUSDT", "0.01", "0.00001", base="BTC", quote="USDT")
    out.add(Market.BINANCE_USDM, "BTCUSDC", "0.10", "0.001", base="BTC", quote="USDC", is_perpetual=True)
    out.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "1", "0.01", base="BTC", quote="USDT", is_perpetual=True)
    out.add(Market.BYBIT_SPOT, "PEPEUSDT", "0.0000000025", "1", base="PEPE", quote="USDT")
    return out


class Twin:
    """What everything is, from nothing, by the words of the head of `ext/equity.pyx`."""

    def __init__(self, instruments, orders, account):
        self.instruments, self.orders, self.account = instruments, orders, account
        self.rows = [instruments.row(i) for i in range(instruments.count)]
        self.book = [[0, 0, 0] for _ in self.rows]  # bid, ask, mark e8
        self.far = [None] * len(self.rows)  # since when the mark is an outlier
        self.out = [False] * len(self.rows)  # ... and does not count
        self.price = {"USDT": E8, "USDC": E8}
        self.last = dict(self.price)  # what a coin counts at: the last price it had
        self.leverage, self.maintenance = [1] * len(self.rows), [0] * len(self.rows)
        self.purse = [0] * len(self.rows)
        self.capital, self.told = {}, set()

    def mark(self, i, bid, ask, mark, now):
        for at, value in enumerate((bid, ask, mark)):
            if value:
                self.book[i][at] = value
        if bid and ask and self.book[i][2]:
            exact = self.exact(i)
            apart = abs(math.floor(exact) + math.ceil(exact) - bid - ask)
            is_far = apart > (bid + ask) * 5 // 100
            self.far[i] = (self.far[i] or now) if is_far else None
        self.out[i] = self.far[i] is not None and now - self.far[i] < 5 * 10**9

    def exact(self, i):
        row = self.rows[i]
        return Fraction(self.book[i][2] * 10 ** row["price_decimals"], E8 * row["tick_mantissa"])

    def worth(self, i):
        row, held, reserved = self.rows[i], self.account.position(i), self.orders.reserved(i)
        bid, ask, mark = self.book[i]
        exact, mark = self.exact(i), mark and not self.out[i]
        known = [x for x in (bid, ask) if x] + ([math.floor(exact), math.ceil(exact)] if mark else [])
        low, high = (min(known), max(known)) if known else (0, 0)
        rate, unit = Fraction(self.last[row["quote"]], E8), Fraction(row["money_mul"], row["money_div"])

        def own(amount, way):
            """Quote money into the account's currency: rounded where it is money, and where it is changed."""
            return fit(way(fit(way(amount)) * rate))

        legs = [x["lots"] for x in held["legs"]]
        closed = sum(x * (low if x > 0 else high) for x in legs)
        size = sum(abs(x) for x in legs)
        buys, sells = reserved["buy_lots"], reserved["sell_lots"]
        out = {
            "profit_e8": own((held["cash"] + closed) * unit, math.floor),
            "open_e8": own((closed - held["cost"]) * unit, math.floor),
            "long_e8": own((held["lots"] + buys) * high * unit, math.ceil),
            "short_e8": own((held["lots"] - sells) * high * unit, math.floor),
            "funding_e8": own(held["funding_e8"], math.floor),
        }
        out["gross_e8"] = max(abs(out["long_e8"]), abs(out["short_e8"]))
        if legs[1] or legs[2]:
            out["gross_e8"] = own((size + buys + sells) * high * unit, math.ceil)
        out["margin_e8"] = math.ceil(Fraction(out["gross_e8"], self.leverage[i]))
        held_now = own(size * high * unit, math.ceil)
        out["maintenance_e8"] = math.ceil(Fraction(held_now * self.maintenance[i], 10**6))
        out["perpetual_e8"] = out["gross_e8"] if row["is_perpetual"] else 0
        step = Fraction(row["tick_mantissa"], 10 ** row["price_decimals"])
        fees = own(held["fee_e8"] + fit(math.ceil(held["fee_base_e8"] * high * step)), math.ceil)
        for coin, amount in held["fees"].items():
            fees += math.ceil(Fraction(amount * self.last.get(coin, 0), E8))
        out["fees_e8"] = fees
        blind = not high and (size or buys or sells or held["fee_base_e8"])
        blind = blind or held["nameless_fees"] or any(not self.price.get(x) for x in held["fees"])
        return out, bool(blind or not self.price[row["quote"]])

    def capitals(self, purse):
        return sum(
            math.floor(Fraction(x * self.last.get(c, 0), E8))
            for (p, c), x in self.capital.items()
            if p == purse
        )


def fit(x):
    return max(-MOST, min(MOST, x))


class World:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.instruments = table()
        self.orders = Orders(64, self.instruments.count)
        self.account = Account(self.instruments.count)
        self.equity = Equity(self.instruments, self.orders, self.account)
        self.twin = Twin(self.instruments, self.orders, self.account)
        self.ids = []
        self.trade = 0
        self.now = 1
        for market, purse in ((0, 0), (1, 1), (4, 1), (2, 2)):
            self.equity.set_purse(market, purse)
        self.twin.purse = [0, 1, 1, 2]
        for i, leverage, ppm in ((1, 5, 4000), (2, 3, 5000)):
            self.equity.set_row(i, leverage, ppm)
            self.twin.leverage[i], self.twin.maintenance[i] = leverage, ppm
        self.rows = [self.twin.worth(i) for i in range(4)]

    MID = (6_000_000, 600_000, 600_000, 4_000)

    def command(self):
        i = self.rng.randrange(4)
        what = self.rng.choice(
            ("fill", "fill", "fill", "mark", "mark", "mark", "order", "order", "report", "report", "fee",
             "funding", "coin", "capital", "flow")
        )  # fmt: skip
        changed = getattr(self, what)(i)
        for at in range(4) if changed is None else changed:
            self.equity.count_now(at)
            self.rows[at] = self.twin.worth(at)

    def near(self, i):
        return self.MID[i] + self.rng.randrange(-1000, 1001)

    def fill(self, i):
        leg = self.rng.choice((0, 0, 1, 2)) if i == 1 else self.rng.choice((0, -1))
        self.account.fill(
            i, self.rng.randrange(2), self.near(i), self.rng.randrange(1, 10**5), 0, -1, leg=leg
        )
        return [i]

    def fee(self, i):
        coin = self.rng.choice(("", "", "BNB", "OKB") if self.rng.random() < 0.1 else ("BNB",))
        self.account.fee(
            i, self.rng.randrange(-100, 10**9), self.rng.choice((0, 1, 1, 2, -1)) if coin else 1, coin
        )
        return [i]

    def funding(self, i):
        self.account.funding(i, self.rng.randrange(-(10**9), 10**9))
        return [i]

    def mark(self, i):
        bid = self.near(i)
        row = self.twin.rows[i]
        price = Fraction(self.near(i) * row["tick_mantissa"] * E8, 10 ** row["price_decimals"])
        told = self.rng.choice(
            ((bid, bid + self.rng.randrange(1, 30), 0), (0, 0, int(price) + self.rng.randrange(10)),
             (bid, bid + 1, int(price)), (bid, 0, 0), (0, 0, 0))
        )  # fmt: skip
        self.now += self.rng.randrange(10**9)
        self.equity.mark_now(i, *told, now_ns=self.now)
        self.twin.mark(i, *told, self.now)
        return [i]

    def order(self, i):
        number = self.orders.intend(i, self.rng.randrange(2), self.near(i), self.rng.randrange(1, 10**5))
        if number:
            self.ids.append((i, number))
        return [i]

    def report(self, i):
        if not self.ids:
            return []
        i, number = self.rng.choice(self.ids)
        self.trade += 1
        kind = self.rng.choice(("LIVE", "FILL", "CANCELED", "UNCERTAIN", "REJECT", "LIVE"))
        self.orders.report(
            number,
            ReportKind[f"REPORT_{kind}"],
            self.rng.randrange(1, 1000) if kind == "FILL" else 0,
            self.trade,
        )
        row = self.orders.order(number)
        if row is not None and row["state"] == "LIVE" and not row["amending"] and self.rng.random() < 0.5:
            self.orders.amend(number, self.near(i), self.rng.randrange(1, 10**5))
        if row is None or row["state"] not in ("LIVE", "PARTIAL", "UNKNOWN", "INTENT", "ACKED", "SENT"):
            self.ids.remove((i, number))
        return [i]

    def coin(self, i):
        coin = self.rng.choice(("USDT", "USDC", "BNB", "OKB", "BTC"))
        price = self.rng.choice(
            (
                0,
                E8,
                E8 - self.rng.randrange(10**6),
                self.rng.randrange(1, 2 * E8 if coin[:3] == "USD" else 10**11),
            )
        )
        self.equity.set_coin(coin, price)
        self.twin.price[coin] = price
        self.twin.last[coin] = price or self.twin.last.get(coin, 0)

    def capital(self, i):
        purse, coin, amount = (
            self.rng.randrange(3),
            self.rng.choice(("USDT", "USDC", "BTC")),
            self.rng.randrange(10**14),
        )
        self.equity.set_capital(purse, amount, coin)
        self.twin.capital[purse, coin] = amount
        self.twin.told.add(purse)
        return []

    def flow(self, i):
        purse, coin = self.rng.randrange(3), self.rng.choice(("USDT", "USDC"))
        amount = self.rng.randrange(-(10**10), 10**10)
        self.equity.flow(purse, amount, coin)
        self.twin.capital[purse, coin] = self.twin.capital.get((purse, coin), 0) + amount
        return []

    def check(self):
        for i, (want, blind) in enumerate(self.rows):
            got = self.equity.worth(i)
            assert {k: got[k] for k in SUMS} == want, i
            assert bool(got["blind"]) == blind
        total = 0
        for purse in (0, 1, 2):
            rows = [x for x, p in zip(self.rows, self.twin.purse, strict=True) if p == purse]
            got, want = self.equity.sums(purse), {k: sum(x[k] for x, _ in rows) for k in SUMS}
            assert {k: got[k] for k in SUMS} == want
            assert got["capital_e8"] == self.twin.capitals(purse)
            assert (
                got["equity_e8"]
                == got["capital_e8"] + want["profit_e8"] + want["funding_e8"] - want["fees_e8"]
            )
            total += got["equity_e8"]
            held = {c: x for (p, c), x in self.twin.capital.items() if p == purse}
            priced = all(self.twin.price.get(c) for c, x in held.items() if x)
            assert bool(got["known"]) == (
                purse in self.twin.told and priced and not any(blind for _, blind in rows)
            )
        assert self.equity.sums()["equity_e8"] == total
        assert self.equity.known == all(self.equity.sums(p)["known"] for p in (0, 1, 2))
        bitcoin = self.equity.coin_sums("BTC")
        assert {k: bitcoin[k] for k in SUMS} == {k: sum(self.rows[i][0][k] for i in (0, 1, 2)) for k in SUMS}


@pytest.mark.parametrize("seed", range(5))
def test_after_each_of_two_thousand_commands_everything_is_what_adding_up_gives(seed):
    world = World(seed)
    for _ in range(2000):
        world.command()
        world.check()
    assert world.equity.overflows == 0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_any_short_run_adds_up_at_its_end(seed):
    world = World(seed)
    for _ in range(60):
        world.command()
    world.check()


# ---- one thing at a time ----


def one(market=Market.BINANCE_USDM, perpetual=True):
    instruments = Instruments()
    instruments.add(market, "BTCUSDT", "0.1", "0.001", base="BTC", quote="USDT", is_perpetual=perpetual)
    account, orders = Account(1), Orders(16, 1)
    return account, orders, Equity(instruments, orders, account)


def test_a_position_is_valued_at_the_worse_of_the_book_and_the_mark_price():
    account, _, equity = one()
    account.fill(0, BUY, 600_000, 1000)  # one bitcoin at 60000
    equity.mark_now(0, 600_000, 600_001, 59_000 * E8)
    assert equity.worth(0)["open_e8"] == -1000 * E8  # the book has not noticed yet
    equity.mark_now(0, 580_000, 580_001, 59_000 * E8)
    assert equity.worth(0)["open_e8"] == -2000 * E8  # the mark has not
    account.fill(0, SELL, 600_000, 2000)
    equity.mark_now(0, 600_000, 600_001, 61_000 * E8)
    assert equity.worth(0)["open_e8"] == -1000 * E8


def test_a_mark_price_between_two_ticks_counts_as_the_worse_one():
    account, _, equity = one()
    account.fill(0, BUY, 600_000, 1000)
    equity.mark_now(0, 0, 0, 60_000 * E8 + E8 // 20)
    assert equity.worth(0)["open_e8"] == 0
    assert equity.worth(0)["ticks"] == 600_001


def test_prices_that_are_not_told_stay_what_they_were():
    account, _, equity = one()
    account.fill(0, BUY, 600_000, 1000)
    equity.mark_now(0, 590_000, 590_001, 0, 7)
    equity.mark_now(0, 0, 0, 0, 8)
    assert equity.worth(0)["open_e8"] == -1000 * E8
    assert equity.worth(0)["marked_ns"] == 7


def test_what_was_never_marked_is_not_known_and_not_nothing():
    account, _, equity = one()
    equity.set_capital(0, 10**12)
    assert equity.known
    account.fill(0, BUY, 600_000, 1)
    equity.count_now(0)
    assert not equity.known
    equity.mark_now(0, 600_000, 600_001)
    assert equity.known


@pytest.mark.parametrize("coin", ["BNB", ""])
def test_a_fee_without_a_price_makes_the_purse_unknown_until_it_has_one(coin):
    account, _, equity = one()
    equity.set_capital(0, 10**12)
    equity.mark_now(0, 600_000, 600_001)
    account.fee(0, E8, 0, coin)
    equity.count_now(0)
    assert (equity.known, equity.unvalued) == (False, 1)
    equity.set_coin("BNB", 600 * E8)
    assert equity.known == bool(coin)
    if coin:
        assert equity.sums()["equity_e8"] == 10**12 - 600 * E8
        equity.set_coin("BNB", 0)  # nobody knows any more
        assert not equity.known


def test_worst_case_counts_in_flight_unknown_and_the_larger_side_of_an_amend():
    _, orders, equity = one()
    equity.mark_now(0, 600_000, 600_000)
    unit = 60 * E8  # a lot
    number = orders.intend(0, BUY, 600_000, 10)
    equity.count_now(0)
    assert equity.worth(0)["long_e8"] == 10 * unit
    orders.report(number, ReportKind.REPORT_LIVE)
    orders.amend(number, 600_000, 25)
    equity.count_now(0)
    assert equity.worth(0)["long_e8"] == 25 * unit
    other = orders.intend(0, SELL, 600_000, 40)
    orders.report(other, ReportKind.REPORT_UNCERTAIN)
    equity.count_now(0)
    assert equity.worth(0)["short_e8"] == -40 * unit
    assert equity.sums()["gross_e8"] == 40 * unit
    orders.report(other, ReportKind.REPORT_REJECT)
    equity.count_now(0)
    assert equity.worth(0)["short_e8"] == 0


def test_a_coin_below_one_lowers_the_capital_held_in_it_at_once():
    _, _, equity = one()
    equity.set_capital(0, 1000 * E8, "USDT")
    assert equity.sums()["equity_e8"] == 1000 * E8
    equity.set_coin("USDT", 97 * 10**6)
    assert equity.sums()["equity_e8"] == 970 * E8
    assert equity.sums(0)["capital_e8"] == 970 * E8


def test_peak_and_day_follow_equity_and_deposits_move_both():
    account, _, equity = one()
    assert not equity.roll_now(5 * DAY)  # not known: no peak of nothing
    equity.set_capital(0, 1000 * E8)
    assert equity.roll_now(5 * DAY)
    assert (equity.peak_e8, equity.day_e8, equity.day) == (1000 * E8, 1000 * E8, 5)
    account.funding(0, 100 * E8)
    equity.count_now(0)
    assert not equity.roll_now(5 * DAY + 1)
    account.funding(0, -300 * E8)
    equity.count_now(0)
    assert not equity.roll_now(6 * DAY - 1)
    assert (equity.peak_e8, equity.day_e8, equity.sums()["equity_e8"]) == (1100 * E8, 1000 * E8, 800 * E8)
    equity.flow(0, -500 * E8)  # 3/8 is left: of the peak, too; the day's loss stays 200
    assert (equity.peak_e8, equity.day_e8, equity.sums()["equity_e8"]) == (
        412 * E8 + E8 // 2,
        500 * E8,
        300 * E8,
    )
    assert equity.roll_now(6 * DAY)
    assert (equity.peak_e8, equity.day_e8, equity.day) == (412 * E8 + E8 // 2, 300 * E8, 6)


def down(peak, now, day=5):
    """An equity (whole units) that fell from a peak."""
    account, _, equity = one()
    equity.set_capital(0, peak * E8)
    equity.roll_now(day * DAY)
    account.funding(0, (now - peak) * E8)
    equity.count_now(0)
    equity.roll_now(day * DAY)
    return account, equity


@pytest.mark.parametrize(
    ("flow", "peak_e8"),
    [
        (-900 * E8, 52_63157895),  # 1000 * 50 / 950, up
        (950 * E8, 2000 * E8),
        (-1, 1000 * E8 - 1),  # 1000 - 1.05e-8, up
        (-(950 * E8 - 1), 2),
    ],
)
def test_a_flow_leaves_the_drawdown_the_share_that_it_was_and_the_days_loss_its_amount(flow, peak_e8):
    _, equity = down(1000, 950)
    equity.flow(0, flow)
    assert (equity.peak_e8, equity.day_e8 - equity.sums()["equity_e8"]) == (peak_e8, 50 * E8)
    equity.roll_now(5 * DAY)
    assert equity.peak_e8 == peak_e8


def test_there_and_back_again_raises_no_peak_and_lowers_none():
    _, equity = down(1000, 950)
    for _ in range(100):
        equity.flow(0, -900 * E8)
        equity.flow(0, 900 * E8)
        equity.roll_now(5 * DAY)
    assert 0 <= equity.peak_e8 - 1000 * E8 < 100 * 20


def test_all_that_is_taken_out_fires_nothing_and_comes_back_with_its_drawdown():
    _, equity = down(1000, 950)
    equity.flow(0, -950 * E8)
    equity.roll_now(5 * DAY)
    assert (equity.peak_e8, equity.sums()["equity_e8"]) == (0, 0)
    equity.flow(0, 475 * E8)
    equity.roll_now(5 * DAY)
    assert equity.peak_e8 == 500 * E8
    equity.flow(0, 475 * E8)
    assert equity.peak_e8 == 1000 * E8


def test_money_for_an_account_that_lost_everything_keeps_its_loss():
    _, equity = down(1000, -50)
    equity.flow(0, 250 * E8)
    assert (equity.peak_e8, equity.sums()["equity_e8"]) == (1250 * E8, 200 * E8)


def test_what_moved_while_the_equity_was_not_known_moves_the_peak_when_it_is():
    _, _, equity = one()
    equity.restore_peak(1000 * E8, 980 * E8, 5)
    equity.flow(0, -900 * E8)  # of an earlier run's time: nobody knows yet of how much
    assert equity.peak_e8 == 1000 * E8
    equity.set_capital(0, 50 * E8)
    equity.roll_now(5 * DAY + 1)
    assert (equity.peak_e8, equity.day_e8) == (52_63157895, 80 * E8)
    equity.roll_now(5 * DAY + 2)
    assert equity.peak_e8 == 52_63157895  # once


def test_a_flow_while_a_position_was_never_marked_waits_for_its_mark():
    account, equity = down(1000, 950)
    account.set_position(0, 5, 0, cost=0)
    equity.count_now(0)
    assert not equity.measured
    equity.flow(0, -900 * E8)
    equity.roll_now(5 * DAY)
    assert equity.peak_e8 == 1000 * E8
    account.set_position(0, 0, 0, cost=0)
    equity.count_now(0)
    equity.roll_now(5 * DAY)
    assert equity.peak_e8 == 52_63157895


def test_a_flow_in_a_coin_moves_the_peak_by_what_it_is_worth():
    _, equity = down(1000, 950)
    equity.set_coin("ETH", 2000 * E8)
    equity.flow(0, E8 // 4, "ETH")  # 500
    assert (equity.peak_e8, equity.sums()["equity_e8"]) == (1526_31578948, 1450 * E8)


def test_a_peak_of_an_earlier_run_holds_and_its_day_only_today():
    _, _, equity = one()
    equity.restore_peak(2000 * E8, 1500 * E8, 5)
    equity.set_capital(0, 1000 * E8)
    assert not equity.roll_now(5 * DAY + 1)
    assert (equity.peak_e8, equity.day_e8) == (2000 * E8, 1500 * E8)
    assert equity.roll_now(6 * DAY)
    assert (equity.peak_e8, equity.day_e8) == (2000 * E8, 1000 * E8)


def test_what_does_not_fit_counts_as_the_largest_there_is_and_sums_do_not_wrap():
    instruments = Instruments()
    for i in range(4):
        instruments.add(Market.BINANCE_USDM, f"X{i}", "1", "1", base="X", quote="USDT", is_perpetual=True)
    account, orders = Account(4), Orders(16, 4)
    equity = Equity(instruments, orders, account)
    for i in range(4):
        account.set_position(i, 2**40, 0, cost=0)
        equity.mark_now(i, 2**40, 2**40)
        assert equity.worth(i)["profit_e8"] == MOST
    assert equity.overflows > 0
    assert equity.sums()["profit_e8"] == equity.sums()["gross_e8"] == 2**63 - 1  # four of them do not fit
    assert equity.sums()["equity_e8"] == 2**63 - 1
    for i in range(3):
        account.set_position(i, 0, 0)
        equity.count_now(i)
    assert equity.sums()["profit_e8"] == MOST  # exact again: nothing was lost on the way
    account.set_position(3, -(2**40), 0, cost=0)
    equity.count_now(3)
    assert equity.sums()["profit_e8"] == -MOST


def test_numbers_that_make_no_sense_are_refused():
    _, _, equity = one()
    for call in (
        lambda: equity.set_purse(9, 0), lambda: equity.set_purse(0, 8), lambda: equity.set_purse(0, -1),
        lambda: equity.set_row(0, -1), lambda: equity.set_row(0, 1, -1), lambda: equity.set_coin("", 1),
        lambda: equity.set_coin("A" * 16, 1), lambda: equity.set_coin("A", -1),
        lambda: equity.set_capital(8, 1), lambda: equity.flow(-1, 1),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"market|purse|leverage|coin"):
            call()
    with pytest.raises(IndexError, match="the table has 1"):
        equity.worth(1)


# ---- what stops go by ----


def test_a_coin_that_lost_its_price_counts_at_the_last_one_and_stops_go_on_measuring():
    account, _, equity = one()
    equity.set_capital(0, 10**12)
    equity.mark_now(0, 600_000, 600_001)
    equity.roll_now(1)
    equity.set_coin("BNB", 600 * E8)
    account.fee(0, E8, 0, "BNB")
    equity.count_now(0)
    equity.set_coin("BNB", 0)
    assert (equity.known, equity.measured, equity.coin_price("BNB")) == (False, True, 0)
    assert equity.sums()["equity_e8"] == 10**12 - 600 * E8


def test_capital_in_pieces_measures_nothing_before_every_purse_and_all_that_it_holds_was_worth_something():
    equity = Equity(instruments := table(), Orders(16, instruments.count), Account(instruments.count))
    equity.set_purse(1, 1)
    equity.restore_peak(10**13, 10**13, 0)
    equity.set_capital(0, 10**12)
    assert not equity.measured  # nobody told the other purse
    equity.set_capital(1, E8, "ETH")
    assert not equity.measured  # ... and now what is in it has no price
    equity.set_coin("ETH", 3000 * E8)
    assert equity.measured
    equity.set_capital(1, E8, "DOGE")  # an airdrop later on is no reason to look away
    assert (equity.known, equity.measured) == (False, True)


def test_a_position_that_was_never_marked_is_not_measured():
    account, _, equity = one()
    equity.set_capital(0, 10**12)
    equity.restore_peak(10**12, 10**12, 0)
    account.fill(0, BUY, 600_000, 1000)
    equity.count_now(0)
    assert not equity.measured  # it would look as if it were worth nothing
    equity.mark_now(0, 600_000, 600_001)
    assert equity.measured


@pytest.mark.parametrize(("side", "mark"), [(BUY, 48_000), (SELL, 72_000)])
def test_an_outlying_mark_price_counts_only_when_it_stays_or_there_is_no_book(side, mark):
    for book, after_ns, lost in (
        ((600_000, 600_000), 0, 0),
        ((600_000, 600_000), 5 * 10**9 - 1, 0),
        ((600_000, 600_000), 5 * 10**9, 12_000),
        ((0, 0), 0, 12_000),
    ):
        account, _, equity = one()
        account.fill(0, side, 600_000, 1000)
        equity.mark_now(0, *book, mark * E8, 7)
        equity.mark_now(0, *book, mark * E8, 7 + after_ns)
        assert equity.worth(0)["open_e8"] == -lost * E8


def test_one_wrong_mark_price_is_forgotten_and_the_next_begins_anew():
    account, _, equity = one()
    account.fill(0, BUY, 600_000, 1000)
    sec = 10**9
    for at, mark, lost in (
        (1, 48_000, 0),
        (4, 60_000, 0),
        (5, 48_000, 0),
        (9, 48_000, 0),
        (10, 48_000, 12_000),
        (11, 57_000, 3_000),
        (12, 56_999, 0),
    ):
        equity.mark_now(0, 600_000, 600_000, mark * E8, at * sec)
        assert equity.worth(0)["open_e8"] == -lost * E8, at
