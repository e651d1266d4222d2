"""The members of OKX answers and pushes, and the text they are made of.

Every documented member is there, in the documented type; what has no meaning here is empty, as at the venue.
"""

import re
from decimal import Decimal
from typing import Any

import orjson

from node.venues.fakes import MS, Listing
from node.venues.okx.fake_errors import Problem

SECOND = 1000 * MS
FIRST_ORDER = 2_500_000_000_000_000_000  # order ids have 19 digits
ID = re.compile(r"[A-Za-z0-9]{1,32}")
TAG = re.compile(r"[A-Za-z0-9]{1,16}")
DECIMAL = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?")
NUMBER = re.compile(r"[0-9]{1,19}")
KINDS = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")

# fmt: off
_BLANK_IN_ORDERS = (
    "algoClOrdId", "algoId", "attachAlgoClOrdId", "cancelSource", "cancelSourceReason", "ccy", "fillPx",
    "fillTime", "lever", "px", "pxType", "pxUsd", "pxVol", "quickMgnType", "slOrdPx", "slTriggerPx",
    "slTriggerPxType", "source", "stpId", "tag", "tgtCcy", "tpOrdPx", "tpTriggerPx", "tpTriggerPxType",
    "tradeId", "tradeQuoteCcy",
)
_BLANK_IN_PUSHES = (
    "amendResult", "amendSource", "execType", "fillFeeCcy", "fillFwdPx", "fillIdxPx", "fillMarkPx",
    "fillMarkVol", "fillNotionalUsd", "fillPxUsd", "fillPxVol", "lastPx", "msg", "notionalUsd", "reqId",
)
_BLANK_IN_INSTRUMENTS = (
    "alias", "auctionEndTime", "baseCcy", "contTdSwTime", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime",
    "instFamily", "lever", "maxMktAmt", "maxPlatOILmt", "optType", "posLmtAmt", "posLmtPct", "preMktSwTime",
    "quoteCcy", "settleCcy", "stk", "uly",
)
_BLANK_IN_POSITIONS = (
    "availPos", "baseBal", "baseBorrowed", "baseInterest", "bizRefId", "bizRefType", "clSpotInUseAmt",
    "deltaBS", "deltaPA", "gammaBS", "gammaPA", "hedgedPos", "interest", "liab", "liabCcy",
    "maxSpotInUseAmt", "nonSettleAvgPx", "optVal", "pendingCloseOrdLiabVal", "posCcy", "quoteBal",
    "quoteBorrowed", "quoteInterest", "spotInUseAmt", "spotInUseCcy", "thetaBS", "thetaPA", "usdPx",
    "vegaBS", "vegaPA",
)
_BLANK_IN_DETAILS = (
    "accAvgPx", "autoLendMtAmt", "clSpotInUseAmt", "maxSpotInUse", "openAvgPx", "spotBal", "spotInUseAmt",
    "spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio",
)
_ZERO_IN_DETAILS = (
    "autoLendAmt", "borrowFroz", "colBorrAutoConversion", "colRes", "crossLiab", "fixedBal", "frpType",
    "interest", "isoEq", "isoLiab", "isoUpl", "liab", "maxLoan", "rewardBal", "smtSyncEq",
    "spotCopyTradingEq", "spotIsoBal", "stgyEq", "twap", "uplLiab",
)
_BLANK_IN_ACCOUNT = (
    "adjEq", "availEq", "borrowFroz", "delta", "deltaLever", "deltaNeutralStatus", "imr", "mgnRatio", "mmr",
    "notionalUsd", "notionalUsdForBorrow", "notionalUsdForFutures", "notionalUsdForOption",
    "notionalUsdForSwap", "ordFroz", "upl",
)
_BLANK_IN_ALGOS = (
    "activePx", "actualPx", "actualSide", "algoClOrdId", "amendPxOnTriggerType", "callbackRatio",
    "callbackSpread", "ccy", "chaseType", "chaseVal", "clOrdId", "closeFraction", "isTradeBorrowMode",
    "lever", "maxChaseType", "maxChaseVal", "moveTriggerPx", "ordId", "ordPx", "pxLimit", "pxSpread",
    "pxVar", "quickMgnType", "slOrdPx", "slTriggerPx", "slTriggerPxType", "szLimit", "tag", "tgtCcy",
    "timeInterval", "tpOrdPx", "tpTriggerPx", "tpTriggerPxType", "tradeQuoteCcy", "triggerPx",
    "triggerPxType", "triggerTime",
)
_BLANK_IN_BILLS = (
    "clOrdId", "earnAmt", "earnApr", "execType", "fee", "fillFwdPx", "fillIdxPx", "fillMarkPx",
    "fillMarkVol", "fillPxUsd", "fillPxVol", "fillTime", "from", "instId", "instType", "interest",
    "mgnMode", "notes", "ordId", "px", "tag", "to", "tradeId",
)
_BLANK_IN_FILLS = ("fillPxVol", "fillFwdPx", "fillPxUsd", "fillMarkVol", "fillIdxPx", "fillMarkPx")
# fmt: on


def _blanks(names: tuple[str, ...]) -> dict[str, Any]:
    return dict.fromkeys(names, "")


BLANK_ORDER = _blanks(_BLANK_IN_ORDERS) | {
    "attachAlgoOrds": [],
    "category": "normal",
    "fillSz": "0",
    "isTpLimit": "false",
    "linkedAlgoOrd": {"algoId": ""},
    "pnl": "0",
    "rebate": "0",
}
BLANK_PUSH = BLANK_ORDER | _blanks(_BLANK_IN_PUSHES) | {"code": "0", "fillFee": "0", "fillPnl": "0"}
BLANK_INSTRUMENT = _blanks(_BLANK_IN_INSTRUMENTS)
BLANK_POSITION = _blanks(_BLANK_IN_POSITIONS) | {"closeOrderAlgo": [], "liqPenalty": "0", "settledPnl": "0"}
BLANK_DETAIL = (
    _blanks(_BLANK_IN_DETAILS)
    | dict.fromkeys(_ZERO_IN_DETAILS, "0")
    | {"autoLendStatus": "unsupported", "collateralEnabled": False, "collateralRestrict": False}
)
BLANK_ACCOUNT = _blanks(_BLANK_IN_ACCOUNT) | {"isoEq": "0"}
BLANK_ALGO = _blanks(_BLANK_IN_ALGOS) | {
    "actualSz": "0",
    "attachAlgoOrds": [],
    "failCode": "0",
    "linkedOrd": {"ordId": ""},
    "ordIdList": [],
    "reduceOnly": "false",
}
BLANK_BILL = _blanks(_BLANK_IN_BILLS) | {"pnl": "0", "posBal": "0", "posBalChg": "0"}
BLANK_FILL = _blanks(_BLANK_IN_FILLS)
STATES = {
    "trading": "live",
    "reduce_only": "live",
    "post_only": "post_only",
    "auction": "preopen",
    "no_cancel": "preopen",
    "delisted": "expired",
}


def instrument_row(listing: Listing) -> dict[str, Any]:
    """A row of `public/instruments`."""
    swap, base, quote = listing.is_perpetual, base_of(listing), quote_of(listing)
    big = "100000000"
    return BLANK_INSTRUMENT | {
        "instType": type_of(listing),
        "instId": listing.symbol,
        "instIdCode": listing.inst_code if listing.inst_code >= 0 else None,
        "baseCcy": "" if swap else base,
        "quoteCcy": "" if swap else quote,
        "uly": family_of(listing) if swap else "",
        "instFamily": family_of(listing) if swap else "",
        "settleCcy": quote if swap else "",
        "ctType": "linear" if swap else "",
        "ctVal": listing.contract if swap else "",
        "ctMult": "1" if swap else "",
        "ctValCcy": base if swap else "",
        "tickSz": listing.tick if listing.tick_multiple == 1 else listing.price(listing.tick_multiple),
        "lotSz": listing.lot,
        "minSz": min_size(listing),
        "maxLmtSz": max_size(listing),
        "maxMktSz": listing.max_market_size or "1000000",
        "maxLmtAmt": "20000000",
        "maxMktAmt": "" if swap else "1000000",
        "maxIcebergSz": f"{big}.0000000000000000",
        "maxStopSz": "1000000",
        "maxTriggerSz": f"{big}.0000000000000000",
        "maxTwapSz": f"{big}.0000000000000000",
        "lever": str(listing.max_leverage) if swap else "",
        "state": STATES.get(listing.status, "suspend"),
        "ruleType": "normal",
        "category": "1",
        "instCategory": "1",
        "groupId": "1",
        "openType": "fix_price",
        "listTime": "1611916828000",
        "expTime": str(listing.ends_ns // 1_000_000) if listing.ends_ns else "",
        "futureSettlement": False,
        "tradeQuoteCcyList": [] if swap else [quote],
        "upcChg": [],
    }


def type_of(listing: Listing) -> str:
    return "SWAP" if listing.is_perpetual else "SPOT"


def base_of(listing: Listing) -> str:
    return listing.symbol.split("-")[0]


def quote_of(listing: Listing) -> str:
    return listing.symbol.split("-")[1]


def family_of(listing: Listing) -> str:
    return f"{base_of(listing)}-{quote_of(listing)}"


def covers(arg: dict, listing: Listing) -> bool:
    """Whether an argument with instType, instFamily, uly or instId includes this instrument."""
    family = text_in(arg, "instFamily") or text_in(arg, "uly") or family_of(listing)
    return (
        (text_in(arg, "instType") or "ANY") in ("ANY", type_of(listing))
        and (text_in(arg, "instId") or listing.symbol) == listing.symbol
        and family == family_of(listing)
    )


def order_id(number: int) -> str:
    return str(FIRST_ORDER + number)


def order_number(text: object) -> int | None:
    """Of an `ordId`: the venue's own number, or None where it can be none of this venue's."""
    known = isinstance(text, str) and NUMBER.fullmatch(text)
    return int(text) - FIRST_ORDER if known and isinstance(text, str) else None


def text_in(arg: dict, name: str) -> str:
    """A member that must be text; absent, null and "" are the same. Raises Problem 51000 for others."""
    value = arg.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Problem("51000", name)
    return value


def number_in(query: dict, name: str, default: int, most: int) -> int:
    """A count from 1 to `most`. Raises Problem 51000 for anything else."""
    value = query.get(name)
    if value in (None, ""):
        return default
    if not NUMBER.fullmatch(str(value)) or not 1 <= int(str(value)) <= most:
        raise Problem("51000", name)
    return int(str(value))


def flag_in(arg: dict, name: str) -> bool:
    """A boolean, which clients also send as text. Raises Problem 51000 for anything else."""
    value = arg.get(name)
    if value in (None, "", False, "false"):
        return False
    if value in (True, "true"):
        return True
    raise Problem("51000", name)


def objects(args: object) -> list[dict]:
    """The arguments of a request; empty where they are not a list of objects."""
    return args if isinstance(args, list) and all(isinstance(x, dict) for x in args) else []


def ms(now_ns: int) -> str:
    return str(now_ns // MS)


def plain(value: Decimal) -> str:
    """Decimal text without exponent and padding."""
    return format(value.normalize(), "f") if value else "0"


def rounded(value: Decimal, digits: int = 12) -> str:
    return plain(round(value, digits))


def dumps(value: object) -> str:
    return orjson.dumps(value).decode()


def reply(code: str, rows: list, text: str = "", **more: str) -> bytes:
    """The envelope of a REST answer; the venue sorts its members."""
    return orjson.dumps({"code": code, "data": rows, "msg": text, **more}, option=orjson.OPT_SORT_KEYS)


def min_size(listing: Listing) -> str:
    return listing.min_size or listing.lot


def max_size(listing: Listing) -> str:
    return listing.max_size or "100000000"
