"""Accounts of the simulated OKX as their owners see them: balances, positions, bills, settings, pushes.

Account mode 2 (futures mode): spot orders pay cash, swaps share the cross margin of their settle coin, margin
figures are per coin. What an account has is in its ledger; rows are made from it on demand. Sources: docs-v5
"Trading account", "Funding account".
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import orjson

from node.venues.fakes import BUY, MS, Connection, FakeOrder, Listing
from node.venues.ledger import Account, Balance, Income, Position, VenueTrade
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_market import MarketSide, page
from node.venues.okx.fake_rows import (
    BLANK_ACCOUNT,
    BLANK_BILL,
    BLANK_DETAIL,
    BLANK_POSITION,
    DECIMAL,
    FIRST_ORDER,
    SECOND,
    base_of,
    covers,
    dumps,
    family_of,
    instrument_row,
    ms,
    order_id,
    plain,
    quote_of,
    rounded,
    text_in,
    type_of,
)

ZERO = Decimal(0)
GATHER_NS = 50 * MS  # events of `account` and `positions` within this time come together
REGULAR_NS = 5 * SECOND
PAGE_ROWS = 20  # of a snapshot push
STP_MODES = ("cancel_maker", "cancel_taker", "cancel_both")
# Income kind -> bill type and subtype where the amount is positive, negative
BILLS = {
    "funding": ("8", "174", "173"),
    "deposit": ("1", "11", "12"),
    "withdraw": ("1", "11", "12"),
    "transfer": ("1", "11", "12"),
    "insurance": ("5", "110", "110"),
}
NATURES = {
    "liquidation": ("5", "105", "104"),
    "adl": ("9", "126", "125"),
}  # type, subtype of a buy, of a sell
EVENTS = {"funding": "funding_fee", "deposit": "transferred", "withdraw": "transferred", "adl": "adl"}
EVENTS |= {"liquidation": "liquidation", "trade": "filled", "leverage": "set_leverage"}


@dataclass
class Trail:
    """What a position's row says beside the position itself."""

    number: int
    opened_ns: int = 0
    trade_id: int = 0
    fee: Decimal = ZERO
    funding: Decimal = ZERO
    realised: Decimal = ZERO
    most_lots: int = 0
    closed_lots: int = 0
    closed_value: int = 0  # ticks x lots
    entry: Decimal = ZERO  # before the last close
    added: Decimal = ZERO  # to the margin of an isolated position


@dataclass
class Extra:
    """What this venue keeps of an account beside its ledger."""

    stp_mode: str = "cancel_maker"
    trails: dict[tuple[str, str], Trail] = field(default_factory=dict)  # symbol, leg
    closed: list[dict] = field(default_factory=list)
    changed_ns: dict[str, int] = field(default_factory=dict)  # coin -> when
    coins: set[str] = field(default_factory=set)  # not pushed yet
    legs: set[tuple[str, str]] = field(default_factory=set)
    since_ns: int = 0  # of the oldest change that is not pushed yet
    funding_purse: dict[str, Decimal] = field(default_factory=dict)
    transfers: list[dict] = field(default_factory=list)


class AccountSide(MarketSide):
    """Private rows of the venue."""

    def extra(self, account: Account) -> Extra:
        found = account.notes.setdefault("okx", Extra())
        assert isinstance(found, Extra)
        return found

    def uid(self, account: Account) -> str:
        return account.uid

    # ---- balances ----

    def usd_price(self, coin: str) -> Decimal:
        """In USD: 1 for a quote currency, the index for a base."""
        family = next((x for x in self._index_candles if x.split("-")[0] == coin), "")
        return self.mark_price(self.index_listing(family)) if family else Decimal(1)

    def detail_row(self, account: Account, coin: str, balance: Balance, now_ns: int) -> dict:
        listings = self.listings.values()
        upl = account.unrealised(coin, "", listings, self.mark)
        equity = balance.total + upl
        used = account.initial_margin(coin, "", listings, self.mark)
        held = max(self.margin_used(account, coin, "") - used, ZERO)  # by open orders of swaps
        maintenance = account.maintenance_margin(coin, "", listings, self.mark)
        free = max(self.available(account, coin), ZERO)
        price = self.usd_price(coin)
        ratio = rounded(equity / maintenance, 4) if maintenance else ""
        return BLANK_DETAIL | {
            "ccy": coin,
            "eq": rounded(equity),
            "cashBal": plain(balance.total),
            "availBal": rounded(min(free, balance.free) if used or held else balance.free),
            "availEq": rounded(free),
            "frozenBal": rounded(balance.locked + used + held),
            "ordFrozen": rounded(balance.locked + held),
            "disEq": rounded(equity * price),
            "eqUsd": rounded(equity * price),
            "coinUsdPrice": plain(price),
            "imr": rounded(used + held),
            "mmr": rounded(maintenance),
            "mgnRatio": ratio,
            "notionalLever": "0",
            "upl": rounded(upl),
            "uTime": ms(self.extra(account).changed_ns.get(coin, 0) or now_ns),
        }

    def balance_row(self, account: Account, coins: Iterable[str], now_ns: int) -> dict:
        balances = account.balances
        details = [self.detail_row(account, x, balances[x], now_ns) for x in coins if x in balances]
        total = sum((x.total * self.usd_price(coin) for coin, x in balances.items()), ZERO)
        return BLANK_ACCOUNT | {"totalEq": rounded(total), "uTime": ms(now_ns), "details": details}

    def coins_held(self, account: Account) -> list[str]:
        return sorted(coin for coin, x in account.balances.items() if x.total)

    def rest_balance(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        wanted = [x for x in (query.get("ccy") or "").split(",") if x]
        coins = [x for x in self.coins_held(account) if not wanted or x in wanted]
        return [self.balance_row(account, coins, now_ns)]

    # ---- positions ----

    def trail(self, account: Account, listing: Listing, leg: str) -> Trail:
        trails = self.extra(account).trails
        key = (listing.symbol, leg)
        if key not in trails:
            trails[key] = Trail(FIRST_ORDER // 10 + account.owner * 1000 + len(trails))
        return trails[key]

    def positions_of(self, account: Account, flat: bool = False) -> list[tuple[Listing, Position]]:
        """Of this account; those without size only where asked for."""
        rows = ((self.listings[key[:2]], x) for key, x in account.positions.items())
        return [(listing, x) for listing, x in rows if x.lots or flat]

    def position_row(self, account: Account, listing: Listing, position: Position, now_ns: int) -> dict:
        trail, price = self.trail(account, listing, position.leg), listing.price_grid.format
        mark, last = self.mark_price(listing), Decimal(price(self.last_ticks(listing)))
        coins = listing.amount(position.lots)
        value = abs(coins * mark)
        margin = value / position.leverage
        maintenance = value * listing.maintenance_rate_of(value)
        upl, upl_last = coins * mark - position.cost, coins * last - position.cost
        size = listing.size_grid.format(abs(position.lots))
        short = position.lots < 0 and position.leg == "net"
        is_open, isolated = bool(position.lots), position.margin_mode == "isolated"
        net = position.realised + trail.fee + trail.funding
        return BLANK_POSITION | {
            "instType": "SWAP",
            "instId": listing.symbol,
            "mgnMode": position.margin_mode,
            "posId": str(trail.number),
            "posSide": position.leg,
            "pos": f"-{size}" if short else size,
            "availPos": size if position.leg != "net" else "",
            "avgPx": rounded(position.entry) if is_open else "",
            "upl": rounded(upl) if is_open else "",
            "uplRatio": rounded(upl / margin) if margin else "",
            "uplLastPx": rounded(upl_last) if is_open else "",
            "uplRatioLastPx": rounded(upl_last / margin) if margin else "",
            "lever": str(position.leverage),
            "liqPx": self._liquidation_price(account, listing, position) if is_open else "",
            "markPx": plain(mark),
            "imr": rounded(margin) if is_open and not isolated else "",
            "margin": rounded(abs(position.cost) / position.leverage + trail.added) if isolated else "",
            "mgnRatio": rounded((margin + upl) / maintenance, 4) if maintenance else "",
            "mmr": rounded(maintenance) if is_open else "",
            "tradeId": str(trail.trade_id or ""),
            "notionalUsd": rounded(value) if is_open else "",
            "adl": "1" if is_open else "",
            "ccy": quote_of(listing),
            "last": price(self.last_ticks(listing)),
            "idxPx": self.index_price(family_of(listing)),
            "bePx": rounded(position.entry) if is_open else "",
            "pnl": rounded(position.realised),
            "fee": rounded(trail.fee),
            "fundingFee": rounded(trail.funding),
            "realizedPnl": rounded(net),
            "cTime": ms(trail.opened_ns or now_ns),
            "uTime": ms(position.updated_ns or now_ns),
        }

    def _liquidation_price(self, account: Account, listing: Listing, position: Position) -> str:
        """Mark price at which equity falls to maintenance margin and closing fee; "" where there is none."""
        coin, coins = quote_of(listing), listing.amount(position.lots)
        equity = self.equity(account, coin)
        if position.margin_mode == "isolated":
            own = abs(position.cost) / position.leverage + self.trail(account, listing, position.leg).added
            equity = own + coins * self.mark_price(listing) - position.cost
        value = abs(coins * self.mark_price(listing))
        rate = listing.maintenance_rate_of(value) + self.rates(account, listing)[1]
        price = (coins * self.mark_price(listing) - equity) / (coins - abs(coins) * rate)
        return rounded(price, 8) if price > 0 else ""

    def rest_positions(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        ids = [x for x in (query.get("posId") or "").split(",") if x]
        symbols = [x for x in (query.get("instId") or "").split(",") if x]
        rows = [
            self.position_row(account, listing, x, now_ns)
            for listing, x in self.positions_of(account)
            if covers({"instType": query.get("instType")}, listing)
            and (not symbols or listing.symbol in symbols)
        ]
        return [x for x in rows if not ids or x["posId"] in ids]

    def rest_positions_history(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        rows = [
            x
            for x in reversed(self.extra(account).closed)
            if query.get("instId") in (None, "", x["instId"])
            and query.get("instType") in (None, "", x["instType"])
            and query.get("posId") in (None, "", x["posId"])
            and query.get("type") in (None, "", x["type"])
        ]
        return page(rows, "uTime", query, 100)

    def rest_risk(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        """Balances and positions of one instant."""
        details = self.balance_row(account, self.coins_held(account), now_ns)["details"]
        names = ("instId", "instType", "mgnMode", "notionalUsd", "pos", "posId", "posSide")
        positions = [
            dict.fromkeys(("baseBal", "posCcy", "quoteBal"), "")
            | {k: row[k] for k in names}
            | {"ccy": row["ccy"], "notionalCcy": row["notionalUsd"]}
            for row in self.rest_positions(account, {}, now_ns)
        ]
        balances = [{"ccy": x["ccy"], "disEq": x["disEq"], "eq": x["eq"]} for x in details]
        return [{"adjEq": "", "balData": balances, "posData": positions, "ts": ms(now_ns)}]

    # ---- what happened ----

    def note_trade(self, account: Account, trade: VenueTrade) -> None:
        """A trade is booked: remember what rows and bills say about it, and that pushes are due."""
        listing = trade.listing
        if not listing.is_perpetual:
            coins = (base_of(listing), quote_of(listing), trade.fee_coin)
            self.note_change(account, coins, [], trade.nature, trade.now_ns, trade)
            return
        position, leg = account.position(listing, trade.order.leg), trade.order.leg
        trail = self.trail(account, listing, leg)
        delta = trade.size_lots if trade.side == BUY else -trade.size_lots
        before = position.lots - delta
        if before == 0:
            self._start_trail(account, listing, leg, trade.now_ns)
            trail = self.trail(account, listing, leg)
            position.margin_mode = self.margin_mode_of(trade.order)
        trail.trade_id, trail.fee = trade.id, trail.fee - trade.fee
        trail.most_lots = max(trail.most_lots, abs(position.lots), abs(before))
        if before and (before > 0) != (delta > 0):
            closed = min(abs(before), trade.size_lots)
            trail.closed_lots += closed
            trail.closed_value += closed * trade.price_ticks
            trail.realised += trade.realised
        if before and (position.lots == 0 or (position.lots > 0) != (before > 0)):
            self._close_trail(account, listing, position, leg, before, trade)
        elif position.lots:
            trail.entry = position.entry
        legs = [(listing.symbol, leg)]
        self.note_change(account, (listing.settle_coin,), legs, trade.nature, trade.now_ns, trade)

    def _start_trail(self, account: Account, listing: Listing, leg: str, now_ns: int) -> None:
        trail = self.trail(account, listing, leg)
        self.extra(account).trails[listing.symbol, leg] = Trail(trail.number, now_ns)

    def _close_trail(
        self, account, listing: Listing, position: Position, leg: str, before: int, trade
    ) -> None:
        """A row of `positions-history`; what goes on in the other direction is a new position."""
        trail, kinds = self.trail(account, listing, leg), {"liquidation": "3", "adl": "4"}
        tick, lot = Decimal(listing.tick), listing.size_grid.format
        pnl = trail.realised
        cost = listing.amount(trail.most_lots) * (trail.entry or position.entry)
        direction = leg if leg != "net" else "long" if before > 0 else "short"
        row = {
            "cTime": ms(trail.opened_ns),
            "ccy": listing.settle_coin,
            "closeAvgPx": rounded(trail.closed_value * tick / trail.closed_lots) if trail.closed_lots else "",
            "closeTotalPos": lot(trail.closed_lots),
            "direction": direction,
            "fee": rounded(trail.fee),
            "fundingFee": rounded(trail.funding),
            "instId": listing.symbol,
            "instType": "SWAP",
            "lever": str(position.leverage),
            "liqPenalty": "0",
            "mgnMode": position.margin_mode,
            "nonSettleAvgPx": "",
            "openAvgPx": rounded(trail.entry),
            "openMaxPos": lot(trail.most_lots),
            "pnl": rounded(pnl),
            "pnlRatio": rounded(pnl * position.leverage / cost) if cost else "0",
            "posId": str(trail.number),
            "posSide": leg,
            "realizedPnl": rounded(pnl + trail.fee + trail.funding),
            "settledPnl": "",
            "triggerPx": "",
            "type": kinds.get(trade.nature, "2"),
            "uTime": ms(trade.now_ns),
            "uly": family_of(listing),
        }
        self.extra(account).closed.append(row)
        if position.lots:
            self._start_trail(account, listing, leg, trade.now_ns)
            self.trail(account, listing, leg).entry = position.entry

    def margin_mode_of(self, order: FakeOrder) -> str:
        raise NotImplementedError

    def on_balance(self, account, coin, amount, kind, now_ns, listing) -> None:
        legs = []
        if listing is not None:
            legs = [(x.symbol, p.leg) for x, p in self.positions_of(account) if x is listing]
        if kind == "funding":
            for symbol, leg in legs[:1]:
                self.trail(account, self.by_symbol[symbol], leg).funding += amount
        self.note_change(account, (coin,), legs, kind, now_ns)

    def note_change(
        self,
        account: Account,
        coins: Iterable[str],
        legs: Iterable[tuple[str, str]],
        kind: str,
        now_ns: int,
        trade: VenueTrade | None = None,
    ) -> None:
        """Balances and positions changed: `balance_and_position` tells it at once, `account` and `positions`
        gather for a while."""
        extra, coins, legs = self.extra(account), sorted(set(coins)), list(legs)
        for coin in coins:
            extra.changed_ns[coin] = now_ns
        if not (extra.coins or extra.legs):
            extra.since_ns = now_ns
        extra.coins |= set(coins)
        extra.legs |= set(legs)
        if kind != "order":
            self._push_both(account, coins, legs, EVENTS.get(kind, kind), now_ns, trade)

    # ---- pushes ----

    def hearers(self, account: Account, channel: str) -> list[tuple[Connection, dict]]:
        """Connections of the account with their arguments of a channel."""
        return [
            (connection, arg)
            for connection in self.connections.values()
            for arg in connection.topics.values()
            if isinstance(arg, dict)
            and arg.get("channel") == channel
            and self.owner_of(connection) is account
        ]

    def owner_of(self, connection: Connection) -> Account:
        raise NotImplementedError

    def _push_both(self, account, coins, legs, event: str, now_ns: int, trade=None) -> None:
        for connection, arg in self.hearers(account, "balance_and_position"):
            row = self._both_row(account, coins, legs, event, now_ns, trade)
            body = {"arg": {**arg, "uid": self.uid(account)}, "data": [row]}
            self.report(connection, dumps(body), "balance")

    def _both_row(self, account, coins, legs, event: str, now_ns: int, trade=None) -> dict:
        changed = self.extra(account).changed_ns
        balances = [
            {"ccy": x, "cashBal": plain(account.balance(x).total), "uTime": ms(changed.get(x, 0) or now_ns)}
            for x in coins
        ]
        names: tuple[str, ...] = (
            "posId",
            "tradeId",
            "instId",
            "instType",
            "mgnMode",
            "posSide",
            "pos",
            "ccy",
            "posCcy",
        )
        names += ("avgPx", "nonSettleAvgPx", "settledPnl", "uTime")
        positions = []
        for symbol, leg in legs:
            listing = self.by_symbol[symbol]
            row = self.position_row(account, listing, account.position(listing, leg), now_ns)
            positions.append({k: row[k] for k in names})
        trades = [{"instId": trade.listing.symbol, "tradeId": str(trade.id)}] if trade is not None else []
        head = {"pTime": ms(now_ns), "eventType": event}
        return head | {"balData": balances, "posData": positions, "trades": trades}

    def push_first_private(self, connection: Connection, arg: dict, now_ns: int) -> None:
        """Snapshots of `account`, `positions` and `balance_and_position`; the other channels have none."""
        account, channel = self.owner_of(connection), arg["channel"]
        if channel == "balance_and_position":
            legs = [(listing.symbol, x.leg) for listing, x in self.positions_of(account)]
            row = self._both_row(account, self.coins_held(account), legs, "snapshot", now_ns)
            self.report(connection, self._private(account, arg, [row]), "balance")
        elif channel in ("account", "positions"):
            self._push_snapshot_pages(connection, account, arg, now_ns)

    def _private(self, account: Account, arg: dict, rows: list, **more: object) -> str:
        named = {k: v for k, v in arg.items() if k != "extraParams"}
        return dumps({"arg": {**named, "uid": self.uid(account)}, **more, "data": rows})

    def _push_snapshot_pages(self, connection: Connection, account: Account, arg: dict, now_ns: int) -> None:
        """All coins or positions, in pages."""
        if arg["channel"] == "account":
            coins = [x for x in self.coins_held(account) if arg.get("ccy") in (None, "", x)]
            parts = [coins[i : i + PAGE_ROWS] for i in range(0, len(coins), PAGE_ROWS)] or [[]]
            pages = [[self.balance_row(account, part, now_ns)] for part in parts]
        else:
            rows = [
                self.position_row(account, listing, x, now_ns) | {"pTime": ms(now_ns)}
                for listing, x in self.positions_of(account)
                if covers(arg, listing)
            ]
            pages = [rows[i : i + PAGE_ROWS] for i in range(0, len(rows), PAGE_ROWS)] or [[]]
        kind = "balance" if arg["channel"] == "account" else "position"
        for i, rows in enumerate(pages, 1):
            more = {"eventType": "snapshot", "curPage": i, "lastPage": i == len(pages)}
            self.report(connection, self._private(account, arg, rows, **more), kind)

    def _push_accounts(self, now_ns: int) -> None:
        """Gathered events, and the regular snapshots. Called by every tick."""
        for account in self.accounts.values():
            extra = self.extra(account)
            if (extra.coins or extra.legs) and now_ns - extra.since_ns >= GATHER_NS:
                self._push_events(account, now_ns)
        heard = [
            (connection, topic, arg)
            for connection in self.connections.values()
            for topic, arg in connection.topics.items()
            if isinstance(arg, dict) and arg.get("channel") in ("account", "positions")
        ]
        for connection, topic, arg in heard:
            self._push_regular(connection, topic, arg, now_ns)

    def _push_regular(self, connection: Connection, topic: str, arg: dict, now_ns: int) -> None:
        interval_ns = update_interval_ns(arg)
        due = connection.notes.setdefault("regular", {})
        last_ns = due.setdefault(topic, now_ns)
        if interval_ns and now_ns - last_ns >= interval_ns:
            due[topic] = now_ns
            self._push_snapshot_pages(connection, self.owner_of(connection), arg, now_ns)

    def _push_events(self, account: Account, now_ns: int) -> None:
        extra = self.extra(account)
        coins, legs = sorted(extra.coins), sorted(extra.legs)
        extra.coins, extra.legs = set(), set()
        for connection, arg in self.hearers(account, "account"):
            chosen = [x for x in coins if arg.get("ccy") in (None, "", x)]
            if chosen:
                rows = [self.balance_row(account, chosen, now_ns)]
                text = self._private(account, arg, rows, eventType="event_update")
                self.report(connection, text, "balance")
        for connection, arg in self.hearers(account, "positions"):
            named = [(self.by_symbol[symbol], leg) for symbol, leg in legs]
            rows = [
                self.position_row(account, x, account.position(x, leg), now_ns) | {"pTime": ms(now_ns)}
                for x, leg in named
                if covers(arg, x)
            ]
            if rows:
                text = self._private(account, arg, rows, eventType="event_update")
                self.report(connection, text, "position")

    # ---- bills ----

    def bills(self, account: Account) -> Iterator[dict]:
        """Newest first, each with the balance after it: the ledger read backwards, as far as is asked."""
        events: list[tuple[int, VenueTrade | Income]] = [(x.number, x) for x in account.trades]
        events += [(x.number, x) for x in account.incomes]
        totals = {coin: x.total for coin, x in account.balances.items()}
        for number, event in sorted(events, key=lambda x: x[0], reverse=True):
            changes = trade_changes(event) if isinstance(event, VenueTrade) else [(event.coin, event.amount)]
            for i, (coin, amount) in enumerate(reversed(changes)):
                row = self._trade_bill(event) if isinstance(event, VenueTrade) else self._income_bill(event)
                balance = totals.get(coin, ZERO)
                totals[coin] = balance - amount
                row |= {"billId": str(FIRST_ORDER + number * 10 + 1 - i), "ccy": coin, "bal": plain(balance)}
                row |= {"balChg": plain(amount)}
                if row["type"]:
                    yield row

    def _trade_bill(self, trade: VenueTrade) -> dict:
        listing, order = trade.listing, trade.order
        kind, sub = "2", "1" if trade.side == BUY else "2"
        if trade.nature in NATURES:
            kind, sub = NATURES[trade.nature][0], NATURES[trade.nature][1 if trade.side == BUY else 2]
        elif order.leg != "net" and listing.is_perpetual:
            opens = (order.leg == "long") == (trade.side == BUY)
            sub = {"long": "35", "short": "46"}[order.leg][0 if opens else 1]
        return BLANK_BILL | {
            "type": kind,
            "subType": sub,
            "instType": type_of(listing),
            "instId": listing.symbol,
            "ordId": order_id(order.number),
            "clOrdId": order.client_id,
            "tradeId": str(trade.id),
            "px": listing.price_grid.format(trade.price_ticks),
            "sz": listing.size_grid.format(trade.size_lots),
            "fee": plain(-trade.fee),
            "pnl": plain(trade.realised),
            "execType": "M" if trade.is_maker else "T",
            "mgnMode": "cross" if listing.is_perpetual else "cash",
            "fillTime": ms(trade.now_ns),
            "fillIdxPx": listing.price_grid.format(trade.price_ticks),
            "ts": ms(trade.now_ns),
        }

    def _income_bill(self, income: Income) -> dict:
        kind, gain, loss = BILLS.get(income.kind, ("", "", ""))
        listing = income.listing
        row = BLANK_BILL | {"type": kind, "subType": gain if income.amount >= 0 else loss}
        if listing is not None:
            row |= {"instType": type_of(listing), "instId": listing.symbol, "mgnMode": "cross"}
        if income.kind == "funding":
            row["pnl"] = plain(income.amount)
        return row | {"sz": plain(abs(income.amount)), "ts": ms(income.now_ns)}

    def rest_bills(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        names = ("instType", "instId", "ccy", "mgnMode", "type", "subType")
        wanted = {k: query[k] for k in names if query.get(k)}
        rows = (x for x in self.bills(account) if all(x[k] == v for k, v in wanted.items()))
        return page(in_time(rows, query), "billId", query, 100)

    # ---- settings ----

    def rest_config(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        coins = sorted({quote_of(x) for x in self.by_symbol.values()})
        return [
            {
                "acctLv": "2",
                "acctStpMode": self.extra(account).stp_mode,
                "autoLoan": False,
                "ctIsoMode": "automatic",
                "enableSpotBorrow": False,
                "feeType": "0",
                "greeksType": "PA",
                "ip": "",
                "kycLv": "3",
                "label": "simulated",
                "level": "Lv1",
                "levelTmp": "",
                "liquidationGear": "-1",
                "mainUid": self.uid(account),
                "mgnIsoMode": "automatic",
                "opAuth": "0",
                "perm": "read_only,trade",
                "posMode": "long_short_mode" if account.hedge else "net_mode",
                "roleType": "0",
                "settleCcy": coins[0] if coins else "",
                "settleCcyList": coins,
                "spotBorrowAutoRepay": False,
                "spotOffsetType": "",
                "spotRoleType": "0",
                "spotTraderInsts": [],
                "stgyType": "0",
                "traderInsts": [],
                "type": "0",
                "uid": self.uid(account),
            }
        ]

    def rest_set_position_mode(self, account: Account, body: dict, now_ns: int) -> list:
        mode = text_in(body, "posMode")
        if mode not in ("net_mode", "long_short_mode"):
            raise Problem("51000", "posMode")
        if (mode == "long_short_mode") != account.hedge:
            if self.positions_of(account) or any(x.listing.is_perpetual for x in self.open_orders(account)):
                raise Problem("59000")
            account.hedge = mode == "long_short_mode"
        return [{"posMode": mode}]

    def rest_set_leverage(self, account: Account, body: dict, now_ns: int) -> list:
        """Of one swap. Refused while orders of it are open."""
        lever, mode, leg = text_in(body, "lever"), text_in(body, "mgnMode"), text_in(body, "posSide")
        if not DECIMAL.fullmatch(lever) or Decimal(lever) < 1 or Decimal(lever) % 1:
            raise Problem("51000", "lever")
        if mode not in ("cross", "isolated"):
            raise Problem("51000", "mgnMode")
        if not text_in(body, "instId") and not text_in(body, "ccy"):
            raise Problem("50015", "instId", "ccy")
        listing = self.listing_named(text_in(body, "instId"))
        if not listing.is_perpetual:
            raise Problem("51010")
        if Decimal(lever) > listing.max_leverage:
            raise Problem("59102")
        if any(x.listing is listing for x in self.open_orders(account)):
            raise Problem("59107" if mode == "cross" else "59101")
        account.set_leverage(listing, int(lever))
        legs = [(x.symbol, p.leg) for x, p in self.positions_of(account) if x is listing]
        self.note_change(account, (listing.settle_coin,), legs, "leverage", now_ns)
        return [{"lever": lever, "mgnMode": mode, "instId": listing.symbol, "posSide": leg}]

    def rest_leverage(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        mode = query.get("mgnMode")
        if mode not in ("cross", "isolated"):
            raise Problem("51000", "mgnMode")
        rows = []
        for symbol in (query.get("instId") or "").split(","):
            listing = self.listing_named(symbol)
            lever = account.leverage_of(listing) if listing.is_perpetual else 1
            for leg in ("long", "short") if account.hedge and listing.is_perpetual else ("net",):
                rows.append(
                    {"ccy": "", "instId": symbol, "mgnMode": mode, "posSide": leg, "lever": str(lever)}
                )
        return rows

    def rest_max_size(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        rows = []
        for symbol in (query.get("instId") or "").split(","):
            listing = self.listing_named(symbol)
            buy, sell = self._most(account, listing, query.get("px"))
            coin = quote_of(listing) if listing.is_perpetual else base_of(listing)
            rows.append({"ccy": coin, "instId": symbol, "maxBuy": buy, "maxSell": sell})
        return rows

    def _most(self, account: Account, listing: Listing, text: str | None) -> tuple[str, str]:
        """What the account could buy and sell: contracts of a swap, base coins of a spot pair."""
        price = Decimal(text) if text and DECIMAL.fullmatch(text) else self.mark_price(listing)
        price = price or self.mark_price(listing)
        base, quote = base_of(listing), quote_of(listing)
        free = Decimal(self.detail_row(account, quote, account.balance(quote), 0)["availEq"])
        if not listing.is_perpetual:
            return rounded(account.balance(quote).free / price, 8), plain(account.balance(base).free)
        lots = int(free * account.leverage_of(listing) / (price * listing.amount(1))) if price else 0
        return listing.size_grid.format(lots), listing.size_grid.format(lots)

    def rest_max_avail(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        rows = []
        for symbol in (query.get("instId") or "").split(","):
            listing = self.listing_named(symbol)
            base, quote = base_of(listing), quote_of(listing)
            buy = sell = self.detail_row(account, quote, account.balance(quote), now_ns)["availEq"]
            if not listing.is_perpetual:
                buy, sell = plain(account.balance(quote).free), plain(account.balance(base).free)
            rows.append({"instId": symbol, "availBuy": buy, "availSell": sell})
        return rows

    def rest_max_withdrawal(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        more = {"spotOffsetMaxWd": "", "spotOffsetMaxWdEx": ""}
        wanted = [x for x in (query.get("ccy") or "").split(",") if x]
        rows = [(x, plain(account.balance(x).free)) for x in self.coins_held(account)]
        return [{"ccy": x, "maxWd": y, "maxWdEx": y, **more} for x, y in rows if not wanted or x in wanted]

    def rest_trade_fee(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        kind = query.get("instType", "")
        if kind not in ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"):
            raise Problem("51000", "instType")
        swap = kind not in ("SPOT", "MARGIN")
        listing = next((x for x in self._of_type({"instType": "SWAP" if swap else "SPOT"})), None)
        maker, taker = self.rates(account, listing) if listing else (ZERO, ZERO)
        rates = {"maker": plain(-maker), "taker": plain(-taker)}
        root = {"maker": "", "taker": "", "makerU": rates["maker"], "takerU": rates["taker"]}
        more = dict.fromkeys(("delivery", "exercise", "makerUSDC", "takerUSDC"), "")
        return [
            {"category": "1", "feeGroup": [{"groupId": "1", **rates, "rpiMaker": ""}], "fiat": []}
            | more
            | {"instType": kind, "level": "Lv1", "ruleType": "normal", "ts": ms(now_ns)}
            | (root if swap else rates | {"makerU": "", "takerU": ""})
        ]

    def rest_account_instruments(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        return [instrument_row(x) | {"rpi": "0"} for x in self._of_type(query)]

    def rest_interest_rate(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        coins = [x for x in self.coins() if query.get("ccy") in (None, "", x)]
        return [{"ccy": x, "interestRate": "0.0001"} for x in coins]

    def rest_risk_state(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        return [{"atRisk": False, "atRiskIdx": [], "atRiskMgn": [], "ts": ms(now_ns)}]

    def rest_margin_balance(self, account: Account, body: dict, now_ns: int) -> list:
        """More or less margin for an isolated position. The money stays in its purse: only the row, and the
        liquidation price with it, changes."""
        listing, kind = self.listing_named(text_in(body, "instId")), text_in(body, "type")
        if kind not in ("add", "reduce"):
            raise Problem("51000", "type")
        position = account.position(listing, text_in(body, "posSide") or "net")
        if not position.lots or position.margin_mode != "isolated":
            raise Problem("51023")
        amount = text_in(body, "amt")
        if not DECIMAL.fullmatch(amount):
            raise Problem("51000", "amt")
        trail = self.trail(account, listing, position.leg)
        trail.added += Decimal(amount) if kind == "add" else -Decimal(amount)
        row = {"amt": amount, "ccy": quote_of(listing), "instId": listing.symbol}
        return [row | {"leverage": str(position.leverage), "posSide": position.leg, "type": kind}]

    def rest_set_stp(self, account: Account, body: dict, now_ns: int) -> list:
        mode = text_in(body, "stpMode")
        if mode not in STP_MODES:
            raise Problem("51000", "stpMode")
        self.extra(account).stp_mode = mode
        return [{"stpMode": mode}]

    # ---- funding account ----

    def rest_currencies(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        wanted = [x for x in (query.get("ccy") or "").split(",") if x]
        return [currency_row(x) for x in self.coins() if not wanted or x in wanted]

    def rest_asset_balances(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        """The funding account: empty but for what was transferred into it."""
        purse = self.extra(account).funding_purse
        return [
            {"availBal": plain(x), "bal": plain(x), "ccy": coin, "frozenBal": "0"}
            for coin, x in sorted(purse.items())
            if x and query.get("ccy") in (None, "", coin)
        ]

    def rest_transfer(self, account: Account, body: dict, now_ns: int) -> list:
        """Between funding account (6) and trading account (18)."""
        coin, amount = text_in(body, "ccy"), text_in(body, "amt")
        source, target = text_in(body, "from"), text_in(body, "to")
        if not DECIMAL.fullmatch(amount) or not Decimal(amount):
            raise Problem("51000", "amt")
        if {source, target} != {"6", "18"}:
            raise Problem("51000", "from")
        extra, value = self.extra(account), Decimal(amount)
        have = extra.funding_purse.get(coin, ZERO) if source == "6" else account.balance(coin).free
        if have < value:
            raise Problem("58350")
        signed = value if source == "6" else -value
        extra.funding_purse[coin] = extra.funding_purse.get(coin, ZERO) - signed
        account.credit("transfer", coin, signed, now_ns)
        self.on_balance(account, coin, signed, "transfer", now_ns, None)
        row = {"transId": str(FIRST_ORDER // 10**9 + len(extra.transfers) + 1), "ccy": coin, "clientId": ""}
        row |= {"from": source, "amt": amount, "to": target}
        extra.transfers.append(row)
        return [row]

    def rest_transfer_state(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        rows = [x for x in self.extra(account).transfers if x["transId"] == query.get("transId")]
        more = {"instId": "", "state": "success", "subAcct": "", "toInstId": "", "type": "0"}
        return [x | more for x in rows]

    def rest_valuation(self, account: Account, query: dict[str, str], now_ns: int) -> list:
        total = self.balance_row(account, (), now_ns)["totalEq"]
        details = {"classic": "0", "earn": "0", "funding": "0", "trading": total}
        return [{"details": details, "totalBal": total, "ts": ms(now_ns)}]


def trade_changes(trade: VenueTrade) -> list[tuple[str, Decimal]]:
    """What a trade did to each coin, fee included."""
    listing = trade.listing
    if listing.is_perpetual:
        changes = [(listing.settle_coin, trade.realised)]
    else:
        sign = 1 if trade.side == BUY else -1
        base, quote = listing.coins
        changes = [(base, sign * listing.amount(trade.size_lots)), (quote, -sign * trade.notional)]
    if trade.fee_coin not in [x for x, _ in changes]:
        changes.append((trade.fee_coin, ZERO))
    return [(coin, x - trade.fee if coin == trade.fee_coin else x) for coin, x in changes]


def in_time(rows: Iterable[dict], query: dict[str, str]) -> Iterable[dict]:
    """Rows between `begin` and `end`, both included."""
    begin, end = query.get("begin") or "0", query.get("end") or "9" * 15
    if not (begin.isascii() and begin.isdigit() and end.isascii() and end.isdigit()):
        raise Problem("51000", "begin")
    return (x for x in rows if int(begin) <= int(x["ts"]) <= int(end))


def update_interval_ns(arg: dict) -> int:
    """How often a subscription wants a regular snapshot; 0 = never."""
    text = arg.get("extraParams") or "{}"
    return _interval_ns(text) if isinstance(text, str) else REGULAR_NS


@functools.lru_cache(64)
def _interval_ns(text: str) -> int:
    try:
        extra = orjson.loads(text)
    except orjson.JSONDecodeError:
        return REGULAR_NS
    value = str(extra.get("updateInterval", "")) if isinstance(extra, dict) else ""
    return {"0": 0, "2000": 2 * SECOND, "3000": 3 * SECOND, "4000": 4 * SECOND}.get(value, REGULAR_NS)


def currency_row(coin: str) -> dict:
    """One coin with one chain, as `asset/currencies` tells it."""
    blank: tuple[str, ...] = (
        "burningFeeRate",
        "ctAddr",
        "depEstOpenTime",
        "depQuotaFixed",
        "depQuoteDailyLayer2",
        "logoLink",
    )
    blank += ("maxFeeForCtAddr", "minFeeForCtAddr", "usedDepQuotaFixed", "wdEstOpenTime")
    return dict.fromkeys(blank, "") | {
        "canDep": True,
        "canInternal": True,
        "canWd": True,
        "ccy": coin,
        "chain": f"{coin}-Simulated",
        "fee": "0.0001",
        "mainNet": True,
        "maxFee": "0.0001",
        "maxWd": "1000000",
        "minDep": "0.0001",
        "minDepArrivalConfirm": "1",
        "minFee": "0.0001",
        "minInternal": "0.0001",
        "minWd": "0.001",
        "minWdUnlockConfirm": "2",
        "name": coin,
        "needTag": False,
        "usedWdQuota": "0",
        "wdQuota": "10000000",
        "wdTickSz": "8",
    }
