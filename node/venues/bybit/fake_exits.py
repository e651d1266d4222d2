"""Take profit, stop loss and trailing stop of positions at the simulated Bybit.

They are stop orders that the venue makes itself: of the whole position ("Full", one of each kind, its size
follows the position) or of a part ("Partial", in pairs where one ends the other). Source:
bybit-exchange/docs `docs/v5/position/trading-stop.mdx`, and `docs/v5/order/create-order.mdx` for those
that come with an order.
"""

from decimal import Decimal

from node.venues.bybit.fake_codes import DECIMAL, TRIGGER_BY, Denial, number
from node.venues.bybit.fake_desk import OrderEntry
from node.venues.bybit.fake_orders import Who
from node.venues.bybit.fake_private import INDEX_LEG, Ticket, ticket
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import BUY, SELL, Account, FakeOrder, Listing

FULL = ("TakeProfit", "StopLoss", "TrailingStop")
PARTIAL = ("PartialTakeProfit", "PartialStopLoss")
NAMES = {"TakeProfit": "takeProfit", "StopLoss": "stopLoss", "TrailingStop": "trailingStop"}
PARTIAL_MOST = 20


class Exits(OrderEntry):
    """Orders that close positions by themselves."""

    # ---- what there is ----

    def exit_orders(
        self, account: Account, listing: Listing, leg: str, kinds: tuple[str, ...]
    ) -> list[FakeOrder]:
        """Those that still wait."""
        return [
            x
            for x in self._stop_orders.values()
            if x.owner == account.owner
            and x.listing is listing
            and x.leg == leg
            and ticket(x).stop_type in kinds
        ]

    def position_exits(self, account: Account, listing: Listing, leg: str) -> dict[str, str]:
        out = {}
        for order in self.exit_orders(account, listing, leg, FULL):
            mine = ticket(order)
            ticks = mine.trailing or order.trigger_ticks
            out[NAMES[mine.stop_type]] = listing.price_grid.format(ticks)
        return out

    # ---- making them ----

    def make_exit(
        self,
        account: Account,
        listing: Listing,
        leg: str,
        kind: str,
        trigger_ticks: int,
        size_lots: int,
        by: str,
        limit_ticks: int,
        parent: str,
        is_long: bool,
        now_ns: int,
    ) -> FakeOrder:
        """A stop order that closes a position. `limit_ticks` 0: at market."""
        side, is_profit = (SELL if is_long else BUY), kind.endswith("TakeProfit")
        is_spot = listing.market == SPOT
        tif = "gtc" if limit_ticks else "ioc"
        order = FakeOrder(listing, 0, "", side, limit_ticks, size_lots, tif, None, owner=account.owner)
        order.reduce_only, order.leg, order.stp = not is_spot, leg, "none"
        order.trigger_ticks, order.trigger_on = trigger_ticks, TRIGGER_BY.get(by, "last")
        order.trigger_rise = is_profit == is_long
        order.order_type = "stop_limit" if limit_ticks else "stop_market"
        order.notes["ticket"] = Ticket(
            type="Limit" if limit_ticks else "Market",
            filter="tpslOrder" if is_spot else "StopOrder",
            stop_type="tpslOrder" if is_spot else kind,
            create_type=f"CreateBy{kind}",
            parent=parent,
            close_on_trigger=not is_spot,
            trigger_price=listing.price_grid.format(trigger_ticks),
            trigger_by="" if is_spot else by,
            trigger_direction=0 if is_spot else (1 if order.trigger_rise else 2),
            is_leverage="0" if is_spot else "",
            market_unit="baseCoin" if is_spot else "",
        )
        self.give_id(order)
        self.enter(order, now_ns)
        return order

    def attach_exits(self, order: FakeOrder, size_lots: int, now_ns: int) -> None:
        account, listing, exits = self.account_of(order), order.listing, ticket(order).exits
        self._follow_position(account, listing, order.leg, now_ns)
        if not exits.get("takeProfit") and not exits.get("stopLoss"):
            return
        if listing.market == SPOT:
            if order.done == "filled":
                base_fee = order.fees.get(listing.coins[0], Decimal(0))
                size = int((listing.amount(order.filled_lots) - base_fee) / listing.amount(1))
                self._make_pair(account, order, exits, "net", size, order.side == BUY, now_ns)
            return
        lots = account.position(listing, order.leg).lots
        if lots == 0 or (lots > 0) != (order.side == BUY):
            return
        if exits.get("tpslMode") == "Partial":
            self._make_pair(account, order, exits, order.leg, size_lots, lots > 0, now_ns)
            return
        for kind in ("TakeProfit", "StopLoss"):
            if text := exits.get(NAMES[kind]):
                by = exits.get("tpTriggerBy" if kind == "TakeProfit" else "slTriggerBy", "LastPrice")
                self.set_full(
                    account,
                    listing,
                    order.leg,
                    kind,
                    listing.price_grid.parse(text),
                    by,
                    order.client_id,
                    now_ns,
                )

    def _make_pair(
        self,
        account: Account,
        order: FakeOrder,
        exits: dict[str, str],
        leg: str,
        size: int,
        is_long: bool,
        now_ns: int,
    ) -> None:
        """A part's take profit and stop loss: one ends the other."""
        listing, made = order.listing, []
        for kind, short in zip(PARTIAL, ("tp", "sl"), strict=True):
            text = exits.get(NAMES[kind.removeprefix("Partial")])
            if text and size > 0:
                limit = exits.get(f"{short}LimitPrice", "")
                is_limit = exits.get(f"{short}OrderType") == "Limit" and limit not in ("", "0")
                made.append(
                    self.make_exit(
                        account, listing, leg, kind, listing.price_grid.parse(text), size,
                        exits.get(f"{short}TriggerBy", "LastPrice"),
                        listing.price_grid.parse(limit) if is_limit else 0, order.client_id, is_long, now_ns,
                    )
                )  # fmt: skip
        if len(made) == 2:
            ticket(made[0]).partner, ticket(made[1]).partner = ticket(made[1]).id, ticket(made[0]).id

    def set_full(
        self,
        account: Account,
        listing: Listing,
        leg: str,
        kind: str,
        ticks: int,
        by: str,
        parent: str,
        now_ns: int,
    ) -> None:
        """The one take profit or stop loss of a whole position: made, moved, or with 0 ticks taken away."""
        found = self.exit_orders(account, listing, leg, (kind,))
        if not ticks:
            for order in found:
                self._take_away(order, "canceled", now_ns)
            return
        position = account.position(listing, leg)
        if found:
            order = found[0]
            order.trigger_ticks, order.trigger_on = ticks, TRIGGER_BY.get(by, "last")
            ticket(order).trigger_price, ticket(order).trigger_by = listing.price_grid.format(ticks), by
            self.on_amended(order, now_ns)
        elif position.lots:
            size, is_long = abs(position.lots), position.lots > 0
            self.make_exit(account, listing, leg, kind, ticks, size, by, 0, parent, is_long, now_ns)

    # ---- following the position ----

    def _follow_position(self, account: Account, listing: Listing, leg: str, now_ns: int) -> None:
        """Exits of a whole position have its size; where it is closed, all exits end."""
        if listing.market != LINEAR:
            return
        position = account.position(listing, leg)
        for order in self.exit_orders(account, listing, leg, FULL + PARTIAL):
            closes = (position.lots > 0) == (order.side == SELL)
            if position.lots == 0 or not closes:
                self._take_away(order, "position_closed", now_ns)
            elif ticket(order).stop_type in FULL:
                order.size_lots = abs(position.lots)

    def on_triggered(self, order: FakeOrder, now_ns: int) -> None:
        mine = ticket(order)
        partner = self._venue_ids.get(mine.partner) if mine.partner else None
        if partner is not None and not partner.done:
            is_profit = "TakeProfit" in ticket(partner).create_type
            self._take_away(partner, "oco_tp" if is_profit else "oco_sl", now_ns)
        super().on_triggered(order, now_ns)

    def follow_trailing(self, now_ns: int) -> None:
        """Trailing stops go with the last price, in one direction only."""
        for order in list(self._stop_orders.values()):
            mine = ticket(order)
            if not mine.trailing:
                continue
            last, is_long = self.last_ticks(order.listing), order.side == SELL
            if mine.active_ticks:
                if (last < mine.active_ticks) if is_long else (last > mine.active_ticks):
                    continue
                mine.active_ticks, mine.peak_ticks = 0, last
            mine.peak_ticks = max(mine.peak_ticks, last) if is_long else min(mine.peak_ticks, last)
            order.trigger_ticks = max(
                1, mine.peak_ticks - mine.trailing if is_long else mine.peak_ticks + mine.trailing
            )

    # ---- POST /v5/position/trading-stop ----

    def trading_stop(self, who: Who, wish: dict, now_ns: int) -> dict:
        listing = self._listing(wish)
        if listing.market != LINEAR:
            raise Denial(10001, "Illegal category")
        leg = INDEX_LEG.get(number(wish.get("positionIdx", 0) or 0))
        if leg is None or leg not in self.legs(who.account):
            raise Denial(10001, "position idx not match position mode")
        position = who.account.position(listing, leg)
        if not position.lots:
            raise Denial(10001, "can not set tp/sl/ts for zero position")
        wanted = self._stop_prices(listing, wish)
        given = {
            NAMES[k]: listing.price_grid.format(t)
            for k, t in wanted.items()
            if t and k in ("TakeProfit", "StopLoss")
        }
        self.check_exits(listing, given, position.lots > 0, self.mark_ticks(listing))
        if wish.get("tpslMode") == "Partial":
            self._add_partial(who.account, listing, leg, wish, now_ns)
        elif not self._set_exits(who.account, listing, leg, wanted, wish, now_ns):
            raise Denial(34040)
        self.push_position(who.account, listing, leg, now_ns)
        return {}

    def _stop_prices(self, listing: Listing, wish: dict) -> dict[str, int]:
        """Ticks of what the request names; 0 takes it away."""
        out = {}
        for kind, name in NAMES.items():
            text = wish.get(name)
            if text in (None, ""):
                continue
            if not isinstance(text, str) or not DECIMAL.fullmatch(text):
                raise Denial(10001, f"params error: {name} invalid")
            out[kind] = 0 if Decimal(text) == 0 else self.price_ticks(listing, text)
        if not out:
            raise Denial(34040)
        return out

    def _set_exits(
        self, account: Account, listing: Listing, leg: str, wanted: dict[str, int], wish: dict, now_ns: int
    ) -> bool:
        """False where nothing changes."""
        changed = False
        known = self.position_exits(account, listing, leg)
        for kind, ticks in wanted.items():
            if known.get(NAMES[kind], "0") == (listing.price_grid.format(ticks) if ticks else "0"):
                continue
            changed = True
            if kind == "TrailingStop" and ticks:
                self._set_trailing(account, listing, leg, ticks, wish, now_ns)
                continue
            by = wish.get("tpTriggerBy" if kind == "TakeProfit" else "slTriggerBy") or "LastPrice"
            self.set_full(account, listing, leg, kind, ticks, str(by), "", now_ns)
        return changed

    def _set_trailing(
        self, account: Account, listing: Listing, leg: str, ticks: int, wish: dict, now_ns: int
    ) -> None:
        position, last = account.position(listing, leg), self.last_ticks(listing)
        is_long = position.lots > 0
        active = wish.get("activePrice")
        active_ticks = self.price_ticks(listing, active) if active not in (None, "", "0") else 0
        if active_ticks and (active_ticks <= last if is_long else active_ticks >= last):
            active_ticks = 0  # reached already
        for order in self.exit_orders(account, listing, leg, ("TrailingStop",)):
            self._take_away(order, "canceled", now_ns)
        far = 1 if is_long else 2**47
        trigger = far if active_ticks else max(1, last - ticks if is_long else last + ticks)
        order = self.make_exit(
            account,
            listing,
            leg,
            "TrailingStop",
            trigger,
            abs(position.lots),
            "LastPrice",
            0,
            "",
            is_long,
            now_ns,
        )
        mine = ticket(order)
        mine.trailing, mine.active_ticks, mine.peak_ticks = ticks, active_ticks, last

    def _add_partial(self, account: Account, listing: Listing, leg: str, wish: dict, now_ns: int) -> None:
        sizes = [wish[x] for x in ("tpSize", "slSize") if wish.get(x)]
        if (
            not sizes
            or len(set(sizes)) > 1
            or not isinstance(sizes[0], str)
            or not DECIMAL.fullmatch(sizes[0])
        ):
            raise Denial(10001, "tpSize and slSize must be given and equal")
        size, position = self.size_lots(listing, sizes[0]), account.position(listing, leg)
        if size > abs(position.lots):
            raise Denial(110058)
        if len(self.exit_orders(account, listing, leg, PARTIAL)) >= PARTIAL_MOST:
            raise Denial(110061)
        exits = {
            k: str(wish[k]) for k in ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice") if wish.get(k)
        }
        exits |= {
            k: str(wish[k])
            for k in ("tpTriggerBy", "slTriggerBy", "tpOrderType", "slOrderType")
            if wish.get(k)
        }
        for name in ("takeProfit", "stopLoss", "tpLimitPrice", "slLimitPrice"):
            if name in exits:
                self.price_ticks(listing, exits[name])
        parent = FakeOrder(
            listing, 0, "", BUY if position.lots > 0 else SELL, 0, size, "gtc", None, owner=account.owner
        )
        self._make_pair(account, parent, exits, leg, size, position.lots > 0, now_ns)
