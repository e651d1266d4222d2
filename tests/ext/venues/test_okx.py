"""OKX frames: what each message type becomes, damage refused, and real captures against naive twins."""

import random
import re
from decimal import ROUND_HALF_UP, Decimal

import orjson
import pytest
from frames import (
    Loose,
    Scalar,
    captured,
    check_look,
    check_looks_at_mutants,
    check_newer_is_not_looked_at,
    check_second_line,
    cuts,
    flips,
    garbled,
    lines,
    with_foreign_members,
)

from ext.book import Applied, Book, BookState
from ext.instruments import Instruments
from ext.records import (
    Action,
    DepthKind,
    ErrorGroup,
    LegKind,
    Market,
    MarkField,
    Nature,
    OrderType,
    Outcome,
    ReportKind,
    Rule,
    Side,
    TimeInForce,
)
from ext.venues.okx import OkxWire, forced_trade_id
from ext.wire import ListSink, SecondLine, Verdict
from node.venues.okx.rules import CODES, ERRORS, verdict

MS = 1_000_000
NOW = 1_597_026_383_085 * MS
SPOT, SWAP = 0, 1


def make_wire() -> OkxWire:
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT", "0.01", "0.00000001", inst_code=3)
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.01", "0.01", inst_code=10459, is_perpetual=True)
    table.add(Market.OKX, "OLD-USDT", "0.1", "1")
    wire = OkxWire(table, Market.OKX)
    wire.set_codes(CODES)
    return wire


@pytest.fixture
def wire() -> OkxWire:
    return make_wire()


def read(wire: OkxWire, frame: bytes | dict, context: int = -1) -> tuple[int, list[dict]]:
    sink = ListSink()
    raw = frame if isinstance(frame, bytes) else orjson.dumps(frame)
    return wire.read(raw, sink, NOW, context), sink.events


def events(wire: OkxWire, frame: bytes | dict, context: int = -1) -> list[dict]:
    verdict, out = read(wire, frame, context)
    assert verdict == Verdict.HANDLED, wire.error()
    return out


def book_frame(action="update", channel="books", seq=15, prev=10, asks=(), bids=(), **more) -> dict:
    row = {"asks": list(asks), "bids": list(bids), "ts": "1597026383085", "checksum": 0, "seqId": seq}
    row["prevSeqId"] = prev
    frame = {"arg": {"channel": channel, "instId": "BTC-USDT"}, "action": action, "data": [row | more]}
    return frame if action else {"arg": frame["arg"], "data": frame["data"]}


# ---- samples: every message type this decoder reads ----

CLIENT = make_wire().client_id(7)
REQUEST = orjson.loads(make_wire().preview({"instrument": SPOT, "price_ticks": 1, "size_lots": 1}, 7, NOW))[
    "id"
]
CANCEL_REQUEST, AMEND_REQUEST = "c" + REQUEST[1:], "a" + REQUEST[1:]
LEVELS = [["8476.98", "415", "0", "13"], ["8477", "0.00000007", "0", "2"]]
BIDS = [["8476.97", "256", "0", "12"], ["8475.5", "0", "0", "0"]]
ORDER_ROW = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "ordId": "2497956918703120384",
    "clOrdId": CLIENT,
    "side": "sell",
    "posSide": "net",
    "state": "partially_filled",
    "px": "65465.4",
    "sz": "3",
    "accFillSz": "0.76124279",
    "avgPx": "65465.4",
    "fillPx": "65465.4",
    "fillSz": "0.5",
    "tradeId": "797592319",
    "fillTime": "1727597074013",
    "fillFee": "-39.8680509955728",
    "fillFeeCcy": "USDT",
    "execType": "M",
    "tradeQuoteCcy": "USDT",
    "cancelSource": "",
    "uTime": "1727597074014",
    "linkedAlgoOrd": {"algoId": ""},
    "attachAlgoOrds": [],
}
NO_FILL = {"tradeId": "", "fillPx": "", "fillSz": "0", "fillFee": "0", "fillFeeCcy": "", "execType": ""}


AMENDED = {"state": "live", "reqId": AMEND_REQUEST, "amendResult": "0", "amendSource": "1", "code": "0"}
LIQUIDATED = {"tradeId": "0", "category": "partial_liquidation", "clOrdId": "", "fillSz": "0.50"}
ALGO_ROW = {
    "instType": "SWAP",
    "instId": "BTC-USDT-SWAP",
    "algoId": "581878926302093312",
    "algoClOrdId": CLIENT,
    "clOrdId": "",
    "ordId": "",
    "ordIdList": [],
    "ordType": "conditional",
    "side": "sell",
    "posSide": "long",
    "state": "live",
    "sz": "2.5",
    "tgtCcy": "",
    "slTriggerPx": "60000.1",
    "slTriggerPxType": "mark",
    "slOrdPx": "-1",
    "reduceOnly": "true",
    "actualSz": "0",
    "failCode": "",
    "uTime": "1708679675245",
}


def orders(*rows: dict) -> dict:
    return {"arg": {"channel": "orders", "instType": "ANY", "uid": "44"}, "data": list(rows)}


def algos(*rows: dict) -> dict:
    return {"arg": {"channel": "orders-algo", "instType": "ANY", "uid": "44"}, "data": list(rows)}


def answer(op="order", code="0", request=REQUEST, rows=({},)) -> dict:
    base = {
        "clOrdId": CLIENT,
        "ordId": "12345689",
        "tag": "",
        "ts": "1695190491421",
        "sCode": "0",
        "sMsg": "",
    }
    times = {"inTime": "1695190491421339", "outTime": "1695190491423240"}
    return {"id": request, "op": op, "data": [base | x for x in rows], "code": code, "msg": "", **times}


def push(channel: str, symbol: str, *rows: dict) -> dict:
    return {"arg": {"channel": channel, "instId": symbol}, "data": list(rows)}


TRADE = {
    "instId": "BTC-USDT",
    "tradeId": "130639474",
    "px": "42219.9",
    "sz": "0.12060306",
    "side": "buy",
    "ts": "1630048897897",
    "count": "3",
    "source": "0",
    "seqId": 1234,
}
MARK = {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": "84660.123456785", "ts": "1744590349506"}
FUNDING = {
    "instId": "BTC-USDT-SWAP",
    "fundingRate": "-0.0001143515677237",
    "nextFundingRate": "",
    "fundingTime": "1744590349506",
    "ts": "1744590340000",
}
BBO = {"asks": LEVELS[:1], "bids": BIDS[:1], "ts": "1597026383085", "seqId": 363996337}
SAMPLES = {
    "books snapshot": book_frame("snapshot", seq=123456, prev=-1, asks=LEVELS, bids=BIDS),
    "books update": book_frame(seq=123457, prev=123456, asks=LEVELS[:1], bids=BIDS),
    "books50-l2-tbt": book_frame(channel="books50-l2-tbt", asks=LEVELS[:1]),
    "books-l2-tbt with checksum": book_frame(channel="books-l2-tbt", asks=LEVELS[:1], checksum=-855196043),
    "bbo-tbt": push("bbo-tbt", "BTC-USDT", BBO),
    "books5": push("books5", "BTC-USDT", {**BBO, "asks": LEVELS, "instId": "BTC-USDT"}),
    "trades": push("trades", "BTC-USDT", TRADE, {**TRADE, "side": "sell", "count": "1"}),
    "trades-all": push("trades-all", "BTC-USDT", {k: v for k, v in TRADE.items() if k != "count"}),
    "mark-price": push("mark-price", "BTC-USDT-SWAP", MARK),
    "funding-rate": push("funding-rate", "BTC-USDT-SWAP", FUNDING),
    "orders fill": orders(ORDER_ROW),
    "orders live": orders({**ORDER_ROW, **NO_FILL, "state": "live", "accFillSz": "0"}),
    "orders canceled": orders({**ORDER_ROW, **NO_FILL, "state": "canceled", "cancelSource": "31"}),
    "orders amended": orders({**ORDER_ROW, **NO_FILL, **AMENDED}),
    "orders liquidated": orders({**ORDER_ROW, **LIQUIDATED}),
    "orders of a stop": orders({**ORDER_ROW, "clOrdId": "", "algoClOrdId": CLIENT, "state": "filled"}),
    "orders-algo": algos(ALGO_ROW),
    "orders-algo failed": algos({**ALGO_ROW, "state": "order_failed", "failCode": "51008"}),
    "amend refused": answer("amend-order", "1", AMEND_REQUEST, [{"sCode": "51503", "reqId": AMEND_REQUEST}]),
    "amend unknown": answer("amend-order", "1", AMEND_REQUEST, [{"sCode": "50004"}]),
    "answer": answer(),
    "answer refused": answer(code="1", rows=[{"sCode": "51008", "ordId": ""}]),
    "answer whole": {**answer(code="60013"), "data": []},
    "cancel refused": answer("cancel-order", "1", CANCEL_REQUEST, [{"sCode": "51400"}]),
    "error event": {
        "id": REQUEST,
        "event": "error",
        "code": "60012",
        "msg": "Invalid request",
        "connId": "a4",
    },
}
FRAMES = {name: orjson.dumps(frame) for name, frame in SAMPLES.items()}


# ---- the twin: the same meaning from the text, with Decimal and none of the decoder's code ----

GRIDS = {"BTC-USDT": ("0.01", "0.00000001"), "BTC-USDT-SWAP": ("0.1", "0.01"), "OLD-USDT": ("0.1", "1")}
INDEX = {symbol: i for i, symbol in enumerate(GRIDS)}
CHANNELS = {
    "books": (400, 0),
    "books-l2-tbt": (400, 0),
    "books50-l2-tbt": (50, 0),
    "books5": (5, 1),
    "bbo-tbt": (1, 1),
}


def steps(text: str, step: str) -> int:
    assert re.fullmatch(r"(0|[1-9][0-9]*)(\.[0-9]+)?", text), text
    value = Decimal(text) / Decimal(step)
    assert value == int(value)
    return int(value)


def whole(value: object, default: int | None = None) -> int:
    """An integer, spelled as a number or as digits in a string."""
    if value is None or value == "" or value == "null":
        assert default is not None
        return default
    assert re.fullmatch(
        r"-?(0|[1-9][0-9]*)" if isinstance(value, Scalar) else r"0|[1-9][0-9]*", str(value)
    ), value
    return int(value)


def e8(text: str, rounding: str) -> int:
    return int((Decimal(text) * 10**8).to_integral_value(rounding))


def twin_depth(symbol: str, channel: str, action: str | None, row: dict) -> list[dict]:
    (depth, partial), (tick, lot) = CHANNELS[channel], GRIDS[symbol]
    sides = {k: [(steps(x[0], tick), steps(x[1], lot)) for x in row[k]] for k in ("bids", "asks")}
    seq, prev = whole(row.get("seqId"), -1), whole(row.get("prevSeqId"), -1)
    kind = DepthKind.UPDATE if action == "update" and not partial else DepthKind.SNAPSHOT
    prev = prev if kind == DepthKind.UPDATE and seq >= 0 else -1
    head = {
        "type": "depth",
        "instrument": INDEX[symbol],
        "kind": kind,
        "rule": Rule.RULE_PREV if seq >= 0 else Rule.RULE_NONE,
        "depth": depth,
        "partial": partial,
        "checksum": whole(row.get("checksum"), 0),
        "first_id": prev,
        "last_id": seq,
        "prev_id": prev,
        "event_ns": whole(row.get("ts"), 0) * MS,
    }
    out = [head | sides]
    if partial:
        bid = max((x for x in sides["bids"] if x[1]), default=(0, 0))
        ask = min((x for x in sides["asks"] if x[1]), default=(0, 0))
        quote = {"type": "quote", "instrument": INDEX[symbol], "update_id": max(seq, 0)}
        quote |= {"bid_ticks": bid[0], "bid_lots": bid[1], "ask_ticks": ask[0], "ask_lots": ask[1]}
        out.append(quote | {"event_ns": head["event_ns"]})
    return out


def twin_trade(symbol: str, row: dict) -> dict:
    tick, lot = GRIDS[symbol]
    return {
        "type": "trade",
        "instrument": INDEX[symbol],
        "side": {"buy": Side.BUY, "sell": Side.SELL}[row["side"]],
        "price_ticks": steps(row["px"], tick),
        "size_lots": steps(row["sz"], lot),
        "id_hi": 0,
        "id_lo": whole(row["tradeId"]),
        "event_ns": whole(row.get("ts"), 0) * MS,
        "aggregate": int(whole(row.get("count", "1")) > 1),
    }


def twin_mark(symbol: str, channel: str, row: dict) -> dict:
    names = {"mark-price": ("markPx",), "funding-rate": ("fundingRate", "fundingTime")}[channel]
    bits = {"markPx": MarkField.MARK_PRICE, "fundingRate": MarkField.FUNDING_RATE}
    out = dict.fromkeys(("mark_e8", "index_e8", "last_e8", "funding_e8", "next_funding_ns"), 0)
    present = 0
    for name in names:
        if not row.get(name):
            continue
        if name == "fundingTime":
            out["next_funding_ns"], present = whole(row[name]) * MS, present | MarkField.NEXT_FUNDING
        else:
            out["mark_e8" if name == "markPx" else "funding_e8"] = e8(row[name], ROUND_HALF_UP)
            present |= bits[name]
    head = {"type": "mark", "instrument": INDEX[symbol], "present": present}
    return head | out | {"event_ns": whole(row.get("ts"), 0) * MS}


def own(wire: OkxWire, text: object) -> tuple[int, int]:
    return wire.whose(str(text)) if text is not None and str(text).isascii() else (0, 0)


def blank_report(owner: tuple[int, int], instrument: int, venue_id: object, time: object) -> dict:
    venue_id = "" if venue_id in (None, "null") else str(venue_id)
    zeros = ("kind", "side", "maker", "price_ticks", "size_lots", "trade_hi", "trade_lo", "fee_e8")
    return {
        "type": "report",
        **dict.fromkeys((*zeros, "fee_is_quote", "code", "group", "nature"), 0),
        **dict.fromkeys(("filled_lots", "order_ticks", "order_lots", "leg"), -1),
        "fee_coin": "",
        "instrument": instrument,
        "order_id": owner[0],
        "epoch": owner[1],
        "event_ns": whole(time, 0) * MS,
        "venue_id": venue_id,
        "venue_id_size": len(venue_id),
    }


def signed(value: object) -> int:
    """A whole number that may be below 0 in quotes too; nothing is 0."""
    text = str(value or "")
    minus = not isinstance(value, Scalar) and re.fullmatch(r"-.+", text)
    return -whole(text[1:]) if minus else whole(value, 0)


NATURES = dict.fromkeys(
    ("full_liquidation", "partial_liquidation", "twap", "auto_conversion"), Nature.LIQUIDATION
)
NATURES |= {"adl": Nature.ADL, "delivery": Nature.SETTLEMENT}


def twin_fill(symbol: str, row: dict, base: dict) -> list[dict]:
    tick, lot = GRIDS[symbol]
    trade, size = signed(row.get("tradeId")), steps(row["fillSz"], lot) if row.get("fillSz") else -1
    if trade <= 0 and size <= 0:
        return []
    fill = base | {"kind": ReportKind.REPORT_FILL, "trade_lo": trade, "size_lots": size}
    fill["price_ticks"] = steps(row["fillPx"], tick)
    fill["maker"] = int(row.get("execType") == "M")
    fill["event_ns"] = whole(row.get("fillTime"), base["event_ns"] // MS) * MS
    quotes = {symbol.split("-")[1], row.get("tradeQuoteCcy") or "?"}
    coin = row.get("fillFeeCcy") or "?"
    fill["fee_is_quote"] = 1 if coin in quotes else 2 if coin == symbol.split("-")[0] else 0
    named = (row.get("fillFeeCcy") or "") if row.get("fillFee") else ""
    fill["fee_coin"] = "".join(x if x.isascii() else "\ufffd" for x in named) if len(named) < 12 else ""
    if not row.get("fillFee"):
        fill["fee_is_quote"] = -1
    fill["fee_e8"] = -e8(row["fillFee"], "ROUND_FLOOR") if row.get("fillFee") else 0
    if trade <= 0:
        forced = forced_trade_id(row["ordId"], fill["event_ns"] // MS, row["fillPx"], row["fillSz"])
        fill["trade_hi"], fill["trade_lo"] = forced
    category = row.get("category") or "normal"
    fill["nature"] = NATURES.get(category, Nature.TRADE_FILL)
    is_odd = category not in ("normal", "ddh", *NATURES)
    return [fill, fill | {"kind": ReportKind.REPORT_ODD}] if is_odd else [fill]


def twin_ended(row: dict) -> dict:
    source = row.get("cancelSource") or ""
    groups = {31: ErrorGroup.GROUP_POST_ONLY}
    groups |= dict.fromkeys((-1, 0, 1, 13, 14, 20), ErrorGroup.GROUP_NONE)
    groups |= dict.fromkeys((2, 3, 4, 9), ErrorGroup.GROUP_FUNDS)
    groups |= dict.fromkeys((15, 27, 43, 45), ErrorGroup.GROUP_FILTER)
    number = signed(source) if source else -1
    ours = number in (-1, 1, 20)
    kind = ReportKind.REPORT_CANCELED if ours else ReportKind.REPORT_EXPIRED
    return {"kind": kind, "code": max(number, 0), "group": groups.get(number, ErrorGroup.GROUP_OTHER)}


def twin_amend(row: dict) -> dict | None:
    result = row.get("amendResult") or ""
    if not result and not row.get("amendSource"):
        return None
    if result in ("", "0", "2"):
        return {"kind": ReportKind.REPORT_AMENDED}
    if result not in ("-1", "1"):
        return {"kind": ReportKind.REPORT_ODD}
    code = signed(row.get("code"))
    return {"kind": ReportKind.REPORT_AMEND_REJECT, "code": code, "group": verdict(code, Action.AMEND)[1]}


LEGS = {"": -1, "net": LegKind.NET, "long": LegKind.LONG_LEG, "short": LegKind.SHORT_LEG}


def twin_base(wire: OkxWire, row: dict, is_algo: bool) -> dict:
    symbol = row["instId"]
    tick, lot = GRIDS[symbol]
    owner = (0, 0) if is_algo else own(wire, row.get("clOrdId"))
    owner = owner if owner[0] else own(wire, row.get("algoClOrdId"))
    base = blank_report(owner, INDEX[symbol], row["algoId" if is_algo else "ordId"], row.get("uTime"))
    base["side"] = {"buy": Side.BUY, "sell": Side.SELL}[row["side"]]
    base["leg"] = LEGS[row.get("posSide") or ""]
    base["filled_lots"] = steps(row["accFillSz"], lot) if row.get("accFillSz") else -1
    is_market = is_algo or row.get("ordType") in ("market", "optimal_limit_ioc")
    if row.get("px") and not is_market:
        base["order_ticks"] = steps(row["px"], tick)
    target = row.get("tgtCcy")
    in_base = symbol == "BTC-USDT-SWAP" or target == "base_ccy"
    if row.get("sz") and (in_base or not (is_market or target == "quote_ccy")):
        base["order_lots"] = steps(row["sz"], lot)
    if not is_algo and not own(wire, row.get("clOrdId"))[0] and base["order_id"]:
        base["order_lots"] = -1
    return base


def twin_order(wire: OkxWire, row: dict) -> list[dict]:
    if row["instId"] not in INDEX:
        return []
    base = twin_base(wire, row, False)
    out = twin_fill(row["instId"], row, base)
    has_fill, amend, state = bool(out), twin_amend(row), row["state"]
    is_child = not own(wire, row.get("clOrdId"))[0] and base["order_id"]
    if amend:
        out.append(base | amend)
    if state in ("canceled", "mmp_canceled"):
        out.append(base | twin_ended(row))
    elif state == "filled":
        out.append(base | {"kind": ReportKind.REPORT_LIVE if is_child else ReportKind.REPORT_FILLED})
    elif state == "live" or (state == "partially_filled" and not has_fill):
        out.append(base | {"kind": ReportKind.REPORT_LIVE})
    elif state != "partially_filled":
        out.append(base | {"kind": ReportKind.REPORT_ODD})
    return out


def twin_algo(wire: OkxWire, row: dict) -> list[dict]:
    if row["instId"] not in INDEX or row["state"] in ("effective", "order_placed"):
        return []
    base = twin_base(wire, row, True)
    kinds = dict.fromkeys(("live", "pause", "partially_effective"), ReportKind.REPORT_LIVE)
    kinds |= {"canceled": ReportKind.REPORT_CANCELED, "order_failed": ReportKind.REPORT_EXPIRED}
    base["kind"] = kinds.get(row["state"], ReportKind.REPORT_ODD)
    if row["state"] == "order_failed":
        code = signed(row.get("failCode"))
        base |= {"code": code, "group": verdict(code, Action.NEW)[1] if code else ErrorGroup.GROUP_UNKNOWN}
    return [base]


def twin_asked(frame: dict) -> Action:
    if "op" in frame:
        word = frame["op"]
        return Action.CANCEL if "cancel" in word else Action.AMEND if "amend" in word else Action.NEW
    return {"c": Action.CANCEL, "a": Action.AMEND}.get(frame.get("id", "")[:1].lower(), Action.NEW)


def twin_answer(wire: OkxWire, frame: dict) -> list[dict]:
    request = frame.get("id", "")
    by_request = own(wire, request[1:22]) if len(request) == 26 else (0, 0)
    asked = twin_asked(frame)
    rows = frame.get("data") if "op" in frame else None
    out = []
    for row in rows or [None]:
        code, owner = whole(frame.get("code"), -1), by_request
        if row is not None:
            code = signed(row["sCode"]) if row.get("sCode") else -1
            owner = own(wire, row.get("clOrdId"))
            owner = owner if owner[0] or request[:1] < "a" else by_request
        if owner[0] == 0 or (asked != Action.NEW and code == 0):
            continue
        fate, group = verdict(code, asked)
        refused = ReportKind.REPORT_REJECT if asked == Action.NEW else ReportKind.REPORT_AMEND_REJECT
        kind = refused if fate == Outcome.REFUSED else ReportKind.REPORT_UNCERTAIN
        if asked == Action.CANCEL:
            kind = ReportKind.REPORT_CANCEL_REJECT
        elif code == 0 and row is not None:
            kind = ReportKind.REPORT_ACK
        elif code == 0:
            group = ErrorGroup.GROUP_UNKNOWN
        base = blank_report(owner, -1, (row or {}).get("ordId"), (row or {}).get("ts"))
        out.append(base | {"kind": kind, "code": code if code >= 0 else -1, "group": group})
    return out


def twin(wire: OkxWire, frame: dict) -> list[dict]:
    """What a frame that was handled must have pushed."""
    if "op" in frame or "event" in frame:
        return twin_answer(wire, frame)
    channel, symbol = frame["arg"]["channel"], frame["arg"].get("instId")
    if channel == "orders":
        return [x for row in frame["data"] for x in twin_order(wire, row)]
    if channel == "orders-algo":
        return [x for row in frame["data"] for x in twin_algo(wire, row)]
    if channel in CHANNELS:
        return [x for row in frame["data"] for x in twin_depth(symbol, channel, frame.get("action"), row)]
    if channel in ("trades", "trades-all"):
        return [twin_trade(symbol, row) for row in frame["data"]]
    return [twin_mark(symbol, channel, row) for row in frame["data"]]


# ---- samples: whole, cut, flipped ----


@pytest.mark.parametrize("name", FRAMES)
def test_every_sample_becomes_what_its_text_spells(wire, name):
    got = events(wire, FRAMES[name])
    assert got == twin(wire, Loose(FRAMES[name]).value)
    assert got, "the sample says something"


@pytest.mark.parametrize("name", FRAMES)
def test_a_sample_cut_at_any_byte_pushes_nothing(wire, name):
    for cut in cuts(FRAMES[name]):
        verdict, out = read(wire, cut)
        assert verdict in (Verdict.BAD, Verdict.NOT_MINE), cut
        assert out == []
        assert verdict == Verdict.NOT_MINE or wire.error()


@pytest.mark.parametrize("name", FRAMES)
def test_a_flipped_bit_never_gives_a_number_that_the_text_does_not_spell(wire, name):
    handled = 0
    for flipped in flips(FRAMES[name]):
        verdict, out = read(wire, flipped)
        if verdict == Verdict.HANDLED:
            handled += 1
            assert out == twin(wire, Loose(flipped).value), flipped
        else:
            assert out == [], flipped
    assert handled


@pytest.mark.parametrize("name", FRAMES)
def test_white_space_between_tokens_changes_nothing(wire, name):
    spaced = re.sub(
        rb'(?<=[\[{,:])(?=[\["{0-9tfn-])', b" \n\t", FRAMES[name].replace(b"}", b" }").replace(b"]", b"\r]")
    )
    assert events(wire, spaced) == events(wire, FRAMES[name])


def reverse(value: object) -> object:
    """The same JSON with the members of every object the other way round."""
    if isinstance(value, dict):
        return {k: reverse(value[k]) for k in reversed(value)}
    return [reverse(x) for x in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", FRAMES)
def test_members_may_come_in_any_order(wire, name):
    assert events(wire, reverse(SAMPLES[name])) == events(wire, FRAMES[name])


@pytest.mark.parametrize("name", FRAMES)
def test_members_added_later_are_ignored(wire, name):
    more = {"new": {"a": [1, {"b": "}"}], "c": None}, "n": -1.5e3}
    frame = {**more, **SAMPLES[name]}
    frame["data"] = [{**more, **x} for x in frame.get("data", [])]
    if not frame["data"]:
        del frame["data"]
    assert events(wire, frame) == events(wire, FRAMES[name])


@pytest.mark.parametrize(
    "text",
    [
        "1" * 40,
        "1e3",
        "-1",
        "",
        "007",
        "1.",
        ".5",
        "1,5",
        "0x1",
        " 1",
        "1 ",
        "NaN",
        "8476.985",
        "+1",
        "1.0.0",
    ],
)
@pytest.mark.parametrize(
    ("name", "path", "field"),
    [
        ("books update", ("asks", 0, 0), "ask price"),
        ("books update", ("bids", 0, 0), "bid price"),
        ("bbo-tbt", ("bids", 0, 0), "bid price"),
        ("trades", ("px",), "px"),
        ("trades", ("tradeId",), "tradeId"),
        ("orders fill", ("fillPx",), "fillPx"),
        ("orders fill", ("tradeId",), "tradeId"),
        ("books update", ("ts",), "ts"),
    ],
)
def test_a_number_that_is_not_exact_is_refused_with_its_field_named(wire, name, path, field, text):
    if path == ("tradeId",) and text in ("", "-1") and name == "orders fill":
        return  # a fill without a number of its own
    frame = orjson.loads(FRAMES[name])
    place = frame["data"][0]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = text
    assert read(wire, frame) == (Verdict.BAD, [])
    assert field in wire.error()


def test_a_size_finer_than_the_lot_is_refused(wire):
    frame = book_frame(asks=[["8476.98", "0.000000001", "0", "1"]])
    assert read(wire, frame) == (Verdict.BAD, [])
    assert "ask size: off the grid" in wire.error()


# ---- control traffic ----


@pytest.mark.parametrize(
    "frame",
    [
        b"pong",
        b"[1,2]",
        b'"text"',
        b"{}",
        b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"accb8e21"}',
        b'{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}',
        b'{"event":"notice","code":"64008","msg":"The connection will soon be closed.","connId":"a4"}',
        b'{"event":"error","code":"60012","msg":"Invalid request: {\\"op\\"}","connId":"a4d3ae55"}',
        b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"abcd1234"}',
        b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"last":"1e5"}]}',
        b'{"arg":{"channel":"books","instId":"NEW-USDT"},"action":"update","data":[{"asks":[["x"]]}]}',
        b'{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"idxPx":"1"}]}',
        b'{"arg":{"channel":"account"},"data":[]}',
        b'{"id":"1512","op":"amend-order","data":[{"sCode":"0"}],"code":"0","msg":""}',
        b'{"id":"1512","op":"order","data":[{"clOrdId":"theirs","sCode":"0"}],"code":"0","msg":""}',
        b'{"code":"0","msg":"","data":[{"ts":"1597026383085"}]}',
    ],
)
def test_what_concerns_others_is_not_mine(wire, frame):
    assert read(wire, frame) == (Verdict.NOT_MINE, [])


@pytest.mark.parametrize("frame", [b"", b"ping", b"pongg", b"{", b"}", b"[1,2", b'{"a":1}x', b"\x00" * 50])
def test_what_is_not_json_is_bad(wire, frame):
    assert read(wire, frame) == (Verdict.BAD, [])


def test_a_channel_that_is_not_read_must_still_be_well_formed(wire):
    frame = b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"last":"1"}]}'
    for cut in cuts(frame):
        assert read(wire, cut)[0] == Verdict.BAD


# ---- depth ----


def test_the_reference_chain_of_the_documentation_is_one_valid_stream(wire):
    book = Book(SPOT)
    level = [["100", "1", "0", "1"]]
    chain = [(-1, 10, level), (10, 15, []), (15, 15, []), (15, 3, [["101", "2", "0", "1"]]), (3, 5, [])]
    for prev, seq, asks in chain:
        frame = book_frame("snapshot" if prev < 0 else "update", seq=seq, prev=prev, asks=asks)
        assert feed(book, events(wire, frame)[0]) == Applied.APPLIED
    assert book.state == BookState.SYNCED
    assert (book.last_id, book.gaps) == (5, 0)
    assert book.asks() == [(10000, 10**8), (10100, 2 * 10**8)]


def test_a_gap_in_seq_id_is_never_patched_over(wire):
    book = Book(SPOT)
    feed(book, events(wire, book_frame("snapshot", seq=10, prev=-1, asks=LEVELS))[0])
    assert feed(book, events(wire, book_frame(seq=16, prev=15, asks=LEVELS))[0]) == Applied.GAPPED
    assert book.state == BookState.GAP


def test_a_snapshot_without_prev_seq_id_is_fine(wire):
    frame = book_frame("snapshot", asks=LEVELS)
    del frame["data"][0]["prevSeqId"]
    (depth,) = events(wire, frame)
    assert (depth["kind"], depth["rule"], depth["last_id"], depth["prev_id"]) == (
        DepthKind.SNAPSHOT,
        Rule.RULE_PREV,
        15,
        -1,
    )


@pytest.mark.parametrize("gone", [["prevSeqId"], ["seqId"], ["seqId", "prevSeqId"]])
def test_an_update_that_cannot_show_what_it_continues_is_bad(wire, gone):
    frame = book_frame(asks=LEVELS)
    for name in gone:
        del frame["data"][0][name]
    assert read(wire, frame) == (Verdict.BAD, [])
    assert "prevSeqId" in wire.error()


def test_before_2023_the_checksum_stands_in_for_the_ids(wire):
    frame = book_frame(asks=LEVELS, checksum=-855196043)
    del frame["data"][0]["seqId"], frame["data"][0]["prevSeqId"]
    (depth,) = events(wire, frame)
    assert (depth["rule"], depth["checksum"], depth["last_id"]) == (Rule.RULE_NONE, -855196043, -1)


@pytest.mark.parametrize(
    "change",
    [
        {"checksum": 2**31},
        {"checksum": -(2**31) - 1},
        {"seqId": -1},
        {"prevSeqId": -2},
        {"ts": "9000000000000"},
        {"ts": "-5"},
        {"asks": None},
        {"asks": [["1"]]},
        {"asks": [["1", "2", "0", "1"], ["1", "2"]]},
        {"asks": [["1", "2", 0, "1"]]},
        {"seqId": 1.5},
        {"seqId": 10**18},
    ],
)
def test_a_value_out_of_its_range_is_bad(wire, change):
    frame = book_frame(asks=LEVELS)
    frame["data"][0] |= change
    assert read(wire, frame) == (Verdict.BAD, [])


@pytest.mark.parametrize("missing", ["asks", "bids"])
def test_both_sides_must_be_there(wire, missing):
    frame = book_frame(asks=LEVELS)
    del frame["data"][0][missing]
    assert read(wire, frame) == (Verdict.BAD, [])


@pytest.mark.parametrize("action", [None, "replace"])
def test_an_incremental_channel_must_say_what_it_does(wire, action):
    frame = book_frame(asks=LEVELS)
    frame |= {"action": action}
    if action is None:
        del frame["action"]
    assert read(wire, frame) == (Verdict.BAD, [])
    assert "action" in wire.error()


@pytest.mark.parametrize("key", [b'"asks":[],"asks"', b'"bids":[],"bids"'])
def test_a_side_given_twice_is_bad(wire, key):
    frame = orjson.dumps(book_frame()).replace(key.split(b",")[1], key, 1)
    assert read(wire, frame) == (Verdict.BAD, [])


@pytest.mark.parametrize("level", [["100", "2"], ["100", "2", "7"], ["100", "2", "0", "7", "x"]])
def test_levels_of_other_lengths_are_taken_where_all_agree(wire, level):
    (depth,) = events(wire, book_frame(asks=[level, level]))
    assert depth["asks"] == [(10000, 2 * 10**8)] * 2


def test_an_update_without_levels_is_a_heartbeat(wire):
    (depth,) = events(wire, book_frame(seq=10, prev=10))
    assert (depth["bids"], depth["asks"], depth["last_id"], depth["prev_id"]) == ([], [], 10, 10)


def test_several_elements_are_pushed_in_order_and_only_if_all_are_good(wire):
    frame = book_frame(seq=15, prev=10, asks=LEVELS)
    second = book_frame(seq=20, prev=15, bids=BIDS)["data"][0]
    frame["data"].append(second)
    assert [x["last_id"] for x in events(wire, frame)] == [15, 20]
    assert events(wire, reverse(frame)) == events(wire, frame)
    second["bids"] = [["bad", "1", "0", "1"]]
    assert read(wire, frame) == (Verdict.BAD, [])


def test_best_prices_come_as_a_whole_book_and_then_as_a_quote(wire):
    depth, quote = events(wire, push("bbo-tbt", "BTC-USDT", {**BBO, "asks": []}))
    assert (depth["type"], depth["kind"], depth["partial"], depth["depth"]) == (
        "depth",
        DepthKind.SNAPSHOT,
        1,
        1,
    )
    assert (quote["bid_ticks"], quote["bid_lots"], quote["ask_lots"]) == (847697, 256 * 10**8, 0)
    assert quote["update_id"] == 363996337


def test_an_element_of_another_instrument_is_bad(wire):
    assert read(wire, push("books5", "BTC-USDT", {**BBO, "instId": "ETH-USDT"})) == (Verdict.BAD, [])
    assert read(wire, push("trades", "BTC-USDT", {**TRADE, "instId": "ETH-USDT"})) == (Verdict.BAD, [])


# ---- the requested book ----

REST_ROW = {"asks": LEVELS, "bids": BIDS, "ts": "1629966436396", "seqId": 3235851742}
REST_BOOK = {"code": "0", "msg": "", "data": [REST_ROW]}


def test_a_requested_book_is_a_seed_for_the_instrument_it_was_asked_for(wire):
    (depth,) = events(wire, REST_BOOK, context=SPOT)
    assert (depth["kind"], depth["rule"], depth["last_id"]) == (DepthKind.SEED, Rule.RULE_PREV, 3235851742)
    assert depth["asks"] == [(847698, 415 * 10**8), (847700, 7)]
    assert events(wire, reverse(REST_BOOK), context=SPOT) == [depth]


def test_a_requested_book_belongs_to_nobody_where_nobody_asked(wire):
    assert read(wire, REST_BOOK) == (Verdict.NOT_MINE, [])
    assert read(wire, REST_BOOK, context=99) == (Verdict.NOT_MINE, [])


@pytest.mark.parametrize(
    "reply", [{"code": "51001", "msg": "no", "data": []}, {"code": "0", "msg": "", "data": []}]
)
def test_a_refused_or_empty_reply_seeds_nothing(wire, reply):
    assert read(wire, reply, context=SPOT) == (Verdict.NOT_MINE, [])


def test_a_cut_reply_seeds_nothing(wire):
    for cut in cuts(orjson.dumps(REST_BOOK)):
        assert read(wire, cut, context=SPOT) == (Verdict.BAD, [])


def test_updates_are_spliced_onto_a_requested_book(wire):
    book = Book(SPOT, True)
    for prev, seq in ((5, 8), (8, 12), (12, 14)):
        feed(book, events(wire, book_frame(seq=seq, prev=prev, asks=[["100", str(seq), "0", "1"]]))[0])
    row = REST_ROW | {"asks": [["100", "9", "0", "1"]], "bids": [], "seqId": 9}
    seed = {"code": "0", "msg": "", "data": [row]}
    assert feed(book, events(wire, seed, context=SPOT)[0]) == Applied.APPLIED
    assert (book.state, book.last_id, book.asks()) == (BookState.SYNCED, 14, [(10000, 14 * 10**8)])


# ---- trades, mark, funding ----


def test_a_trade_of_several_fills_is_marked(wire):
    first, second = events(wire, SAMPLES["trades"])
    assert (first["aggregate"], first["side"], first["id_lo"]) == (1, Side.BUY, 130639474)
    assert (second["aggregate"], second["side"]) == (0, Side.SELL)


@pytest.mark.parametrize("missing", ["px", "sz", "side", "tradeId"])
def test_a_trade_must_be_whole(wire, missing):
    assert read(wire, push("trades", "BTC-USDT", {k: v for k, v in TRADE.items() if k != missing})) == (
        Verdict.BAD,
        [],
    )


def test_one_bad_trade_refuses_all_of_the_frame(wire):
    assert read(wire, push("trades", "BTC-USDT", TRADE, {**TRADE, "px": "x"})) == (Verdict.BAD, [])


def test_more_trades_than_any_venue_sends_are_refused(wire):
    assert read(wire, push("trades", "BTC-USDT", *[TRADE] * 2049)) == (Verdict.BAD, [])
    assert len(events(wire, push("trades", "BTC-USDT", *[TRADE] * 2048))) == 2048


@pytest.mark.parametrize(
    ("text", "funding_e8"),
    [
        ("0.0001", 10000),
        ("-0.0001143515677237", -11435),
        ("0.000000005", 1),
        ("0.0000000049999", 0),
        ("-0.000000005", -1),
    ],
)
def test_a_funding_rate_is_rounded_to_the_nearest_e8(wire, text, funding_e8):
    (mark,) = events(wire, push("funding-rate", "BTC-USDT-SWAP", {**FUNDING, "fundingRate": text}))
    assert mark["funding_e8"] == funding_e8
    assert mark["next_funding_ns"] == 1744590349506 * MS
    assert mark["present"] == MarkField.FUNDING_RATE | MarkField.NEXT_FUNDING


def test_an_unknown_funding_rate_is_absent_not_zero(wire):
    (mark,) = events(wire, push("funding-rate", "BTC-USDT-SWAP", {**FUNDING, "fundingRate": ""}))
    assert mark["present"] == MarkField.NEXT_FUNDING


def test_a_mark_price_must_be_there(wire):
    assert read(wire, push("mark-price", "BTC-USDT-SWAP", {**MARK, "markPx": ""})) == (Verdict.BAD, [])


# ---- the orders channel ----


def kinds(rows: list[dict]) -> list[int]:
    return [x["kind"] for x in rows]


def test_a_fill_comes_before_the_end_of_its_order(wire):
    fill, end = events(wire, orders({**ORDER_ROW, "state": "filled"}))
    assert kinds([fill, end]) == [ReportKind.REPORT_FILL, ReportKind.REPORT_FILLED]
    assert (fill["order_id"], fill["price_ticks"], fill["size_lots"]) == (7, 6546540, 50000000)
    assert (fill["maker"], fill["trade_lo"], fill["venue_id"]) == (1, 797592319, "2497956918703120384")
    assert (end["size_lots"], end["filled_lots"], end["trade_lo"], end["fee_e8"]) == (0, 76124279, 0, 0)


def test_the_last_push_of_a_spot_market_order_carries_no_fill(wire):
    (end,) = events(wire, orders({**ORDER_ROW, **NO_FILL, "state": "filled"}))
    assert end["kind"] == ReportKind.REPORT_FILLED


def test_a_cancel_tells_how_much_was_filled_and_who_did_it(wire):
    fill, end = events(wire, orders({**ORDER_ROW, "state": "canceled", "cancelSource": "14"}))
    assert kinds([fill, end]) == [ReportKind.REPORT_FILL, ReportKind.REPORT_EXPIRED]
    assert (end["filled_lots"], end["code"]) == (76124279, 14)


@pytest.mark.parametrize(
    ("source", "kind", "group"),
    [
        ("1", ReportKind.REPORT_CANCELED, ErrorGroup.GROUP_NONE),
        ("20", ReportKind.REPORT_CANCELED, ErrorGroup.GROUP_NONE),
        ("", ReportKind.REPORT_CANCELED, ErrorGroup.GROUP_NONE),
        ("0", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_NONE),
        ("13", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_NONE),
        ("31", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_POST_ONLY),
        ("32", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_OTHER),
        ("3", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_FUNDS),
        ("15", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_FILTER),
        ("4711", ReportKind.REPORT_EXPIRED, ErrorGroup.GROUP_OTHER),
    ],
)
def test_what_ended_an_order_is_told_apart_from_our_own_cancel(wire, source, kind, group):
    (end,) = events(wire, orders({**ORDER_ROW, **NO_FILL, "state": "canceled", "cancelSource": source}))
    assert (end["kind"], end["group"], end["code"]) == (kind, group, int(source or 0))


def test_a_market_maker_protection_cancel_is_a_cancel(wire):
    (end,) = events(wire, orders({**ORDER_ROW, **NO_FILL, "state": "mmp_canceled"}))
    assert end["kind"] == ReportKind.REPORT_CANCELED


def test_a_state_that_does_not_exist_yet_still_gives_its_fill(wire):
    frozen = orders({**ORDER_ROW, "state": "frozen"})
    assert kinds(events(wire, frozen)) == [ReportKind.REPORT_FILL, ReportKind.REPORT_ODD]
    (odd,) = events(wire, orders({**ORDER_ROW, **NO_FILL, "state": "frozen"}))
    assert (odd["kind"], odd["order_id"], odd["code"]) == (ReportKind.REPORT_ODD, 7, 0)


def test_an_order_of_another_program_has_no_id_of_ours(wire):
    for client in ("", "theirs", CLIENT[:-1] + ("0" if CLIENT[-1] != "0" else "1"), CLIENT + "0"):
        (fill,) = events(wire, orders({**ORDER_ROW, "clOrdId": client}))
        assert fill["order_id"] == 0


def test_rows_of_unknown_instruments_are_skipped(wire):
    other = {**ORDER_ROW, "instId": "BTC-USD-250328-50000-C", "fillPx": "0.0325", "side": "?"}
    assert len(events(wire, orders(other, ORDER_ROW, other))) == 1
    assert events(wire, orders(other)) == []


@pytest.mark.parametrize("field", ["instId", "ordId", "side", "state", "accFillSz"])
@pytest.mark.parametrize("gone", ["absent", "empty"])
def test_a_row_of_an_order_that_lacks_something_is_bad_and_says_what(wire, field, gone):
    row = {k: v for k, v in ORDER_ROW.items() if k != field} if gone == "absent" else {**ORDER_ROW, field: ""}
    assert read(wire, orders(row)) == (Verdict.BAD, [])
    assert wire.error().startswith(field)


def test_the_acknowledgement_of_a_refused_order_names_no_order_of_the_venue(wire):
    (report,) = events(wire, answer(code="1", rows=[{"ordId": "", "sCode": "51008"}]))
    assert (report["venue_id"], report["group"]) == ("", ErrorGroup.GROUP_FUNDS)


@pytest.mark.parametrize(("order_id", "good"), [("9" * 40, True), ("9" * 41, False), ("1/../2", False)])
def test_the_id_of_the_venue_is_taken_whole_or_not_at_all(wire, order_id, good):
    for frame in (orders({**ORDER_ROW, "ordId": order_id}), answer(rows=[{"ordId": order_id}])):
        verdict, out = read(wire, frame)
        assert verdict == (Verdict.HANDLED if good else Verdict.BAD)
        assert [x["venue_id"] for x in out] == ([order_id] if good else [])


def test_one_bad_row_refuses_all_of_the_frame(wire):
    assert read(wire, orders(ORDER_ROW, {**ORDER_ROW, "fillSz": "?"})) == (Verdict.BAD, [])


@pytest.mark.parametrize(
    ("fee", "fee_e8"),
    [
        ("-39.8680509955728", 3986805100),  # paid: up
        ("-0.01", 1000000),
        ("0.000000019", -1),  # received: down
        ("0", 0),
        ("", 0),
        ("-0.000000000000000001", 1),
    ],
)
def test_fees_never_look_better_than_they_are(wire, fee, fee_e8):
    (fill,) = events(wire, orders({**ORDER_ROW, "fillFee": fee}))
    assert fill["fee_e8"] == fee_e8


@pytest.mark.parametrize(
    ("symbol", "currency", "is_quote"),
    [
        ("BTC-USDT", "USDT", 1),
        ("BTC-USDT", "BTC", 2),
        ("BTC-USDT", "OKB", 0),
        ("BTC-USDT", "BT", 0),
        ("BTC-USDT", "SDT", 0),
        ("BTC-USDT", "", 0),
        ("BTC-USDT-SWAP", "USDT", 1),
        ("BTC-USDT-SWAP", "SWAP", 0),
    ],
)
def test_the_currency_of_the_fee_is_told(wire, symbol, currency, is_quote):
    row = {**ORDER_ROW, "instId": symbol, "fillFeeCcy": currency, "accFillSz": "0.5", "tradeQuoteCcy": ""}
    told = events(wire, orders(row))[0]
    assert (told["fee_is_quote"], told["fee_coin"]) == (is_quote, currency)


@pytest.mark.parametrize(
    ("change", "lots"),
    [
        ({"ordType": "limit", "tgtCcy": ""}, 300000000),
        ({"ordType": "market", "tgtCcy": "base_ccy"}, 300000000),
        ({"ordType": "market", "tgtCcy": "quote_ccy"}, -1),
        ({"ordType": "market", "tgtCcy": ""}, -1),
        ({"sz": ""}, -1),
    ],
)
def test_a_size_in_quote_coin_is_never_taken_for_one_in_base_coin(wire, change, lots):
    (live,) = events(wire, orders({**ORDER_ROW, **NO_FILL, "state": "live", **change}))
    assert live["order_lots"] == lots
    assert live["order_ticks"] == (-1 if change.get("ordType") == "market" else 6546540)


def test_a_fee_that_is_not_told_is_not_zero(wire):
    for gone in ({"fillFee": ""}, {"fillFee": None}):
        assert events(wire, orders({**ORDER_ROW, **gone}))[0]["fee_is_quote"] == -1


@pytest.mark.parametrize(
    ("category", "nature"),
    [
        ("normal", Nature.TRADE_FILL),
        ("ddh", Nature.TRADE_FILL),
        ("", Nature.TRADE_FILL),
        ("adl", Nature.ADL),
        ("full_liquidation", Nature.LIQUIDATION),
        ("partial_liquidation", Nature.LIQUIDATION),
        ("twap", Nature.LIQUIDATION),
        ("auto_conversion", Nature.LIQUIDATION),
        ("delivery", Nature.SETTLEMENT),
    ],
)
def test_what_the_venue_did_to_the_account_is_told_of_its_fill(wire, category, nature):
    (fill,) = events(wire, orders({**ORDER_ROW, "category": category}))
    assert fill["nature"] == nature


def test_a_new_category_is_a_fill_and_an_oddity(wire):
    assert kinds(events(wire, orders({**ORDER_ROW, "category": "raffle"}))) == [
        ReportKind.REPORT_FILL,
        ReportKind.REPORT_ODD,
    ]


def test_fills_without_a_number_are_told_apart_and_repeats_are_not(wire):
    """Row 41: the same push again, perhaps with another `uTime`, is the same fill."""
    row = {**ORDER_ROW, **LIQUIDATED}
    changes = [{}, {"uTime": "1727597079999"}, {"fillSz": "0.5"}, {"fillPx": "65465.40"}, {"tradeId": "-77"}]
    same = {(x["trade_hi"], x["trade_lo"]) for c in changes for x in events(wire, orders({**row, **c}))}
    changes = [{"fillSz": "0.6"}, {"fillPx": "65465.5"}, {"fillTime": "1727597074014"}, {"ordId": "5"}]
    other = [(x["trade_hi"], x["trade_lo"]) for c in changes for x in events(wire, orders({**row, **c}))]
    assert len(same) == 1
    assert len(same | set(other)) == 5
    assert all(lo < 0 for _, lo in (*same, *other))


def test_a_row_that_fills_nothing_has_no_fill(wire):
    """Rows of liquidation orders carry the trade id 0 from the start."""
    row = {**ORDER_ROW, **NO_FILL, "tradeId": "0", "state": "live", "category": "full_liquidation"}
    assert kinds(events(wire, orders(row))) == [ReportKind.REPORT_LIVE]
    assert read(wire, orders({**ORDER_ROW, "fillSz": "0"})) == (Verdict.BAD, [])
    assert read(wire, orders({**ORDER_ROW, "fillPx": ""})) == (Verdict.BAD, [])


# ---- amends ----


def test_an_amend_that_went_well_tells_what_is_in_force(wire):
    """Row 52: the answer says only that it was taken; the channel says what became of it."""
    assert events(wire, answer("amend-order", request=AMEND_REQUEST, rows=[{"reqId": AMEND_REQUEST}])) == []
    amended, live = events(wire, orders({**ORDER_ROW, **NO_FILL, **AMENDED, "px": "65000", "sz": "4"}))
    assert kinds([amended, live]) == [ReportKind.REPORT_AMENDED, ReportKind.REPORT_LIVE]
    assert (amended["order_ticks"], amended["order_lots"], amended["order_id"]) == (6500000, 400000000, 7)


def test_an_amend_that_fails_behind_its_answer_leaves_the_order_as_it_is(wire):
    row = {**ORDER_ROW, **NO_FILL, **AMENDED, "amendResult": "-1", "code": "51511"}
    rejected, live = events(wire, orders(row))
    assert kinds([rejected, live]) == [ReportKind.REPORT_AMEND_REJECT, ReportKind.REPORT_LIVE]
    assert (rejected["code"], rejected["group"]) == (51511, ErrorGroup.GROUP_POST_ONLY)
    row |= {"amendResult": "1", "state": "canceled", "cancelSource": "0"}
    assert kinds(events(wire, orders(row))) == [ReportKind.REPORT_AMEND_REJECT, ReportKind.REPORT_EXPIRED]
    row |= {"amendResult": "7", "state": "live"}
    assert kinds(events(wire, orders(row))) == [ReportKind.REPORT_ODD, ReportKind.REPORT_LIVE]


@pytest.mark.parametrize("source", ["2", "3", "4", "6"])
def test_a_size_that_the_venue_changed_is_an_amend_too(wire, source):
    row = {**ORDER_ROW, **NO_FILL, "state": "live", "amendSource": source, "sz": "1.5"}
    amended, _ = events(wire, orders(row))
    assert (amended["kind"], amended["order_lots"]) == (ReportKind.REPORT_AMENDED, 150000000)


def test_a_refused_amend_is_no_refused_order(wire):
    (report,) = events(wire, SAMPLES["amend refused"])
    assert (report["kind"], report["group"]) == (ReportKind.REPORT_AMEND_REJECT, ErrorGroup.GROUP_NOT_OPEN)
    (report,) = events(wire, SAMPLES["amend unknown"])
    assert (report["kind"], report["group"]) == (ReportKind.REPORT_UNCERTAIN, ErrorGroup.GROUP_UNKNOWN)


# ---- stops ----


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("live", ReportKind.REPORT_LIVE),
        ("pause", ReportKind.REPORT_LIVE),
        ("canceled", ReportKind.REPORT_CANCELED),
        ("order_failed", ReportKind.REPORT_EXPIRED),
        ("partially_failed", ReportKind.REPORT_ODD),
        ("something new", ReportKind.REPORT_ODD),
    ],
)
def test_a_stop_lives_in_a_channel_of_its_own(wire, state, kind):
    (report,) = events(wire, algos({**ALGO_ROW, "state": state, "failCode": "51008"}))
    assert (report["kind"], report["order_id"], report["venue_id"]) == (kind, 7, "581878926302093312")
    assert (report["order_lots"], report["order_ticks"], report["filled_lots"]) == (250, -1, -1)
    assert report["code"] == (51008 if state == "order_failed" else 0)
    assert events(wire, algos({**ALGO_ROW, "state": "effective"})) == []


def test_what_a_stop_became_is_the_stop(wire):
    """The order that it made has its own venue id and no client id; it may be one of several."""
    row = {**ORDER_ROW, "clOrdId": "", "algoClOrdId": CLIENT, "algoId": "58", "state": "filled", "sz": "0.5"}
    fill, live = events(wire, orders(row))
    assert kinds([fill, live]) == [ReportKind.REPORT_FILL, ReportKind.REPORT_LIVE]
    assert {x["order_id"] for x in (fill, live)} == {7}
    assert {x["order_lots"] for x in (fill, live)} == {-1}
    (end,) = events(wire, orders({**row, **NO_FILL, "state": "canceled", "cancelSource": "14"}))
    assert (end["kind"], end["order_id"]) == (ReportKind.REPORT_EXPIRED, 7)


# ---- answers ----


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("0", ReportKind.REPORT_ACK),
        ("51008", ReportKind.REPORT_REJECT),
        ("50011", ReportKind.REPORT_REJECT),
        ("50037", ReportKind.REPORT_REJECT),
        ("51001", ReportKind.REPORT_REJECT),
        ("50004", ReportKind.REPORT_UNCERTAIN),
        ("50026", ReportKind.REPORT_UNCERTAIN),
        ("51054", ReportKind.REPORT_UNCERTAIN),
        ("51412", ReportKind.REPORT_UNCERTAIN),
        ("51016", ReportKind.REPORT_UNCERTAIN),  # an order with our id is open: it may be this one
        ("99999", ReportKind.REPORT_UNCERTAIN),
        ("1", ReportKind.REPORT_UNCERTAIN),
    ],
)
def test_an_answer_is_a_refusal_only_where_the_venue_says_so(wire, code, kind):
    (report,) = events(wire, answer(code="1", rows=[{"sCode": code}]))
    assert (report["kind"], report["order_id"], report["instrument"]) == (kind, 7, -1)
    assert report["code"] == int(code)


def test_an_item_that_does_not_say_what_became_of_it_proves_nothing(wire):
    for code in ("0", "1", "2"):
        (report,) = events(wire, answer(code=code, rows=[{"sCode": ""}]))
        assert (report["kind"], report["code"]) == (ReportKind.REPORT_UNCERTAIN, -1)


def test_an_answer_without_rows_is_recognised_by_its_request_id(wire):
    (report,) = events(wire, {**answer(code="50011"), "data": []})
    assert (report["kind"], report["order_id"], report["code"]) == (ReportKind.REPORT_REJECT, 7, 50011)
    (report,) = events(wire, {**answer(code="0"), "data": []})
    assert report["kind"] == ReportKind.REPORT_UNCERTAIN
    assert read(wire, {**answer(code="50011", request="1512"), "data": []}) == (Verdict.NOT_MINE, [])


def test_an_error_event_with_our_request_id_is_an_answer(wire):
    (report,) = events(wire, SAMPLES["error event"])
    assert (report["kind"], report["order_id"]) == (ReportKind.REPORT_REJECT, 7)
    (report,) = events(wire, SAMPLES["error event"] | {"id": CANCEL_REQUEST})
    assert report["kind"] == ReportKind.REPORT_CANCEL_REJECT


def test_an_accepted_cancel_says_nothing_and_a_refused_one_little(wire):
    assert events(wire, answer("cancel-order", request=CANCEL_REQUEST)) == []
    (report,) = events(wire, SAMPLES["cancel refused"])
    assert (report["kind"], report["code"]) == (ReportKind.REPORT_CANCEL_REJECT, 51400)


def test_a_batch_answer_speaks_of_each_order(wire):
    rows = [{}, {"clOrdId": wire.client_id(8), "sCode": "51008"}]
    got = events(wire, answer("batch-orders", "2", rows=rows))
    assert [(x["order_id"], x["kind"]) for x in got] == [
        (7, ReportKind.REPORT_ACK),
        (8, ReportKind.REPORT_REJECT),
    ]


@pytest.mark.parametrize("action", [Action.NEW, Action.CANCEL, Action.AMEND])
def test_the_decoder_and_the_rules_agree_on_every_code(wire, action):
    words = {Action.NEW: "order", Action.CANCEL: "cancel-order", Action.AMEND: "amend-order"}
    refused = {Action.NEW: ReportKind.REPORT_REJECT, Action.AMEND: ReportKind.REPORT_AMEND_REJECT}
    for code in [*ERRORS, 12345, 51999]:
        assert wire.outcome(code, action) == verdict(code, action)
        (report,) = events(wire, answer(words[action], "1", rows=[{"sCode": str(code)}]))
        kind = refused[action] if verdict(code, action)[0] == Outcome.REFUSED and action in refused else 0
        kind = (
            ReportKind.REPORT_CANCEL_REJECT
            if action == Action.CANCEL
            else kind or ReportKind.REPORT_UNCERTAIN
        )
        assert (report["kind"], report["code"], report["group"]) == (kind, code, verdict(code, action)[1])


def batch_of(wire: OkxWire, action: int, count: int = 3) -> dict:
    intents = [
        {"instrument": i % 2, "price_ticks": 5 + i, "size_lots": 2, "action": action} for i in range(count)
    ]
    return orjson.loads(wire.preview_batch(intents, list(range(7, 7 + count)), NOW))


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (Action.NEW, ReportKind.REPORT_REJECT),
        (Action.CANCEL, ReportKind.REPORT_CANCEL_REJECT),
        (Action.AMEND, ReportKind.REPORT_AMEND_REJECT),
    ],
)
def test_what_is_said_of_a_whole_batch_is_said_of_each_order_in_it(wire, action, kind):
    """Row 62."""
    request = batch_of(wire, action)
    whole_batch = {"id": request["id"], "op": request["op"], "data": [], "code": "50011", "msg": "Too many"}
    for frame in (whole_batch, {"id": request["id"], "event": "error", "code": "50011", "msg": ""}):
        got = events(wire, frame)
        assert [x["order_id"] for x in got] == [7, 8, 9]
        assert {(x["kind"], x["code"], x["group"]) for x in got} == {(kind, 50011, ErrorGroup.GROUP_LIMIT)}


def test_an_item_of_a_batch_that_names_no_order_is_of_none(wire):
    """Row 62: which item stands where is not promised, so it is not guessed. The ack timer finds it."""
    request = batch_of(wire, Action.NEW)
    rows = [{"clOrdId": "", "sCode": "51008"}, {"clOrdId": wire.client_id(8), "sCode": "0"}]
    got = events(wire, answer("batch-orders", "2", request["id"], rows))
    assert [(x["order_id"], x["kind"]) for x in got] == [(8, ReportKind.REPORT_ACK)]
    assert read(wire, answer("batch-orders", "1", request["id"], rows[:1])) == (Verdict.NOT_MINE, [])


def test_a_batch_from_long_ago_is_known_by_its_first_order_only(wire):
    old = batch_of(wire, Action.NEW)
    for _ in range(16):
        batch_of(wire, Action.NEW)
    got = events(wire, {"id": old["id"], "op": "batch-orders", "data": [], "code": "50011", "msg": ""})
    assert [x["order_id"] for x in got] == [7]


def test_answers_to_orders_of_an_earlier_process_carry_its_epoch(wire):
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT", "0.01", "0.00000001", inst_code=3)
    older = OkxWire(table, Market.OKX, "tckg", 41)
    (report,) = events(
        wire, answer("cancel-order", "1", "1512", [{"clOrdId": older.client_id(9), "sCode": "51400"}])
    )
    assert (report["order_id"], report["epoch"]) == (9, 41)
    (report,) = events(wire, orders({**ORDER_ROW, **NO_FILL, "state": "live", "clOrdId": older.client_id(9)}))
    assert (report["order_id"], report["epoch"]) == (9, 41)
    cancel = sent(wire, instrument=SPOT, action=Action.CANCEL, epoch=41)
    assert cancel["args"][0]["clOrdId"] == older.client_id(7)


# ---- encoding ----


def sent(wire: OkxWire, **intent) -> dict:
    return orjson.loads(wire.preview(intent, 7, NOW))


def test_a_limit_order_on_the_wire(wire):
    intent = {"instrument": SPOT, "price_ticks": 6000010, "size_lots": 250000000}
    assert wire.preview(intent, 7, NOW).decode() == (
        f'{{"id":"n{CLIENT}0001","op":"order","expTime":"1597026384585","args":[{{"instIdCode":3,'
        f'"instId":"BTC-USDT","tdMode":"cash","clOrdId":"{CLIENT}",'
        f'"side":"buy","ordType":"limit","px":"60000.1",'
        f'"pxAmendType":"0","sz":"2.5","stpMode":"cancel_maker"}}]}}'
    )


@pytest.mark.parametrize(
    ("tif", "name"),
    [
        (TimeInForce.GTC, "limit"),
        (TimeInForce.IOC, "ioc"),
        (TimeInForce.FOK, "fok"),
        (TimeInForce.POST_ONLY, "post_only"),
    ],
)
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_each_time_in_force_has_its_order_type(wire, tif, name, side):
    (arg,) = sent(wire, instrument=SWAP, price_ticks=600001, size_lots=250, tif=tif, side=side)["args"]
    assert arg == {
        "instIdCode": 10459,
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "clOrdId": CLIENT,
        "side": "buy" if side == Side.BUY else "sell",
        "ordType": name,
        "px": "60000.1",
        "pxAmendType": "0",
        "sz": "2.5",
        "stpMode": "cancel_maker",
    }


def test_reduce_only_is_sent_for_swaps_only(wire):
    swap = sent(wire, instrument=SWAP, price_ticks=1, size_lots=1, reduce_only=1)["args"][0]
    spot = sent(wire, instrument=SPOT, price_ticks=1, size_lots=1, reduce_only=1)["args"][0]
    assert swap["reduceOnly"] is True
    assert "reduceOnly" not in spot


@pytest.mark.parametrize(("word", "leg"), LEGS.items())
def test_the_leg_of_an_order_is_told(wire, word, leg):
    assert {x["leg"] for x in events(wire, orders({**ORDER_ROW, "posSide": word}))} == {leg}


@pytest.mark.parametrize("word", ["Long", "both", "shor", "1"])
def test_a_position_side_that_nobody_knows_is_never_guessed(wire, word):
    assert read(wire, orders({**ORDER_ROW, "posSide": word})) == (Verdict.BAD, [])
    assert wire.error().startswith("posSide:")


@pytest.mark.parametrize("coin", ["A" * 11, "A" * 12])
def test_a_coin_that_does_not_fit_is_not_named(wire, coin):
    told = events(wire, orders({**ORDER_ROW, "fillFeeCcy": coin}))[0]["fee_coin"]
    assert told == (coin if len(coin) < 12 else "")


@pytest.mark.parametrize(("leg", "word", "closing"), [(1, "long", Side.SELL), (2, "short", Side.BUY)])
@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_MARKET])
def test_in_hedge_mode_a_swap_order_names_its_leg(wire, leg, word, closing, kind):
    """Section 6.6: reduceOnly is of net mode; what closes a leg is reduce-only by nature."""
    wire.set_hedge(True)
    intent = {"instrument": SWAP, "type": kind, "price_ticks": 1, "size_lots": 1, "trigger_ticks": 1}
    (arg,) = sent(wire, **intent, side=closing, reduce_only=1, leg=leg)["args"]
    assert (arg["posSide"], arg["side"]) == (word, "sell" if closing == Side.SELL else "buy")
    assert "reduceOnly" not in arg


def test_a_frame_of_a_leg_is_the_net_frame_but_for_its_leg(wire):
    intent = {"instrument": SWAP, "price_ticks": 1, "size_lots": 1}
    net = sent(wire, **intent)
    wire = make_wire()
    wire.set_hedge(True)
    assert sent(wire, **intent, leg=1)["args"][0] == net["args"][0] | {"posSide": "long"}
    spot = {"instrument": SPOT, "price_ticks": 1, "size_lots": 1}
    assert "posSide" not in sent(wire, **spot)["args"][0]
    for action in (Action.CANCEL, Action.AMEND):
        assert "posSide" not in sent(wire, **intent, action=action)["args"][0]


@pytest.mark.parametrize(
    ("hedge", "intent", "why"),
    [
        (True, {"instrument": SWAP}, "long or the short leg"),
        (True, {"instrument": SWAP, "leg": 3}, "long or the short leg"),
        (False, {"instrument": SWAP, "leg": 1}, "no legs here"),
        (True, {"instrument": SPOT, "leg": 1}, "no legs here"),
        (True, {"instrument": SWAP, "leg": 1, "reduce_only": 1}, "opens its leg"),
        (
            True,
            {"instrument": SWAP, "leg": 2, "side": Side.SELL, "type": OrderType.STOP_MARKET},
            "opens its leg",
        ),
    ],
)
def test_a_leg_that_cannot_be_is_not_written(wire, hedge, intent, why):
    wire.set_hedge(hedge)
    intent = {"price_ticks": 1, "size_lots": 1, "trigger_ticks": 1, **intent}
    with pytest.raises(ValueError, match=why):
        wire.preview(intent, 7, NOW)


def test_market_orders_leave_nothing_to_the_venue(wire):
    spot = sent(wire, instrument=SPOT, type=OrderType.MARKET, size_lots=1)["args"][0]
    assert (spot["ordType"], spot["tgtCcy"], spot["banAmend"], spot["sz"]) == (
        "market",
        "base_ccy",
        True,
        "0.00000001",
    )
    swap = sent(wire, instrument=SWAP, type=OrderType.MARKET, size_lots=100)["args"][0]
    assert (swap["ordType"], swap["sz"]) == ("optimal_limit_ioc", "1")
    assert "px" not in spot
    assert "px" not in swap


def test_a_cancel_has_no_deadline(wire):
    frame = sent(wire, instrument=SWAP, action=Action.CANCEL)
    assert frame == {
        "id": frame["id"],
        "op": "cancel-order",
        "args": [{"instIdCode": 10459, "instId": "BTC-USDT-SWAP", "clOrdId": CLIENT}],
    }
    assert frame["id"][0] == "c"


def test_an_amend_gives_price_and_whole_size_and_a_name_of_its_own(wire):
    frame = sent(wire, instrument=SWAP, action=Action.AMEND, price_ticks=600002, size_lots=200)
    assert frame == {
        "id": frame["id"],
        "op": "amend-order",
        "expTime": "1597026384585",
        "args": [
            {
                "instIdCode": 10459,
                "instId": "BTC-USDT-SWAP",
                "clOrdId": CLIENT,
                "reqId": frame["id"],
                "newPx": "60000.2",
                "newSz": "2",
                "cxlOnFail": False,
            }
        ],
    }
    assert frame["id"][0] == "a"
    assert sent(wire, instrument=SWAP, action=Action.AMEND, size_lots=1)["id"] != frame["id"]


def test_a_swap_stop_goes_by_the_mark_price_and_only_reduces(wire):
    stop = {"instrument": SWAP, "type": OrderType.STOP_MARKET, "side": Side.SELL, "reduce_only": 1}
    frame = sent(wire, **stop, trigger_ticks=590005, size_lots=250)
    assert (frame["op"], frame["id"][0]) == ("order-algo", "n")
    assert frame["args"] == [
        {
            "instIdCode": 10459,
            "instId": "BTC-USDT-SWAP",
            "tdMode": "cross",
            "algoClOrdId": CLIENT,
            "side": "sell",
            "ordType": "conditional",
            "slTriggerPx": "59000.5",
            "slTriggerPxType": "mark",
            "slOrdPx": "-1",
            "reduceOnly": True,
            "sz": "2.5",
        }
    ]
    assert wire.stop_by_rest


def test_a_spot_stop_goes_by_the_last_price_in_base_coin(wire):
    stop = {"instrument": SPOT, "type": OrderType.STOP_MARKET, "side": Side.BUY}
    (arg,) = sent(wire, **stop, trigger_ticks=6100000, size_lots=1)["args"]
    assert (arg["slTriggerPxType"], arg["tgtCcy"], arg["tdMode"], arg["sz"]) == (
        "last",
        "base_ccy",
        "cash",
        "0.00000001",
    )
    assert "reduceOnly" not in arg


def test_a_stop_is_cancelled_in_its_own_namespace(wire):
    frame = sent(wire, instrument=SWAP, type=OrderType.STOP_MARKET, action=Action.CANCEL)
    args = [{"instIdCode": 10459, "instId": "BTC-USDT-SWAP", "algoClOrdId": CLIENT}]
    assert frame == {"id": frame["id"], "op": "cancel-algos", "args": args}


@pytest.mark.parametrize(
    "intent",
    [
        {"type": OrderType.STOP_MARKET},
        {"type": OrderType.STOP_MARKET, "trigger_ticks": 5, "action": Action.AMEND},
        {"action": Action.REPLACE},
        {"action": 9},
    ],
)
def test_what_the_venue_has_no_request_for_is_not_written(wire, intent):
    with pytest.raises(ValueError, match=r"stop|amend"):
        sent(wire, instrument=SWAP, price_ticks=1, size_lots=1, **intent)


@pytest.mark.parametrize(
    ("mode", "word"),
    [("expire_maker", "cancel_maker"), ("expire_taker", "cancel_taker"), ("expire_both", "cancel_both")],
)
def test_self_trade_prevention_is_always_sent(wire, mode, word):
    wire.stp = mode
    assert wire.stp == mode
    assert sent(wire, instrument=SWAP, price_ticks=1, size_lots=1)["args"][0]["stpMode"] == word
    with pytest.raises(ValueError, match="stp"):
        wire.stp = "none"
    with pytest.raises(ValueError, match="spot mode"):
        wire.set_spot_mode("isolated")


def test_spot_orders_of_a_margin_account_are_cross(wire):
    wire.set_spot_mode("cross")
    assert sent(wire, instrument=SPOT, price_ticks=1, size_lots=1)["args"][0]["tdMode"] == "cross"
    stop = {"type": OrderType.STOP_MARKET, "trigger_ticks": 1, "size_lots": 1}
    assert sent(wire, instrument=SPOT, **stop)["args"][0]["tdMode"] == "cross"


def test_the_deadline_is_on_the_clock_of_the_venue(wire):
    wire.window(2000)
    wire.clock(-3_000_000_000)
    for action in (Action.NEW, Action.AMEND):
        frame = sent(wire, instrument=SWAP, price_ticks=1, size_lots=1, action=action)
        assert frame["expTime"] == str(NOW // MS - 3000 + 2000)


@pytest.mark.parametrize(
    ("action", "op", "letter"),
    [
        (Action.NEW, "batch-orders", "N"),
        (Action.CANCEL, "batch-cancel-orders", "C"),
        (Action.AMEND, "batch-amend-orders", "A"),
    ],
)
def test_a_batch_is_one_request_of_the_same_orders(wire, action, op, letter):
    frame = batch_of(wire, action, 20)
    assert (frame["op"], frame["id"][0], len(frame["args"])) == (op, letter, 20)
    assert ("expTime" in frame) == (action != Action.CANCEL)
    assert frame["id"][1:22] == CLIENT
    assert [wire.order_id(x["clOrdId"]) for x in frame["args"]] == list(range(7, 27))
    one = make_wire()
    intents = [
        {"instrument": i % 2, "price_ticks": 5 + i, "size_lots": 2, "action": action} for i in range(20)
    ]
    for i, arg in enumerate(frame["args"]):
        alone = orjson.loads(one.preview(intents[i], 7 + i, NOW))["args"][0]
        assert {k: v for k, v in alone.items() if k != "reqId"} == {
            k: v for k, v in arg.items() if k != "reqId"
        }
    if action == Action.AMEND:
        assert len({x["reqId"] for x in frame["args"]}) == 20
    assert wire.batch_max == 20


def test_a_batch_is_of_one_action_and_never_of_stops(wire):
    order = {"instrument": SPOT, "price_ticks": 1, "size_lots": 1}
    stop = {**order, "type": OrderType.STOP_MARKET, "trigger_ticks": 1}
    for intents in ([], [order] * 21, [order, {**order, "action": Action.CANCEL}], [order, stop]):
        with pytest.raises(ValueError, match="batch"):
            wire.preview_batch(intents, list(range(1, 1 + len(intents))), NOW)
    broken = [order, {**order, "instrument": 2}]
    with pytest.raises(ValueError, match="OLD-USDT"):
        wire.preview_batch(broken, [1, 2], NOW)


def test_ids_are_legal_at_the_venue_and_never_repeat(wire):
    frames = [sent(wire, instrument=SPOT, price_ticks=1, size_lots=1) for _ in range(100)]
    assert len({x["id"] for x in frames}) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9]{1,32}", x["id"]) for x in frames)
    assert re.fullmatch(r"[A-Za-z0-9]{1,32}", frames[0]["args"][0]["clOrdId"])


@pytest.mark.parametrize("action", [Action.NEW, Action.CANCEL])
def test_an_instrument_without_code_cannot_be_traded_here(wire, action):
    with pytest.raises(ValueError, match="OLD-USDT: no instIdCode"):
        sent(wire, instrument=2, price_ticks=1, size_lots=1, action=action)
    with pytest.raises(ValueError, match="instrument 3"):
        sent(wire, instrument=3, price_ticks=1, size_lots=1, action=action)


def test_the_largest_order_fits_into_a_frame():
    table = Instruments()
    symbol = "X" * 33 + "-USDT-SWAP"
    table.add(Market.OKX, symbol, "0.0001", "0.00000001", is_perpetual=True, inst_code=2**31 - 1)
    wire = OkxWire(table, Market.OKX)
    intent = {
        "instrument": 0,
        "price_ticks": 2**48 - 1,
        "size_lots": 2**62,
        "side": 1,
        "tif": 3,
        "reduce_only": 1,
    }
    frame = wire.preview(intent, 2**45 - 1, 2**62)
    assert orjson.loads(frame)["args"][0]["sz"] == "46116860184.27387904"
    intent |= {"trigger_ticks": 2**48 - 1, "epoch": 2**35 - 1}
    for more in ({}, {"type": OrderType.STOP_MARKET}, {"action": Action.AMEND}, {"action": Action.CANCEL}):
        frame = wire.preview(intent | more, 2**45 - 1, 2**62)
        assert len(frame) < 512 - 40
    batch = [intent | {"action": Action.AMEND}] * 20
    assert len(wire.preview_batch(batch, [2**45 - 1] * 20, 2**62)) < 20 * 512


# ---- checksum ----


def test_the_checksum_of_the_documented_example():
    table = Instruments()
    table.add(Market.OKX, "X-Y", "0.1", "1")
    wire = OkxWire(table, Market.OKX)
    assert wire.book_checksum(0, [(33661, 7), (33660, 6)], [(33668, 9), (33680, 8)]) == -1881014294
    assert wire.book_checksum(0, [], []) == 0


def test_the_checksum_goes_on_alone_on_the_longer_side():
    import zlib

    table = Instruments()
    table.add(Market.OKX, "X-Y", "0.1", "1")
    wire = OkxWire(table, Market.OKX)
    text = b"1:5:2:6:0.9:7:0.8:8"
    want = zlib.crc32(text) - (2**32 if zlib.crc32(text) >= 2**31 else 0)
    assert wire.book_checksum(0, [(10, 5), (9, 7), (8, 8)], [(20, 6)]) == want
    text = b"2:6"
    want = zlib.crc32(text) - (2**32 if zlib.crc32(text) >= 2**31 else 0)
    assert wire.book_checksum(0, [], [(20, 6)]) == want


# ---- real captures ----


def feed(book: Book, depth: dict) -> int:
    ids = {k: depth[k] for k in ("first_id", "last_id", "prev_id")}
    return book.feed(depth["kind"], depth["rule"], depth["bids"], depth["asks"], **ids)


def finest(texts: set[str]) -> str:
    """A step that all these decimals are on."""
    places = max(len(x.partition(".")[2]) for x in texts)
    return "0." + "0" * (places - 1) + "1" if places else "1"


def wire_for(frames: list[dict]) -> OkxWire:
    """A decoder whose instruments are fine enough for every number in these frames."""
    prices, sizes = {}, {}
    for frame in frames:
        symbol = frame["arg"]["instId"]
        for row in frame["data"]:
            pairs = [(row["px"], row["sz"])] if "px" in row else [x[:2] for x in row["asks"] + row["bids"]]
            prices.setdefault(symbol, set()).update(x[0] for x in pairs)
            sizes.setdefault(symbol, set()).update(x[1] for x in pairs)
    table = Instruments()
    for symbol in prices:
        table.add(Market.OKX, symbol, finest(prices[symbol]), finest(sizes[symbol]))
    return OkxWire(table, Market.OKX)


def twin_apply(sides: dict[str, dict], frame: dict) -> None:
    """The naive book: text to Decimal, one dict a side."""
    for row in frame["data"]:
        if frame["action"] == "snapshot":
            sides["bids"].clear(), sides["asks"].clear()
        for name, side in sides.items():
            for price, size, *_ in row[name]:
                side[Decimal(price)] = Decimal(size)
                if Decimal(size) == 0:
                    del side[Decimal(price)]


@pytest.mark.parametrize(
    ("name", "checksums", "books", "trades"),
    [
        ("okx/multi-2021-07-22-conn1.jsonl.gz", 1504, 1504, 36),
        ("okx/multi-2021-07-22-conn2.jsonl.gz", 1446, 1446, 36),
        ("okx/multi-2022-05-13-with-rest.jsonl.gz", 290, 290, 74),
        ("okx/btcusdt-books-2026-08-24.jsonl.gz", 0, 7, 0),
    ],
)
def test_a_real_recording_replays_without_a_gap(name, checksums, books, trades):
    rows = [x for x in lines(name) if x["channel"] != "connect"]
    data = [orjson.loads(x["raw"]) for x in rows if x["channel"].startswith(("books", "trades"))]
    wire = wire_for(data)
    table, seen = wire.instruments, {}
    twins = {x["arg"]["instId"]: {"bids": {}, "asks": {}} for x in data}
    count = {"depth": 0, "trade": 0, "checksum": 0}
    for row in rows:
        verdict, out = read(wire, row["raw"].encode())
        mine = row["channel"].startswith(("books", "trades"))
        assert verdict == (Verdict.HANDLED if mine else Verdict.NOT_MINE), (row["raw"][:200], wire.error())
        for event in out:
            count[event["type"]] += 1
            if event["type"] != "depth":
                continue
            book = seen.setdefault(event["instrument"], Book(event["instrument"]))
            assert feed(book, event) == Applied.APPLIED
            if event["checksum"]:
                count["checksum"] += 1
                assert wire.book_checksum(book.instrument, book.bids(25), book.asks(25)) == event["checksum"]
        if row["channel"].startswith("books"):
            frame = orjson.loads(row["raw"])
            twin_apply(twins[frame["arg"]["instId"]], frame)
    assert count == {"depth": books, "trade": trades, "checksum": checksums}
    for instrument, book in seen.items():
        tick, lot = Decimal(table.price_grid(instrument).step), Decimal(table.size_grid(instrument).step)
        sides = twins[table.symbol(instrument)]
        assert [(p * tick, s * lot) for p, s in book.bids()] == sorted(sides["bids"].items(), reverse=True)
        assert [(p * tick, s * lot) for p, s in book.asks()] == sorted(sides["asks"].items())
        assert (book.state, book.gaps, book.crossings) == (BookState.SYNCED, 0, 0)


def test_every_captured_message_is_read_or_left_alone():
    table = Instruments()
    for symbol in ("BTC-USDT", "BTC-USD", "BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USD-250328-50000-C"):
        table.add(Market.OKX, symbol, "0.0001", "0.00000001")
    wire = OkxWire(table, Market.OKX)
    handled = []
    for row in lines("fixtures/okx-nautilus.jsonl.gz"):
        verdict, _ = read(wire, row["raw"].encode())
        assert verdict != Verdict.BAD, (row["channel"], wire.error())
        if verdict == Verdict.HANDLED:
            handled.append(row["channel"].split(":")[1])
    assert {
        "ws_bbo_tbt.json",
        "ws_books_snapshot.json",
        "ws_books_update.json",
        "ws_funding_rate.json",
    } < set(handled)
    assert {"ws_trades.json", "ws_orders.json", "ws_orders_fok.json", "ws_orders_ioc.json"} < set(handled)
    assert not any(x.startswith("http_") for x in handled)


def test_a_captured_book_reply_seeds_a_book():
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT", "0.1", "0.00000001")
    (row,) = [x for x in lines("fixtures/okx-nautilus.jsonl.gz") if "order_book" in x["channel"]]
    (depth,) = events(OkxWire(table, Market.OKX), row["raw"].encode(), context=0)
    assert depth["asks"][0] == (410068, 60038921)
    assert depth["rule"] == Rule.RULE_NONE  # this one is from before `seqId`


def test_a_real_account_is_filled_in_seventeen_parts():
    table = Instruments()
    table.add(Market.OKX, "BTC-USDT", "0.1", "0.00000001")
    table.add(Market.OKX, "BTC-USDT-SWAP", "0.1", "0.01", "0.01")
    wire = OkxWire(table, Market.OKX)
    seen: dict[str, list[dict]] = {}
    for row in lines("private/okx-orders-a.jsonl.gz"):
        verdict, out = read(wire, row["raw"].encode())
        want = Verdict.HANDLED if row["channel"] == "private:orders" else Verdict.NOT_MINE
        assert verdict == want, (row["raw"][:200], wire.error())
        for event in out:
            seen.setdefault(event["venue_id"], []).append(event)
    assert max(sum(x["kind"] == ReportKind.REPORT_FILL for x in rows) for rows in seen.values()) == 17
    for rows in seen.values():
        fills = [x for x in rows if x["kind"] == ReportKind.REPORT_FILL]
        assert rows[0]["kind"] == ReportKind.REPORT_LIVE
        assert rows[-1]["kind"] == ReportKind.REPORT_FILLED
        assert sum(x["size_lots"] for x in fills) == rows[-1]["filled_lots"]
        assert all(x["fee_e8"] > 0 for x in fills)


def test_account_messages_are_left_alone(wire):
    for row in lines("private/okx-account.jsonl.gz"):
        assert read(wire, row["raw"].encode()) == (Verdict.NOT_MINE, [])


@pytest.mark.parametrize("size", [15, 16, 100, 130, 200, 3000])
def test_long_strings_behind_the_size_of_the_last_level_cut_off_where_it_ends(wire, size):
    """A level whose other strings are long, at the very end of what arrived: nothing behind is read (run it
    under AddressSanitizer: it once was)."""
    head = b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":['
    level = b'["8476.98","415","0","' + b"7" * size + b'"]'
    for tail in (b"", b"]", b"],", b',["8477","1","0","2"]'):
        assert read(wire, head + level + tail) == (Verdict.BAD, [])
    rest = b'],"bids":[],"ts":"1597026383085","checksum":0,"seqId":15,"prevSeqId":10}]}'
    assert events(wire, head + level + rest)[0]["asks"] == [(847698, 41500000000)]


def test_a_quote_behind_a_backslash_does_not_end_a_string_of_a_level(wire):
    head = b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":['
    rest = b',["8477","1","0","2"]],"bids":[],"ts":"1597026383085","checksum":0,"seqId":15,"prevSeqId":10}]}'
    for level in (rb'["8476","1","x\","y"]', rb'["8476","1","0","y\"]'):
        assert read(wire, head + level + rest) == (Verdict.BAD, []), level
    for level in (rb'["8476","1","x\"","y"]', rb'["8476","1","\\","\\"]'):
        assert [x[0] for x in events(wire, head + level + rest)[0]["asks"]] == [847600, 847700], level


# ---- a second line ----

UPDATE = orjson.dumps(book_frame(asks=LEVELS, bids=BIDS))
TAIL = b'"ts":"1597026383085","checksum":0,"seqId":15,"prevSeqId":10}]}'


def test_the_levels_of_a_copy_are_not_read_and_those_of_the_winner_are(wire):
    loser, winner = SecondLine(has=True), SecondLine(has=False)
    assert wire.read(garbled(UPDATE), loser) == Verdict.HANDLED
    ids = {"first_id": 10, "last_id": 15, "prev_id": 10}
    asked = {"instrument": SPOT, "kind": DepthKind.UPDATE, "depth": 400, "partial": 0, "rule": Rule.RULE_PREV}
    assert (loser.looks, loser.events) == ([asked | ids], [])
    assert wire.read(garbled(UPDATE), winner) == Verdict.BAD
    assert wire.read(UPDATE, winner) == Verdict.HANDLED
    assert winner.events == read(wire, UPDATE)[1]


@pytest.mark.parametrize(
    "frame",
    [
        *(frame for frame in FRAMES.values() if b'"action":"update"' not in frame),
        UPDATE.replace(b"BTC-USDT", b"XYZ-USDT"),
        UPDATE.replace(b'"books"', b'"books5"'),
        UPDATE.replace(b"}]}", b'}],"x":[{"seqId":9}]}'),
        UPDATE.replace(b"}]}", b"},{}]}"),
        UPDATE.replace(b"}]}", b',"x":1}]}'),
        UPDATE.replace(b'"prevSeqId":10', b'"prevSeqId":-1'),
        UPDATE.replace(b',"seqId":15', b""),
        UPDATE.replace(b'"action":"update",', b"")[:-1] + b',"action":"update"}',
        UPDATE + b"\n",
    ],
)
def test_only_an_update_with_the_usual_end_is_looked_at(wire, frame):
    assert frame != UPDATE
    assert not check_look(wire, frame)


def test_the_ids_of_an_update_may_come_in_the_order_of_the_documentation(wire):
    frame = UPDATE.replace(TAIL, TAIL.replace(b'"seqId":15,"prevSeqId":10', b'"prevSeqId":10,"seqId":15'))
    assert frame != UPDATE
    assert check_look(wire, frame)


def test_an_update_that_is_newer_than_the_book_is_read_without_a_look(wire):
    check_newer_is_not_looked_at(wire, UPDATE)


def test_a_look_says_what_the_whole_frame_says_wherever_it_is_broken(wire):
    assert check_looks_at_mutants(wire, UPDATE) > 1000


def test_no_member_that_does_not_belong_there_can_fool_a_look(wire):
    rng, looked, sound = random.Random(5), 0, 0
    keys = (
        "seqId",
        "prevSeqId",
        "ts",
        "checksum",
        "instId",
        "bids",
        "x",
        "data",
        "action",
        "arg",
        "event",
        "op",
    )
    for _ in range(20_000):
        inner = ['"asks":[["8.5","1","0","1"]]', '"bids":[]', '"ts":"3"', '"checksum":0', '"seqId":15']
        rows = [
            with_foreign_members(rng, [*inner, '"prevSeqId":10'], keys)
            for _ in range(rng.choice((1, 1, 1, 2)))
        ]
        arg = with_foreign_members(rng, ['"channel":"books"', '"instId":"BTC-USDT"'], keys)
        outer = [f'"arg":{arg}', '"action":"update"', f'"data":[{",".join(rows)}]']
        frame = with_foreign_members(rng, outer, keys).encode()
        if check_look(wire, frame):
            looked += 1
            sound += read(wire, frame)[0] == Verdict.HANDLED
    assert looked > sound > 1000


def test_every_recorded_update_with_ids_is_looked_at(wire):
    asked = [check_look(wire, x["raw"].encode()) for x in lines("okx/btcusdt-books-2026-08-24.jsonl.gz")[-6:]]
    assert asked == [True] * 6


def test_books_of_two_lines_are_those_of_one():
    """Recorded before the venue numbered its messages: the numbers are put in."""
    wire, plain, _ = captured("okx", 800)
    last, numbered = {}, []
    for i, raw in enumerate(plain):
        symbol = orjson.loads(raw)["arg"]["instId"]
        prev = last.get(symbol, -1)
        last[symbol] = 1000 + 3 * i
        ids = f',"seqId":{last[symbol]},"prevSeqId":{prev}}}]}}'.encode()
        assert raw.endswith(b"}]}")
        numbered.append(raw[:-3] + ids)
    check_second_line(wire, numbered)
