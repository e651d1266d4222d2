"""Binance frames to records and back: samples of every message type, hostile input, and real captures."""

import hashlib
import hmac
import json
import random
from decimal import Decimal

import frames
import pytest
from frames import (
    captured,
    check_cuts,
    check_flips,
    check_look,
    check_looks_at_mutants,
    check_newer_is_not_looked_at,
    check_second_line,
    garbled,
    read,
    with_foreign_members,
)

from ext.book import Book, BookState
from ext.instruments import Instruments
from ext.records import BudgetKind, ErrorGroup, LegKind, Market, MarkField, Nature, ReportKind, Side
from ext.venues.binance import BinanceWire, client_nature, status_kind
from ext.wire import ALPHABET, SecondLine, Verdict
from node.venues.binance import rest, rules

SPOT, USDM = int(Market.BINANCE_SPOT), int(Market.BINANCE_USDM)
BTC, BTCF, ETHBTC = 0, 1, 2  # rows of the table below
MS = 1_000_000
STEPS = {BTC: ("0.01", "0.00001"), BTCF: ("0.10", "0.001"), ETHBTC: ("0.00000001", "0.0001")}


def table() -> Instruments:
    out = Instruments()
    out.add(SPOT, "BTCUSDT", *STEPS[BTC])
    out.add(USDM, "BTCUSDT", *STEPS[BTCF], is_perpetual=True)
    out.add(SPOT, "ETHBTC", *STEPS[ETHBTC])
    return out


TABLE = table()


def coded(market: int, instruments: Instruments = TABLE, **options) -> BinanceWire:
    wire = BinanceWire(instruments, market, **options)
    wire.set_codes(rules.CODES[market])
    return wire


WIRES = {SPOT: coded(SPOT), USDM: coded(USDM)}
ORDER, OLD = 123456789, 987
CID = WIRES[SPOT].client_id(ORDER)


def dump(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def request_id(market: int, action: str = "n", order_id: int = ORDER) -> str:
    intent = {"instrument": market, "side": 0, "price_ticks": 100, "size_lots": 100, "order_id": order_id}
    intent["action"] = "ncar".index(action)
    if action == "r":
        intent["order_id"] = OLD
    return json.loads(WIRES[market].preview(intent, order_id, 0))["id"]


def bids_asks(n=2):
    return [[f"{61000 - i}.10", f"0.{i + 1}00"] for i in range(n)], [
        [f"{61001 + i}.20", "0"] for i in range(n)
    ]


BIDS, ASKS = bids_asks()
SPOT_DEPTH = {
    "e": "depthUpdate",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "U": 157,
    "u": 160,
    "b": BIDS,
    "a": ASKS,
}
USDM_DEPTH = {"e": "depthUpdate", "E": 1672515782136, "T": 1672515782130, "s": "BTCUSDT", "U": 157, "u": 160}
USDM_DEPTH |= {"pu": 149, "b": BIDS, "a": ASKS, "ps": "BTCUSDT", "st": 1}
TOP = {"b": "25.10", "B": "31.21", "a": "25.30", "A": "40.66"}
SPOT_QUOTE = {"u": 400900217, "s": "BTCUSDT", **TOP}
USDM_QUOTE = {
    "e": "bookTicker",
    "u": 400900217,
    "E": 1568014460893,
    "T": 1568014460891,
    "s": "BTCUSDT",
    **TOP,
    "st": 1,
}
TRADE = {
    "e": "trade",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "t": 12345,
    "p": "61000.10",
    "q": "0.125",
    "T": 1672515782100,
}
TRADE |= {"m": True, "M": True}
OLD_TRADE = {**TRADE, "b": 88, "a": 50}
AGG = {
    "e": "aggTrade",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "a": 5933014,
    "p": "61000.10",
    "q": "0.125",
    "nq": "0.125",
}
AGG |= {"f": 100, "l": 105, "T": 1672515782100, "m": False, "st": 1}
MARK = {
    "e": "markPriceUpdate",
    "E": 1562305380000,
    "s": "BTCUSDT",
    "p": "11794.15000000",
    "i": "11784.62659091",
}
MARK |= {"P": "11784.25641265", "r": "-0.00038167", "T": 1562306400000, "st": 1}
SNAPSHOT = {"lastUpdateId": 160, "bids": BIDS, "asks": ASKS}
USDM_SNAPSHOT = {"lastUpdateId": 160, "E": 1589436922972, "T": 1589436922959, "bids": BIDS, "asks": ASKS}
REPORT = {
    "e": "executionReport",
    "E": 1499405658658,
    "s": "BTCUSDT",
    "c": CID,
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
}
REPORT |= {
    "q": "1.00000000",
    "p": "0.10",
    "P": "0.00000000",
    "F": "0.00000000",
    "g": -1,
    "C": "",
    "x": "TRADE",
}
REPORT |= {
    "X": "FILLED",
    "r": "NONE",
    "i": 4293153,
    "l": "0.25000000",
    "z": "1.00000000",
    "L": "61000.10000000",
}
REPORT |= {
    "n": "0.00025000",
    "N": "BTC",
    "T": 1499405658657,
    "t": 77,
    "I": 8641984,
    "w": True,
    "m": True,
    "M": False,
}
REPORT |= {"O": 1499405658657, "Z": "0.00000000", "V": "NONE"}
UPDATE_O = {
    "s": "BTCUSDT",
    "c": CID,
    "S": "SELL",
    "o": "LIMIT",
    "f": "GTC",
    "q": "0.100",
    "p": "43187.00",
    "ap": "0",
}
UPDATE_O |= {
    "sp": "0",
    "x": "TRADE",
    "X": "PARTIALLY_FILLED",
    "i": 8389765739703625592,
    "l": "0.020",
    "z": "0.030",
}
UPDATE_O |= {
    "L": "43187.00",
    "n": "0.08637400",
    "N": "USDT",
    "T": 1568879465650,
    "t": 991,
    "b": "0",
    "a": "9.91",
}
UPDATE_O |= {
    "m": False,
    "R": False,
    "wt": "CONTRACT_PRICE",
    "ps": "BOTH",
    "rp": "0",
    "si": 0,
    "ss": 0,
    "er": "0",
}
UPDATE = {"e": "ORDER_TRADE_UPDATE", "E": 1568879465651, "T": 1568879465650, "o": UPDATE_O}
LITE = {
    "e": "TRADE_LITE",
    "E": 1727683915920,
    "T": 1727683915920,
    "s": "BTCUSDT",
    "q": "0.037",
    "p": "2631.90",
}
LITE |= {
    "m": True,
    "c": CID,
    "S": "BUY",
    "L": "2631.90",
    "l": "0.037",
    "t": 4467432841,
    "i": 8389765739703625592,
}
RESULT = {"symbol": "BTCUSDT", "orderId": 12569099453, "orderListId": -1, "clientOrderId": CID}
RESULT |= {"transactTime": 1660801715639}
ACK = {"id": request_id(SPOT), "status": 200, "result": RESULT, "rateLimits": [{"count": 1}]}
NO = {"id": request_id(USDM), "status": 400, "error": {"code": -5022, "msg": "no"}, "rateLimits": []}
CANCELED = {
    "symbol": "BTCUSDT",
    "origClientOrderId": CID,
    "orderId": 12569099453,
    "clientOrderId": "91fe37ce9e69",
}
CANCELED |= {"transactTime": 1684804350068, "price": "23416.10", "executedQty": "0.001", "status": "CANCELED"}
CANCEL = {"id": request_id(SPOT, "c"), "status": 200, "result": CANCELED}

RATES = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 70},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12},
]
# web-socket-api.md "Order Amend Keep Priority"
AMENDED_ORDER = {"symbol": "BTCUSDT", "orderId": 12569099453, "orderListId": -1, "origClientOrderId": CID}
AMENDED_ORDER |= {"clientOrderId": CID, "price": "23416.10", "qty": "0.00500", "executedQty": "0.00100"}
AMENDED_ORDER |= {"preventedQty": "0.00000", "cumulativeQuoteQty": "0.0", "status": "PARTIALLY_FILLED"}
AMEND_RESULT = {"transactTime": 1741926410255, "executionId": 16, "amendedOrder": AMENDED_ORDER}
AMEND = {"id": request_id(SPOT, "a"), "status": 200, "result": AMEND_RESULT, "rateLimits": RATES}
MODIFIED = {
    "orderId": 20072994037,
    "symbol": "BTCUSDT",
    "status": "NEW",
    "clientOrderId": CID,
    "price": "30005.0",
}
MODIFIED |= {"positionSide": "LONG"}
MODIFIED |= {"origQty": "1.000", "executedQty": "0.020", "cumQty": "0.020", "updateTime": 1629182711600}
MODIFY = {"id": request_id(USDM, "a"), "status": 200, "result": MODIFIED, "rateLimits": RATES}
GONE = {"code": -2011, "msg": "Unknown order sent."}
TAKES = {"code": -2010, "msg": "Order would immediately match and take."}
NEW_ACK = {"symbol": "BTCUSDT", "orderId": 12569099999, "clientOrderId": CID, "transactTime": 1684804350068}


def legs(cancel, new, cancel_said, new_said) -> dict:
    out = {"cancelResult": cancel, "newOrderResult": new}
    return out | {"cancelResponse": cancel_said, "newOrderResponse": new_said}


REPLACED = {
    "id": request_id(SPOT, "r"),
    "status": 200,
    "result": legs("SUCCESS", "SUCCESS", CANCELED, NEW_ACK),
}
HALF = {"code": -2021, "msg": "partly", "data": legs("SUCCESS", "FAILURE", CANCELED, TAKES)}
HALF_REPLACED = {"id": request_id(SPOT, "r"), "status": 409, "error": HALF, "rateLimits": RATES}
STOP_RESULT = {
    "algoId": 3000000000003505,
    "clientAlgoId": CID,
    "algoType": "CONDITIONAL",
    "symbol": "BTCUSDT",
}
STOP_RESULT |= {"orderType": "STOP_MARKET", "quantity": "0.010", "algoStatus": "NEW", "price": "0.0"}
STOP_RESULT |= {"triggerPrice": "50.0", "createTime": 1750485492076, "updateTime": 1750485492076}
STOP = {"id": request_id(USDM), "status": 200, "result": STOP_RESULT}
WAIT = {"id": request_id(SPOT), "status": 429, "rateLimits": RATES}
WAIT |= {"error": {"code": -1015, "msg": "x", "data": {"serverTime": 1, "retryAfter": 1684804350000}}}
PREVENTED = REPORT | {"x": "TRADE_PREVENTION", "X": "NEW", "l": "0.00", "L": "0.00", "t": -1, "A": "0.25"}
# um-docs "Event: Algo Order Update"
ALGO_O = {"caid": CID, "aid": 2148719, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT", "S": "SELL"}
ALGO_O |= {"ps": "BOTH", "f": "GTC", "q": "0.010", "X": "NEW", "ai": "", "aq": "0.00000"}
ALGO_O |= {"act": "0", "tp": "750", "p": "0", "V": "EXPIRE_MAKER", "wt": "MARK_PRICE", "R": True, "rm": ""}
ALGO = {"e": "ALGO_UPDATE", "T": 1750515742297, "E": 1750515742303, "o": ALGO_O}
ALGO_DONE = ALGO | {"o": ALGO_O | {"X": "FINISHED", "ai": "887001", "aq": "0.010"}}
LIQUIDATED = {
    **UPDATE,
    "o": {**UPDATE_O, "x": "CALCULATED", "X": "FILLED", "c": "autoclose-123", "ps": "LONG"},
}

# name -> (market, message, context)
SAMPLES = {
    "spot depth": (SPOT, SPOT_DEPTH, -1),
    "spot depth, combined": (SPOT, {"stream": "btcusdt@depth@100ms", "data": SPOT_DEPTH}, -1),
    "usdm depth": (USDM, USDM_DEPTH, -1),
    "usdm partial depth": (USDM, {"stream": "btcusdt@depth5@100ms", "data": USDM_DEPTH}, -1),
    "spot partial depth": (SPOT, {"stream": "btcusdt@depth5", "data": SNAPSHOT}, -1),
    "spot quote": (SPOT, SPOT_QUOTE, -1),
    "usdm quote": (USDM, USDM_QUOTE, -1),
    "trade": (SPOT, TRADE, -1),
    "old trade": (SPOT, OLD_TRADE, -1),
    "aggregate trade": (USDM, AGG, -1),
    "mark": (USDM, MARK, -1),
    "rest snapshot": (SPOT, SNAPSHOT, BTC),
    "usdm rest snapshot": (USDM, USDM_SNAPSHOT, BTCF),
    "api snapshot": (SPOT, {"id": "d1", "status": 200, "result": SNAPSHOT, "rateLimits": []}, BTC),
    "execution": (SPOT, {"subscriptionId": 0, "event": REPORT}, -1),
    "raw execution": (SPOT, REPORT, -1),
    "order update": (USDM, UPDATE, -1),
    "trade lite": (USDM, LITE, -1),
    "ack": (SPOT, ACK, -1),
    "reject": (USDM, NO, -1),
    "cancel reply": (SPOT, CANCEL, -1),
    "amend reply": (SPOT, AMEND, -1),
    "modify reply": (USDM, MODIFY, -1),
    "replace reply": (SPOT, REPLACED, -1),
    "half a replace": (SPOT, HALF_REPLACED, -1),
    "stop reply": (USDM, STOP, -1),
    "wait": (SPOT, WAIT, -1),
    "prevented": (SPOT, PREVENTED, -1),
    "liquidation": (USDM, LIQUIDATED, -1),
    "algo": (USDM, ALGO, -1),
    "algo done": (USDM, ALGO_DONE, -1),
}


# ---- a slow twin: what an event must contain, read with json and Decimal ----


def steps(text: str, step: str) -> int:
    """Exact steps; AssertionError where the text is no plain decimal on the grid."""
    assert isinstance(text, str)
    assert text.isascii()
    whole, point, frac = text.partition(".")
    assert whole.isdigit()
    assert whole == "0" or not whole.startswith("0")
    assert not point or frac.isdigit()
    value = Decimal(text) / Decimal(step)
    assert value == int(value)
    return int(value)


def merged(message) -> dict:
    out = dict(message)
    for key in ("data", "event", "result"):
        if isinstance(message.get(key), dict):
            out.update(message[key])
    return out


def plain_int(value) -> int:
    assert isinstance(value, int)
    assert not isinstance(value, bool)
    return value


def twin(market: int, context: int):
    def expected(message, events):
        if "id" in message and context < 0:
            return [twin_answer(market, message, event) for event in events]
        m = merged(message)
        if m.get("e") == "ALGO_UPDATE":
            return [twin_algo(m, event) for event in events]
        if isinstance(m.get("o"), dict):
            m = {"e": m["e"]} | m["o"]
        return [globals()[f"twin_{event['type']}"](market, context, m, event) for event in events]

    return expected


def row_of(market: int, context: int, m: dict) -> int:
    symbol = m.get("s") or (m["stream"].split("@")[0].upper() if "stream" in m else None)
    return TABLE.index(market, symbol) if symbol else context


def time_ns(value) -> int:
    return plain_int(value) * (MS if value <= 9_000_000_000_000 else 1000)


def twin_depth(market, context, m, event) -> dict:
    row = row_of(market, context, m)
    tick, lot = STEPS[row]

    def side(short, long):
        return [(steps(p, tick), steps(q, lot)) for p, q in (m[short] if short in m else m[long])]

    last = m["lastUpdateId"] if "lastUpdateId" in m else m["u"]
    return {
        "instrument": row,
        "bids": side("b", "bids"),
        "asks": side("a", "asks"),
        "first_id": plain_int(last if "lastUpdateId" in m else m["U"]),
        "last_id": plain_int(last),
        "prev_id": m.get("pu", -1),
        "event_ns": time_ns(m.get("E", 0)),
    }


def twin_quote(market, context, m, event) -> dict:
    tick, lot = STEPS[row_of(market, context, m)]
    out = {"update_id": plain_int(m["u"]), "event_ns": time_ns(m.get("E", 0))}
    out |= {"bid_ticks": steps(m["b"], tick), "bid_lots": steps(m["B"], lot)}
    return out | {"ask_ticks": steps(m["a"], tick), "ask_lots": steps(m["A"], lot)}


def twin_trade(market, context, m, event) -> dict:
    tick, lot = STEPS[row_of(market, context, m)]
    out = {
        "price_ticks": steps(m["p"], tick),
        "size_lots": steps(m["q"], lot),
        "event_ns": time_ns(m.get("T", 0)),
    }
    number = m["a"] if m["e"] == "aggTrade" else m["t"]
    return out | {"id_lo": plain_int(number), "side": int(Side.SELL if m["m"] else Side.BUY)}


def twin_mark(market, context, m, event) -> dict:
    out = {"mark_e8": steps(m["p"], "0.00000001"), "event_ns": time_ns(m.get("E", 0))}
    if event["present"] & MarkField.INDEX_PRICE:
        out["index_e8"] = steps(m["i"], "0.00000001")
    if event["present"] & MarkField.FUNDING_RATE:
        rate = m["r"]
        out["funding_e8"] = -steps(rate[1:], "0.00000001") if rate[0] == "-" else steps(rate, "0.00000001")
    return out | {"next_funding_ns": time_ns(m.get("T", 0))}


LEGS = {"BOTH": LegKind.NET, "LONG": LegKind.LONG_LEG, "SHORT": LegKind.SHORT_LEG}


def told_coin(coin: str) -> str:
    """A coin as a report names it: eleven bytes at most, what is not ASCII is shown as such."""
    return "".join(x if x.isascii() else "\ufffd" for x in coin) if len(coin) < 12 else ""


def twin_report(market, context, m, event) -> dict:
    tick, lot = STEPS[row_of(market, context, m)]
    number = (m.get("C") if market == SPOT else "") or m.get("c") or ""
    whole = steps(m["q"], lot) - (steps(m["A"], lot) if market == SPOT and "A" in m else 0)
    out = {
        "order_id": WIRES[market].order_id(number),
        "side": ["BUY", "SELL"].index(m["S"]),
        "venue_id": str(m["i"]),
        "order_ticks": steps(m["p"], tick) or -1,
        "order_lots": whole or -1,
    }
    out |= {"event_ns": time_ns(m["T"])}
    if "z" in m and m.get("e") != "TRADE_LITE":
        out["filled_lots"] = steps(m["z"], lot)
    word = m.get("ps") if market == USDM else None
    out["leg"] = -1 if word is None else LEGS[word]
    if event["kind"] != ReportKind.REPORT_FILL:
        return out | {"fee_coin": ""}
    fee = m.get("n") or "0"
    coin = m.get("N") or ""
    out["fee_coin"] = told_coin("" if m.get("e") == "TRADE_LITE" else coin)
    kind = 0
    if 0 < len(coin) < len(m["s"]):
        kind = 1 if m["s"].endswith(coin) else 2 if m["s"].startswith(coin) else 0
    return out | {
        "price_ticks": steps(m["L"], tick),
        "size_lots": steps(m["l"], lot),
        "trade_lo": plain_int(m["t"]),
        "maker": int(m["m"]),
        "fee_e8": steps(fee, "0.00000001"),
        "fee_is_quote": -1 if m.get("e") == "TRADE_LITE" else kind,  # the fast notice tells no fee
    }


def twin_algo(m, event) -> dict:
    o, (tick, lot) = m["o"], STEPS[BTCF]
    out = {
        "order_id": WIRES[USDM].order_id(o["caid"] or ""),
        "side": ["BUY", "SELL"].index(o["S"]),
        "venue_id": str(o["aid"]) if o.get("ai", "") in ("", None, "0") else str(o["ai"]),
        "order_lots": (steps(o["q"], lot) if o.get("q") else 0) or -1,
        "order_ticks": (steps(o["p"], tick) if "p" in o else 0) or -1,
        "event_ns": time_ns(m["T"]),
        "leg": LEGS[o["ps"]] if "ps" in o else -1,
        "fee_coin": "",
    }
    return out | ({"filled_lots": steps(o["aq"], lot)} if event["filled_lots"] >= 0 else {})


def twin_answer(market, message, event) -> dict:
    """What a report or budget of an answer must say: the numbers of the object that it is about."""
    error = message.get("error") if isinstance(message.get("error"), dict) else {}
    body = message.get("result") or error.get("data") or {}
    if event["type"] == "budget":
        return twin_budget(message, body, event)
    found = {}
    if message["id"][0] == "r":
        is_old = event["order_id"] != ORDER
        found["order_id"] = sequence(message["id"][29:]) if is_old else ORDER
        has_leg = ("cancelResult" if is_old else "newOrderResult") in body
        body = body.get("cancelResponse" if is_old else "newOrderResponse") or {}
        code = body.get("code", event["code"]) if has_leg else error.get("code", 0)
    else:
        body, code = body.get("amendedOrder", body), error.get("code", 0)
        code = code if "result" not in message else 0
    found |= {"code": plain_int(code)} if not isinstance(code, str) else {}
    found |= {"fee_coin": "", "leg": -1}
    if event["instrument"] >= 0 and "positionSide" in body:
        found["leg"] = LEGS[body["positionSide"]]
    if "orderId" in body or "algoId" in body:
        found["venue_id"] = str(body.get("orderId", body.get("algoId")))
    tick, lot = STEPS[TABLE.index(market, body["symbol"])] if event["instrument"] >= 0 else ("1", "1")
    for name, keys, grid in (
        ("order_ticks", ("price",), tick),
        ("order_lots", ("origQty", "qty", "quantity"), lot),
        ("filled_lots", ("executedQty",), lot),
    ):
        if event[name] >= 0:
            found[name] = steps(next(body[k] for k in keys if k in body), grid)
    return found


def sequence(text: str) -> int:
    """The order that a replace replaces, in its request id."""
    value = 0
    for x in text:
        value = value * 32 + ALPHABET.index(x)
    return value


INTERVALS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}
BUDGET_KINDS = {
    "ORDERS": int(BudgetKind.BUDGET_ORDERS),
    "REQUEST_WEIGHT": int(BudgetKind.BUDGET_WEIGHT),
}


def twin_budget(message, body, event) -> dict:
    if event["until_ns"]:
        return {"until_ns": time_ns(body["retryAfter"]), "used": -1, "limit": -1}
    for row in message["rateLimits"]:
        interval = INTERVALS.get(row.get("interval"), 0) * 1_000_000_000 * row.get("intervalNum", 0)
        if (BUDGET_KINDS.get(row.get("rateLimitType")), interval) == (event["kind"], event["interval_ns"]):
            return {"used": plain_int(row["count"]), "limit": plain_int(row["limit"])}
    raise AssertionError("a count that is not in the frame")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_gives_the_numbers_its_text_spells(name):
    market, message, context = SAMPLES[name]
    verdict, events = read(WIRES[market], dump(message), context)
    assert verdict == Verdict.HANDLED
    assert events
    for event, expected in zip(events, twin(market, context)(message, events), strict=True):
        assert expected.items() <= event.items()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cut_frame_pushes_nothing(name):
    market, message, context = SAMPLES[name]
    check_cuts(WIRES[market], dump(message), context)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_flipped_bit_never_gives_a_number_the_text_does_not_spell(name):
    market, message, context = SAMPLES[name]
    check_flips(WIRES[market], dump(message), twin(market, context), context)


@pytest.mark.parametrize("name", SAMPLES)
def test_key_order_and_white_space_change_nothing(name):
    market, message, context = SAMPLES[name]

    def backwards(value):
        if isinstance(value, dict):
            return {k: backwards(value[k]) for k in reversed(value)}
        return value

    plain = read(WIRES[market], dump(message), context)
    for text in (
        json.dumps(backwards(message)),
        json.dumps(message, indent=3),
        f" \r\n{json.dumps(message)}\t\n",
    ):
        assert read(WIRES[market], text.encode(), context) == plain


@pytest.mark.parametrize("name", SAMPLES)
def test_a_repeated_key_is_bad(name):
    market, message, context = SAMPLES[name]
    raw = dump(message)
    for key in ("e", "s", "u", "b", "lastUpdateId", "pu", "status", "c", "id", "executedQty"):
        mark = f'"{key}":'.encode()
        at = raw.find(mark)
        if at >= 0 and b"{" not in raw[at + len(mark) : at + len(mark) + 1]:
            doubled = raw[:at] + mark + b"1," + raw[at:]
            verdict, events = read(WIRES[market], doubled, context)
            assert (verdict, events) == (Verdict.BAD, []) or key in ("c", "status", "id", "executedQty")
            assert events == [] or key in ("c", "status", "id", "executedQty")


@pytest.mark.parametrize("key", ["1", "_", "@", "[", "{", "`", " ", "é", "\\", '"', "", "ee", "\x00", "\x7f"])
@pytest.mark.parametrize("gap", ["", " "])
def test_a_short_key_that_is_no_letter_changes_nothing(key, gap):
    """Keys are mostly one letter and have a path of their own; what only looks like one must not take it."""
    plain = read(WIRES[USDM], dump(USDM_DEPTH))
    for value in ("7", '"7"', "[]", "null", "1e5", "-3", "9999999999999999999"):
        odd = f"{{{json.dumps(key)}{gap}:{gap}{value},".encode() + dump(USDM_DEPTH)[1:]
        assert read(WIRES[USDM], odd) == plain


@pytest.mark.parametrize("key", [b'"""', b'"\\"', b'"\n"', b'"E";', b'"E', b'E"', b"'E'"])
def test_what_is_no_key_at_all_is_bad(key):
    assert read(WIRES[USDM], b"{" + key + b":7," + dump(USDM_DEPTH)[1:]) == (Verdict.BAD, [])


@pytest.mark.parametrize(
    "value", ["1e5", "-3", "1.5", "9999999999999999999", "null", "true", '"7"', "{}", "[]"]
)
def test_only_members_that_are_used_must_be_integers(value):
    """`T` of a depth update is not read: any value will do. `u` is."""
    at = dump(USDM_DEPTH).index(b'"T":') + 4
    raw = dump(USDM_DEPTH)
    assert read(WIRES[USDM], raw[:at] + value.encode() + raw[at + 13 :]) == read(WIRES[USDM], raw)
    at = raw.index(b'"u":') + 4
    verdict, events = read(WIRES[USDM], raw[:at] + value.encode() + raw[at + 3 :])
    assert (verdict, events) == (Verdict.BAD, [])


def with_value(message: dict, key: str, value) -> dict:
    out = dict(message)
    for inner in ("data", "event", "result", "o", "amendedOrder", "error", "cancelResponse"):
        if isinstance(out.get(inner), dict) and inner not in ("event",) and "amendedOrder" in out[inner]:
            return out | {inner: with_value(out[inner], key, value)}
        if isinstance(out.get(inner), dict) and key in out[inner]:
            return out | {inner: out[inner] | {key: value}}
    assert key in out
    return out | {key: value}


HOSTILE = [
    "1" * 40,
    "1e5",
    "-1",
    "",
    "01.5",
    "0x10",
    "1.",
    ".5",
    "1.5.5",
    " 1",
    "1 ",
    "+1",
    "NaN",
    "1,5",
    "١",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("name", "key", "field"),
    [
        ("trade", "p", "p"),
        ("trade", "q", "q"),
        ("spot quote", "b", "b"),
        ("spot quote", "A", "A"),
        ("mark", "p", "p"),
        ("execution", "l", "l"),
        ("execution", "z", "z"),
        ("execution", "L", "L"),
        ("order update", "l", "l"),
        ("trade lite", "L", "L"),
        ("cancel reply", "executedQty", "executedQty"),
        ("amend reply", "qty", "origQty"),
        ("amend reply", "price", "price"),
        ("modify reply", "origQty", "origQty"),
        ("execution", "q", "q"),
        ("order update", "p", "p"),
        ("prevented", "A", "A"),
    ],
)
def test_a_number_that_is_no_plain_decimal_is_refused_with_its_field(name, key, field, text):
    market, message, context = SAMPLES[name]
    wire = WIRES[market]
    assert read(wire, dump(with_value(message, key, text)), context) == (Verdict.BAD, [])
    assert wire.error().startswith(f"{field}:")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_level_that_is_no_plain_decimal_is_refused_with_its_field(text):
    for side, long in (("b", "bid"), ("a", "ask")):
        for at, what in ((0, "price"), (1, "size")):
            level = ["61000.10", "1"]
            level[at] = text
            message = SPOT_DEPTH | {side: [["60000.00", "1"], level]}
            assert read(WIRES[SPOT], dump(message)) == (Verdict.BAD, [])
            assert WIRES[SPOT].error().startswith(f"{long} {what}:")


def test_a_price_off_the_tick_grid_is_refused():
    assert read(WIRES[USDM], dump(AGG | {"p": "61000.15"})) == (Verdict.BAD, [])
    assert "off the grid" in WIRES[USDM].error()
    assert read(WIRES[SPOT], dump(SPOT_DEPTH | {"b": [["1.00", "0.000001"]]})) == (Verdict.BAD, [])
    assert WIRES[SPOT].error().startswith("bid size: off the grid")


@pytest.mark.parametrize("value", ["1", 1.5, -1, 10**18, None, True, [], {}])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("spot depth", "U"),
        ("spot depth", "u"),
        ("usdm depth", "pu"),
        ("trade", "t"),
        ("spot quote", "u"),
        ("spot partial depth", "lastUpdateId"),
    ],
)
def test_an_id_that_is_no_plain_integer_is_bad(name, key, value):
    market, message, context = SAMPLES[name]
    assert read(WIRES[market], dump(with_value(message, key, value)), context) == (Verdict.BAD, [])


def test_times_are_milliseconds_or_microseconds_and_never_overflow():
    def event_ns(value):
        verdict, events = read(WIRES[SPOT], dump(SPOT_DEPTH | {"E": value}))
        return events[0]["event_ns"] if verdict == Verdict.HANDLED else None

    assert event_ns(1672515782136) == 1672515782136 * MS
    assert event_ns(1672515782136123) == 1672515782136123 * 1000
    assert event_ns(9_000_000_000_000) == 9_000_000_000_000 * MS
    assert event_ns(9_000_000_000_001) is None
    assert event_ns(99_999_999_999_999) is None
    assert event_ns(9_000_000_000_000_001) is None
    assert event_ns(-1) is None


def test_rows_of_the_coin_margined_family_are_not_ours():
    for message in (USDM_DEPTH, USDM_QUOTE, AGG, MARK):
        assert read(WIRES[USDM], dump(message | {"st": 2})) == (Verdict.NOT_MINE, [])
        assert read(
            WIRES[USDM],
            dump({"stream": "x", "data": {"st": 2, **{k: v for k, v in message.items() if k != "st"}}}),
        )[0] == (Verdict.NOT_MINE)


def test_a_book_without_retail_orders_never_takes_rpi_depth():
    assert read(WIRES[USDM], dump({"stream": "btcusdt@rpiDepth@500ms", "data": USDM_DEPTH})) == (
        Verdict.NOT_MINE,
        [],
    )


def test_partial_depth_is_a_snapshot_on_both_products():
    for market, data in ((USDM, USDM_DEPTH), (SPOT, SNAPSHOT)):
        for depth in (5, 10, 20):
            _, (event,) = read(WIRES[market], dump({"stream": f"btcusdt@depth{depth}@100ms", "data": data}))
            assert (event["kind"], event["depth"], event["partial"]) == (1, depth, 1)
    wire = BinanceWire(TABLE, USDM)
    wire.partial_depth = 5
    assert read(wire, dump(USDM_DEPTH))[1][0]["depth"] == 5
    assert read(WIRES[USDM], dump(USDM_DEPTH))[1][0]["kind"] == 0


def test_a_snapshot_of_unknown_origin_is_not_ours():
    assert read(WIRES[SPOT], dump(SNAPSHOT)) == (Verdict.NOT_MINE, [])
    assert read(WIRES[SPOT], dump(SNAPSHOT), BTCF) == (Verdict.NOT_MINE, [])
    assert read(WIRES[SPOT], dump(SNAPSHOT), 99) == (Verdict.NOT_MINE, [])
    assert read(WIRES[SPOT], dump(SNAPSHOT), BTC)[1][0]["kind"] == 2


def test_an_api_snapshot_may_have_its_sides_outside_of_the_result():
    message = {"id": "d", "status": 200, "result": {"lastUpdateId": 160}, "bids": BIDS, "asks": ASKS}
    assert read(WIRES[USDM], dump(message), BTCF)[1][0]["last_id"] == 160


def test_prints_of_zero_are_no_trades():
    for key in ("p", "q"):
        assert read(WIRES[USDM], dump(TRADE | {key: "0"})) == (Verdict.HANDLED, [])


@pytest.mark.parametrize(
    "text",
    [
        '{"result":null,"id":1}',
        '{"result":["btcusdt@depth"],"id":3}',
        '{"code":2,"msg":"no","id":1}',
        "[]",
        "{}",
        '{"e":"serverShutdown","E":1770123456789}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
        '{"event":{"e":"serverShutdown","E":1770123456789}}',
        '{"id":null,"status":401,"error":{"code":-2015,"msg":"x"}}',
        '[{"e":"24hrMiniTicker","s":"BTCUSDT"}]',
        '{"e":"kline","s":"BTCUSDT","k":{"s":"BTCUSDT"}}',
        '{"e":"depthUpdate","s":"DOGEUSDT","U":1,"u":2,"b":[],"a":[]}',
        '{"id":"u","status":200,"result":{"subscriptionId":0}}',
        '{"e":"forceOrder","E":1,"o":{"s":"BTCUSDT","S":"SELL"}}',
        '{"e":"ACCOUNT_UPDATE","a":{"B":[],"P":[]}}',
        '{"e":"ORDER_TRADE_UPDATE","E":1,"o":{"s":"DOGEUSDT","x":"NEW"}}',
        '{"e":"listenKeyExpired","E":1,"listenKey":"k"}',
    ],
)
def test_other_traffic_is_not_ours(text):
    for wire in WIRES.values():
        assert read(wire, text.encode()) == (Verdict.NOT_MINE, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "[",
        "[1",
        "[]x",
        "{}{}",
        '{"e":"trade"',
        "null",
        '"a"',
        "\0",
        "{" * 1000,
        "[" * 100000,
        '{"a":' * 5000,
        '{"e":"depthUpdate","s":"BTCUSDT","b":[],"a":[]}',
    ],
)
def test_what_is_no_message_is_bad(text):
    assert read(WIRES[SPOT], text.encode()) == (Verdict.BAD, [])


# ---- user data ----


def test_a_fill_and_its_end_come_as_two_reports():
    _, (fill, filled) = read(WIRES[SPOT], dump(REPORT))
    assert fill["kind"] == ReportKind.REPORT_FILL
    assert (fill["order_id"], fill["price_ticks"], fill["size_lots"], fill["filled_lots"]) == (
        ORDER,
        6100010,
        25000,
        100000,
    )
    assert (fill["trade_lo"], fill["fee_e8"], fill["fee_is_quote"], fill["maker"]) == (77, 25000, 2, 1)
    assert (filled["kind"], filled["filled_lots"], filled["size_lots"]) == (
        ReportKind.REPORT_FILLED,
        100000,
        0,
    )


def test_a_usdm_fill_has_its_own_side_fee_and_long_order_id():
    _, (fill,) = read(WIRES[USDM], dump(UPDATE))
    assert (fill["kind"], fill["side"], fill["maker"]) == (ReportKind.REPORT_FILL, Side.SELL, 0)
    assert (fill["fee_e8"], fill["fee_is_quote"], fill["trade_lo"]) == (8637400, 1, 991)
    assert fill["venue_id"] == "8389765739703625592"


def test_the_fast_fill_and_the_full_fill_are_the_same_trade():
    _, (fast,) = read(WIRES[USDM], dump(LITE))
    assert (fast["kind"], fast["trade_lo"], fast["filled_lots"], fast["fee_e8"]) == (
        ReportKind.REPORT_FILL,
        4467432841,
        -1,
        0,
    )


@pytest.mark.parametrize(
    ("x", "state", "kind"),
    [
        ("NEW", "NEW", "LIVE"),
        ("CANCELED", "CANCELED", "CANCELED"),
        ("EXPIRED", "EXPIRED", "EXPIRED"),
        ("REJECTED", "REJECTED", "REJECT"),
        ("REPLACED", "NEW", "AMENDED"),
        ("REPLACED", "PARTIALLY_FILLED", "AMENDED"),
        ("REPLACED", "EXPIRED", "EXPIRED"),
        ("AMENDMENT", "NEW", "AMENDED"),
        ("AMENDMENT", "CANCELED", "CANCELED"),
        ("TRADE_PREVENTION", "EXPIRED_IN_MATCH", "EXPIRED"),
        ("EXPIRED", "EXPIRED_IN_MATCH", "EXPIRED"),
        ("TRADE_PREVENTION", "PARTIALLY_FILLED", "AMENDED"),
        ("CANCELED", "PENDING_CANCEL", "LIVE"),
        ("NEW", "NEW_INSURANCE", "LIVE"),
        ("SOMETHING", "ELSE", "ODD"),
        ("SOMETHING", "FILLED", "ODD"),
        ("NEW", "MMP_CANCELED", "ODD"),
    ],
)
def test_execution_types_without_a_fill_tell_the_state(x, state, kind):
    change = {"x": x, "X": state, "l": "0.00", "L": "0.00", "t": -1, "z": "0.30", "n": "0", "N": None}
    _, (event,) = read(WIRES[SPOT], dump(REPORT | change))
    assert (event["kind"], event["filled_lots"]) == (ReportKind[f"REPORT_{kind}"], 30000)
    _, (event,) = read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | change | {"t": 0}}))
    assert (event["kind"], event["filled_lots"]) == (ReportKind[f"REPORT_{kind}"], 300)


@pytest.mark.parametrize(("word", "leg"), LEGS.items())
def test_the_leg_of_a_futures_order_is_told(word, leg):
    for event in read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | {"ps": word}}))[1]:
        assert event["leg"] == leg
    stop = ALGO | {"o": ALGO["o"] | {"ps": word}}
    assert [x["leg"] for x in read(WIRES[USDM], dump(stop))[1]] == [leg]
    answer = MODIFY | {"result": MODIFIED | {"positionSide": word}}
    assert read(WIRES[USDM], dump(answer))[1][0]["leg"] == leg


@pytest.mark.parametrize("word", ["", "NET", "long", "LONGS", "BOT"])
def test_a_position_side_that_nobody_knows_is_never_guessed(word):
    frames = [UPDATE | {"o": UPDATE_O | {"ps": word}}, ALGO | {"o": ALGO["o"] | {"ps": word}}]
    for frame in [*frames, MODIFY | {"result": MODIFIED | {"positionSide": word}}]:
        assert read(WIRES[USDM], dump(frame)) == (Verdict.BAD, [])
        assert WIRES[USDM].error().split(":")[0] in ("ps", "positionSide")


def test_what_names_no_leg_tells_none_and_market_data_spells_its_pair_there():
    assert {x["leg"] for x in read(WIRES[SPOT], dump(REPORT))[1]} == {-1}
    assert {x["leg"] for x in read(WIRES[USDM], dump(LITE))[1]} == {-1}
    assert read(WIRES[USDM], dump(USDM_DEPTH | {"ps": "BTCUSDT"}))[0] == Verdict.HANDLED
    assert read(WIRES[USDM], dump(USDM_QUOTE | {"ps": "BTCUSDT"}))[0] == Verdict.HANDLED


@pytest.mark.parametrize(("coin", "told"), [("BNB", "BNB"), ("A" * 11, "A" * 11), ("A" * 12, ""), (None, "")])
def test_the_coin_of_a_commission_is_named_where_it_fits(coin, told):
    fill, state = read(WIRES[SPOT], dump(REPORT | {"N": coin}))[1]
    assert (fill["fee_coin"], state["fee_coin"]) == (told, "")


def test_every_status_of_the_venue_is_known_and_others_are_not_guessed():
    assert status_kind("PENDING_NEW") == status_kind("NEW_ADL") == ReportKind.REPORT_LIVE
    assert status_kind("FILLED") == ReportKind.REPORT_FILLED
    assert status_kind("EXPIRED_IN_MATCH") == ReportKind.REPORT_EXPIRED
    assert status_kind("FILLEDX") == status_kind("") == ReportKind.REPORT_ODD


def test_a_spot_cancel_is_the_order_named_by_the_original_id():
    change = {"c": "cancel-7", "C": CID, "x": "CANCELED", "X": "CANCELED", "l": "0.00", "t": -1}
    _, (event,) = read(WIRES[SPOT], dump(REPORT | change))
    assert event["order_id"] == ORDER
    _, (event,) = read(
        WIRES[USDM],
        dump(UPDATE | {"o": UPDATE_O | {"C": "other", "x": "CANCELED", "X": "CANCELED", "l": "0"}}),
    )
    assert event["order_id"] == ORDER


def test_a_fill_of_an_order_that_is_not_ours_keeps_its_numbers():
    change = {"x": "CALCULATED", "X": "FILLED", "c": "autoclose-123"}
    _, events = read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | change}))
    assert [e["kind"] for e in events] == [ReportKind.REPORT_FILL, ReportKind.REPORT_FILLED]
    assert [e["order_id"] for e in events] == [0, 0]
    assert (events[0]["order_lots"], events[0]["order_ticks"], events[0]["side"]) == (100, 431870, Side.SELL)


@pytest.mark.parametrize(
    ("number", "x", "nature"),
    [
        ("autoclose-1234", "CALCULATED", Nature.LIQUIDATION),
        ("autoclose-1234", "TRADE", Nature.LIQUIDATION),
        ("adl_autoclose", "CALCULATED", Nature.ADL),
        ("adl_autoclose_12", "TRADE", Nature.ADL),
        ("settlement_autoclose-9", "TRADE", Nature.SETTLEMENT),
        ("delivery_autoclose-9", "TRADE", Nature.SETTLEMENT),
        ("somebody", "CALCULATED", Nature.LIQUIDATION),
        ("somebody", "TRADE", Nature.TRADE_FILL),
        (CID, "TRADE", Nature.TRADE_FILL),
        ("", "TRADE", Nature.TRADE_FILL),
    ],
)
def test_what_the_venue_itself_closed_is_told_by_its_ids(number, x, nature):
    """failures.md row 76."""
    _, (fill, *rest_) = read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | {"c": number, "x": x}}))
    assert (fill["kind"], fill["nature"]) == (ReportKind.REPORT_FILL, nature)
    assert all(x["nature"] == Nature.TRADE_FILL for x in rest_)
    assert client_nature(number) in (nature, Nature.TRADE_FILL)


def test_an_order_of_somebody_else_is_told_with_its_numbers():
    """failures.md row 73."""
    for number in ("web_abc", "", None):
        change = {"c": number, "x": "NEW", "X": "NEW", "l": "0", "z": "0", "L": "0", "t": 0}
        _, (event,) = read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | change}))
        assert (event["kind"], event["order_id"], event["instrument"]) == (ReportKind.REPORT_LIVE, 0, BTCF)
        assert (event["order_ticks"], event["order_lots"], event["filled_lots"]) == (431870, 100, 0)


@pytest.mark.parametrize(
    ("change", "kind", "venue_id", "filled"),
    [
        ({}, "LIVE", "2148719", -1),
        ({"X": "TRIGGERING"}, "LIVE", "2148719", -1),
        ({"X": "TRIGGERED", "ai": "887001"}, "LIVE", "887001", -1),
        ({"X": "TRIGGERED", "ai": 887001}, "LIVE", "887001", -1),
        ({"X": "FINISHED", "ai": "887001", "aq": "0.010"}, "FILLED", "887001", 10),
        ({"X": "FINISHED", "ai": "887001", "aq": "0.004"}, "LIVE", "887001", -1),
        ({"X": "CANCELED", "ai": None}, "CANCELED", "2148719", 0),
        ({"X": "EXPIRED", "ai": "0"}, "EXPIRED", "2148719", 0),
        ({"X": "REJECTED", "rm": "Reduce Only reject"}, "REJECT", "2148719", 0),
        ({"X": "PAUSED"}, "ODD", "2148719", 0),
    ],
)
def test_a_stop_of_usdm_is_told_with_the_order_it_made(change, kind, venue_id, filled):
    _, (event,) = read(WIRES[USDM], dump(ALGO | {"o": ALGO_O | change}))
    assert event["kind"] == ReportKind[f"REPORT_{kind}"]
    assert (event["order_id"], event["venue_id"], event["filled_lots"]) == (ORDER, venue_id, filled)
    assert (event["order_ticks"], event["order_lots"], event["side"]) == (-1, 10, Side.SELL)


def test_a_stop_of_somebody_else_is_told_and_one_of_another_symbol_is_not():
    _, (event,) = read(WIRES[USDM], dump(ALGO | {"o": ALGO_O | {"caid": "web_1", "q": None}}))
    assert (event["order_id"], event["order_lots"]) == (0, -1)
    assert read(WIRES[USDM], dump(ALGO | {"o": ALGO_O | {"s": "DOGEUSDT"}})) == (Verdict.NOT_MINE, [])
    assert read(WIRES[SPOT], dump(ALGO)) == (Verdict.NOT_MINE, [])


@pytest.mark.parametrize("key", ["caid", "aid", "s", "S", "X"])
def test_a_stop_without_a_member_is_bad_and_says_which(key):
    short = {k: v for k, v in ALGO_O.items() if k != key}
    assert read(WIRES[USDM], dump(ALGO | {"o": short})) == (Verdict.BAD, [])
    assert WIRES[USDM].error().startswith(f"{key}:")
    for value in ("x1", "1" * 21, -5, [], "1.0"):
        assert read(WIRES[USDM], dump(ALGO | {"o": ALGO_O | {"ai": value}})) == (Verdict.BAD, [])


def test_a_market_order_tells_no_price_and_an_order_by_value_no_size():
    change = {"x": "NEW", "X": "NEW", "l": "0", "z": "0", "p": "0.00000000", "q": "0.00000000", "t": -1}
    _, (event,) = read(WIRES[SPOT], dump(REPORT | change))
    assert (event["order_ticks"], event["order_lots"]) == (-1, -1)


def test_what_self_trade_prevention_took_is_no_part_of_the_order():
    """failures.md row 63."""
    _, (event,) = read(WIRES[SPOT], dump(PREVENTED))
    assert (event["kind"], event["order_lots"]) == (ReportKind.REPORT_AMENDED, 75000)
    assert read(WIRES[SPOT], dump(PREVENTED | {"A": "1.5"})) == (Verdict.BAD, [])
    assert WIRES[SPOT].error().startswith("A:")


def test_an_amendment_tells_price_and_size_in_force():
    change = {
        "x": "AMENDMENT",
        "X": "PARTIALLY_FILLED",
        "q": "0.080",
        "p": "43000.1",
        "l": "0",
        "L": "0",
        "t": 0,
    }
    _, (event,) = read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | change}))
    assert event["kind"] == ReportKind.REPORT_AMENDED
    assert (event["order_ticks"], event["order_lots"], event["filled_lots"]) == (430001, 80, 30)


def test_a_fill_with_a_state_that_nobody_knows_is_a_fill_and_an_oddity():
    """failures.md row 70."""
    _, (fill, odd) = read(WIRES[SPOT], dump(REPORT | {"X": "HALF_FILLED"}))
    assert (fill["kind"], odd["kind"], odd["code"]) == (ReportKind.REPORT_FILL, ReportKind.REPORT_ODD, 0)
    assert (odd["order_id"], odd["venue_id"], odd["filled_lots"]) == (ORDER, "4293153", 100000)


@pytest.mark.parametrize("key", ["c", "S", "x", "X", "q", "p", "l", "z", "L", "t", "i", "T", "m"])
def test_a_private_frame_without_a_member_is_bad_and_says_which(key):
    for market, message, inner in ((SPOT, REPORT, None), (USDM, UPDATE, "o")):
        short = {k: v for k, v in (message[inner] if inner else message).items() if k != key}
        wire = WIRES[market]
        assert read(wire, dump(message | {inner: short} if inner else short)) == (Verdict.BAD, [])
        assert wire.error().startswith(f"{key}:")
    if key in LITE and key not in ("z",):
        assert read(WIRES[USDM], dump({k: v for k, v in LITE.items() if k != key})) == (Verdict.BAD, [])


def test_a_liquidation_without_trade_id_is_still_a_fill():
    change = {"x": "CALCULATED", "X": "FILLED", "c": "autoclose-123", "t": 0}
    _, (fill, _) = read(WIRES[USDM], dump(UPDATE | {"o": UPDATE_O | change}))
    assert (fill["kind"], fill["trade_hi"], fill["trade_lo"]) == (
        ReportKind.REPORT_FILL,
        1,
        1568879465650 * MS,
    )


@pytest.mark.parametrize("change", [{"L": "0.00"}, {"t": -1}, {"l": "0.00"}])
def test_a_fill_without_price_trade_or_size_is_told_by_its_total_only(change):
    _, (event,) = read(WIRES[SPOT], dump(REPORT | change))
    assert (event["kind"], event["filled_lots"], event["size_lots"]) == (ReportKind.REPORT_FILLED, 100000, 0)


def test_commission_may_be_absent_null_or_negative():
    for change, fee in (({"n": None, "N": None}, 0), ({"n": "-0.5"}, -50000000)):
        assert read(WIRES[SPOT], dump(REPORT | change))[1][0]["fee_e8"] == fee
    short = {k: v for k, v in REPORT.items() if k not in ("n", "N", "C")}
    assert read(WIRES[SPOT], dump(short))[1][0]["fee_e8"] == 0


def test_user_events_of_the_other_product_are_not_ours():
    assert read(WIRES[USDM], dump(REPORT)) == (Verdict.NOT_MINE, [])
    for message in (UPDATE, LITE):
        assert read(WIRES[SPOT], dump(message)) == (Verdict.NOT_MINE, [])


# ---- order replies ----


def reply(market, action, status, **rest_of):
    return read(WIRES[market], dump({"id": request_id(market, action), "status": status, **rest_of}))


def kinds(result):
    return [ReportKind(e["kind"]).name.removeprefix("REPORT_") for e in result[1]]


USDM_RESULT = {
    "orderId": 325078477,
    "symbol": "BTCUSDT",
    "status": "NEW",
    "clientOrderId": CID,
    "executedQty": "0.000",
}
USDM_RESULT |= {"updateTime": 1702555534435}


def test_an_ack_says_nothing_of_fills():
    result = reply(USDM, "n", 200, result=USDM_RESULT)
    assert kinds(result) == ["ACK"]
    event = result[1][0]
    assert (event["order_id"], event["venue_id"], event["filled_lots"]) == (ORDER, "325078477", -1)
    assert event["event_ns"] == 1702555534435 * MS


@pytest.mark.parametrize(
    ("state", "then"),
    [
        ("FILLED", "FILLED"),
        ("EXPIRED", "EXPIRED"),
        ("CANCELED", "CANCELED"),
        ("REJECTED", "REJECT"),
        ("PARTIALLY_FILLED", "LIVE"),
        ("SOMETHING_NEW", "ODD"),
        ("NEW", None),
    ],
)
def test_a_reply_that_spells_more_than_new_gives_it_as_a_second_report(state, then):
    result = reply(USDM, "n", 200, result=USDM_RESULT | {"status": state, "executedQty": "0.020"})
    assert kinds(result) == ["ACK"] + ([then] if then else [])
    assert result[1][-1]["filled_lots"] == (20 if then else -1)


@pytest.mark.parametrize(
    ("market", "status", "code", "message", "kind"),
    [
        (SPOT, 400, -2010, "Account has insufficient balance for requested action.", "REJECT"),
        (SPOT, 400, -1013, "", "REJECT"),
        (USDM, 400, -1013, "", "UNCERTAIN"),
        (USDM, 400, -5022, "", "REJECT"),
        (SPOT, 400, -5022, "", "UNCERTAIN"),
        (SPOT, 504, -1007, "", "UNCERTAIN"),
        (USDM, 408, -1007, "", "UNCERTAIN"),
        (SPOT, 500, -1006, "", "UNCERTAIN"),
        (SPOT, 500, -1001, "", "UNCERTAIN"),
        (USDM, 500, -1001, "", "UNCERTAIN"),
        (USDM, 503, -1001, "Internal error; unable to process your request. Please try again.", "REJECT"),
        (SPOT, 503, -1001, "Internal error; unable to process your request. Please try again.", "UNCERTAIN"),
        (SPOT, 400, -1000, "", "UNCERTAIN"),
        (USDM, 503, 0, "Service Unavailable.", "REJECT"),
        (USDM, 503, -1008, "", "REJECT"),
        (USDM, 503, 0, "Unknown error, please check your request or try again later.", "UNCERTAIN"),
        (SPOT, 503, 0, "Service Unavailable.", "UNCERTAIN"),
        (SPOT, 429, -1015, "", "REJECT"),
        (SPOT, 418, -1003, "", "REJECT"),
        (SPOT, 403, 0, "", "UNCERTAIN"),
        (SPOT, 408, -1015, "", "UNCERTAIN"),
        (SPOT, 503, -1008, "", "UNCERTAIN"),
        (USDM, 503, 0, "Service Unavailable", "UNCERTAIN"),
        (USDM, 503, 0, "Request occur unknown error.", "UNCERTAIN"),
        (USDM, 418, 0, "", "REJECT"),
        (SPOT, 400, -2010, "Duplicate order sent.", "UNCERTAIN"),
        (SPOT, 400, -1021, "", "REJECT"),
        (USDM, 400, -4116, "", "UNCERTAIN"),
        (SPOT, 500, -1121, "", "UNCERTAIN"),
        (SPOT, 400, -9999, "", "UNCERTAIN"),
        (USDM, 400, -2011, "", "UNCERTAIN"),
    ],
)
def test_a_refused_place_is_a_reject_only_where_the_venue_is_definite(market, status, code, message, kind):
    result = reply(market, "n", status, error={"code": code, "msg": message})
    assert kinds(result) == [kind]
    assert (result[1][0]["code"], result[1][0]["order_id"]) == (code, ORDER)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, -2011, "CANCEL_REJECT"),
        (400, -2013, "CANCEL_REJECT"),
        (400, -1021, "CANCEL_REJECT"),
        (429, -1003, "CANCEL_REJECT"),
        (504, -1007, "UNCERTAIN"),
        (500, -2011, "UNCERTAIN"),
        (400, -1000, "UNCERTAIN"),
    ],
)
def test_a_refused_cancel_never_ends_an_order(status, code, kind):
    assert kinds(reply(SPOT, "c", status, error={"code": code, "msg": "x"})) == [kind]


def test_a_cancel_reply_tells_how_much_was_filled():
    result = reply(SPOT, "c", 200, result=CANCELED)
    assert kinds(result) == ["CANCELED"]
    assert result[1][0]["filled_lots"] == 100
    assert kinds(reply(SPOT, "c", 200, result=CANCELED | {"status": "FILLED"})) == ["FILLED"]
    assert kinds(reply(SPOT, "c", 200, result=CANCELED | {"status": "PENDING_CANCEL"})) == ["LIVE"]


def test_a_reply_without_result_proves_nothing():
    assert kinds(reply(SPOT, "n", 200)) == ["UNCERTAIN"]
    assert kinds(reply(SPOT, "n", 200, result=None)) == ["UNCERTAIN"]
    assert kinds(reply(SPOT, "c", 200)) == ["UNCERTAIN"]


KINDS_OF = {
    "n": {1: "REJECT", 3: "UNCERTAIN"},
    "c": {1: "CANCEL_REJECT", 3: "UNCERTAIN"},
    "a": {1: "AMEND_REJECT", 3: "UNCERTAIN"},
}


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("action", "nca")
def test_every_code_of_the_table_becomes_the_report_that_its_row_says(market, action):
    for code, create, cancel, amend, group in rules.CODES[market]:
        result = reply(market, action, 400, error={"code": code, "msg": "words"})
        fate = {"n": create, "c": cancel, "a": amend}[action]
        assert kinds(result) == [KINDS_OF[action][fate]], code
        event = result[1][0]
        assert (event["code"], event["group"], event["order_id"]) == (code, group, ORDER)
        assert (event["filled_lots"], event["order_ticks"], event["order_lots"]) == (-1, -1, -1)
        assert kinds(reply(market, action, 504, error={"code": code, "msg": "words"})) in (
            ["UNCERTAIN"],
            *([[KINDS_OF[action][1]]] if (market, code) == (USDM, -1008) else []),
        )


def test_an_amend_tells_what_is_in_force():
    result = read(WIRES[SPOT], dump(AMEND))
    assert kinds((0, result[1][:1])) == ["AMENDED"]
    event = result[1][0]
    assert (event["order_ticks"], event["order_lots"], event["filled_lots"]) == (2341610, 500, 100)
    assert (event["order_id"], event["venue_id"]) == (ORDER, "12569099453")
    event = read(WIRES[USDM], dump(MODIFY))[1][0]
    assert (event["order_ticks"], event["order_lots"], event["filled_lots"]) == (300050, 1000, 20)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("CANCELED", "CANCELED"),
        ("EXPIRED", "EXPIRED"),
        ("FILLED", "FILLED"),
        ("WEIRD", "ODD"),
        ("NEW", "AMENDED"),
    ],
)
def test_an_amend_may_have_ended_the_order(status, kind):
    assert kinds(reply(USDM, "a", 200, result=MODIFIED | {"status": status})) == [kind]
    ended = AMEND_RESULT | {"amendedOrder": AMENDED_ORDER | {"status": status}}
    assert kinds(reply(SPOT, "a", 200, result=ended)) == [kind]


def test_an_answer_that_does_not_show_the_order_proves_nothing():
    for action in "ac":
        assert kinds(reply(USDM, action, 200, result={})) == ["UNCERTAIN"]
        assert kinds(reply(USDM, action, 200, result={"orderId": 5})) == ["UNCERTAIN"]


def test_the_service_for_stops_answers_in_its_own_way():
    result = reply(USDM, "n", 200, result=STOP_RESULT)
    assert kinds(result) == ["ACK"]
    assert (result[1][0]["venue_id"], result[1][0]["order_lots"]) == ("3000000000003505", 10)
    done = {"algoId": 3505, "clientAlgoId": CID, "code": "200", "msg": "success"}
    assert kinds(reply(USDM, "c", 200, result=done)) == ["CANCELED"]
    assert kinds(reply(USDM, "c", 200, result=done | {"code": "500"})) == ["UNCERTAIN"]
    assert kinds(reply(USDM, "n", 200, result=STOP_RESULT | {"algoStatus": "REJECTED"})) == ["ACK", "REJECT"]


@pytest.mark.parametrize(
    ("status", "code", "data", "old", "new"),
    [
        (200, 0, legs("SUCCESS", "SUCCESS", CANCELED, NEW_ACK), ("CANCELED", 0), ("ACK", 0)),
        (
            400,
            -2022,
            legs("FAILURE", "NOT_ATTEMPTED", GONE, None),
            ("CANCEL_REJECT", -2011),
            ("REJECT", -2022),
        ),
        (400, -2022, legs("FAILURE", "FAILURE", GONE, TAKES), ("CANCEL_REJECT", -2011), ("REJECT", -2010)),
        (409, -2021, legs("SUCCESS", "FAILURE", CANCELED, TAKES), ("CANCELED", 0), ("REJECT", -2010)),
        (409, -2021, legs("FAILURE", "SUCCESS", GONE, NEW_ACK), ("CANCEL_REJECT", -2011), ("ACK", 0)),
        (429, -1015, None, ("CANCEL_REJECT", -1015), ("REJECT", -1015)),
        (
            409,
            -2021,
            legs("SUCCESS", "FAILURE", CANCELED, {"code": -1015}),
            ("CANCELED", 0),
            ("REJECT", -1015),
        ),
        (
            429,
            -2021,
            legs("SUCCESS", "FAILURE", CANCELED, {"code": -1015}),
            ("CANCELED", 0),
            ("REJECT", -1015),
        ),
        (
            409,
            -2021,
            legs("SUCCESS", "FAILURE", CANCELED, {"code": -1007}),
            ("CANCELED", 0),
            ("UNCERTAIN", -1007),
        ),
        (
            409,
            -2021,
            legs("FAILURE", "FAILURE", {"code": -1006}, TAKES),
            ("UNCERTAIN", -1006),
            ("REJECT", -2010),
        ),
        (400, -1013, None, ("CANCEL_REJECT", -1013), ("REJECT", -1013)),
        (400, -1021, None, ("CANCEL_REJECT", -1021), ("REJECT", -1021)),
        (409, -2021, None, ("UNCERTAIN", -2021), ("UNCERTAIN", -2021)),
        (400, -2022, {}, ("UNCERTAIN", -2022), ("UNCERTAIN", -2022)),
        (504, -1007, None, ("UNCERTAIN", -1007), ("UNCERTAIN", -1007)),
        (409, -2021, legs("MAYBE", "PERHAPS", None, None), ("UNCERTAIN", 0), ("UNCERTAIN", 0)),
        (
            409,
            -2021,
            {"newOrderResult": "FAILURE", "newOrderResponse": TAKES},
            ("UNCERTAIN", -2021),
            ("REJECT", -2010),
        ),
        (200, 0, {}, ("UNCERTAIN", 0), ("UNCERTAIN", 0)),
        (200, 0, legs("SUCCESS", "SUCCESS", None, None), ("CANCELED", 0), ("ACK", 0)),
    ],
)
def test_each_leg_of_a_replace_has_a_fate_of_its_own(status, code, data, old, new):
    """failures.md row 53: the combinations of web-socket-api.md "Cancel and replace order"."""
    error = {"code": code, "msg": "x"} | ({"data": data} if data is not None else {})
    result = reply(SPOT, "r", status, **({"error": error} if code else {"result": data}))
    assert [(k, e["code"]) for k, e in zip(kinds(result), result[1], strict=True)] == [old, new]
    assert [(e["order_id"], e["epoch"]) for e in result[1]] == [(OLD, 0), (ORDER, 0)]
    if old[0] == "CANCELED" and data["cancelResponse"]:
        assert (result[1][0]["filled_lots"], result[1][0]["venue_id"]) == (100, "12569099453")


def test_an_old_order_that_filled_meanwhile_is_told_by_its_leg():
    """failures.md row 49."""
    result = reply(
        SPOT, "r", 400, error={"code": -2022, "data": legs("FAILURE", "NOT_ATTEMPTED", GONE, None)}
    )
    assert result[1][0]["group"] == ErrorGroup.GROUP_NOT_OPEN


def test_a_replace_names_an_old_order_of_an_earlier_process():
    wire = coded(SPOT, epoch=900)
    intent = {"action": 3, "order_id": OLD, "epoch": 30, "price_ticks": 1, "size_lots": 1}
    message = json.loads(wire.preview(intent, ORDER, 0))
    assert wire.whose(message["params"]["cancelOrigClientOrderId"]) == (OLD, 30)
    assert len(message["id"]) == 36
    _, events = read(wire, dump({"id": message["id"], "status": 504, "error": {"code": -1007}}))
    assert [(e["order_id"], e["epoch"]) for e in events] == [(OLD, 30), (ORDER, 900)]
    for change in ({"epoch": 2**35}, {"order_id": 2**35}):
        with pytest.raises(ValueError, match="cannot be replaced"):
            wire.preview(intent | change, ORDER, 0)


def test_the_servers_own_counts_are_passed_on():
    _, events = read(WIRES[SPOT], dump(AMEND))
    budgets = [x for x in events if x["type"] == "budget"]
    found = [(x["kind"], x["interval_ns"], x["used"], x["limit"], x["until_ns"]) for x in budgets]
    second = 1_000_000_000
    assert found == [
        (BudgetKind.BUDGET_WEIGHT, 60 * second, 70, 6000, 0),
        (BudgetKind.BUDGET_ORDERS, 10 * second, 12, 50, 0),
    ]
    assert {x["market"] for x in budgets} == {SPOT}


def test_a_wait_is_passed_on_as_a_time_of_the_venue():
    """failures.md row 57."""
    _, (refused, *budgets) = read(WIRES[SPOT], dump(WAIT))
    assert (refused["kind"], refused["group"]) == (ReportKind.REPORT_REJECT, ErrorGroup.GROUP_LIMIT)
    until = [(x["kind"], x["until_ns"]) for x in budgets if x["until_ns"]]
    assert until == [(BudgetKind.BUDGET_ORDERS, 1684804350000 * MS)]
    ban = {"code": -1003, "msg": "x", "data": {"retryAfter": 1684804350000}}
    for action in "ncar":
        _, events = read(WIRES[SPOT], dump({"id": request_id(SPOT, action), "status": 418, "error": ban}))
        assert [x["kind"] for x in events if x["type"] == "budget"] == [BudgetKind.BUDGET_WEIGHT]


@pytest.mark.parametrize(
    "row",
    [
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 1, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "FORTNIGHT", "intervalNum": 5, "limit": 1, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 0, "limit": 1, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 1},
        {},
    ],
)
def test_a_count_of_another_kind_is_left_out(row):
    assert [x["type"] for x in read(WIRES[SPOT], dump(AMEND | {"rateLimits": [row]}))[1]] == ["report"]


@pytest.mark.parametrize("rates", [[5], [[]], [{"count": "1"}], [{"limit": 1.5}], RATES * 4])
def test_counts_that_are_malformed_are_bad(rates):
    assert read(WIRES[SPOT], dump(AMEND | {"rateLimits": rates})) == (Verdict.BAD, [])


def test_without_a_table_nothing_is_proven():
    bare = BinanceWire(TABLE, SPOT)
    frame = dump({"id": request_id(SPOT), "status": 400, "error": {"code": -1121, "msg": ""}})
    assert kinds(read(bare, frame)) == ["UNCERTAIN"]


def test_replies_to_others_are_not_ours():
    for number in ("a1", 7, None, CID, "n" + "0" * 25, request_id(SPOT)[:-1]):
        assert read(WIRES[SPOT], dump(ACK | {"id": number})) == (Verdict.NOT_MINE, [])
    other = BinanceWire(TABLE, SPOT, "sltk", 9)
    assert read(other, dump(ACK)) == (Verdict.NOT_MINE, [])


# ---- writing ----


def preview(market, **intent):
    intent = {
        "instrument": market,
        "side": 0,
        "price_ticks": 2341610,
        "size_lots": 847,
        "order_id": ORDER,
        **intent,
    }
    message = json.loads(BinanceWire(TABLE, market).preview(intent, ORDER, 1660801715431 * MS))
    assert message["id"][1:22] == (
        message["params"].get("newClientOrderId") or message["params"]["origClientOrderId"]
    )
    return message["method"], message["params"]


COMMON = {"newClientOrderId": CID, "newOrderRespType": "ACK", "selfTradePreventionMode": "EXPIRE_MAKER"}
COMMON |= {"recvWindow": 1500, "timestamp": 1660801715431, "symbol": "BTCUSDT"}


@pytest.mark.parametrize(
    ("market", "intent", "expected"),
    [
        (
            SPOT,
            {"side": 1},
            {
                "side": "SELL",
                "type": "LIMIT",
                "timeInForce": "GTC",
                "price": "23416.10",
                "quantity": "0.00847",
            },
        ),
        (
            SPOT,
            {"tif": 1},
            {
                "side": "BUY",
                "type": "LIMIT",
                "timeInForce": "IOC",
                "price": "23416.10",
                "quantity": "0.00847",
            },
        ),
        (
            SPOT,
            {"tif": 2},
            {
                "side": "BUY",
                "type": "LIMIT",
                "timeInForce": "FOK",
                "price": "23416.10",
                "quantity": "0.00847",
            },
        ),
        (
            SPOT,
            {"tif": 3},
            {"side": "BUY", "type": "LIMIT_MAKER", "price": "23416.10", "quantity": "0.00847"},
        ),
        (SPOT, {"type": 1}, {"side": "BUY", "type": "MARKET", "quantity": "0.00847"}),
        (SPOT, {"type": 1, "reduce_only": 1}, {"side": "BUY", "type": "MARKET", "quantity": "0.00847"}),
        (
            USDM,
            {"tif": 3, "price_ticks": 431870},
            {"side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "price": "43187.0", "quantity": "0.847"},
        ),
        (
            USDM,
            {"type": 1, "reduce_only": 1, "side": 1},
            {"side": "SELL", "type": "MARKET", "quantity": "0.847", "reduceOnly": "true"},
        ),
        (
            USDM,
            {"price_ticks": 1, "size_lots": 1000},
            {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "0.1", "quantity": "1.000"},
        ),
    ],
)
def test_a_new_order_is_written_as_the_venue_documents_it(market, intent, expected):
    assert preview(market, **intent) == ("order.place", COMMON | expected)


def test_a_cancel_names_the_order_by_its_client_id():
    expected = {"symbol": "BTCUSDT", "origClientOrderId": CID, "recvWindow": 1500, "timestamp": 1660801715431}
    for market in (SPOT, USDM):
        assert preview(market, action=1) == ("order.cancel", expected)


def test_an_amend_is_written_as_the_venue_documents_it():
    params = {"recvWindow": 1500, "timestamp": 1660801715431, "symbol": "BTCUSDT", "origClientOrderId": CID}
    spot = {
        "newQty": "0.00847",
        "newClientOrderId": CID,
    }  # without it the venue makes a new id: failures.md row 54
    assert preview(SPOT, action=2) == ("order.amend.keepPriority", params | spot)
    usdm = {"side": "SELL", "price": "234161.0", "quantity": "0.847"}
    assert preview(USDM, action=2, side=1) == ("order.modify", params | usdm)


def test_a_replace_is_written_as_the_venue_documents_it():
    old = WIRES[SPOT].client_id(OLD)
    intent = {"action": 3, "order_id": OLD, "side": 1, "tif": 3, "price_ticks": 2341610, "size_lots": 847}
    message = json.loads(WIRES[SPOT].preview(intent, ORDER, 1660801715431 * MS))
    expected = {"side": "SELL", "type": "LIMIT_MAKER", "price": "23416.10", "quantity": "0.00847"}
    expected |= {"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": old}
    assert (message["method"], message["params"]) == ("order.cancelReplace", COMMON | expected)
    with pytest.raises(ValueError, match="action 3"):
        WIRES[USDM].preview(intent | {"instrument": BTCF}, ORDER, 0)
    assert (WIRES[SPOT].can_replace, WIRES[SPOT].can_amend) == (True, False)
    assert (WIRES[USDM].can_replace, WIRES[USDM].can_amend) == (False, True)


def test_a_stop_is_written_as_each_product_documents_it():
    intent = {"type": 2, "side": 1, "trigger_ticks": 2000000}
    expected = {"side": "SELL", "type": "STOP_LOSS", "quantity": "0.00847", "stopPrice": "20000.00"}
    assert preview(SPOT, **intent) == ("order.place", COMMON | expected)
    message = json.loads(WIRES[USDM].preview({"instrument": BTCF, "size_lots": 7} | intent, ORDER, 0))
    params = message["params"]
    assert (message["method"], params["clientAlgoId"], params["algoType"]) == (
        "algoOrder.place",
        CID,
        "CONDITIONAL",
    )
    assert (params["type"], params["triggerPrice"], params["workingType"]) == (
        "STOP_MARKET",
        "200000.0",
        "MARK_PRICE",
    )
    assert (params["reduceOnly"], params["quantity"], params["side"]) == ("true", "0.007", "SELL")
    assert "price" not in params
    cancel = json.loads(
        WIRES[USDM].preview({"instrument": BTCF, "action": 1, "type": 2, "order_id": 5}, 0, 0)
    )
    assert (cancel["method"], cancel["params"].keys()) == (
        "algoOrder.cancel",
        {"clientAlgoId", "recvWindow", "timestamp"},
    )


def hedged(**intent) -> tuple[str, dict]:
    wire = coded(USDM)
    wire.set_hedge(True)
    fields = {"instrument": BTCF, "price_ticks": 431870, "size_lots": 100, **intent}
    message = json.loads(wire.preview(fields, ORDER, 1660801715431 * MS))
    assert list(message["params"]) == sorted(message["params"])
    return message["method"], message["params"]


@pytest.mark.parametrize("kind", ["limit", "market", "stop"])
@pytest.mark.parametrize(("leg", "word", "closing"), [(1, "LONG", "SELL"), (2, "SHORT", "BUY")])
def test_in_hedge_mode_an_order_names_its_leg_and_never_says_reduce_only(kind, leg, word, closing):
    """-4061 where the position side is missing, -4062 where reduceOnly is sent."""
    more = {"limit": {}, "market": {"type": 1}, "stop": {"type": 2, "trigger_ticks": 400000}}[kind]
    method, params = hedged(leg=leg, side=int(closing == "SELL"), reduce_only=1, **more)
    assert (params["positionSide"], params["side"]) == (word, closing)
    assert "reduceOnly" not in params
    assert method == ("algoOrder.place" if kind == "stop" else "order.place")


def test_a_frame_of_a_leg_is_the_net_frame_but_for_its_leg():
    net = preview(USDM, instrument=BTCF, price_ticks=431870, size_lots=100)[1]
    assert hedged(leg=1, side=0)[1] == net | {"positionSide": "LONG"}


def test_cancels_and_amends_of_a_leg_name_their_order_only():
    for action in (1, 2):
        for side in (0, 1):
            assert "positionSide" not in hedged(action=action, order_id=5, leg=1, side=side)[1]


@pytest.mark.parametrize(
    ("market", "hedge", "intent", "why"),
    [
        (USDM, True, {}, "long or the short leg"),
        (USDM, True, {"leg": 3}, "long or the short leg"),
        (USDM, False, {"leg": 1}, "no legs here"),
        (USDM, False, {"leg": -1}, "no legs here"),
        (SPOT, False, {"leg": 2}, "no legs here"),
        (SPOT, True, {"leg": 2}, "no legs here"),
        (USDM, True, {"leg": 1, "side": 0, "reduce_only": 1}, "opens its leg"),
        (USDM, True, {"leg": 2, "side": 1, "type": 2, "trigger_ticks": 9}, "opens its leg"),
    ],
)
def test_a_leg_that_cannot_be_is_not_written(market, hedge, intent, why):
    wire = coded(market)
    wire.set_hedge(hedge)
    fields = {"instrument": market, "price_ticks": 1, "size_lots": 1} | intent
    with pytest.raises(ValueError, match=why):
        wire.preview(fields, ORDER, 0)


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("action", [1, 2])
def test_orders_of_an_earlier_process_are_named_by_their_own_ids(market, action):
    wire = coded(market, epoch=900)
    fields = {
        "instrument": market,
        "action": action,
        "order_id": 7,
        "epoch": 33,
        "size_lots": 1,
        "price_ticks": 1,
    }
    params = json.loads(wire.preview(fields, 0, 0))["params"]
    assert wire.whose(params["origClientOrderId"]) == (7, 33)


def test_the_deadline_is_the_window_behind_a_stamp_of_the_venues_clock():
    wire = coded(SPOT)
    wire.clock(-2_000 * MS)
    wire.window(2500)
    for action in (0, 1, 2, 3):
        params = json.loads(wire.preview({"action": action, "order_id": 1}, ORDER, 10_000 * MS))["params"]
        assert (params["timestamp"], params["recvWindow"]) == (8_000, 2500)


@pytest.mark.parametrize("mode", ["expire_maker", "expire_taker", "expire_both"])
def test_the_self_trade_mode_is_always_sent(mode):
    for market, intents in (
        (SPOT, ({}, {"type": 1}, {"type": 2}, {"action": 3})),
        (USDM, ({}, {"type": 1}, {"type": 2})),
    ):
        wire = coded(market)
        wire.stp = mode
        assert wire.stp == mode
        for intent in intents:
            message = json.loads(wire.preview({"instrument": market} | intent, ORDER, 0))
            assert message["params"]["selfTradePreventionMode"] == mode.upper()
    with pytest.raises(ValueError, match="decrement"):
        wire.stp = "decrement"


ALL_INTENTS = [{}, {"tif": 3}, {"type": 1}, {"type": 2, "trigger_ticks": 5}, {"action": 1}, {"action": 2}]


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("intent", [*ALL_INTENTS, {"action": 3}])
def test_signed_frames_carry_the_key_and_the_signature_of_their_sorted_parameters(market, intent):
    if market == USDM and intent.get("action") == 3:
        return
    wire = coded(market)
    wire.signer(b"secret", "Key1")
    fields = {
        "instrument": market,
        "order_id": 3,
        "price_ticks": 100,
        "size_lots": 7,
        "reduce_only": 1,
    } | intent
    frame = wire.preview(fields, ORDER, 1660801715431 * MS)
    params = json.loads(frame)["params"]
    signature = params.pop("signature")
    assert params["apiKey"] == "Key1"
    assert list(params) == sorted(params)
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    assert signature == hmac.new(b"secret", payload.encode(), hashlib.sha256).hexdigest()
    wire.signer(None)
    plain = json.loads(wire.preview(fields, ORDER, 1660801715431 * MS))["params"]
    assert plain == {k: v for k, v in params.items() if k != "apiKey"}


def test_a_symbol_outside_ascii_is_signed_as_it_is_written():
    table_ = Instruments()
    table_.add(SPOT, "１２３", "0.01", "0.01")
    wire = BinanceWire(table_, SPOT)
    wire.signer(b"secret", "Key1")
    params = json.loads(wire.preview({"price_ticks": 1, "size_lots": 1}, ORDER, 0))["params"]
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params) if k != "signature")
    assert params["signature"] == hmac.new(b"secret", payload.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("key", ["", "a b", 'a"b', "k" * 129, "é"])
def test_a_key_that_cannot_be_written_is_refused(key):
    with pytest.raises(ValueError, match="API key"):
        coded(SPOT).signer(b"secret", key)


@pytest.mark.parametrize("market", [SPOT, USDM])
@pytest.mark.parametrize("intent", [*ALL_INTENTS, {"action": 3}])
def test_the_longest_signed_frame_fits(market, intent):
    if market == USDM and intent.get("action") == 3:
        return
    long = Instruments()
    long.add(market, "S" * 43, "0.000000000000000001", "1")
    wire = BinanceWire(long, market, "tckg", 2**24)
    wire.signer(b"s" * 64, "k" * 128)
    wire.window(60_000)
    fields = {
        "side": 1,
        "reduce_only": 1,
        "price_ticks": 2**62,
        "size_lots": 2**62,
        "order_id": 2**35 - 1,
    } | intent
    raw = wire.preview(fields | {"trigger_ticks": 2**62}, 2**45 - 1, 2**63 - 1)
    assert len(raw) + 2 * 21 <= 1024  # what two numbers of 40 bytes would add
    json.loads(raw)


def test_no_action_of_another_kind_is_written():
    for action in (4, -1):
        with pytest.raises(ValueError, match="action"):
            WIRES[SPOT].preview({"action": action}, ORDER, 0)


def test_request_ids_never_repeat():
    ids = {request_id(SPOT) for _ in range(1000)}
    assert len(ids) == 1000


def test_a_small_buffer_and_a_wrong_row_are_refused():
    with pytest.raises(ValueError, match="1024"):
        WIRES[SPOT].preview({"instrument": 0}, 1, 0, 1023)
    for row in (-1, 3):
        with pytest.raises(ValueError, match="instrument"):
            WIRES[SPOT].preview({"instrument": row}, 1, 0)


@pytest.mark.parametrize("steps_", [("0.000000000000000001", "1"), ("1", "0.000000000000000001")])
def test_the_longest_frame_fits(steps_):
    long = Instruments()
    long.add(USDM, "S" * 43, *steps_)
    intent = {
        "instrument": 0,
        "side": 1,
        "tif": 3,
        "reduce_only": 1,
        "price_ticks": 2**62,
        "size_lots": 2**62,
    }
    raw = BinanceWire(long, USDM).preview(intent, 2**45 - 1, 2**63 - 1)
    assert len(raw) + 2 * 21 <= 512  # what two numbers of 40 bytes would add
    price = json.loads(raw)["params"]["price"]
    assert Decimal(price) == Decimal(2**62) * Decimal(steps_[0])


# ---- real captures ----

CAPTURES = [
    ("binance-spot/btcusdt-2024-08-08.jsonl.gz", SPOT, 12000),
    ("binance-spot/btcusdt-2024-08-09.jsonl.gz", SPOT, 12000),
    ("binance-spot/multi-2021-10-12-with-rest.jsonl.gz", SPOT, 2**60),
    ("binance-spot/nexousdt-2024-07-23.jsonl.gz", SPOT, 2**60),
    ("binance-spot/nexousdt-2024-07-24.jsonl.gz", SPOT, 12000),
    ("binance-usdm/btcusdt-2023-04-04.jsonl.gz", USDM, 2**60),
    ("binance-usdm/btcusdt-2023-04-05.jsonl.gz", USDM, 8000),
    ("binance-usdm/btcusdt-2024-08-08.jsonl.gz", USDM, 12000),
    ("binance-usdm/ethusdt-2024-07-18.jsonl.gz", USDM, 2**60),
    ("binance-usdm/ethusdt-2024-07-19.jsonl.gz", USDM, 8000),
    ("binance-usdm/multi-2021-07-22-with-rest.jsonl.gz", USDM, 2**60),
]


def capture_table(name: str, market: int) -> Instruments:
    """Instruments of a capture, as fine as the venue's numbers get.

    Books hold old orders off today's tick and lot (7 sizes in BTCUSDT of 2024-08, many prices in NKNUSDT).
    """
    out = Instruments()
    for row in frames.rows(name, 20):
        if "exchangeInfo" in row["channel"]:
            for item in rest.instruments(row["raw"].encode(), market, fine=True):
                out.add(item.market, item.symbol, item.tick, item.lot)
            return out
    for symbol in ("BTCUSDT", "ETHUSDT", "NEXOUSDT"):
        out.add(market, symbol, "0.001", "0.00000001" if market == SPOT else "0.001")
    return out


def symbol_of(row: dict, name: str) -> str:
    """Symbol that a REST depth reply was asked for."""
    url = row.get("url") or ""
    return url.partition("symbol=")[2].partition("&")[0] or name.split("/")[1].split("-")[0].upper()


@pytest.mark.parametrize(("name", "market", "most"), CAPTURES)
def test_every_captured_market_data_frame_decodes(name, market, most):
    instruments = capture_table(name, market)
    wire = BinanceWire(instruments, market)
    handled = 0
    for row in frames.rows(name, most):
        if row["channel"] == "connect":
            continue
        context = instruments.index(market, symbol_of(row, name)) if "depth" in row["channel"] else -1
        verdict, events = read(wire, row["raw"].encode(), context)
        assert verdict != Verdict.BAD, (wire.error(), row["raw"][:300])
        handled += verdict == Verdict.HANDLED and len(events) == 1
        assert verdict == Verdict.HANDLED or "kline" in row["channel"] or "exchangeInfo" in row["channel"]
    assert handled > 100


@pytest.mark.parametrize(
    ("name", "market", "most"),
    [
        ("binance-spot/nexousdt-2024-07-23.jsonl.gz", SPOT, 2**60),
        ("binance-usdm/ethusdt-2024-07-18.jsonl.gz", USDM, 2**60),
        ("binance-spot/multi-2021-10-12-with-rest.jsonl.gz", SPOT, 2**60),
        ("binance-usdm/multi-2021-07-22-with-rest.jsonl.gz", USDM, 2**60),
    ],
)
def test_books_of_captures_equal_a_naive_twin(name, market, most):
    instruments = capture_table(name, market)
    wire = BinanceWire(instruments, market)
    books: dict[int, Book] = {}
    naive: dict[int, tuple[dict, dict, list]] = {}
    for row in frames.rows(name, most):
        if "depth" not in row["channel"]:
            continue
        context = instruments.index(market, symbol_of(row, name))
        _, (event,) = read(wire, row["raw"].encode(), context)
        number = event["instrument"]
        book = books.setdefault(number, Book(number, True))
        ids = (event["first_id"], event["last_id"], event["prev_id"])
        book.feed(event["kind"], event["rule"], event["bids"], event["asks"], *ids)
        replay(naive.setdefault(number, ({}, {}, [])), event)
    synced = [x for x in books.values() if x.state == BookState.SYNCED]
    assert synced
    assert all(x.gaps == 0 for x in books.values())
    for book in synced:
        bids, asks, _ = naive[book.instrument]
        assert book.bids() == sorted(bids.items(), reverse=True)
        assert book.asks() == sorted(asks.items())


def replay(state, event) -> None:
    """The naive book: two dicts; updates before the snapshot wait in a list."""
    bids, asks, waiting = state
    if event["kind"] == 2:
        bids.update(event["bids"])
        asks.update(event["asks"])
        for old in waiting:
            if old["last_id"] > event["last_id"] or (
                old["prev_id"] >= 0 and old["last_id"] == event["last_id"]
            ):
                replay(state, old)
    elif not bids and not asks:
        waiting.append(event)
    else:
        for side, levels in ((bids, event["bids"]), (asks, event["asks"])):
            for price, size in levels:
                side.pop(price, None)
                if size:
                    side[price] = size


def test_captured_user_data_decodes():
    name = "private/binance-pm-2024-09-26-a.jsonl.gz"
    tables = Instruments()
    seen = set()
    for row in frames.rows(name):
        message = json.loads(row["raw"])
        inner = message["o"] if message["e"] == "ORDER_TRADE_UPDATE" else message
        market = SPOT if message["e"] == "executionReport" else USDM
        if "x" in inner and (market, inner["s"]) not in seen:
            seen.add((market, inner["s"]))
            tables.add(market, inner["s"], "0.0000001", "0.00001")
    wires = [BinanceWire(tables, SPOT), BinanceWire(tables, USDM)]
    reports = 0
    for row in frames.rows(name):
        for wire in wires:
            verdict, events = read(wire, row["raw"].encode())
            assert verdict != Verdict.BAD, (wire.error(), row["raw"][:300])
            reports += len(events)
    assert reports == 62 + 22  # 62 messages, 22 of them the last fill of an order


def test_published_fixtures_never_give_bad_market_data():
    for row in frames.rows("fixtures/binance-nautilus.jsonl.gz"):
        wide = Instruments()
        for market in (SPOT, USDM):
            for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT", "ETHBTC", "BNBBTC"):
                wide.add(market, symbol, "0.00000001", "0.00000001")
        for market in (SPOT, USDM):
            wire = BinanceWire(wide, market)
            assert read(wire, row["raw"].encode())[0] != Verdict.BAD or "futures" in row["channel"], (
                wire.error(),
                row,
            )


# ---- a second line ----

COPIES = {SPOT: dump(SPOT_DEPTH), USDM: dump(USDM_DEPTH)}


@pytest.mark.parametrize("market", COPIES)
@pytest.mark.parametrize("combined", [False, True])
def test_the_levels_of_a_copy_are_not_read_and_those_of_the_winner_are(market, combined):
    wire, frame = WIRES[market], COPIES[market]
    if combined:
        frame = b'{"stream":"btcusdt@depth@100ms","data":' + frame + b"}"
    loser, winner = SecondLine(has=True), SecondLine(has=False)
    assert wire.read(garbled(frame), loser) == Verdict.HANDLED
    (event,) = read(wire, frame)[1]
    (look,) = loser.looks
    assert (loser.events, look["first_id"], look["last_id"]) == ([], 157, 160)
    assert look.items() <= event.items()
    assert wire.read(garbled(frame), winner) == Verdict.BAD
    assert wire.read(frame, winner) == Verdict.HANDLED
    assert winner.events == [event]


@pytest.mark.parametrize(
    "frame",
    [
        dump({name: USDM_DEPTH[name] for name in ("e", "s", "U", "u", "b", "a", "pu")}),
        dump({name: USDM_DEPTH[name] for name in ("e", "s", "U", "u", "pu", "a", "b")}),
        dump({name: USDM_DEPTH[name] for name in ("e", "U", "u", "pu", "b", "a", "s")}),
        dump(USDM_DEPTH | {"st": 2}),
        dump({"st": 2} | {name: x for name, x in USDM_DEPTH.items() if name != "st"}),
        dump(USDM_DEPTH | {"x": 1}),
        dump(USDM_DEPTH | {"st": 2, "x": []}),
        dump(USDM_DEPTH | {"stream": "btcusdt@depth20@100ms", "x": []}),
        dump({"data": USDM_DEPTH, "stream": "btcusdt@depth20@100ms", "x": []}),
        dump(USDM_DEPTH | {"s": "XYZUSDT"}),
        dump(USDM_DEPTH) + b" ",
        dump(USDM_DEPTH) + b"}",
        dump({"stream": "btcusdt@depth20@100ms", "data": USDM_DEPTH}),
        dump({"stream": "btcusdt@rpiDepth@500ms", "data": USDM_DEPTH}),
        dump({"data": USDM_DEPTH, "stream": "btcusdt@depth20@100ms"}),
        dump(USDM_QUOTE),
        dump(TRADE),
        dump(USDM_SNAPSHOT),
        dump(UPDATE),
    ],
)
def test_only_an_update_that_ends_with_its_levels_is_looked_at(frame):
    assert not check_look(WIRES[USDM], frame)


@pytest.mark.parametrize("market", COPIES)
def test_an_update_that_is_newer_than_the_book_is_read_without_a_look(market):
    check_newer_is_not_looked_at(WIRES[market], COPIES[market])


@pytest.mark.parametrize("market", COPIES)
def test_a_look_says_what_the_whole_frame_says_wherever_it_is_broken(market):
    frame = b'{"stream":"btcusdt@depth","data":' + COPIES[market] + b"}"
    assert check_looks_at_mutants(WIRES[market], frame) > 1000


def test_no_member_that_does_not_belong_there_can_fool_a_look():
    rng, looked, sound = random.Random(5), 0, 0
    keys = (
        "e",
        "s",
        "U",
        "u",
        "pu",
        "b",
        "a",
        "st",
        "E",
        "x",
        "stream",
        "data",
        "lastUpdateId",
        "id",
        "status",
    )
    inner = ['"e":"depthUpdate"', '"E":3', '"s":"BTCUSDT"', '"U":157', '"u":160', '"pu":149', '"b":[]']
    for _ in range(20_000):
        data = with_foreign_members(rng, [*inner, '"a":[["7.10","1"]]', '"st":1'], keys)
        outer = ['"stream":"btcusdt@depth"', f'"data":{data}']
        frame = (with_foreign_members(rng, outer, keys) if rng.random() < 0.7 else data).encode()
        if check_look(WIRES[USDM], frame):
            looked += 1
            sound += read(WIRES[USDM], frame)[0] == Verdict.HANDLED
    assert looked > sound > 1000


@pytest.mark.parametrize(
    ("market", "name"), [(SPOT, "binance-spot/btcusdt-2024-08-08"), (USDM, "binance-usdm/btcusdt-2024-08-08")]
)
def test_every_recorded_update_is_looked_at(market, name):
    for row in frames.rows(f"{name}.jsonl.gz", 6000):
        raw = row["raw"].encode()
        assert check_look(WIRES[market], raw) == (b"depthUpdate" in raw)


def test_books_of_two_lines_are_those_of_one():
    check_second_line(*captured("binance-usdm", 800))
