"""USD-M account requests of the simulated Binance: balances, positions, margin, leverage, modes, income.

One-way and hedge mode; crossed margin is simulated in full, an isolated position only holds its initial
margin.

Sources: USD-M developer pages "account", "trade" (position information V3), "common-definition".
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from node.venues.binance.fake_call import Call, Reject, invalid
from node.venues.binance.fake_history import WEEK_MS
from node.venues.binance.fake_market import e8, plain, price_text, size_text
from node.venues.binance.fake_shapes import SIDES, value_of
from node.venues.binance.rules import BINANCE_USDM
from node.venues.fakes import BUY, MS, Listing
from node.venues.ledger import Account, Position, margin_of

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

ZERO = Decimal(0)
LEGS = {"net": "BOTH", "long": "LONG", "short": "SHORT"}
LEG_OF = {"BOTH": "net", "LONG": "long", "SHORT": "short"}
INCOMES = {
    "funding": "FUNDING_FEE",
    "fee": "COMMISSION",
    "realised": "REALIZED_PNL",
    "insurance": "INSURANCE_CLEAR",
}


class Purse:
    """The margin figures of one asset of an account, at the present marks."""

    def __init__(self, venue: BinanceFake, account: Account, asset: str):
        wallet = venue.wallet(BINANCE_USDM)
        listings = venue.of_market(BINANCE_USDM)
        self.asset = asset
        self.wallet = account.balance(asset, wallet).total
        self.unrealised = account.unrealised(asset, wallet, listings, venue.mark)
        self.positions_margin = account.initial_margin(asset, wallet, listings, venue.mark)
        used = venue.margin_used(account, asset, wallet)
        self.orders_margin = max(used - self.positions_margin, ZERO)
        self.maintenance = account.maintenance_margin(asset, wallet, listings, venue.mark)

    @property
    def initial(self) -> Decimal:
        return self.positions_margin + self.orders_margin

    @property
    def margin_balance(self) -> Decimal:
        return self.wallet + self.unrealised

    @property
    def available(self) -> Decimal:
        return max(self.margin_balance - self.initial, ZERO)

    @property
    def withdrawable(self) -> Decimal:
        return max(min(self.wallet, self.available), ZERO)


def purses(venue: BinanceFake, account: Account) -> list[Purse]:
    assets = sorted(account.wallets.get(venue.wallet(BINANCE_USDM), {}))
    return [Purse(venue, account, x) for x in assets]


def balance(venue: BinanceFake, call: Call) -> list[dict]:
    updated = venue.balances_ms(call.account)
    return [
        {
            "accountAlias": "SgsR",
            "asset": x.asset,
            "balance": e8(x.wallet),
            "crossWalletBalance": e8(x.wallet),
            "crossUnPnl": e8(x.unrealised),
            "availableBalance": e8(x.available),
            "maxWithdrawAmount": e8(x.withdrawable),
            "marginAvailable": True,
            "updateTime": updated,
        }
        for x in purses(venue, call.account)
    ]


def account_v3(venue: BinanceFake, call: Call) -> dict:
    """Only symbols with a position or an open order."""
    all_ = purses(venue, call.account)
    rows = [_account_position(venue, call.account, x, p) for x, p in shown_positions(venue, call.account)]
    return _totals(all_) | {"assets": [_asset(venue, call.account, x) for x in all_], "positions": rows}


def account_v2(venue: BinanceFake, call: Call) -> dict:
    """Every symbol, and the account's flags."""
    all_ = purses(venue, call.account)
    rows = []
    for listing in venue.of_market(BINANCE_USDM):
        for position in legs_of(call.account, listing):
            row = _account_position(venue, call.account, listing, position)
            rows.append(row | _leverage_of(call.account, listing, position))
    head = {"feeTier": 0, "feeBurn": False, "canTrade": not call.account.frozen, "canDeposit": True}
    head |= {"canWithdraw": True, "updateTime": 0, "multiAssetsMargin": multi_assets(call.account)}
    head |= {"tradeGroupId": -1}
    assets = [_asset(venue, call.account, x) | {"marginAvailable": True} for x in all_]
    return head | _totals(all_) | {"assets": assets, "positions": rows}


def _leverage_of(account: Account, listing: Listing, position: Position) -> dict:
    row: dict = {
        "leverage": str(account.leverage_of(listing)),
        "isolated": position.margin_mode == "isolated",
    }
    row |= {"entryPrice": plain(position.entry), "breakEvenPrice": plain(position.entry)}
    return row | {
        "maxNotional": max_notional(listing, account.leverage_of(listing)),
        "bidNotional": "0",
        "askNotional": "0",
    }


def _totals(all_: list[Purse]) -> dict:
    """Sums over the stable coins, in US dollars."""
    total = {
        "totalInitialMargin": sum((x.initial for x in all_ if _is_dollar(x)), ZERO),
        "totalMaintMargin": sum((x.maintenance for x in all_ if _is_dollar(x)), ZERO),
        "totalWalletBalance": sum((x.wallet for x in all_ if _is_dollar(x)), ZERO),
        "totalUnrealizedProfit": sum((x.unrealised for x in all_ if _is_dollar(x)), ZERO),
        "totalMarginBalance": sum((x.margin_balance for x in all_ if _is_dollar(x)), ZERO),
        "totalPositionInitialMargin": sum((x.positions_margin for x in all_ if _is_dollar(x)), ZERO),
        "totalOpenOrderInitialMargin": sum((x.orders_margin for x in all_ if _is_dollar(x)), ZERO),
        "totalCrossWalletBalance": sum((x.wallet for x in all_ if _is_dollar(x)), ZERO),
        "totalCrossUnPnl": sum((x.unrealised for x in all_ if _is_dollar(x)), ZERO),
        "availableBalance": sum((x.available for x in all_ if _is_dollar(x)), ZERO),
        "maxWithdrawAmount": sum((x.withdrawable for x in all_ if _is_dollar(x)), ZERO),
    }
    return {name: e8(value) for name, value in total.items()}


def _is_dollar(purse: Purse) -> bool:
    return purse.asset in ("USDT", "USDC")


def _asset(venue: BinanceFake, account: Account, x: Purse) -> dict:
    return {
        "asset": x.asset,
        "walletBalance": e8(x.wallet),
        "unrealizedProfit": e8(x.unrealised),
        "marginBalance": e8(x.margin_balance),
        "maintMargin": e8(x.maintenance),
        "initialMargin": e8(x.initial),
        "positionInitialMargin": e8(x.positions_margin),
        "openOrderInitialMargin": e8(x.orders_margin),
        "crossWalletBalance": e8(x.wallet),
        "crossUnPnl": e8(x.unrealised),
        "availableBalance": e8(x.available),
        "maxWithdrawAmount": e8(x.withdrawable),
        "updateTime": venue.balances_ms(account),
    }


# ---- positions -------------------------------------------------------------------------------------------


def legs_of(account: Account, listing: Listing) -> list[Position]:
    """The position of one-way mode, or the two of hedge mode."""
    return [account.position(listing, leg) for leg in (("long", "short") if account.hedge else ("net",))]


def shown_positions(venue: BinanceFake, account: Account) -> list[tuple[Listing, Position]]:
    """Legs that V3 lists: those with a position, and all of a symbol with an open order."""
    out = []
    for listing in venue.of_market(BINANCE_USDM):
        has_order = bool(venue.open_orders(account=account, listing=listing))
        out += [(listing, p) for p in legs_of(account, listing) if p.lots or has_order]
    return out


def _account_position(venue: BinanceFake, account: Account, listing: Listing, position: Position) -> dict:
    margins = position_margins(venue, account, listing, position)
    row = {"symbol": listing.symbol, "positionSide": LEGS[position.leg]}
    row |= {"positionAmt": size_text(listing, position.lots)}
    row |= {"unrealizedProfit": e8(margins["profit"])}
    isolated = margins["initial"] if position.margin_mode == "isolated" else ZERO
    row |= {
        "isolatedMargin": e8(isolated),
        "notional": e8(margins["notional"]),
        "isolatedWallet": e8(isolated),
    }
    row |= {"initialMargin": e8(margins["initial"]), "positionInitialMargin": e8(margins["initial"])}
    row |= {"openOrderInitialMargin": e8(0), "maintMargin": e8(margins["maintenance"])}
    return row | {"updateTime": position.updated_ns // MS}


def position_margins(venue: BinanceFake, account: Account, listing: Listing, position: Position) -> dict:
    """Notional (signed), unrealised profit, initial and maintenance margin at the mark."""
    mark = venue.mark(listing) or position.entry
    amount = listing.amount(position.lots)
    notional = amount * mark
    value = abs(notional)
    return {
        "mark": mark,
        "notional": notional,
        "profit": notional - position.cost,
        "initial": margin_of(value, account.leverage_of(listing)) if position.lots else ZERO,
        "maintenance": value * listing.maintenance_rate_of(value) if position.lots else ZERO,
    }


def position_risk_v3(venue: BinanceFake, call: Call) -> list[dict]:
    """Only symbols with a position or an open order; without leverage and margin type."""
    wanted = venue.listing(call) if call.has("symbol") else None
    return [
        _risk(venue, call.account, listing, position, is_v3=True)
        for listing, position in shown_positions(venue, call.account)
        if wanted in (None, listing)
    ]


def position_risk_v2(venue: BinanceFake, call: Call) -> list[dict]:
    """Every symbol; both legs in hedge mode, with BOTH as well."""
    wanted = [venue.listing(call)] if call.has("symbol") else venue.of_market(BINANCE_USDM)
    return [
        _risk(venue, call.account, listing, position, is_v3=False)
        for listing in wanted
        for position in legs_of(call.account, listing)
    ]


def _risk(venue: BinanceFake, account: Account, listing: Listing, position: Position, is_v3: bool) -> dict:
    margins = position_margins(venue, account, listing, position)
    isolated = margins["initial"] if position.margin_mode == "isolated" else ZERO
    row: dict = {
        "symbol": listing.symbol,
        "positionSide": LEGS[position.leg],
        "positionAmt": size_text(listing, position.lots),
        "entryPrice": plain(position.entry) if position.lots else "0.0",
        "breakEvenPrice": plain(position.entry) if position.lots else "0.0",
        "markPrice": e8(margins["mark"]),
        "unRealizedProfit": e8(margins["profit"]),
        "liquidationPrice": plain(liquidation_price(venue, account, listing, position)),
    }
    if is_v3:
        row |= {"isolatedMargin": e8(isolated), "notional": e8(margins["notional"])}
        row |= {"marginAsset": listing.settle_coin, "isolatedWallet": e8(isolated)}
        row |= {"initialMargin": e8(margins["initial"]), "maintMargin": e8(margins["maintenance"])}
        row |= {"positionInitialMargin": e8(margins["initial"]), "openOrderInitialMargin": "0"}
        row |= {"adl": 2 if position.lots else 0, "bidNotional": "0", "askNotional": "0"}
        return row | {"updateTime": position.updated_ns // MS}
    leverage = account.leverage_of(listing)
    row |= {"leverage": str(leverage), "maxNotionalValue": max_notional(listing, leverage)}
    row |= {"marginType": "isolated" if isolated or position.margin_mode == "isolated" else "cross"}
    row |= {"isolatedMargin": e8(isolated), "isAutoAddMargin": "false"}
    row |= {"notional": e8(margins["notional"]), "isolatedWallet": e8(isolated)}
    row |= {"adlQuantile": 2 if position.lots else 0}
    return row | {"updateTime": position.updated_ns // MS}


def liquidation_price(venue: BinanceFake, account: Account, listing: Listing, position: Position) -> Decimal:
    """Where margin balance and maintenance margin meet; 0 where there is no such price."""
    if not position.lots:
        return ZERO
    side = 1 if position.lots > 0 else -1
    amount = abs(listing.amount(position.lots))
    purse = Purse(venue, account, listing.settle_coin)
    mine = position_margins(venue, account, listing, position)
    rate = listing.maintenance_rate_of(abs(mine["notional"]))
    if position.margin_mode == "isolated":
        rest = mine["initial"]
    else:
        rest = purse.wallet - (purse.maintenance - mine["maintenance"]) + purse.unrealised - mine["profit"]
    price = (rest - side * amount * position.entry) / (amount * rate - side * amount)
    return max(price, ZERO).quantize(Decimal(listing.tick))


# ---- leverage and modes ------------------------------------------------------------------------------------


def brackets_of(listing: Listing) -> list[dict]:
    """The listing's brackets as the venue writes them."""
    out: list[dict] = []
    cum, floor = ZERO, ZERO
    before = ZERO
    for number, x in enumerate(listing.brackets, 1):
        cum += floor * (x.maintenance_rate - before)
        row: dict = {"bracket": number, "initialLeverage": x.leverage_max, "notionalCap": int(x.notional_max)}
        row |= {"notionalFloor": int(floor), "maintMarginRatio": float(x.maintenance_rate), "cum": float(cum)}
        out.append(row)
        floor, before = x.notional_max, x.maintenance_rate
    return out


def max_notional(listing: Listing, leverage: int) -> str:
    caps = [x.notional_max for x in listing.brackets if x.leverage_max >= leverage]
    return str(int(max(caps))) if caps else "0"


def leverage_bracket(venue: BinanceFake, call: Call) -> object:
    listings = [venue.listing(call)] if call.has("symbol") else venue.of_market(BINANCE_USDM)
    rows = [{"symbol": x.symbol, "notionalCoef": 1.0, "brackets": brackets_of(x)} for x in listings]
    return rows


def leverage(venue: BinanceFake, call: Call) -> dict:
    """POST leverage; told as ACCOUNT_CONFIG_UPDATE."""
    call.need("symbol", "leverage")
    listing, value = venue.listing(call), call.whole("leverage")
    if not 1 <= value <= listing.max_leverage:
        raise Reject(-4028, f"Leverage {value} is not valid")
    call.account.set_leverage(listing, value)
    venue.events.config(call.account, {"ac": {"s": listing.symbol, "l": value}}, call.now_ns)
    return {"leverage": value, "maxNotionalValue": max_notional(listing, value), "symbol": listing.symbol}


def margin_type(venue: BinanceFake, call: Call) -> dict:
    call.need("symbol", "marginType")
    listing = venue.listing(call)
    mode = call.choice("marginType", ("ISOLATED", "CROSSED"), "", Reject(-4048, "Invalid margin type."))
    wanted = "isolated" if mode == "ISOLATED" else "cross"
    key = (listing.market, listing.symbol)
    if call.account.margin_modes.get(key, "cross") == wanted:
        raise Reject(-4046, "No need to change margin type.")
    if wanted == "isolated" and multi_assets(call.account):
        raise Reject(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
    if venue.open_orders(account=call.account, listing=listing):
        raise Reject(-4047, "Margin type cannot be changed if there exists open orders.")
    if any(p.lots for p in legs_of(call.account, listing)):
        raise Reject(-4048, "Margin type cannot be changed if there exists position.")
    call.account.margin_modes[key] = wanted
    for position in legs_of(call.account, listing):
        position.margin_mode = wanted
    return {"code": 200, "msg": "success"}


def position_mode(venue: BinanceFake, call: Call) -> dict:
    return {"dualSidePosition": call.account.hedge}


def set_position_mode(venue: BinanceFake, call: Call) -> dict:
    call.need("dualSidePosition")
    wanted = call.flag("dualSidePosition")
    if wanted == call.account.hedge:
        raise Reject(-4059, "No need to change position side.")
    if venue.open_orders(account=call.account, market=BINANCE_USDM):
        raise Reject(-4067, "Position side cannot be changed if there exists open orders.")
    if any(p.lots for p in call.account.positions.values()):
        raise Reject(-4068, "Position side cannot be changed if there exists position.")
    call.account.hedge = wanted
    return {"code": 200, "msg": "success"}


def multi_assets(account: Account) -> bool:
    return bool(account.notes.get("multi_assets", False))


def multi_assets_mode(venue: BinanceFake, call: Call) -> dict:
    return {"multiAssetsMargin": multi_assets(call.account)}


def set_multi_assets_mode(venue: BinanceFake, call: Call) -> dict:
    call.need("multiAssetsMargin")
    wanted = call.flag("multiAssetsMargin")
    if wanted == multi_assets(call.account):
        raise Reject(-4171, "No need to change multi assets mode.")
    if wanted and "isolated" in call.account.margin_modes.values():
        raise Reject(
            -4167,
            "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin "
            "mode.",
        )
    call.account.notes["multi_assets"] = wanted
    venue.events.config(call.account, {"ai": {"j": wanted}}, call.now_ns)
    return {"code": 200, "msg": "success"}


def position_margin(venue: BinanceFake, call: Call) -> dict:
    """Isolated margin cannot be moved here: a position always holds its initial margin."""
    call.need("symbol", "amount", "type")
    listing = venue.listing(call)
    if call.account.margin_modes.get((listing.market, listing.symbol), "cross") != "isolated":
        raise Reject(-4046, "No need to change margin type.")
    raise Reject(-4051, "Isolated balance insufficient.")


def account_config(venue: BinanceFake, call: Call) -> dict:
    account = call.account
    return {
        "feeTier": 0,
        "canTrade": not account.frozen,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": account.hedge,
        "updateTime": 0,
        "multiAssetsMargin": multi_assets(account),
        "tradeGroupId": -1,
    }


def symbol_config(venue: BinanceFake, call: Call) -> list[dict]:
    listings = [venue.listing(call)] if call.has("symbol") else venue.of_market(BINANCE_USDM)
    modes = call.account.margin_modes
    return [
        {
            "symbol": x.symbol,
            "marginType": "ISOLATED" if modes.get((x.market, x.symbol)) == "isolated" else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": call.account.leverage_of(x),
            "maxNotionalValue": max_notional(x, call.account.leverage_of(x)),
        }
        for x in listings
    ]


def commission_rate(venue: BinanceFake, call: Call) -> dict:
    call.need("symbol")
    listing = venue.listing(call)
    maker, taker = (plain(x) for x in venue.rates(call.account, listing))
    return {
        "symbol": listing.symbol,
        "makerCommissionRate": maker,
        "takerCommissionRate": taker,
        "rpiCommissionRate": maker,
    }


def api_trading_status(venue: BinanceFake, call: Call) -> dict:
    return {"indicators": {}, "updateTime": call.now_ms}


def set_fee_burn(venue: BinanceFake, call: Call) -> dict:
    """Fees in BNB are not simulated: only that they are off can be confirmed."""
    call.need("feeBurn")
    if call.flag("feeBurn"):
        raise Reject(-1130, "Data sent for parameter 'feeBurn' is not valid.")
    return {"code": 200, "msg": "success"}


def fee_burn(venue: BinanceFake, call: Call) -> dict:
    return {"feeBurn": False}


def adl_quantile(venue: BinanceFake, call: Call) -> list[dict]:
    listings = [venue.listing(call)] if call.has("symbol") else venue.of_market(BINANCE_USDM)
    return [{"symbol": x.symbol, "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 0}} for x in listings]


# ---- history -----------------------------------------------------------------------------------


def user_trades(venue: BinanceFake, call: Call) -> list[dict]:
    """Own trades: of a symbol, or of all."""
    listing = venue.listing(call) if call.has("symbol") else None
    too_long = Reject(-4165, "The time interval between startTime and endTime must be within 7 days.")
    return [usdm_trade(x) for x in venue.trades_asked(call, listing, WEEK_MS, too_long)]


def usdm_trade(trade: Any) -> dict:
    listing = trade.listing
    return {
        "symbol": listing.symbol,
        "id": trade.id,
        "orderId": trade.order.number,
        "side": SIDES[trade.side],
        "price": price_text(listing, trade.price_ticks),
        "qty": size_text(listing, trade.size_lots),
        "realizedPnl": e8(trade.realised),
        "quoteQty": plain(value_of(listing, trade.price_ticks, trade.size_lots)),
        "commission": e8(trade.fee),
        "commissionAsset": trade.fee_coin,
        "time": trade.now_ns // MS,
        "positionSide": trade.order.notes.get("leg", "BOTH"),
        "buyer": trade.side == BUY,
        "maker": trade.is_maker,
        "marginAsset": listing.settle_coin,
    }


def income(venue: BinanceFake, call: Call) -> list[dict]:
    """Everything that changed the wallet, by type and time: funding, fees, realised profit, transfers."""
    wanted = call.text("incomeType")
    symbol = venue.listing(call).symbol if call.has("symbol") else ""
    limit = min(call.whole("limit", 100, least=1), 1000)
    start, end = call.whole("startTime"), call.whole("endTime", 2**62)
    rows = sorted(
        [*_trade_incomes(venue, call), *_other_incomes(venue, call)], key=lambda x: (x["time"], x["tranId"])
    )
    rows = [
        x
        for x in rows
        if wanted in ("", x["incomeType"]) and symbol in ("", x["symbol"]) and start <= x["time"] <= end
    ]
    return rows[:limit] if call.has("startTime") else rows[-limit:]


def _trade_incomes(venue: BinanceFake, call: Call) -> list[dict]:
    out = []
    for x in venue.trades_of(call, None):
        row = {"symbol": x.listing.symbol, "info": str(x.id), "time": x.now_ns // MS, "tradeId": str(x.id)}
        out.append(
            row
            | {"incomeType": "COMMISSION", "income": e8(-x.fee), "asset": x.fee_coin, "tranId": 2 * x.number}
        )
        if x.realised:
            more = {"incomeType": "REALIZED_PNL", "income": e8(x.realised), "asset": x.listing.settle_coin}
            out.append(row | more | {"tranId": 2 * x.number + 1})
    return out


def _other_incomes(venue: BinanceFake, call: Call) -> list[dict]:
    wallet = venue.wallet(BINANCE_USDM)
    return [
        {
            "symbol": x.listing.symbol if x.listing else "",
            "incomeType": INCOMES.get(x.kind, "TRANSFER"),
            "income": e8(x.amount),
            "asset": x.coin,
            "info": INCOMES.get(x.kind, "TRANSFER"),
            "time": x.now_ns // MS,
            "tranId": 2 * x.number,
            "tradeId": "",
        }
        for x in call.account.incomes
        if x.wallet == wallet and x.kind != "drift"  # a fault that nobody says anything of
    ]


def leg_name(call: Call) -> str:
    """`positionSide`, checked against the account's mode."""
    leg = call.choice("positionSide", LEG_OF, "BOTH", invalid("positionSide"))
    if (leg == "BOTH") == call.account.hedge:
        raise Reject(-4061, "Order's position side does not match user's setting.")
    return leg
