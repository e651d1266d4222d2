"""What the simulated Bybit tells one account: orders, executions, positions, wallet - as stream rows and
as REST rows.

One match is told as `execution.fast`, `execution`, `order`, `position`, `wallet`; the messages of one
match share their id and creation time. Source: bybit-exchange/docs `docs/v5/websocket/private/` and
captured frames.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from node.venues.bybit import rules
from node.venues.bybit.fake_codes import (
    SIDE_TEXT,
    TIF_TEXT,
    base_of,
    plain,
    price_of,
    price_text,
    size_of,
)
from node.venues.bybit.fake_market import MarketRest, risk_tiers
from node.venues.bybit.rules import LINEAR, SPOT
from node.venues.fakes import MS, Connection, FakeOrder, Listing
from node.venues.ledger import Account, Position

LEG_INDEX = {"net": 0, "long": 1, "short": 2}
INDEX_LEG = {index: leg for leg, index in LEG_INDEX.items()}
EXECUTIONS_KEPT = 20_000  # of an account
OPEN_STATUS = ("New", "PartiallyFilled", "Untriggered")
MARGINS = ("positionIM", "positionIMByMp", "positionMM", "positionMMByMp")
# of a flat position, where REST has nothing
ZERO_IN_STREAM = ("positionValue", *MARGINS, "unrealisedPnl", "takeProfit", "stopLoss")
FAST = (
    "category",
    "symbol",
    "execId",
    "execPrice",
    "execQty",
    "orderId",
    "isMaker",
    "side",
    "execTime",
    "seq",
)
EXEC_TYPE = {"trade": "Trade", "liquidation": "BustTrade", "adl": "AdlTrade", "settlement": "Delivery"}
CREATE_TYPE = {
    "liquidation": "CreateByTakeOver_PassThrough",
    "adl": "CreateByAdl_PassThrough",
    "settlement": "CreateBySettle",
}
# how an order that was closed without being filled is told:
# (status on linear, status on spot, cancelType, rejectReason)
ENDINGS = {
    "canceled": ("Cancelled", "Cancelled", "CancelByUser", "EC_PerCancelRequest"),
    "ioc": ("Cancelled", "Cancelled", "UNKNOWN", "EC_NoImmediateQtyToFill"),
    "fok": ("Cancelled", "Cancelled", "UNKNOWN", "EC_NoEnoughQtyToFill"),
    "post_only": ("Cancelled", "Rejected", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
    "stp": ("Cancelled", "Cancelled", "CancelBySmp", "EC_BySelfMatch"),
    "reduce_only": ("Cancelled", "Cancelled", "CancelByReduceOnly", "EC_Others"),
    "rejected": ("Rejected", "Rejected", "UNKNOWN", "EC_Others"),
    "expired": ("Cancelled", "Cancelled", "UNKNOWN", "EC_Others"),
    "liquidation": ("Cancelled", "Cancelled", "CancelAllBeforeLiq", "EC_PerCancelRequest"),
    "delisted": ("Cancelled", "Cancelled", "CancelBySettle", "EC_PerCancelRequest"),
    "funds": ("Rejected", "Rejected", "UNKNOWN", "EC_Others"),
    "countdown": ("Cancelled", "Cancelled", "CancelByDCP", "EC_PerCancelRequest"),
    "maintenance": ("Cancelled", "Cancelled", "CancelByAdmin", "EC_LoadOrderCancel"),
    "price_range": ("Cancelled", "Cancelled", "UNKNOWN", "EC_ReachRiskPriceLimit"),
    "position_closed": ("Cancelled", "Cancelled", "CancelByTpSlTsClear", "EC_PerCancelRequest"),
    "oco_tp": ("Cancelled", "Cancelled", "CancelByOCOTpCanceledBySlTriggered", "EC_PerCancelRequest"),
    "oco_sl": ("Cancelled", "Cancelled", "CancelByOCOSlCanceledByTpTriggered", "EC_PerCancelRequest"),
    "admin": ("Cancelled", "Cancelled", "CancelByAdmin", "EC_PerCancelRequest"),
}


@dataclass(eq=False)
class Ticket:
    """What Bybit knows of an order beside what every venue does. Numbers of the request stay as text."""

    id: str = ""
    type: str = "Limit"  # orderType
    status: str = "New"
    cancel_type: str = "UNKNOWN"
    why: str = "EC_NoError"
    smp: str = "None"
    smp_order: str = ""
    filter: str = "Order"  # orderFilter: Order, StopOrder, tpslOrder
    stop_type: str = ""  # stopOrderType
    create_type: str = "CreateByUser"
    parent: str = ""  # orderLinkId of the order this one was attached to
    close_on_trigger: bool = False
    trigger_price: str = ""
    trigger_by: str = ""
    trigger_direction: int = 0
    trailing: int = 0  # ticks behind the best price
    active_ticks: int = 0  # a trailing stop begins there
    peak_ticks: int = 0
    partner: str = ""  # id of the order that ends when this one is triggered
    exits: dict[str, str] = field(default_factory=dict)  # takeProfit, stopLoss and what belongs to them
    market_unit: str = ""
    by_value: bool = False  # spot, at market: `qty` is quote currency
    qty: str = ""  # as asked, where it is not the size
    spent: Decimal = Decimal(0)
    budget: Decimal = Decimal(0)
    is_leverage: str = ""
    slippage: tuple[str, str] = ("UNKNOWN", "0")
    base_price: str = ""
    closed_pnl: Decimal = Decimal(0)
    closed_lots: int = 0
    fills: int = 0
    took_by_amend: bool = False
    cancel_asked: bool = False
    announced: bool = False  # was told as New


def ticket(order: FakeOrder) -> Ticket:
    """The Bybit half of an order; orders that the venue itself makes get one here."""
    if "ticket" not in order.notes:
        kind = "Market" if order.order_type in ("market", "stop_market") else "Limit"
        order.notes["ticket"] = Ticket(type=kind, create_type=CREATE_TYPE.get(order.nature, "CreateByUser"))
    return order.notes["ticket"]


@dataclass(eq=False)
class Settings:
    """What Bybit keeps of an account beside what every venue does; keys are (market, symbol) and leg."""

    leverage: dict[tuple[tuple[int, str], str], tuple[str, int]] = field(
        default_factory=dict
    )  # text, ledger's
    realised: dict[tuple[tuple[int, str], str], Decimal] = field(default_factory=dict)  # ever, fees included
    auto_add: dict[tuple[tuple[int, str], str], int] = field(default_factory=dict)
    reprice: dict[int, bool] = field(default_factory=dict)  # market -> too aggressive prices are moved
    margin_mode: str = "REGULAR_MARGIN"
    margin_mode_ms: int = 1697078946000
    dcp: dict[str, int] = field(default_factory=dict)  # product -> seconds


def settings(account: Account) -> Settings:
    """The Bybit half of an account."""
    return account.notes.setdefault("bybit", Settings())


class PrivateStreams(MarketRest):
    """Rows and pushes of accounts."""

    strict = False  # nothing private for a connection that is not logged in

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._venue_ids: dict[str, FakeOrder] = {}
        self._executions: dict[int, deque[dict]] = {}  # owner -> rows of REST, newest first
        self._closed_pnl: dict[int, deque[dict]] = {}
        self._executed = 0
        self._next_id = 0
        self._wallet_due: dict[int, set[str]] = {}  # owner -> coins that changed

    # ---- who hears ----

    def account_for(self, connection: Connection) -> Account | None:
        """Whose private frames a connection gets. One that is not logged in is the first account's, unless
        the venue is strict."""
        if connection.account is not None or self.strict:
            return connection.account
        return next(iter(self.accounts.values()))

    def _push_private(
        self,
        topic: str,
        listing: Listing,
        row: dict,
        account: Account,
        now_ns: int,
        order: FakeOrder | None = None,
    ) -> None:
        seq, category = self.tape(listing).seq, rules.CATEGORY[listing.market]
        number = (
            f"{account.uid}-20000-{seq}"
            if listing.market == SPOT
            else f"{account.uid}_{listing.symbol}_{seq}"
        )
        head = {} if topic == "execution.fast" else {"id": number}
        kind = topic.partition(".")[0]
        for name in (topic, f"{topic}.{category}"):
            for connection in self.subscribers(name):
                if self.account_for(connection) is account:
                    message = {"topic": name, **head, "creationTime": now_ns // MS, "data": [row]}
                    self.report(connection, self._text(message), kind, order)

    # ---- orders ----

    def on_accepted(self, order: FakeOrder, now_ns: int) -> None:
        mine = ticket(order)
        if self._venue_ids.get(mine.id, order) is not order:  # the venue made two orders of one
            mine = order.notes["ticket"] = replace(mine, id="", announced=False)
        if not mine.id:
            self.give_id(order)
        self._venue_ids[mine.id] = order
        mine.base_price = price_text(order.listing, self.last_ticks(order.listing))

    def give_id(self, order: FakeOrder) -> None:
        """An order has its id before it is in any book."""
        self._next_id += 1
        name = f"order {self._next_id}"
        ticket(order).id = self._trade_id(order.listing, name, 1556000000000000000 + self._next_id)

    def on_forgotten(self, order: FakeOrder) -> None:
        self._venue_ids.pop(ticket(order).id, None)

    def push_order(
        self, order: FakeOrder, status: str, now_ns: int, cancel_type="UNKNOWN", why="EC_NoError"
    ) -> None:
        """The order has a new status: remember it, and tell the account."""
        mine = ticket(order)
        mine.status, mine.cancel_type, mine.why = status, cancel_type, why
        row = self.order_row(order) | {"updatedTime": str(now_ns // MS)}
        order.updated_ns = now_ns
        if order.nature == "settlement":  # the venue lists it as a trade, and not as an order
            return
        self._push_private("order", order.listing, row, self.account_of(order), now_ns, order)

    def order_row(self, order: FakeOrder) -> dict:
        """As the stream has it; REST leaves `category` out."""
        listing, mine = order.listing, ticket(order)
        is_spot, category = listing.market == SPOT, rules.CATEGORY[listing.market]
        fees = {coin: plain(x) for coin, x in order.fees.items()}
        row = {
            "category": category,
            "symbol": listing.symbol,
            "orderId": mine.id,
            "orderLinkId": order.client_id,
            "blockTradeId": "",
            "side": SIDE_TEXT[order.side],
            "positionIdx": LEG_INDEX[order.leg],
            "orderStatus": mine.status,
            "cancelType": mine.cancel_type,
            "rejectReason": mine.why,
            "timeInForce": TIF_TEXT[order.tif],
            "isLeverage": mine.is_leverage,
            **self._quantities(order),
            "cumExecFee": plain(sum(order.fees.values(), Decimal(0))),
            "cumFeeDetail": fees,
            "feeCurrency": next(iter(fees), "") if is_spot else "",
            "orderType": mine.type,
            "smpType": mine.smp,
            "smpGroup": 0,
            "smpOrderId": mine.smp_order,
            "reduceOnly": order.reduce_only,
            "closeOnTrigger": mine.close_on_trigger,
            "createdTime": str(order.placed_ns // MS),
            "updatedTime": str(max(order.updated_ns, order.placed_ns) // MS),
            **self._conditions(order),
            "marketUnit": mine.market_unit,
            "slippageToleranceType": mine.slippage[0],
            "slippageTolerance": mine.slippage[1],
            "orderIv": "",
            "placeType": "",
            "extraFees": "",
            "parentOrderLinkId": mine.parent,
            "rpiTakerAccess": False,
            "rpiMatchedQty": "0",
        }
        if is_spot:
            return row | {"basePrice": mine.base_price, "ocoTriggerBy": ""}
        # clients tell the products apart by these
        more = {"tpslMode": mine.exits.get("tpslMode", "UNKNOWN"), "createType": mine.create_type}
        return row | more | {"closedPnl": plain(mine.closed_pnl), "lastPriceOnCreated": mine.base_price}

    def _quantities(self, order: FakeOrder) -> dict[str, str]:
        listing, mine = order.listing, ticket(order)
        leaves = order.leaves_lots if mine.status in OPEN_STATUS or mine.status == "Triggered" else 0
        average = order.average
        size = listing.size_grid.format
        out = {
            "price": listing.price_grid.format(order.price_ticks),
            "qty": mine.qty or size(order.size_lots),
            "avgPrice": plain(average) if average is not None else "",
            "leavesQty": size(leaves),
            "leavesValue": plain(price_of(listing, order.price_ticks) * size_of(listing, leaves)),
            "cumExecQty": size(order.filled_lots),
            "cumExecValue": plain(order.value),
        }
        if mine.by_value:
            out |= {"leavesQty": "0.000000", "leavesValue": plain(mine.budget - order.value)}
        return out

    @staticmethod
    def _conditions(order: FakeOrder) -> dict:
        mine, empty = ticket(order), ""
        exits = mine.exits
        return {
            "stopOrderType": mine.stop_type,
            "triggerPrice": mine.trigger_price,
            "triggerBy": mine.trigger_by,
            "triggerDirection": mine.trigger_direction,
            "takeProfit": exits.get("takeProfit", empty),
            "stopLoss": exits.get("stopLoss", empty),
            "tpTriggerBy": exits.get("tpTriggerBy", empty),
            "slTriggerBy": exits.get("slTriggerBy", empty),
            "tpLimitPrice": exits.get("tpLimitPrice", "0"),
            "slLimitPrice": exits.get("slLimitPrice", "0"),
        }

    # ---- executions ----

    def execution_row(
        self,
        order: FakeOrder,
        price_ticks: int,
        size_lots: int,
        fee: tuple[Decimal, str, Decimal],
        is_maker: bool,
        now_ns: int,
        exec_id: str,
    ) -> dict:
        """`fee` is amount, coin and rate."""
        listing, mine = order.listing, ticket(order)
        is_spot = listing.market == SPOT
        row = {
            "category": rules.CATEGORY[listing.market],
            "symbol": listing.symbol,
            "execFee": plain(fee[0]),
            "execId": exec_id,
            "execPrice": listing.price_grid.format(price_ticks),
            "execQty": listing.size_grid.format(size_lots),
            "execType": EXEC_TYPE.get(order.nature, "Trade"),
            "execValue": plain(price_of(listing, price_ticks) * size_of(listing, size_lots)),
            "feeRate": plain(fee[2]),
            "feeCurrency": fee[1],
            "tradeIv": "",
            "markIv": "",
            "markPrice": "" if is_spot else price_text(listing, self.mark_ticks(listing)),
            "indexPrice": "",
            "underlyingPrice": "",
            "leavesQty": listing.size_grid.format(order.leaves_lots),
            "orderId": mine.id,
            "orderLinkId": order.client_id,
            "orderPrice": listing.price_grid.format(order.price_ticks),
            "orderQty": mine.qty or listing.size_grid.format(order.size_lots),
            "orderType": mine.type,
            "stopOrderType": mine.stop_type or ("" if is_spot else "UNKNOWN"),
            "side": SIDE_TEXT[order.side],
            "execTime": str(now_ns // MS),
            "isLeverage": mine.is_leverage or "0",
            "blockTradeId": "",
            "closedSize": "",
            "isMaker": bool(is_maker),
            "seq": self.tape(listing).seq,
            "marketUnit": mine.market_unit,
            "execPnl": "0",
            "extraFees": "",
        }
        return row if is_spot else row | {"createType": mine.create_type}

    def push_execution(self, order: FakeOrder, row: dict, now_ns: int) -> None:
        account = self.account_of(order)
        self.keep_execution(account, row)
        if row["execType"] == "Trade":
            fast = {name: row[name] for name in FAST}
            is_blank = row["isMaker"] or ticket(order).took_by_amend
            fast["orderLinkId"] = "" if is_blank else order.client_id
            self._push_private("execution.fast", order.listing, fast, account, now_ns, order)
        self._push_private("execution", order.listing, row, account, now_ns, order)

    def keep_execution(self, account: Account, row: dict) -> None:
        self._executions.setdefault(account.owner, deque(maxlen=EXECUTIONS_KEPT)).appendleft(row)

    # ---- positions ----

    def push_position(self, account: Account, listing: Listing, leg: str, now_ns: int) -> None:
        """On every order action, even where nothing changed."""
        if listing.market == LINEAR and (self.subscribers("position") or self.subscribers("position.linear")):
            row = self.position_row(account, listing, leg, now_ns)
            row["entryPrice"] = row.pop("avgPrice")
            row["mmrSysUpdatedTime"] = row.pop("mmrSysUpdateTime")
            row |= {name: row[name] or "0" for name in ZERO_IN_STREAM}
            self._push_private("position", listing, {"category": "linear", **row}, account, now_ns)

    def position_row(self, account: Account, listing: Listing, leg: str, now_ns: int) -> dict:
        """As REST has it."""
        position = account.positions.get((listing.market, listing.symbol, leg)) or Position(
            leverage=account.leverage_of(listing), leg=leg
        )
        size, mark = listing.amount(abs(position.lots)), price_of(listing, self.mark_ticks(listing))
        value = size * position.entry
        tier = risk_tier(listing, value)
        leverage = self.leverage_text(account, listing, leg)
        profit = listing.amount(position.lots) * mark - position.cost if position.lots else Decimal(0)
        initial, maintenance = self.margins_of(listing, position, mark, Decimal(leverage))
        exits = self.position_exits(account, listing, leg)
        created = str(position.opened_ns // MS) if position.opened_ns else str(now_ns // MS)
        return {
            "positionIdx": LEG_INDEX[leg],
            "tradeMode": 0,
            "riskId": tier["id"],
            "riskLimitValue": tier["riskLimitValue"],
            "symbol": listing.symbol,
            "side": "" if not position.lots else "Buy" if position.lots > 0 else "Sell",
            "size": listing.size_grid.format(abs(position.lots)),
            "avgPrice": plain(position.entry),
            "leverage": leverage,
            "breakEvenPrice": self._break_even(listing, position),
            "positionValue": plain(value) if position.lots else "",
            "positionBalance": plain(initial),
            "markPrice": price_text(listing, self.mark_ticks(listing)),
            "positionIM": plain(initial) if position.lots else "",
            "positionIMByMp": plain(initial) if position.lots else "",
            "positionMM": plain(maintenance) if position.lots else "",
            "positionMMByMp": plain(maintenance) if position.lots else "",
            "takeProfit": exits.get("takeProfit", ""),
            "stopLoss": exits.get("stopLoss", ""),
            "trailingStop": exits.get("trailingStop", "0"),
            "unrealisedPnl": plain(round(profit, 8)) if position.lots else "",
            "curRealisedPnl": plain(position.realised),
            "cumRealisedPnl": plain(settings(account).realised.get((listing.key, leg), Decimal(0))),
            "sessionAvgPrice": "",
            "createdTime": created,
            "updatedTime": str((position.updated_ns or now_ns) // MS),
            "openTime": position.opened_ns // MS if position.lots else 0,
            "tpslMode": "Full",
            "liqPrice": self._liquidation(account, listing, position, maintenance, initial),
            "bustPrice": "",
            "positionStatus": "Normal",
            "adlRankIndicator": 2 if position.lots else 0,
            "autoAddMargin": settings(account).auto_add.get((listing.key, leg), 0),
            "leverageSysUpdatedTime": "",
            "mmrSysUpdateTime": "",
            "seq": self.tape(listing).seq if position.updated_ns else -1,
            "isReduceOnly": False,
        }

    @staticmethod
    def leverage_text(account: Account, listing: Listing, leg: str) -> str:
        """As it was set: the venue takes two decimals where the ledger has whole numbers."""
        known = account.leverage_of(listing)
        text, at = settings(account).leverage.get((listing.key, leg), (str(known), known))
        return text if at == known else str(known)

    def margins_of(
        self, listing: Listing, position: Position, mark: Decimal, leverage: Decimal
    ) -> tuple[Decimal, Decimal]:
        """Initial and maintenance margin at the mark, each with the fee of closing."""
        value = abs(listing.amount(position.lots)) * mark
        tier = risk_tier(listing, value)
        fee = value * Decimal(listing.taker_fee)
        deduction = Decimal(tier["mmDeduction"] or 0)
        maintenance = value * Decimal(tier["maintenanceMargin"]) - deduction + fee
        return round(value / leverage + fee, 8), round(maintenance, 8)

    @staticmethod
    def _break_even(listing: Listing, position: Position) -> str:
        size = listing.amount(position.lots)
        if not size:
            return ""
        rate = max(Decimal(listing.taker_fee), Decimal("0.00055"))
        return plain(round((position.cost - position.realised) / (size - abs(size) * rate), 8))

    def _liquidation(
        self, account: Account, listing: Listing, position: Position, maintenance: Decimal, initial: Decimal
    ) -> str:
        """Cross: an estimate, where the whole balance is gone. "" where no price of the instrument does
        it."""
        if not position.lots:
            return ""
        behind = (
            initial
            if self.margin_mode(account) == "ISOLATED_MARGIN"
            else account.balance(listing.settle_coin).total
        )
        away = (behind - maintenance) / abs(listing.amount(position.lots))
        price = position.entry - away if position.lots > 0 else position.entry + away
        ticks = listing.ticks_of(price)
        return price_text(listing, ticks) if 0 < ticks < listing.ticks_of(Decimal("1999999.8")) else ""

    @staticmethod
    def margin_mode(account: Account) -> str:
        return settings(account).margin_mode

    def position_exits(self, account: Account, listing: Listing, leg: str) -> dict[str, str]:
        """Take profit, stop loss and trailing stop of a whole position."""
        return {}

    def legs(self, account: Account) -> tuple[str, ...]:
        return ("long", "short") if account.hedge else ("net",)

    # ---- wallet ----

    def push_wallet(self, account: Account, coins: set[str], now_ns: int) -> None:
        """What changed, with the account's totals. Not for unrealised profit."""
        if not self.subscribers("wallet"):
            return
        row = self.wallet_row(account, coins, now_ns)
        number = f"{account.uid}-{self._hash('wallet', account.uid, now_ns, len(self._executions))[:12]}"
        message = {"id": number, "topic": "wallet", "creationTime": now_ns // MS, "data": [row]}
        for connection in self.subscribers("wallet"):
            if self.account_for(connection) is account:
                self.report(connection, self._text(message), "balance", None)

    def dollars(self, coin: str) -> Decimal:
        """In dollars; nothing for a coin that no market here knows."""
        if coin in ("USDT", "USDC", "USD"):
            return Decimal(1)
        found = [x for x in self.listings.values() if base_of(x) == coin and x.quote in ("USDT", "USDC")]
        found.sort(key=lambda x: x.market != SPOT)
        return price_of(found[0], self.mark_ticks(found[0])) if found else Decimal(0)

    def coin_margins(self, account: Account, coin: str) -> dict[str, Decimal]:
        """Margin of the positions and orders that settle in a coin, and the unrealised profit."""
        out = dict.fromkeys(("position", "maintenance", "order", "profit"), Decimal(0))
        for (market, symbol, leg), position in account.positions.items():
            listing = self.listings.get((market, symbol))
            if listing is None or listing.settle_coin != coin or not position.lots:
                continue
            mark = price_of(listing, self.mark_ticks(listing))
            leverage = Decimal(self.leverage_text(account, listing, leg))
            initial, maintenance = self.margins_of(listing, position, mark, leverage)
            out["position"] += initial
            out["maintenance"] += maintenance
            out["profit"] += round(listing.amount(position.lots) * mark - position.cost, 8)
        for order in self.open_orders(account):
            listing = order.listing
            if (
                listing.market == LINEAR
                and listing.settle_coin == coin
                and not order.reduce_only
                and not order.waits
            ):
                leverage = Decimal(self.leverage_text(account, listing, order.leg))
                out["order"] += round(listing.notional(order.price_ticks, order.leaves_lots) / leverage, 8)
        return out

    def wallet_coin(self, account: Account, coin: str) -> dict:
        balance, margins = account.balance(coin), self.coin_margins(account, coin)
        equity = balance.total + margins["profit"]
        kept = settings(account).realised.items()
        realised = sum((x for (key, _), x in kept if self._settles(key, coin)), Decimal(0))
        return {
            "coin": coin,
            "equity": plain(equity),
            "usdValue": plain(round(equity * self.dollars(coin), 8)),
            "walletBalance": plain(balance.total),
            "free": "",
            "locked": plain(balance.locked),
            "spotHedgingQty": "0",
            "borrowAmount": "0",
            "spotBorrow": "0",
            "availableToBorrow": "",
            "availableToWithdraw": "",
            "accruedInterest": "0",
            "totalOrderIM": plain(margins["order"]),
            "totalPositionIM": plain(margins["position"]),
            "totalPositionMM": plain(margins["maintenance"]),
            "unrealisedPnl": plain(margins["profit"]),
            "cumRealisedPnl": plain(realised),
            "bonus": "0",
            "collateralSwitch": True,
            "marginCollateral": True,
            "colRes": "0",
        }

    def _settles(self, key: tuple[int, str], coin: str) -> bool:
        listing = self.listings.get(key)
        return listing is not None and listing.settle_coin == coin

    def wallet_row(self, account: Account, coins: Iterable[str], now_ns: int) -> dict:
        everything = [x for x, balance in account.balances.items() if balance.total or x in coins]
        rows = {coin: self.wallet_coin(account, coin) for coin in sorted(set(everything) | set(coins))}
        sums = dict.fromkeys(("wallet", "profit", "initial", "maintenance", "locked"), Decimal(0))
        for coin, row in rows.items():
            price = self.dollars(coin)
            sums["wallet"] += Decimal(row["walletBalance"]) * price
            sums["profit"] += Decimal(row["unrealisedPnl"]) * price
            sums["initial"] += (Decimal(row["totalPositionIM"]) + Decimal(row["totalOrderIM"])) * price
            sums["maintenance"] += Decimal(row["totalPositionMM"]) * price
            sums["locked"] += Decimal(row["locked"]) * price
        margin = sums["wallet"] + sums["profit"]
        rate = {x: plain(round(sums[x] / margin, 4)) if margin else "0" for x in ("initial", "maintenance")}
        texts = {x: plain(round(value, 8)) for x, value in sums.items()}
        return {
            "accountType": "UNIFIED",
            "accountLTV": "0",
            "accountIMRate": rate["initial"],
            "accountIMRateByMp": rate["initial"],
            "accountMMRate": rate["maintenance"],
            "accountMMRateByMp": rate["maintenance"],
            "totalEquity": plain(round(margin, 8)),
            "totalWalletBalance": texts["wallet"],
            "totalMarginBalance": plain(round(margin, 8)),
            "totalAvailableBalance": plain(round(margin - sums["initial"] - sums["locked"], 8)),
            "totalPerpUPL": texts["profit"],
            "totalInitialMargin": texts["initial"],
            "totalInitialMarginByMp": texts["initial"],
            "totalMaintenanceMargin": texts["maintenance"],
            "totalMaintenanceMarginByMp": texts["maintenance"],
            "coin": [row for coin, row in rows.items() if coin in coins],
        }


def risk_tier(listing: Listing, value: Decimal) -> dict:
    tiers = risk_tiers(listing)
    return next((x for x in tiers if value <= Decimal(x["riskLimitValue"])), tiers[-1])
