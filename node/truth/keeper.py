"""The truth room put together: what the venues say against what the engine holds, for all desks. No I/O, no
clock."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from random import Random

from ext.engine import LineKind
from node.amounts import contract
from node.truth.budget import PAUSES
from node.truth.capital import Capital
from node.truth.coins import Purse
from node.truth.desk import Ask, VenueDesk
from node.truth.halts import Difference, Halts, Tell
from node.truth.native import Native
from node.truth.news import on_news
from node.truth.release import Released, release
from node.truth.settings import Settings
from node.truth.twins import Twins
from node.truth.watch import Watch
from node.venues.values import AccountNews, Reply

LATE_NS = 50_000_000  # a look at the very moment could leave a little too early
BANS = (403, 418)  # answers that mean the address, whatever it asked for


class Keeper:
    """`begin` once, then `tick` every few ms: it returns the requests to sign and write now. Every one of
    them is answered by `on_reply`, with None where no answer came. `tell(where, text)` is for people,
    `note(fields)` for the tape, `refresh(market)` asks the owner to replace the private connection of a
    market and `recycle(market)` the one that its orders go by."""

    def __init__(
        self,
        engine: Native,
        venues: Iterable[VenueDesk],
        settings: Settings,
        tell: Tell,
        seed: int = 0,
        *,
        note: Callable[[dict], None] = lambda fields: None,
        refresh: Callable[[int], None] = lambda market: None,
        recycle: Callable[[int], None] = lambda market: None,
    ):
        self.engine, self.settings = engine, settings
        self.halts = Halts(engine, tell)
        self.twins, self.strays = Twins(engine, self.halts, settings), 0
        self.purses: dict[str, Purse] = {}
        self.watches: dict[int, Watch] = {}
        self._market_of: dict[int, int] = {}
        rng = Random(seed)
        for desk in venues:
            watch = self._add(desk, Random(rng.getrandbits(64)), note)
            watch.private.refresh, watch.recycle = refresh, recycle

    def _add(self, desk: VenueDesk, rng: Random, note: Callable[[dict], None]) -> Watch:
        if desk.market in self.watches:
            raise ValueError(f"{desk.title()}: there are two desks of this market")
        is_first = desk.purse() not in self.purses
        if is_first:
            capital = Capital(len(self.purses), self.engine, self.halts)
            capital.say = lambda text, now_ns: self.halts.tell(desk.title(), text, now_ns)
            purse = self.purses[desk.purse()] = Purse(self.settings, self.halts, capital)
            purse.note = lambda fields: note({"purse": desk.purse(), **fields})
        purse = self.purses[desk.purse()]
        assert purse.capital is not None
        self.engine.equity.set_purse(desk.market, purse.capital.number)
        watch = Watch(
            desk, self.engine, self.settings, self.halts, purse, rng, self.twins, asks_balances=is_first
        )
        self.watches[desk.market] = watch
        for product in desk.products.values():
            row = self.engine.instruments.row(product.instrument)
            purse.add(product, contract(row))
            self._market_of[product.instrument] = desk.market
        return watch

    def begin(
        self,
        now_ns: int,
        since_ns: int = 0,
        baselines: Mapping[tuple[str, str], str] | None = None,
        *,
        flows_from_ns: int = 0,
        known: Mapping[int, int] | None = None,
        tape_ns: int = 0,
    ) -> None:
        """Hold every symbol until a complete pass agreed. `since_ns`: when the journal knew everything last
        (0: now). `baselines`: (purse, coin) -> amount, as noted by a run whose effects this one continues.
        `flows_from_ns`: deposits and withdrawals before then (0: now) are in the peak that was restored.
        `known`: of each run on the journal its epoch, and the highest sequence in its client ids. `tape_ns`:
        when the journal began (0: now)."""
        for purse in self.purses.values():
            assert purse.capital is not None
            purse.capital.flows_from_ns = flows_from_ns or now_ns
        for (name, coin), amount in (baselines or {}).items():
            if name in self.purses:
                self.purses[name].restore(coin, Decimal(amount))
        self.twins.begin(known or {}, [x.desk.title() for x in self.watches.values()])
        for watch in self.watches.values():
            watch.begin(since_ns or now_ns, now_ns, tape_ns or now_ns)
            if flows_from_ns:  # what came and went while nobody looked
                watch.cash_from_ns = min(watch.cash_from_ns, flows_from_ns)

    # ---- the doors ----

    def tick(self, now_ns: int) -> list[Ask]:
        """Time passes; returns what must be asked now, the most urgent first."""
        self._give_up_late(now_ns)
        self._strays(now_ns)
        troubled: dict[int, list[dict]] = {}
        for row in self.engine.orders.troubled(now_ns, self.settings.report_due_ns):
            market = self._market_of.get(row["instrument"])
            if market is not None:
                troubled.setdefault(market, []).append(row)
        for market, watch in self.watches.items():
            watch.tick(troubled.get(market, []), now_ns)
        self._compare_purses(now_ns)
        self._watch_capital(now_ns)
        asks = [ask for watch in self.watches.values() for ask in watch.budget.take(now_ns)]
        return sorted(asks, key=lambda x: x.purpose)

    def _strays(self, now_ns: int) -> None:
        """A stream told of an order with our id that is not here: the lists will say more."""
        orders = self.engine.orders
        if orders.strays != self.strays:
            self.strays = orders.strays
            self.twins.stray((orders.stray_epoch, orders.stray_sequence), now_ns)
            for watch in self.watches.values():
                watch.hurry(now_ns)

    def _give_up_late(self, now_ns: int) -> None:
        for watch in self.watches.values():
            for ask in watch.budget.late(now_ns):
                self.on_reply(ask, None, now_ns)

    def on_reply(self, ask: Ask, reply: Reply | None, now_ns: int) -> None:
        """The answer to `ask`, or None: then nobody knows whether the venue saw it. A second answer is
        nothing."""
        if ask.is_done:
            return
        ask.is_done = True
        watch = self.watches[ask.desk.market]
        watch.budget.done(ask)
        if reply is not None:
            self._count(watch, ask, reply, now_ns)
        ask.then(reply, now_ns)

    def _count(self, watch: Watch, ask: Ask, reply: Reply, now_ns: int) -> None:
        try:
            rows = ask.desk.rest.budgets(ask.request, reply)
        except ValueError:
            rows = []
        pauses = watch.budget.pauses
        wait = reply.headers.get("retry-after", "")
        if reply.status in PAUSES and wait.isascii() and wait.isdigit() and not any(x.until_ns for x in rows):
            watch.budget.pause(now_ns + int(wait[:6]) * 10**9, now_ns)  # counted from now: no better
        until_ns = watch.budget.on_answer(ask, reply.status, rows, watch.clock.offset_ns(now_ns), now_ns)
        if watch.budget.pauses != pauses:
            wait_s = (until_ns - now_ns) // 10**9
            if reply.status in BANS or "retry-after" in reply.headers:
                self.engine.pause(ask.desk.market, until_ns, now_ns)  # orders come from the same address
            self.halts.tell(
                ask.desk.title(), f"too many requests ({reply.status}): none for {wait_s} s", now_ns
            )

    def is_paused(self, market: int, now_ns: int) -> bool:
        """The venue wants no request now, whoever's."""
        return market in self.watches and now_ns < self.watches[market].budget.paused_until_ns

    def on_line(self, kind: int, market: int, up: bool, now_ns: int) -> None:
        """An ORDER_LINE or PRIVATE_LINE (ext.engine.LineKind) went up or down. One connection that is both
        is told of twice."""
        watch = self.watches.get(market)
        if watch is None:
            return
        if kind in (LineKind.ORDER_LINE, LineKind.REST_LINE):
            watch.on_orders(int(kind), up, now_ns)
        elif kind == LineKind.PRIVATE_LINE:
            watch.private.on_line(up, now_ns)

    def thawed(self, now_ns: int) -> None:
        """This process stood still: what was asked before proves nothing, and is asked again."""
        for watch in self.watches.values():
            watch.thawed(now_ns)

    def clock_stepped(self, now_ns: int) -> None:
        """This machine's wall clock was set: no new risk before each venue's clock is measured anew."""
        for watch in self.watches.values():
            watch.pulse.stepped(now_ns)

    def on_news(self, market: int, news: AccountNews, now_ns: int) -> None:
        """What a private stream told of the account."""
        if market in self.watches:
            on_news(self.watches[market], news, now_ns)

    def on_probe(self, market: int, now_ns: int) -> None:
        """The private stream of a market has just shown that it delivers (a report came, a probe went
        round)."""
        if market in self.watches:
            self.watches[market].private.on_probe(now_ns)

    def _compare_purses(self, now_ns: int) -> None:
        """Balances count when every desk that pays from the purse has listed its trades behind them."""
        for name, purse in self.purses.items():
            if purse.waiting is None:
                continue
            desks = [x for x in self.watches.values() if x.desk.purse() == name]
            swept_ns = min(x.swept_ns for x in desks)
            if swept_ns <= purse.waiting[2]:
                if purse.hurried_ns != purse.waiting[2]:
                    purse.hurried_ns = purse.waiting[2]
                    for watch in desks:
                        watch.hurry(now_ns)  # the balances wait for the trades of each desk
                continue
            asker = next(x for x in desks if x.asks_balances)
            is_early = any(x.is_early(x.swept_ns) for x in desks)
            purse.compare(swept_ns, asker.clock.offset_ns(now_ns), now_ns, is_early)
            if purse.is_open or purse.others.is_open:
                asker.due["balances"] = min(asker.due["balances"], max(purse.again_ns() + LATE_NS, now_ns))
            for watch in desks:
                if watch.starting:
                    watch.hurry(now_ns)

    def _watch_capital(self, now_ns: int) -> None:
        for purse in self.purses.values():
            assert purse.capital is not None
            purse.capital.sample(now_ns)
            if purse.capital.is_price_due(now_ns):
                purse.capital.price(now_ns)

    # ---- what is known ----

    def look_now(self, now_ns: int) -> None:
        """Ask for every list at once: at the end of a run, or for an operator."""
        for watch in self.watches.values():
            watch.all_due(now_ns)

    def has_looked(self, since_ns: int) -> bool:
        """Open orders and trades were asked for behind `since_ns` everywhere, and no order is in doubt."""
        return all(x.swept_ns > since_ns and not x.cases.cases for x in self.watches.values())

    def listed(self) -> dict[int, int]:
        """When the last whole list of each market was asked for (ns; 0: none was answered yet)."""
        return {market: x.swept_ns for market, x in self.watches.items()}

    def release(self, now_ns: int) -> Released:
        """A person lets go what only a person ends, where its cause is gone."""
        return release(self.watches.values(), now_ns)

    def is_settled(self, since_ns: int = 0) -> bool:
        """Every list was asked for behind `since_ns` and compared, nothing is being found out, and
        nothing differs."""
        purses = all(x.compared_ns > since_ns and not x.is_open for x in self.purses.values())
        return purses and all(x.is_settled(since_ns) for x in self.watches.values())

    def differences(self) -> list[Difference]:
        """What the venues and the node see differently, or do not know, right now."""
        out = [row for watch in self.watches.values() for row in watch.differences()]
        return out + [row for purse in self.purses.values() for row in purse.differences()]
