"""Spot account requests of the simulated Binance: balances, commission, trades, counters, and what is asked
of `/sapi` when a client starts.

Sources: binance-spot-api-docs `rest-api.md` (Account endpoints); developer pages "wallet".
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from node.venues.binance.fake_call import Call, Reject
from node.venues.binance.fake_history import DAY_MS
from node.venues.binance.fake_market import e8, nothing, price_text, size_text
from node.venues.binance.fake_shapes import value_of
from node.venues.binance.rules import BINANCE_SPOT
from node.venues.fakes import BUY, MS, Account, Listing

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

ZERO8 = "0.00000000"
NETWORKS = {"BTC": "BTC", "ETH": "ETH", "BNB": "BSC"}
OTHER_NETWORK = "ETH"


def account(venue: BinanceFake, call: Call) -> dict:
    """Balances, in full or without those that are zero."""
    account_ = call.account
    maker, taker = spot_fees(venue, account_)
    rates = {"maker": e8(maker), "taker": e8(taker)}
    rows = [
        {"asset": coin, "free": e8(x.free), "locked": e8(x.locked)}
        for coin, x in sorted(account_.wallets.get(venue.wallet(BINANCE_SPOT), {}).items())
        if x.total or not call.flag("omitZeroBalances")
    ]
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": rates | {"buyer": ZERO8, "seller": ZERO8},
        "canTrade": not account_.frozen,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": venue.balances_ms(account_),
        "accountType": "SPOT",
        "balances": rows,
        "permissions": ["SPOT"],
        "uid": int(account_.uid),
    }


def spot_fees(venue: BinanceFake, account_: Account) -> tuple[Decimal, Decimal]:
    """Maker and taker rate of an account: those of the first symbol stand for all."""
    listings = venue.of_market(BINANCE_SPOT)
    return venue.rates(account_, listings[0]) if listings else (Decimal(0), Decimal(0))


def commission(venue: BinanceFake, call: Call) -> dict:
    call.need("symbol")
    listing = venue.listing(call)
    return {"symbol": listing.symbol} | commission_rates(venue, call.account, listing)


def commission_rates(venue: BinanceFake, account_: Account, listing: Listing) -> dict:
    """The three parts of the fee; only the standard one is charged here."""
    maker, taker = venue.rates(account_, listing)
    none = {"maker": ZERO8, "taker": ZERO8, "buyer": ZERO8, "seller": ZERO8}
    return {
        "standardCommission": none | {"maker": e8(maker), "taker": e8(taker)},
        "specialCommission": none,
        "taxCommission": none,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        },
    }


def order_counts(venue: BinanceFake, call: Call) -> list[dict]:
    return venue.gate.order_rows(call)


def my_trades(venue: BinanceFake, call: Call) -> list[dict]:
    """Own trades of a symbol: by order, from an id on, by time, or the latest; oldest first."""
    call.need("symbol")
    listing = venue.listing(call)
    too_long = Reject(-1127, "More than 24 hours between startTime and endTime.")
    return [spot_trade(x) for x in venue.trades_asked(call, listing, DAY_MS, too_long)]


def spot_trade(trade: Any) -> dict:
    listing = trade.listing
    return {
        "symbol": listing.symbol,
        "id": trade.id,
        "orderId": trade.order.number,
        "orderListId": -1,
        "price": price_text(listing, trade.price_ticks),
        "qty": size_text(listing, trade.size_lots),
        "quoteQty": e8(value_of(listing, trade.price_ticks, trade.size_lots)),
        "commission": e8(trade.fee),
        "commissionAsset": trade.fee_coin,
        "time": trade.now_ns // MS,
        "isBuyer": trade.side == BUY,
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def prevented_matches(venue: BinanceFake, call: Call) -> list[dict]:
    """Matches that self-trade prevention prevented, of a symbol."""
    call.need("symbol")
    listing = venue.listing(call)
    if not (call.has("preventedMatchId") or call.has("orderId")):
        raise Reject(-1128, "Combination of optional parameters invalid.")
    rows = [x for x in venue.prevented if x["symbol"] == listing.symbol]
    if call.has("preventedMatchId"):
        return [x for x in rows if x["preventedMatchId"] == call.whole("preventedMatchId")]
    number = call.whole("orderId")
    return [x for x in rows if number in (x["takerOrderId"], x["makerOrderId"])]


def my_filters(venue: BinanceFake, call: Call) -> dict:
    call.need("symbol")
    venue.listing(call)
    return {"exchangeFilters": [], "symbolFilters": [], "assetFilters": []}


# ---- /sapi ---------------------------------------------------------------------------------------------


def coins(venue: BinanceFake, call: Call) -> list[dict]:
    """`/sapi/v1/capital/config/getall`: every coin with one network."""
    held = call.account.wallets.get(venue.wallet(BINANCE_SPOT), {})
    return [_coin(x, held.get(x)) for x in venue.coins()]


def _coin(coin: str, balance: Any) -> dict:
    network = {
        "network": NETWORKS.get(coin, OTHER_NETWORK),
        "coin": coin,
        "withdrawIntegerMultiple": "0.00000001",
        "isDefault": True,
        "depositEnable": True,
        "withdrawEnable": True,
        "depositDesc": "",
        "withdrawDesc": "",
        "specialTips": "",
        "name": NETWORKS.get(coin, OTHER_NETWORK),
        "resetAddressStatus": False,
        "addressRegex": "",
        "memoRegex": "",
        "withdrawFee": "0.0001",
        "withdrawMin": "0.001",
        "withdrawMax": "9999999",
        "minConfirm": 1,
        "unLockConfirm": 2,
        "sameAddress": False,
        "busy": False,
        "country": "",
        "contractAddress": "",
    }
    return {
        "coin": coin,
        "depositAllEnable": True,
        "withdrawAllEnable": True,
        "name": coin,
        "free": e8(balance.free if balance else 0),
        "locked": e8(balance.locked if balance else 0),
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [network],
    }


def api_restrictions(venue: BinanceFake, call: Call) -> dict:
    rights = call.key.rights
    return {
        "ipRestrict": bool(call.key.ips),
        "createTime": 1_600_000_000_000,
        "enableReading": "read" in rights,
        "enableWithdrawals": "withdraw" in rights,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": "trade" in rights,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": "trade" in rights,
        "enablePortfolioMarginTrading": False,
    }


def trade_fee(venue: BinanceFake, call: Call) -> list[dict]:
    listings = [venue.listing(call)] if call.has("symbol") else venue.of_market(BINANCE_SPOT)
    return [
        {"symbol": x.symbol, "makerCommission": _short(maker), "takerCommission": _short(taker)}
        for x in listings
        for maker, taker in (venue.rates(call.account, x),)
    ]


def _short(value: Decimal) -> str:
    return format(value.normalize(), "f")


def system_status(venue: BinanceFake, call: Call) -> dict:
    return {"status": 0, "msg": "normal"}


def account_status(venue: BinanceFake, call: Call) -> dict:
    return {"data": "Normal"}


def trading_status(venue: BinanceFake, call: Call) -> dict:
    data = {"isLocked": False, "plannedRecoverTime": 0, "updateTime": 0}
    return {"data": data | {"triggerCondition": {"GCR": 150, "IFER": 150, "UFR": 300}}}


def account_info(venue: BinanceFake, call: Call) -> dict:
    row = {"vipLevel": 0, "isMarginEnabled": False, "isFutureEnabled": True}
    return row | {"isOptionsEnabled": False, "isPortfolioMarginRetailEnabled": False}


def user_assets(venue: BinanceFake, call: Call) -> list[dict]:
    """`/sapi/v3/asset/getUserAsset` and the funding purse: positive balances only."""
    none = {"freeze": "0", "withdrawing": "0", "ipoable": "0", "btcValuation": "0"}
    held = call.account.wallets.get(venue.wallet(BINANCE_SPOT), {})
    return [
        {"asset": coin, "free": e8(x.free), "locked": e8(x.locked)} | none
        for coin, x in sorted(held.items())
        if x.total
    ]


empty = nothing


def empty_rows(venue: BinanceFake, call: Call) -> dict:
    """A page of a list that is empty here."""
    return {"rows": [], "total": 0}
