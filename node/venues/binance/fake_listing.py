"""What the simulated Binance lists: `exchangeInfo` of both products, with every filter that is enforced.

Sources: binance-spot-api-docs `rest-api.md`, `filters.md`; USD-M developer pages "market-data",
"common-definition".
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from node.venues.binance.fake_call import Call, Reject
from node.venues.binance.fake_gate import ORDER_LIMITS, WEIGHT_LIMIT
from node.venues.binance.fake_market import E8, plain
from node.venues.binance.fake_orders import SPOT_STP_MODES, SPOT_TYPES
from node.venues.binance.rules import BINANCE_USDM, NEVER_MS
from node.venues.fakes import Listing

if TYPE_CHECKING:
    from node.venues.binance.fake import BinanceFake

RAW_LIMIT = {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000}
MAX_PRICE = {True: "1000000.00000000", False: "4529764"}
MAX_QTY = "9000000"
SPOT_STATUS = {
    "trading": "TRADING",
    "reduce_only": "TRADING",
    "cancel_only": "CANCEL_ONLY",
    "delisted": "BREAK",
}
USDM_STATUS = {
    "trading": "TRADING",
    "reduce_only": "TRADING",
    "delisted": "CLOSE",
    "auction": "PENDING_TRADING",
}
USDM_TYPES = (
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
)
USDM_TIFS = ("GTC", "IOC", "FOK", "GTX", "GTD")


def exchange_info(venue: BinanceFake, call: Call) -> dict:
    rows = [
        x
        for x in _wanted(venue, call)
        if not call.has("symbolStatus") or status(x) == call.text("symbolStatus")
    ]
    limits = rate_limits(call.market)
    if call.is_spot:
        head = {"timezone": "UTC", "serverTime": call.now_ms, "rateLimits": limits, "exchangeFilters": []}
        sets = call.flag("showPermissionSets", True)
        return head | {"symbols": [_spot_symbol(x, sets) for x in rows]}
    coins = sorted({x.settle_coin for x in venue.of_market(BINANCE_USDM)})
    assets = [{"asset": x, "marginAvailable": True, "autoAssetExchange": "0"} for x in coins]
    head = {"timezone": "UTC", "serverTime": call.now_ms, "futuresType": "U_MARGINED", "rateLimits": limits}
    return head | {"exchangeFilters": [], "assets": assets, "symbols": [_usdm_symbol(x) for x in rows]}


def _wanted(venue: BinanceFake, call: Call) -> list[Listing]:
    if not call.is_spot:
        return venue.of_market(call.market)
    if call.has("symbol"):
        return [venue.listing(call)]
    if call.has("symbols") or "symbols" in call.lists:
        return [venue.listing_of(call.market, str(x)) for x in call.items("symbols")]
    if call.has("symbolStatus") and call.text("symbolStatus") not in (
        "TRADING",
        "HALT",
        "BREAK",
        "CANCEL_ONLY",
        "END_OF_DAY",
    ):
        raise Reject(-1122, "Invalid symbolStatus.")
    return venue.of_market(call.market)


def rate_limits(market: int) -> list[dict]:
    weight = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
    rows = [weight | {"limit": WEIGHT_LIMIT[market]}]
    rows += [
        {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": n, "limit": limit}
        for interval, n, _, limit in ORDER_LIMITS[market]
    ]
    return rows if market == BINANCE_USDM else [*rows, RAW_LIMIT]


def status(listing: Listing) -> str:
    if listing.market == BINANCE_USDM:
        return USDM_STATUS.get(listing.status, "SETTLING")
    return SPOT_STATUS.get(listing.status, "HALT")


def tick_of(listing: Listing) -> Decimal:
    return Decimal(listing.tick) * listing.tick_multiple


def _e8(value: str | Decimal) -> str:
    return format(Decimal(value).quantize(E8), "f")


def spot_filters(listing: Listing) -> list[dict]:
    tick, lot = _e8(tick_of(listing)), _e8(listing.lot)
    most = _e8(listing.max_size or MAX_QTY)
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": MAX_PRICE[True], "tickSize": tick},
        {
            "filterType": "LOT_SIZE",
            "minQty": _e8(listing.min_size or listing.lot),
            "maxQty": most,
            "stepSize": lot,
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": _e8("0"), "maxQty": _e8(listing.max_market_size or most)}
        | {"stepSize": _e8("0")},
        {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000}
        | {"minTrailingBelowDelta": 10, "maxTrailingBelowDelta": 2000},
        {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": listing.price_up or "1000"}
        | {"bidMultiplierDown": listing.price_down or "0", "askMultiplierUp": listing.price_up or "1000"}
        | {"askMultiplierDown": listing.price_down or "0", "avgPriceMins": 5},
        {"filterType": "NOTIONAL", "minNotional": _e8(listing.min_notional or "0"), "applyMinToMarket": True}
        | {
            "maxNotional": _e8(listing.max_notional or "9000000"),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": listing.max_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": listing.max_stop_orders},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
    ]


def _spot_symbol(listing: Listing, permission_sets: bool) -> dict:
    base, quote = listing.coins
    return {
        "symbol": listing.symbol,
        "status": status(listing),
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(SPOT_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": spot_filters(listing),
        "permissions": [],
        "permissionSets": [["SPOT"]] if permission_sets else [],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": list(SPOT_STP_MODES),
    }


def usdm_filters(listing: Listing) -> list[dict]:
    tick, lot = plain(tick_of(listing)), listing.lot
    least, most = listing.min_size or lot, listing.max_size or "1000000"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": MAX_PRICE[False], "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": lot},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": least,
            "maxQty": listing.max_market_size or most,
            "stepSize": lot,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": listing.max_orders},
        {"filterType": "MIN_NOTIONAL", "notional": listing.min_notional or "0"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": listing.price_up or "1000"}
        | {"multiplierDown": listing.price_down or "0", "multiplierDecimal": "4"},
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE", "notional": "0"},
    ]


def _usdm_symbol(listing: Listing) -> dict:
    base, quote = listing.coins
    return {
        "symbol": listing.symbol,
        "pair": base + quote,
        "contractType": "PERPETUAL"
        if listing.is_perpetual or "_" not in listing.symbol
        else "CURRENT_QUARTER",
        "deliveryDate": listing.ends_ns // 1_000_000 or NEVER_MS,
        "onboardDate": 1569398400000,
        "status": status(listing),
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": listing.settle_coin,
        "pricePrecision": listing.price_grid.decimals,
        "quantityPrecision": listing.size_grid.decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": usdm_filters(listing),
        "orderTypes": list(USDM_TYPES),
        "timeInForce": list(USDM_TIFS),
        "permissionSets": ["GRID", "COPY"],
    }
