import json
import random
import re
from decimal import ROUND_CEILING, Decimal
from typing import ClassVar

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
    rows,
    with_foreign_members,
)

from ext.book import Book
from ext.instruments import Instruments
from ext.records import (
    Action,
    BudgetKind,
    DepthKind,
    ErrorGroup,
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
from ext.venues.bybit import BybitWire
from ext.wire import SecondLine, Verdict

BAD, HANDLED, NOT_MINE, RESYNC = Verdict.BAD, Verdict.HANDLED, Verdict.NOT_MINE, Verdict.RESYNC
SPOT, LINEAR = Market.BYBIT_SPOT, Market.BYBIT_LINEAR
TABLE = {
    (LINEAR, "BTCUSDT"): ("0.10", "0.001"),
    (SPOT, "BTCUSDT"): ("0.01", "0.000001"),
    (LINEAR, "ETHUSDT"): ("0.01", "0.01"),
    (LINEAR, "SOLUSDT"): ("0.010", "0.1"),
    (LINEAR, "DOGEUSDT"): ("0.00001", "1"),
}
NOW_NS = 1_711_001_595_207_000_000


def instruments() -> Instruments:
    out = Instruments(64)
    for (market, symbol), (tick, lot) in TABLE.items():
        out.add(market, symbol, tick, lot)
    return out


# what the tests need of an error table; the venue's own is `node.venues.bybit.rules.CODES`
NO, DOUBT = Outcome.REFUSED, Outcome.UNCERTAIN
CODES = [
    (110003, NO, NO, NO, ErrorGroup.GROUP_FILTER),
    (110001, DOUBT, NO, NO, ErrorGroup.GROUP_NOT_OPEN),
    (10001, NO, NO, NO, ErrorGroup.GROUP_FILTER),
    (10006, NO, NO, NO, ErrorGroup.GROUP_LIMIT),
    (110072, DOUBT, DOUBT, DOUBT, ErrorGroup.GROUP_DUPLICATE),
]


def wire_of(market: int, epoch: int = 0) -> BybitWire:
    wire = BybitWire(instruments(), market, epoch=epoch)
    wire.set_codes(CODES)
    return wire


@pytest.fixture
def linear() -> BybitWire:
    return wire_of(LINEAR)


@pytest.fixture
def spot() -> BybitWire:
    return wire_of(SPOT)


@pytest.fixture
def wires(linear, spot):
    return {"linear": linear, "spot": spot}


OUR_ID = BybitWire(instruments(), LINEAR).client_id(77)
OUR_REQUEST = OUR_ID + "0001"

SNAPSHOT = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1758841134603,"data":{"s":"BTCUSDT","b":[["109378.80"'
    b',"1.273"],["109370.1","0.01"]],"a":[["109378.90","2"]],"u":21111422,"seq":457514742271},"cts":1758841134598}'
)
DELTA = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1758841134603,"data":{"s":"BTCUSDT","b":[["109378.80",'
    b'"0"]],"a":[],"u":21111423,"seq":457514742300},"cts":1758841134600}'
)
SPOT_DELTA = (
    b'{"topic":"orderbook.200.BTCUSDT","ts":1758841134603,"type":"delta","data":{"s":"BTCUSDT","b":[["27580",'
    b'"0.000005"]],"a":[["27580.01","0"]],"u":9,"seq":4},"cts":1758841134600}'
)
TOP = (
    b'{"topic":"orderbook.1.BTCUSDT","ts":1758841134603,"type":"snapshot","data":{"s":"BTCUSDT","b":[["7.5","1"]],'
    b'"a":[],"u":30,"seq":4},"cts":1758841134600}'
)
TRADES = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1758841134610,"data":[{"T":1758841134605,"s":"BTCUSDT"'
    b',"S":"Buy","v":"0.001","p":"109378.90","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,'
    b'"RPI":false,"seq":457514742280},{"T":1758841134606,"s":"BTCUSDT","S":"Sell","v":"12","p":"109378.8","L":"Minu'
    b'sTick","i":"20f43950-d8dd-5b31-9112-a178eb6023b0","BT":false,"RPI":false,"seq":457514742281}]}'
)
SPOT_TRADE = (
    b'{"topic":"publicTrade.BTCUSDT","ts":1758841134610,"type":"snapshot","data":[{"i":"2290000000827775163","T":17'
    b'58841134605,"p":"23437.19","v":"0.000118","S":"Sell","seq":79,"s":"BTCUSDT","BT":false,"RPI":false}]}'
)
TICKER = (
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"ZeroPlusTick","lastP'
    b'rice":"65114.30","markPrice":"65117.44","indexPrice":"65137.76","openInterest":"59891.732","nextFundingTime":'
    b'"1786320000000","fundingRate":"-0.0001","bid1Price":"65114.20","preOpenPrice":""},"cs":7538,"ts":1786310817883}'
)
TICKER_DELTA = (
    b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"66666.70","fundingRate":"0.'
    b'0001"},"cs":9532239430,"ts":1760325052730}'
)
SPOT_TICKER = (
    b'{"topic":"tickers.BTCUSDT","ts":1673853746003,"type":"snapshot","cs":2588407389,"data":{"symbol":"BTCUSDT","la'
    b'stPrice":"21109.77","highPrice24h":"21426.99","usdIndexPrice":""}}'
)
ACK = (
    b'{"reqId":"n%s","retCode":0,"retMsg":"OK","op":"order.create","data":{"orderId":"a4c1718e-fe53-4659-a118-1f6ec'
    b'ce04ad9","orderLinkId":"%s"},"retExtInfo":{},"header":{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"9","X-Bapi-L'
    b'imit-Reset-Timestamp":"1711001595208","Traceid":"38b7","Timenow":"1711001595209"},"connId":"cnt5-2v"}'
) % (OUR_REQUEST.encode(), OUR_ID.encode())
REFUSAL = (
    b'{"reqId":"n%s","retCode":110003,"retMsg":"price is invalid","op":"order.create","data":{},'
    b'"retExtInfo":{},"header":{"Timenow":"1711001595209"},"connId":"cnt5-2v"}'
) % OUR_REQUEST.encode()
LATE_CANCEL = (
    b'{"reqId":"c%s","retCode":110001,"retMsg":"order not exists or too late to cancel","op":"order.cancel",'
    b'"data":{},"connId":"cnt5-2v"}'
) % OUR_REQUEST.encode()
ORDER = (
    b'{"topic":"order","creationTime":1757837580469,"data":[{"category":"linear","symbol":"SOLUSDT"'
    b',"orderId":"c2e0f1aa-1","orderLinkId":"%s","side":"Buy","orderType":"Limit","price":"180.00","qty":"0.1","timeI'
    b'nForce":"GTC","orderStatus":"Cancelled","cancelType":"CancelByUser","positionIdx":0,"avgPrice":"","leavesQty":"0'
    b'","cumExecQty":"0.3","updatedTime":"1757837580466","reduceOnly":false,"smpGroup":0}]}'
) % OUR_ID.encode()
EXECUTION = (
    b'{"topic":"execution","id":"3_BTCUSDT_1","creationTime":1746270400355,"data":[{"category":"linear","symbol":"BTC'
    b'USDT","orderId":"9aac","orderLinkId":"%s","side":"Sell","orderPrice":"94942.5","execId":"0ab1bdf7-4219-438b-b30'
    b'a-32ec863018f7","execType":"Trade","execPrice":"95900.1","execQty":"0.5","execFee":"26.3725275","feeCurrency":"'
    b'USDT","isMaker":false,"execTime":"1746270400353","seq":140612148849382}]}'
) % OUR_ID.encode()
SPOT_EXECUTION = (
    b'{"topic":"execution.spot","id":"1-20000-9","creationTime":1700000000100,"data":[{"category":"spot","symbol":"BT'
    b'CUSDT","orderId":"1556000000000000001","orderLinkId":"m-1","side":"Buy","execId":"2100000000047469164","execTyp'
    b'e":"Trade","execPrice":"32600","execQty":"0.000306","execFee":"0.000000306","isMaker":true,"execTime":"170000000'
    b'0098"}]}'
)
FAST = (
    b'{"topic":"execution.fast.linear","creationTime":1716800399338,"data":[{"category":"linear","symbol":"BTCUSDT","exe'
    b'cId":"3510f361-0add-5c7b-a2e7-9679810944fc","execPrice":"95900.1","execQty":"0.05","orderId":"443d63fa-b4c3-4297-b7b1'
    b'-23bca88b04dc","isMaker":true,"orderLinkId":"","side":"Buy","execTime":"1716800399334","seq":34771365464}]}'
)
BUST = EXECUTION.replace(b'"Trade"', b'"BustTrade"').replace(OUR_ID.encode(), b"")
STOP = ORDER.replace(b'"Cancelled"', b'"Untriggered"').replace(b'"CancelByUser"', b'""')
AMENDED = ACK.replace(b"order.create", b"order.amend").replace(b'"n', b'"a', 1)
LATE_AMEND = LATE_CANCEL.replace(b"order.cancel", b"order.amend").replace(b'"c', b'"a', 1)
BATCH = (
    b'{"reqId":"N%s","retCode":0,"retMsg":"OK","op":"order.create-batch","data":{"list":[{"category":"linear","symbol":'
    b'"BTCUSDT","orderId":"a4c1718e","orderLinkId":"%s","createAt":"1711001595209"},{"category":"linear","symbol":"BTCUSDT'
    b'","orderId":"","orderLinkId":"%s","createAt":""}]},"retExtInfo":{"list":[{"code":0,"msg":"OK"},{"code":10001,"msg":'
    b'"position idx not match position mode"}]},"header":{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"8",'
    b'"Timenow":"1711001595209"},"connId":"cnt5-2v"}'
) % (OUR_REQUEST.encode(), OUR_ID.encode(), BybitWire(instruments(), LINEAR).client_id(78).encode())
SAMPLES = {
    "fast execution": ("linear", FAST),
    "bust": ("linear", BUST),
    "stop": ("linear", STOP),
    "amended": ("linear", AMENDED),
    "late amend": ("linear", LATE_AMEND),
    "batch": ("linear", BATCH),
    "snapshot": ("linear", SNAPSHOT),
    "delta": ("linear", DELTA),
    "spot delta": ("spot", SPOT_DELTA),
    "top": ("linear", TOP),
    "trades": ("linear", TRADES),
    "spot trade": ("spot", SPOT_TRADE),
    "ticker": ("linear", TICKER),
    "ticker delta": ("linear", TICKER_DELTA),
    "spot ticker": ("spot", SPOT_TICKER),
    "ack": ("linear", ACK),
    "refusal": ("linear", REFUSAL),
    "late cancel": ("linear", LATE_CANCEL),
    "order": ("linear", ORDER),
    "execution": ("linear", EXECUTION),
    "spot execution": ("spot", SPOT_EXECUTION),
}


# ---- the twin: the same records by orjson-like parsing and Decimal ----

PLAIN = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
WHOLE = re.compile(r"0|[1-9][0-9]*", re.ASCII)


def steps(text: str, step: str) -> int:
    assert PLAIN.fullmatch(text), text
    count = Decimal(text) / Decimal(step)
    assert count == int(count), (text, step)
    return int(count)


def whole(value) -> int:
    return int(value) if isinstance(value, int) or WHOLE.fullmatch(value) else pytest.fail(f"{value!r}")


def signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def identity(text: str) -> tuple[int, int]:
    hexes = text.replace("-", "")
    if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text, re.IGNORECASE | re.ASCII):
        value = int(hexes, 16)
    elif WHOLE.fullmatch(text) and len(text) <= 38:
        value = int(text)
    else:
        value = 0x6C62272E07BB014262B821756295C58D
        for byte in text.encode("latin-1"):
            value = (value ^ byte) * ((1 << 88) | 0x13B) % 2**128
    return signed(value >> 64), signed(value % 2**64)


class Twin:
    """Records of a parsed message, the plain way."""

    def __init__(self, market: int):
        self.market = market
        self.wire = wire_of(market)

    def row(self, symbol: str) -> int:
        return instruments().index(self.market, symbol)

    def grid(self, symbol: str) -> tuple[str, str]:
        return TABLE[(self.market, symbol)]

    def __call__(self, message: dict) -> list[dict]:
        topic = message.get("topic", "")
        name, _, symbol = topic.rpartition(".")
        if name.startswith("orderbook"):
            row = self.depth(message, int(name[10:]), symbol)
            return [] if (row["kind"], row["last_id"]) == (DepthKind.UPDATE, 1) else [row]
        if name == "publicTrade":
            trades = [self.trade(x, symbol) for x in message["data"]]
            return [x for x in trades if x["price_ticks"] and x["size_lots"]]
        if name == "tickers":
            return self.ticker(message, symbol)
        if topic:
            kind = "order" if topic.startswith("order") else "execution"
            return [x for row in message["data"] for x in getattr(self, kind)(row, message)]
        return self.reply(message)

    def depth(self, message, depth, symbol):
        data, (tick, lot) = message["data"], self.grid(symbol)
        assert data.get("s", symbol) == symbol
        is_snapshot = {"snapshot": True, "delta": False}[message["type"]]
        return {
            "type": "depth",
            "instrument": self.row(symbol),
            "kind": DepthKind.SNAPSHOT if is_snapshot else DepthKind.UPDATE,
            "rule": Rule.RULE_STEP,
            "depth": depth,
            "bids": [(steps(p, tick), steps(s, lot)) for p, s in data["b"]],
            "asks": [(steps(p, tick), steps(s, lot)) for p, s in data["a"]],
            "partial": int(depth == 1 and is_snapshot),
            "checksum": 0,
            "first_id": -1,
            "last_id": whole(data["u"]),
            "prev_id": -1,
            "event_ns": whole(message.get("cts", message.get("ts", 0))) * 10**6,
        }

    def trade(self, row, symbol):
        tick, lot = self.grid(symbol)
        assert row.get("s", symbol) == symbol
        high, low = identity(row["i"])
        return {
            "type": "trade",
            "instrument": self.row(symbol),
            "side": {"Buy": Side.BUY, "Sell": Side.SELL}[row["S"]],
            "price_ticks": steps(row["p"], tick),
            "size_lots": steps(row["v"], lot),
            "id_hi": high,
            "id_lo": low,
            "event_ns": whole(row["T"]) * 10**6,
            "aggregate": 0,
        }

    def ticker(self, message, symbol):
        data, present, out = message["data"], 0, {}
        names = {
            "mark_e8": "markPrice",
            "index_e8": "indexPrice",
            "last_e8": "lastPrice",
            "funding_e8": "fundingRate",
        }
        bits = (MarkField.MARK_PRICE, MarkField.INDEX_PRICE, MarkField.LAST_PRICE, MarkField.FUNDING_RATE)
        for (name, key), bit in zip(names.items(), bits, strict=True):
            text = data.get(key) or ""
            out[name] = 0
            if text:
                sign, text = (-1, text[1:]) if text[0] == "-" and key == "fundingRate" else (1, text)
                out[name], present = sign * steps(text, "0.00000001"), present | bit
        out["next_funding_ns"] = whole(data.get("nextFundingTime") or 0) * 10**6
        present |= MarkField.NEXT_FUNDING if data.get("nextFundingTime") else 0
        row = {"type": "mark", "instrument": self.row(symbol), "present": present, **out}
        return [row | {"event_ns": whole(message.get("ts", 0)) * 10**6}] if present else []

    def report(self, **fields):
        zero = ("maker", "order_id", "epoch", "price_ticks", "size_lots", "trade_hi", "trade_lo", "fee_e8")
        zero += ("fee_is_quote", "code", "group", "nature", "event_ns")
        row = {"type": "report"} | dict.fromkeys(zero, 0)
        row |= {"filled_lots": -1, "order_ticks": -1, "order_lots": -1, "leg": -1, "fee_coin": ""} | fields
        row["venue_id"] = "".join(x if ord(x) < 128 else "\ufffd" for x in row["venue_id"] or "")
        return row | {"venue_id_size": len(row["venue_id"])}

    def about(self, row, message):
        mine = {SPOT: "spot", LINEAR: "linear"}[self.market]
        last = message["topic"].rpartition(".")[2]
        category = row.get("category") or (last if last in ("spot", "linear") else mine)
        if category != mine or (self.market, row.get("symbol")) not in TABLE:
            return None
        order_id, epoch = self.wire.whose(row.get("orderLinkId") or "")
        return {
            "instrument": self.row(row["symbol"]),
            "side": {"Buy": Side.BUY, "Sell": Side.SELL}[row["side"]],
            "order_id": order_id,
            "epoch": epoch,
            "venue_id": row.get("orderId", ""),
            "leg": self.leg(row),
        }

    @staticmethod
    def leg(row):
        index = row.get("positionIdx", "")
        assert str(index) in ("", "0", "1", "2")
        return int(index) if str(index) else -1

    @staticmethod
    def fee_coin(row):
        coin = (row.get("feeCurrency") or "") if row.get("execFee") else ""
        return "".join(x if x.isascii() else "\ufffd" for x in coin) if len(coin) < 12 else ""

    def order(self, row, message):
        about = self.about(row, message)
        if about is None:
            return []
        tick, lot = self.grid(row["symbol"])
        filled = steps(row["cumExecQty"], lot) if row["cumExecQty"] else -1
        kind = {"Cancelled": ReportKind.REPORT_CANCELED, "Untriggered": ReportKind.REPORT_LIVE}.get(
            row["orderStatus"], ReportKind.REPORT_ODD
        )
        if kind == ReportKind.REPORT_CANCELED and row.get("cancelType") not in ("CancelByUser", "", None):
            kind = ReportKind.REPORT_EXPIRED
        ms = whole(row.get("updatedTime") or message.get("creationTime", 0))
        is_market = row["orderType"] == "Market"
        fields = {
            "order_ticks": steps(row["price"], tick) or -1 if row["price"] and not is_market else -1,
            "order_lots": steps(row["qty"], lot) if row["qty"] else -1,
        }
        return [self.report(kind=kind, filled_lots=filled, event_ns=ms * 10**6, **fields, **about)]

    def execution(self, row, message):
        about = self.about(row, message)
        natures = {"Trade": Nature.TRADE_FILL, "BustTrade": Nature.LIQUIDATION}
        word = "Trade" if message["topic"].startswith("execution.fast") else row["execType"]
        if about is None or word == "Funding":
            return []
        event_ns = whole(row.get("execTime") or message.get("creationTime", 0)) * 10**6
        if word not in natures:
            return [self.report(kind=ReportKind.REPORT_ODD, event_ns=event_ns, **about)]
        tick, lot = self.grid(row["symbol"])
        fee = (Decimal(row.get("execFee") or 0) * 10**8).to_integral_value(ROUND_CEILING)
        high, low = identity(row["execId"])
        return [
            self.report(
                kind=ReportKind.REPORT_FILL,
                nature=natures[word],
                maker=int(row.get("isMaker", False)),
                price_ticks=steps(row["execPrice"], tick),
                size_lots=steps(row["execQty"], lot),
                trade_hi=high,
                trade_lo=low,
                fee_e8=int(fee),
                fee_is_quote=self.fee_is_quote(row, about) if row.get("execFee") else -1,
                fee_coin=self.fee_coin(row),
                event_ns=event_ns,
                **about,
            )
        ]

    def fee_is_quote(self, row, about):
        coin, symbol = row.get("feeCurrency"), row["symbol"]
        if coin:
            is_settled = self.market == LINEAR and coin == ("USDT" if "USDT" in symbol else "USDC")
            if coin == symbol or len(coin) > 15:
                return 0
            return 1 if symbol.endswith(coin) or is_settled else 2 * symbol.startswith(coin)
        return 1 if self.market == LINEAR else 1 if about["side"] == Side.SELL else 2

    OPS: ClassVar = {"n": "create", "c": "cancel", "a": "amend"}
    REFUSALS: ClassVar = {
        "create": ReportKind.REPORT_REJECT,
        "cancel": ReportKind.REPORT_CANCEL_REJECT,
        "amend": ReportKind.REPORT_AMEND_REJECT,
    }

    def reply(self, message):
        number = message.get("reqId") or ""
        asked = self.wire.whose(number[1:22]) if len(number) == 26 else (0, 0)
        word = message.get("op") or "order." + self.OPS[number[0].lower()] + "-batch" * number[0].isupper()
        action, _, batch = word.removeprefix("order.").partition("-")
        code, data, header = whole(message["retCode"]), message.get("data") or {}, message.get("header") or {}
        event_ns = whole(header.get("Timenow", 0)) * 10**6
        if batch and data.get("list"):
            codes = (message.get("retExtInfo") or {}).get("list") or []
            items = [
                self.answer(
                    action,
                    x["code"],
                    item,
                    asked if i == 0 and not item.get("orderLinkId") else (0, 0),
                    event_ns,
                    str(x.get("msg", "")),
                )
                for i, (x, item) in enumerate(zip(codes, data["list"], strict=False))
                if "code" in x
            ]
            return [x for item in items for x in item]
        words = str(message.get("retMsg", ""))
        out = self.answer(action, code, data, asked, event_ns, words) if code or not batch else []
        return out + ([] if batch else self.budget(action, header))

    def answer(self, action, code, data, asked, event_ns, words=""):
        order_id, epoch = self.wire.whose(data.get("orderLinkId") or "")
        order_id, epoch = (order_id, epoch) if order_id else asked
        number = {"create": Action.NEW, "cancel": Action.CANCEL, "amend": Action.AMEND}[action]
        outcome, group = self.wire.outcome(code, number) if code else (Outcome.ACCEPTED, 0)
        if code == 10001 and any(x in words for x in ("unchanged", "osition idx", "osition mode")):
            group = ErrorGroup.GROUP_OTHER
        if outcome == Outcome.ACCEPTED and action != "create":
            return []
        kind = {NO: self.REFUSALS[action], DOUBT: ReportKind.REPORT_UNCERTAIN}.get(
            outcome, ReportKind.REPORT_ACK
        )
        fields = {"order_id": order_id, "epoch": epoch, "code": code, "group": group, "event_ns": event_ns}
        fields["venue_id"] = data.get("orderId", "")
        return [self.report(kind=kind, instrument=-1, side=-1, **fields)]

    def budget(self, action, header):
        def count(name):
            text = str(header.get(name, ""))
            return int(text) if WHOLE.fullmatch(text) and int(text) < 9 * 10**12 else -1

        left, limit = count("X-Bapi-Limit-Status"), count("X-Bapi-Limit")
        kinds = {
            "create": BudgetKind.BUDGET_ORDERS,
            "cancel": BudgetKind.BUDGET_CANCELS,
            "amend": BudgetKind.BUDGET_AMENDS,
        }
        row = {"type": "budget", "market": self.market, "kind": kinds[action], "interval_ns": 10**9}
        row |= {"limit": limit, "used": limit - left if limit >= left else -1}
        until_ns = max(count("X-Bapi-Limit-Reset-Timestamp"), 0) * 10**6 if left == 0 else 0
        return [row | {"until_ns": until_ns}] if left >= 0 else []


def test_the_twin_agrees_on_every_sample(wires):
    for name, (market, frame) in SAMPLES.items():
        twin = Twin(SPOT if market == "spot" else LINEAR)
        assert read(wires[market], frame) == (HANDLED, twin(json.loads(frame))), name


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_cut_at_any_byte_pushes_nothing(wires, name):
    market, frame = SAMPLES[name]
    check_cuts(wires[market], frame)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_flipped_bit_never_yields_a_number_the_text_does_not_spell(wires, name):
    market, frame = SAMPLES[name]
    twin = Twin(SPOT if market == "spot" else LINEAR)
    check_flips(wires[market], frame, lambda message, _: twin(message))


def shuffled(value, rng):
    if isinstance(value, dict):
        items = [(k, shuffled(v, rng)) for k, v in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(x, rng) for x in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", SAMPLES)
def test_members_may_come_in_any_order_with_any_white_space(wires, name):
    market, frame = SAMPLES[name]
    wire, rng = wires[market], random.Random(3)
    want = read(wire, frame)
    for indent in (None, 0, 2, "\t") * 8:
        text = json.dumps(shuffled(json.loads(frame), rng), indent=indent, separators=(" ,\r\n", " : "))
        assert read(wire, text.encode()) == want, text


def test_bytes_of_any_kind_are_survived(wires):
    rng = random.Random(5)
    for market, frame in SAMPLES.values():
        for _ in range(300):
            raw = bytearray(frame)
            for _ in range(rng.randint(1, 6)):
                at = rng.randrange(len(raw))
                raw[at : at + rng.randint(0, 4)] = rng.randbytes(rng.randint(0, 4))
            verdict, events = read(wires[market], bytes(raw))
            assert events == [] or verdict == HANDLED
    deep = b'{"topic":"orderbook.50.BTCUSDT","x":' + b"[" * 5000
    assert read(wires["linear"], deep) == (BAD, [])


# ---- numbers ----

BAD_NUMBERS = ["1" * 40, "1e5", "1E5", "-1", "", "01", "1.", ".5", "+1", "1,0", "0x1", "١", " 1", "1 ", "NaN"]


@pytest.mark.parametrize("number", BAD_NUMBERS)
@pytest.mark.parametrize(
    ("frame", "old", "field"),
    [
        (SNAPSHOT, b"109370.1", "bid price"),
        (SNAPSHOT, b"0.01", "bid size"),
        (SNAPSHOT, b"109378.90", "ask price"),
        (DELTA.replace(b'"a":[]', b'"a":[["1.0","7"]]'), b'7', "ask size"),
        (TRADES, b"109378.90", "p"),
        (TRADES, b"0.001", "v"),
        (EXECUTION, b"95900.1", "execPrice"),
        (EXECUTION, b"0.5", "execQty"),
    ],
)  # fmt: skip
def test_a_number_that_is_not_plain_is_refused_with_its_field(linear, number, frame, old, field):
    bad = frame.replace(b'"' + old + b'"', b'"' + number.encode() + b'"', 1)
    assert bad != frame
    assert read(linear, bad) == (BAD, [])
    assert linear.error().startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("frame", "old", "new", "field"),
    [
        (SNAPSHOT, b"109370.1", b"109370.15", "bid price"),
        (SNAPSHOT, b'"0.01"', b'"0.0001"', "bid size"),
        (TRADES, b"109378.90", b"109378.91", "p"),
        (EXECUTION, b"95900.1", b"95900.12", "execPrice"),
        (ORDER, b'cumExecQty":"0.3', b'cumExecQty":"0.35', "cumExecQty"),
    ],
)
def test_a_number_off_the_grid_is_refused_with_its_field(linear, frame, old, new, field):
    assert read(linear, frame.replace(old, new)) == (BAD, [])
    assert linear.error().startswith(f"{field}: off the grid")


@pytest.mark.parametrize("old", [b'"u":21111423', b'"ts":1758841134603', b'"cts":1758841134600'])
@pytest.mark.parametrize("value", [b"-1", b"1e3", b"1.0", b"01", b"null", b"1" * 40, b'""', b'"x"'])
def test_ids_and_times_must_be_whole(linear, old, value):
    name = old.partition(b":")[0]
    assert read(linear, DELTA.replace(old, name + b":" + value)) == (BAD, [])
    assert linear.error().startswith(name.decode().strip('"') + ": ")


def test_times_may_be_quoted(linear):
    quoted = re.sub(rb'"(ts|cts)":(\d+)', rb'"\1":"\2"', DELTA)
    assert read(linear, quoted) == read(linear, DELTA)


def test_without_engine_time_the_push_time_counts(linear):
    frame = DELTA.replace(b',"cts":1758841134600', b"")
    assert read(linear, frame)[1][0]["event_ns"] == 1758841134603 * 10**6


# ---- books ----


def test_a_delta_of_the_first_update_id_asks_for_a_resync_of_its_book(linear):
    frame = DELTA.replace(b"21111423", b"1").replace(b"BTCUSDT", b"ETHUSDT")
    assert read(linear, DELTA)[0] == HANDLED
    assert read(linear, frame) == (RESYNC, [])


def test_a_snapshot_of_the_first_update_id_replaces_the_book(linear):
    verdict, events = read(linear, SNAPSHOT.replace(b"21111422", b"1"))
    assert (verdict, events[0]["kind"], events[0]["last_id"]) == (HANDLED, DepthKind.SNAPSHOT, 1)


def test_depth_one_is_whole_each_time_but_an_old_servers_delta_is_passed_on(linear):
    assert read(linear, TOP)[1][0]["partial"] == 1
    delta = read(linear, TOP.replace(b"snapshot", b"delta"))[1][0]
    assert (delta["kind"], delta["partial"]) == (DepthKind.UPDATE, 0)


@pytest.mark.parametrize(
    "frame",
    [
        DELTA.replace(b"BTCUSDT", b"XRPUSDT"),
        DELTA.replace(b"orderbook.50.", b"orderbook.rpi."),
        DELTA.replace(b"orderbook.50.", b"orderbook.full."),
        DELTA.replace(b"orderbook.50.", b"orderbook.050."),
        DELTA.replace(b"orderbook.50.", b"kline.1."),
        b'{"topic":"wallet","data":[{"x":1}]}',
        b'{"success":true,"ret_msg":"pong","conn_id":"0970","op":"ping"}',
        b'{"success":true,"ret_msg":"","conn_id":"0970","req_id":"","op":"subscribe"}',
        b'{"retCode":0,"retMsg":"OK","op":"auth","connId":"x"}',
        b'{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"x"}',
        b'{"topic":"execution.slow","data":[]}',
        b'{"topic":"order.inverse","data":[]}',
        b'{"topic":"orders","data":[]}',
        b'{"topic":"position.linear","data":[{"symbol":"BTCUSDT"}]}',
        b"{}",
    ],
)
def test_what_is_for_others_is_not_mine(linear, frame):
    assert read(linear, frame) == (NOT_MINE, [])


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        (DELTA.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'), "s"),
        (DELTA.replace(b'"type":"delta",', b""), "type"),
        (DELTA.replace(b'"delta"', b'"patch"'), "type"),
        (DELTA.replace(b'"u":21111423,', b""), "b, a or u"),
        (DELTA.replace(b',"a":[]', b""), "b, a or u"),
        (DELTA.replace(b'"a":[]', b'"a":[],"a":[]'), "repeated key"),
        (DELTA.replace(b'"type"', b'"topic":"orderbook.1.BTCUSDT","type"'), "repeated key"),
        (b'{"topic":"orderbook.50.BTCUSDT","type":"delta"}', "data"),
        (DELTA + b"x", "end of frame"),
        (DELTA + DELTA, "end of frame"),
        (TRADES.replace(b'"S":"Buy"', b'"S":"buy"'), "S"),
        (TRADES.replace(b'"S":"Buy",', b""), "T, S, v, p or i"),
        (TRADES.replace(b'"i":"20f43950-d8dd-5b31-9112-a178eb6023af"', b'"i":""'), "i"),
        (TICKER.replace(b'"65117.44"', b'"-65117.44"'), "markPrice"),
        (TICKER.replace(b'"1786320000000"', b'"soon"'), "nextFundingTime"),
        (ORDER.replace(b'"qty":"0.1",', b""), "qty"),
        (ORDER.replace(b'"price":"180.00",', b""), "price"),
        (ORDER.replace(b'"orderType":"Limit",', b""), "orderType"),
        (ORDER.replace(b'"cumExecQty":"0.3",', b""), "cumExecQty"),
        (ORDER.replace(b'"orderId":"c2e0f1aa-1",', b""), "orderId"),
        (EXECUTION.replace(b'"execType":"Trade",', b""), "execType"),
        (EXECUTION.replace(b'"orderId":"9aac"', b'"orderId":""'), "orderId"),
        (BATCH.replace(b'"code":10001', b'"code":"x"'), "code"),
        (BATCH.replace(b'{"list":[{"code":0,"msg":"OK"},', b'{"list":[7,'), "retExtInfo.list"),
        (EXECUTION.replace(b'"execId":"0ab1bdf7-4219-438b-b30a-32ec863018f7",', b""), "execId"),
        (EXECUTION.replace(b'"0.5"', b'"0"'), "execPrice or execQty"),
        (EXECUTION.replace(b'"26.3725275"', b'"26.3725275x0000"'), "execFee"),
        (ORDER.replace(b'"Buy"', b'""'), "side"),
        (ORDER.replace(b'"orderStatus":"Cancelled",', b""), "orderStatus"),
        (ORDER.replace(b"c2e0f1aa-1", b"c" * 41), "orderId"),
        (REFUSAL.replace(b'"retCode":110003,', b""), "retCode"),
        (REFUSAL.replace(b"110003", b"99999999999"), "retCode"),
    ],
)
def test_a_broken_frame_names_what_is_wrong(linear, frame, field):
    assert read(linear, frame) == (BAD, [])
    assert linear.error().startswith(f"{field}: ")


# ---- trades and tickers ----


def test_a_row_of_size_zero_is_no_trade(linear):
    assert len(read(linear, TRADES.replace(b'"0.001"', b'"0.000"'))[1]) == 1


def test_a_bad_row_spoils_the_whole_message(linear):
    assert read(linear, TRADES.replace(b'"109378.8"', b'"oops"')) == (BAD, [])


@pytest.mark.parametrize(
    "text", ["7", "18446744073709551615", "9" * 38, "9" * 39, "007", "abc", "2290000000827775163"]
)
def test_trade_ids_of_any_form_keep_their_identity(spot, text):
    frame = SPOT_TRADE.replace(b"2290000000827775163", text.encode())
    trade = read(spot, frame)[1][0]
    assert (trade["id_hi"], trade["id_lo"]) == identity(text)


def test_a_message_of_1024_trades_is_read(linear):
    message = json.loads(TRADES)
    message["data"] *= 512
    verdict, events = read(linear, json.dumps(message).encode())
    assert (verdict, len(events)) == (HANDLED, 1024)
    message["data"] *= 3
    assert read(linear, json.dumps(message).encode()) == (BAD, [])
    assert linear.error().startswith("data: too many")


def test_a_ticker_delta_says_only_what_it_carries(linear):
    mark = read(linear, TICKER_DELTA)[1][0]
    assert mark["present"] == MarkField.MARK_PRICE | MarkField.FUNDING_RATE
    assert (mark["mark_e8"], mark["funding_e8"]) == (6666670000000, 10000)


@pytest.mark.parametrize("value", [b'""', b"null", b'"0.0000000012"'])
def test_an_absent_or_unrepresentable_ticker_value_is_left_out(linear, value):
    mark = read(linear, TICKER_DELTA.replace(b'"66666.70"', value))[1][0]
    assert mark["present"] == MarkField.FUNDING_RATE


def test_a_ticker_without_anything_of_use_pushes_nothing(linear):
    frame = (
        b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","bid1Size":"1"},"cs":1,"ts":2}'
    )
    assert read(linear, frame) == (HANDLED, [])


# ---- private topics ----


@pytest.mark.parametrize(
    ("status", "filled", "kind"),
    [
        ("New", "0", ReportKind.REPORT_LIVE),
        ("PartiallyFilled", "0.3", ReportKind.REPORT_LIVE),
        ("Filled", "0.3", ReportKind.REPORT_FILLED),
        ("Cancelled", "0.3", ReportKind.REPORT_CANCELED),
        ("PartiallyFilledCanceled", "0.3", ReportKind.REPORT_CANCELED),
        ("Deactivated", "0", ReportKind.REPORT_CANCELED),
        ("Rejected", "0", ReportKind.REPORT_REJECT),
        ("Rejected", "0.3", ReportKind.REPORT_EXPIRED),
        ("Triggered", "0", ReportKind.REPORT_LIVE),
        ("Created", "0", ReportKind.REPORT_ACK),
        ("Untriggered", "0", ReportKind.REPORT_LIVE),
        ("SomethingNew", "0", ReportKind.REPORT_ODD),
    ],
)
def test_each_order_status_has_its_report(linear, status, filled, kind):
    frame = ORDER.replace(b"Cancelled", status.encode()).replace(
        b'cumExecQty":"0.3', b'cumExecQty":"' + filled.encode()
    )
    report = read(linear, frame)[1][0]
    assert (report["kind"], report["filled_lots"], report["order_id"]) == (
        kind,
        int(Decimal(filled) * 10),
        77,
    )


def test_an_order_of_somebody_else_is_reported_as_foreign(linear):
    report = read(linear, ORDER.replace(OUR_ID.encode(), b"b-0001"))[1][0]
    assert report["order_id"] == 0


@pytest.mark.parametrize(
    ("status", "cancel", "reason", "filled", "kind", "group"),
    [
        ("Cancelled", "CancelByUser", "EC_PerCancelRequest", "0", "CANCELED", "NONE"),
        ("Cancelled", "UNKNOWN", "EC_NoError", "0.3", "CANCELED", "NONE"),
        ("PartiallyFilledCanceled", "UNKNOWN", "EC_PerCancelRequest", "0.3", "CANCELED", "NONE"),
        ("Deactivated", "CancelByUser", "EC_PerCancelRequest", "0", "CANCELED", "NONE"),
        ("Cancelled", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity", "0", "EXPIRED", "POST_ONLY"),
        ("Rejected", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity", "0", "REJECT", "POST_ONLY"),
        ("Rejected", "", "EC_ReachRiskPriceLimit", "0", "REJECT", "FILTER"),
        ("Rejected", "", "EC_InCallAuctionStatus", "0", "REJECT", "MARKET"),
        ("Cancelled", "UNKNOWN", "EC_NoImmediateQtyToFill", "0.3", "EXPIRED", "OTHER"),
        ("PartiallyFilledCanceled", "UNKNOWN", "EC_CancelForNoFullFill", "0.3", "EXPIRED", "OTHER"),
        ("Cancelled", "CancelBySmp", "EC_NoError", "0", "EXPIRED", "NONE"),
        ("Cancelled", "CancelByReduceOnly", "", "0", "EXPIRED", "NONE"),
        ("Cancelled", "CancelByDCP", "", "0", "EXPIRED", "NONE"),
        ("Cancelled", "CancelAllBeforeLiq", "", "0", "EXPIRED", "NONE"),
        ("Filled", "CancelByUser", "EC_OrigClOrdIDDoesNotExist", "0.3", "FILLED", "NOT_OPEN"),
        ("Rejected", "", "EC_DuplicatedClOrdID", "0", "UNCERTAIN", "DUPLICATE"),
        ("Rejected", "", "", "", "EXPIRED", "NONE"),
    ],
)
def test_how_an_order_ended_is_told_as_the_venue_tells_it(
    linear, status, cancel, reason, filled, kind, group
):
    """Reference section 6.1, "Typical endings"."""
    row = {"orderStatus": status, "cancelType": cancel, "rejectReason": reason, "cumExecQty": filled}
    report = read(linear, changed(ORDER, **row))[1][0]
    assert report["kind"] == ReportKind[f"REPORT_{kind}"]
    assert report["group"] == ErrorGroup[f"GROUP_{group}"]
    assert report["filled_lots"] == (int(Decimal(filled) * 10) if filled else -1)


def changed(frame: bytes, **members) -> bytes:
    """The frame with members of its first row changed; None takes one away."""
    message = json.loads(frame)
    row = message["data"][0] | members
    message["data"][0] = {k: v for k, v in row.items() if v is not None}
    return json.dumps(message).encode()


def test_an_order_carries_its_price_and_whole_size(linear):
    report = read(linear, changed(ORDER, orderStatus="New", price="179.50", qty="1.2"))[1][0]
    assert (report["order_ticks"], report["order_lots"]) == (17950, 12)


MARKET = {"orderType": "Market", "price": "0"}


@pytest.mark.parametrize(
    ("row", "ticks", "lots"),
    [
        (MARKET | {"price": "94942.5", "qty": "0.5"}, -1, 500000),
        ({"orderType": "Limit", "price": "", "qty": ""}, -1, -1),
        ({"orderType": "Limit", "price": "0", "qty": "0.5"}, -1, 500000),
        (MARKET | {"qty": "10.000000", "side": "Buy"}, -1, -1),
        (MARKET | {"qty": "0.5", "side": "Sell"}, -1, 500000),
        (MARKET | {"qty": "10", "side": "Sell", "marketUnit": "quoteCoin"}, -1, -1),
        (MARKET | {"qty": "1", "side": "Buy", "marketUnit": "baseCoin"}, -1, 10**6),
    ],
)
def test_a_size_in_money_is_no_size_and_a_protective_price_no_limit(spot, row, ticks, lots):
    base = {"category": "spot", "symbol": "BTCUSDT", "cumExecQty": "0", "side": "Sell"}
    report = read(spot, changed(ORDER, **base | row))[1][0]
    assert (report["order_ticks"], report["order_lots"]) == (ticks, lots)


@pytest.mark.parametrize(
    ("kind", "nature"),
    [
        ("Trade", Nature.TRADE_FILL),
        ("BlockTrade", Nature.TRADE_FILL),
        ("FutureSpread", Nature.TRADE_FILL),
        ("BustTrade", Nature.LIQUIDATION),
        ("AdlTrade", Nature.ADL),
        ("Settle", Nature.SETTLEMENT),
        ("Delivery", Nature.SETTLEMENT),
        ("MovePosition", Nature.SETTLEMENT),
    ],
)
def test_what_moves_a_position_is_a_fill_of_its_nature(linear, kind, nature):
    """Reference section 6.2; failures.md rows 76, 77, 83."""
    report = read(linear, changed(EXECUTION, execType=kind, orderLinkId=""))[1][0]
    assert (report["kind"], report["nature"], report["order_id"]) == (ReportKind.REPORT_FILL, nature, 0)
    assert (report["price_ticks"], report["size_lots"]) == (959001, 500)


@pytest.mark.parametrize(
    ("word", "nature"),
    [
        ("CreateByUser", Nature.TRADE_FILL),
        ("CreateByLiq", Nature.LIQUIDATION),
        ("CreateByTakeOver_PassThrough", Nature.LIQUIDATION),
        ("CreateByAdl_PassThrough", Nature.ADL),
        ("CreateBySettle", Nature.SETTLEMENT),
    ],
)
def test_the_venues_own_orders_are_known_by_what_created_them(linear, word, nature):
    assert read(linear, changed(EXECUTION, createType=word))[1][0]["nature"] == nature


def test_funding_is_no_fill_and_goes_to_the_cold_side(linear):
    assert read(linear, changed(EXECUTION, execType="Funding", orderType="UNKNOWN")) == (NOT_MINE, [])


@pytest.mark.parametrize("kind", ["", "UNKNOWN", "CorporateAction", "Later"])
def test_an_execution_of_a_type_that_is_not_known_is_odd(linear, kind):
    report = read(linear, changed(EXECUTION, execType=kind))[1][0]
    assert (report["kind"], report["order_id"]) == (ReportKind.REPORT_ODD, 77)
    assert report["size_lots"] == 0


def test_a_settlement_between_ticks_is_odd_and_never_a_rounded_fill(linear):
    frame = changed(EXECUTION, execType="Delivery", execPrice="95900.123")
    report = read(linear, frame)[1][0]
    assert (report["kind"], report["price_ticks"]) == (ReportKind.REPORT_ODD, 0)


def test_a_fast_fill_of_a_maker_has_neither_our_id_nor_a_fee(linear):
    """Reference section 6.3; failures.md row 39."""
    report = read(linear, FAST)[1][0]
    assert (report["kind"], report["order_id"]) == (ReportKind.REPORT_FILL, 0)
    assert report["venue_id"] == "443d63fa-b4c3-4297-b7b1-23bca88b04dc"
    assert (report["fee_is_quote"], report["maker"]) == (-1, 1)
    for topic in (b"execution.fast", b"execution.fast.linear"):
        assert read(linear, FAST.replace(b"execution.fast.linear", topic))[1] == [report]
    slow = changed(EXECUTION, execId="3510f361-0add-5c7b-a2e7-9679810944fc")
    assert read(linear, slow)[1][0]["trade_hi"] == report["trade_hi"]


def test_the_order_of_an_earlier_run_is_ours_with_its_epoch(linear):
    older = wire_of(LINEAR, epoch=12).client_id(5)
    report = read(linear, changed(ORDER, orderLinkId=older))[1][0]
    assert (report["order_id"], report["epoch"]) == (5, 12)


def test_rows_of_the_other_market_are_not_touched(linear, spot):
    assert read(spot, EXECUTION) == (NOT_MINE, [])
    both = json.loads(EXECUTION)
    both["data"].append(json.loads(SPOT_EXECUTION)["data"][0])
    both["data"].append(both["data"][0] | {"symbol": "NOTLISTED", "execPrice": "rubbish"})
    frame = json.dumps(both).encode()
    assert [x["instrument"] for x in read(linear, frame)[1]] == [0]
    assert [x["instrument"] for x in read(spot, frame)[1]] == [1]


def test_a_topic_with_a_category_stands_in_for_a_missing_one(linear, spot):
    frame = EXECUTION.replace(b'"category":"linear",', b"").replace(b'"execution"', b'"execution.linear"')
    assert len(read(linear, frame)[1]) == 1
    assert read(spot, frame) == (NOT_MINE, [])


@pytest.mark.parametrize(
    ("side", "coin", "maker", "fee", "is_quote"),
    [
        ("Buy", "BTC", "false", "0.000000306", 2),
        ("Sell", "USDT", "false", "0.01", 1),
        ("Buy", "MNT", "false", "0.01", 0),
        ("Buy", "", "false", "0.01", 2),
        ("Sell", "", "true", "0.01", 1),
        ("Buy", "", "true", "-0.01", 1),
        ("Sell", "", "true", "-0.01", 2),
    ],
)
def test_the_coin_of_a_spot_fee_is_known(spot, side, coin, maker, fee, is_quote):
    row = json.loads(SPOT_EXECUTION)
    row["data"][0] |= {"side": side, "feeCurrency": coin, "isMaker": maker == "true", "execFee": fee}
    report = read(spot, json.dumps(row).encode())[1][0]
    assert (report["fee_is_quote"], report["fee_coin"]) == (is_quote, coin)
    assert report["fee_e8"] == int((Decimal(fee) * 10**8).to_integral_value(ROUND_CEILING))


def test_several_fills_in_one_message_are_several_reports(linear):
    message = json.loads(EXECUTION)
    message["data"] = [message["data"][0] | {"execId": str(i)} for i in range(5)]
    reports = read(linear, json.dumps(message).encode())[1]
    assert [x["trade_lo"] for x in reports] == [0, 1, 2, 3, 4]


# ---- replies ----


@pytest.mark.parametrize(("op", "kind"), [("cancel", "CANCELS"), ("amend", "AMENDS")])
def test_an_accepted_cancel_or_amend_says_nothing_of_its_order_yet(linear, op, kind):
    """Reference section 4.2: the outcome comes on the private stream; failures.md row 51."""
    frame = ACK.replace(b"order.create", b"order." + op.encode()).replace(b'"n', b'"' + op[0].encode(), 1)
    verdict, events = read(linear, frame)
    assert (verdict, [x["type"] for x in events]) == (HANDLED, ["budget"])
    assert events[0]["kind"] == BudgetKind[f"BUDGET_{kind}"]


def test_the_servers_count_is_passed_on(linear):
    """Reference section 5: one second, per operation; used up until the time it names."""
    budget = read(linear, ACK)[1][1]
    assert (budget["limit"], budget["used"], budget["until_ns"]) == (10, 1, 0)
    assert (budget["market"], budget["kind"], budget["interval_ns"]) == (
        LINEAR,
        BudgetKind.BUDGET_ORDERS,
        10**9,
    )
    spent = read(linear, ACK.replace(b'Status":"9"', b'Status":"0"'))[1][1]
    assert (spent["used"], spent["until_ns"]) == (10, 1711001595208 * 10**6)


@pytest.mark.parametrize("value", [b'""', b"null", b'"-1"', b'"many"', b"[7]"])
def test_an_answer_is_not_lost_over_a_count_that_is_none(linear, value):
    verdict, events = read(linear, ACK.replace(b'Status":"9"', b'Status":' + value))
    assert (verdict, [x["type"] for x in events]) == (HANDLED, ["report"])


@pytest.mark.parametrize(
    ("frame", "code", "kind", "group"),
    [
        (REFUSAL, 110003, "REJECT", "FILTER"),
        (REFUSAL, 10006, "REJECT", "LIMIT"),
        (REFUSAL, 110072, "UNCERTAIN", "DUPLICATE"),
        (REFUSAL, 7, "UNCERTAIN", "UNKNOWN"),
        (LATE_CANCEL, 110001, "CANCEL_REJECT", "NOT_OPEN"),
        (LATE_CANCEL, 7, "UNCERTAIN", "UNKNOWN"),
        (LATE_AMEND, 110001, "AMEND_REJECT", "NOT_OPEN"),
        (LATE_AMEND, 10001, "AMEND_REJECT", "FILTER"),
        (LATE_AMEND, 7, "UNCERTAIN", "UNKNOWN"),
    ],
)
def test_a_code_proves_what_the_table_says(linear, frame, code, kind, group):
    report = read(linear, re.sub(rb'"retCode":\d+', b'"retCode":%d' % code, frame))[1][0]
    assert report["kind"] == ReportKind[f"REPORT_{kind}"]
    assert (report["group"], report["code"]) == (ErrorGroup[f"GROUP_{group}"], code)
    assert report["order_id"] == 77


@pytest.mark.parametrize(
    ("words", "group"),
    [
        ("order remains unchanged as the parameters entered match the existing ones", "OTHER"),
        ("position idx not match position mode", "OTHER"),
        ('Qty \\"unchanged', "OTHER"),
        ("Qty invalid", "FILTER"),
        ("", "FILTER"),
    ],
)
def test_one_code_of_many_meanings_is_told_apart_by_its_words(linear, words, group):
    frame = LATE_AMEND.replace(b"110001", b"10001").replace(
        b"order not exists or too late to cancel", words.encode()
    )
    assert read(linear, frame)[1][0]["group"] == ErrorGroup[f"GROUP_{group}"]
    answer = batch([linear.client_id(77)], [10001], retExtInfo={"list": [{"code": 10001, "msg": words}]})
    assert read(linear, answer)[1][0]["group"] == ErrorGroup[f"GROUP_{group}"]


def test_without_a_table_no_code_proves_anything():
    report = read(BybitWire(instruments(), LINEAR), REFUSAL)[1][0]
    assert report["kind"] == ReportKind.REPORT_UNCERTAIN


# ---- batches ----


def batch(ids, codes, letter="N", op="order.create-batch", code=0, **more) -> bytes:
    message = {"reqId": letter + OUR_REQUEST, "retCode": code, "retMsg": "OK", "op": op}
    message["data"] = {"list": [{"orderId": f"v{i}", "orderLinkId": x} for i, x in enumerate(ids)]}
    message["retExtInfo"] = {"list": [{"code": x, "msg": ""} for x in codes]}
    return json.dumps(message | more).encode()


def test_each_item_of_a_batch_has_its_own_answer(linear):
    """Reference section 4.3: the envelope says 0 even where every item failed; failures.md row 62."""
    ids = [linear.client_id(x) for x in (77, 78, 79)]
    reports = read(linear, batch(ids, [0, 110003, 10000]))[1]
    kinds = [ReportKind.REPORT_ACK, ReportKind.REPORT_REJECT, ReportKind.REPORT_UNCERTAIN]
    assert [(x["order_id"], x["kind"]) for x in reports] == list(zip((77, 78, 79), kinds, strict=True))
    cancels = read(linear, batch(ids, [0, 110001, 10000], "C", "order.cancel-batch"))[1]
    kinds = [ReportKind.REPORT_CANCEL_REJECT, ReportKind.REPORT_UNCERTAIN]
    assert [(x["order_id"], x["kind"]) for x in cancels] == list(zip((78, 79), kinds, strict=True))
    amends = read(linear, batch(ids, [0, 110001, 0], "A", "order.amend-batch"))[1]
    assert [(x["order_id"], x["kind"]) for x in amends] == [(78, ReportKind.REPORT_AMEND_REJECT)]


def test_an_item_without_an_answer_says_nothing(linear):
    ids = [linear.client_id(x) for x in (77, 78, 79)]
    assert [x["order_id"] for x in read(linear, batch(ids, [0]))[1]] == [77]
    assert [x["order_id"] for x in read(linear, batch(ids[:1], [0, 0, 110003]))[1]] == [77]
    assert read(linear, batch(ids, [])) == (HANDLED, [])
    assert read(linear, batch([], [0])) == (HANDLED, [])
    bare = batch(ids, [0, 0, 0], retExtInfo={"list": [{"msg": ""}, {"code": 110003}]})
    assert [x["order_id"] for x in read(linear, bare)[1]] == [78]


def test_a_batch_that_was_refused_as_a_whole_is_told_of_each_of_its_orders():
    """failures.md row 62: the answer names none of them."""
    wire = wire_of(LINEAR, epoch=5)
    sent = json.loads(wire.preview_batch([BUY_LIMIT] * 3, [77, 78, 79], NOW_NS))["reqId"]
    frame = batch([], [], code=10006, data={}, retExtInfo={}, reqId=sent)
    reject = ReportKind.REPORT_REJECT
    told = [(x["order_id"], x["epoch"], x["kind"]) for x in read(wire, frame)[1]]
    assert told == [(77, 5, reject), (78, 5, reject), (79, 5, reject)]
    wishes = [{"action": Action.CANCEL, "order_id": 7, "epoch": 3}, {"action": Action.CANCEL, "order_id": 8}]
    sent = json.loads(wire.preview_batch(wishes, [0, 0], NOW_NS))["reqId"]
    frame = batch([], [], "C", "order.cancel-batch", code=10016, data={}, retExtInfo={}, reqId=sent)
    unsure = ReportKind.REPORT_UNCERTAIN
    told = [(x["order_id"], x["epoch"], x["kind"]) for x in read(wire, frame)[1]]
    assert told == [(7, 3, unsure), (8, 5, unsure)]


def test_a_refused_batch_that_is_not_remembered_is_told_of_its_first_order(linear):
    frame = batch([], [], code=10006, data={}, retExtInfo={})
    assert [(x["order_id"], x["kind"]) for x in read(linear, frame)[1]] == [(77, ReportKind.REPORT_REJECT)]


@pytest.mark.parametrize("letter", ["N", "C", "A"])
def test_a_batch_reply_without_its_op_is_known_by_its_request(linear, letter):
    op = {"N": "order.create-batch", "C": "order.cancel-batch", "A": "order.amend-batch"}[letter]
    frame = batch([linear.client_id(77)], [110001], letter, op)
    bare = frame.replace(b', "op": "' + op.encode() + b'"', b"")
    assert bare != frame
    assert read(linear, bare) == read(linear, frame)


def test_a_batch_of_more_than_the_venue_takes_is_refused(linear):
    ids = [linear.client_id(x) for x in range(1, 22)]
    assert read(linear, batch(ids, [0] * 20)) == (BAD, [])
    assert linear.error().startswith("data.list: too many")
    assert read(linear, batch(ids[:20], [0] * 21)) == (BAD, [])
    assert linear.error().startswith("retExtInfo.list: too many")


def test_a_reply_is_recognised_by_either_id(linear):
    by_link = read(linear, ACK.replace(b'"reqId":"n%s",' % OUR_REQUEST.encode(), b""))[1][0]
    by_request = read(linear, ACK.replace(b'"orderLinkId":"%s"' % OUR_ID.encode(), b'"x":1'))[1][0]
    assert by_link["order_id"] == by_request["order_id"] == 77


def test_a_reply_that_contradicts_itself_is_refused(linear):
    other = linear.client_id(78).encode()
    assert read(linear, ACK.replace(b'orderLinkId":"%s' % OUR_ID.encode(), b'orderLinkId":"%s' % other)) == (
        BAD,
        [],
    )


def test_a_foreign_reply_is_reported_without_an_order(linear):
    frame = ACK.replace(OUR_REQUEST.encode(), b"x").replace(OUR_ID.encode(), b"y")
    assert read(linear, frame)[1][0]["order_id"] == 0


@pytest.mark.parametrize("frame", [REFUSAL, LATE_CANCEL])
def test_a_reply_that_does_not_repeat_its_op_is_known_by_its_request(linear, frame):
    bare = re.sub(rb'"op":"[a-z.]+",', b"", frame)
    assert read(linear, bare)[1][0]["kind"] == read(linear, frame)[1][0]["kind"]


@pytest.mark.parametrize("code", [-1, 10000, 10016, 10019, 110072, 170141, 170146, 20006, 500000, 123456])
def test_a_code_that_proves_nothing_leaves_the_order_uncertain(linear, code):
    report = read(linear, REFUSAL.replace(b"110003", str(code).encode()))[1][0]
    assert (report["kind"], report["code"]) == (ReportKind.REPORT_UNCERTAIN, code)


# ---- orders out ----

BUY_LIMIT = {"instrument": 0, "side": Side.BUY, "price_ticks": 651142, "size_lots": 12}


def test_a_limit_order_reads_as_documented(linear):
    message = json.loads(linear.preview(BUY_LIMIT | {"tif": TimeInForce.POST_ONLY}, 77, NOW_NS))
    assert message == {
        "reqId": f"n{OUR_ID}0001",
        "header": {"X-BAPI-TIMESTAMP": "1711001595207", "X-BAPI-RECV-WINDOW": "1500"},
        "op": "order.create",
        "args": [
            {
                "category": "linear",
                "symbol": "BTCUSDT",
                "side": "Buy",
                "orderType": "Limit",
                "qty": "0.012",
                "price": "65114.2",
                "timeInForce": "PostOnly",
                "orderLinkId": OUR_ID,
                "smpType": "CancelMaker",
                "positionIdx": 0,
            }
        ],
    }


@pytest.mark.parametrize(("tif", "text"), [(0, "GTC"), (1, "IOC"), (2, "FOK"), (3, "PostOnly")])
def test_each_time_in_force_has_its_name(linear, tif, text):
    order = json.loads(linear.preview(BUY_LIMIT | {"tif": tif, "reduce_only": 1}, 1, NOW_NS))["args"][0]
    assert (order["timeInForce"], order["reduceOnly"]) == (text, True)


def test_a_spot_market_order_is_in_base_coin_and_never_borrows(spot):
    wish = {
        "instrument": 1,
        "side": Side.SELL,
        "type": OrderType.MARKET,
        "size_lots": 1500000,
        "reduce_only": 1,
    }
    order = json.loads(spot.preview(wish, 5, NOW_NS))["args"][0]
    assert order == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Sell",
        "orderType": "Market",
        "qty": "1.5",
        "timeInForce": "IOC",
        "marketUnit": "baseCoin",
        "orderLinkId": spot.client_id(5),
        "smpType": "CancelMaker",
        "isLeverage": 0,
    }


def test_a_cancel_goes_by_client_id(linear):
    message = json.loads(linear.preview({"action": Action.CANCEL, "order_id": 77}, 0, NOW_NS))
    assert message["op"] == "order.cancel"
    assert message["reqId"] == f"c{OUR_ID}0001"
    assert message["args"] == [{"category": "linear", "symbol": "BTCUSDT", "orderLinkId": OUR_ID}]


@pytest.mark.parametrize(
    ("intent", "why"),
    [
        (BUY_LIMIT | {"instrument": 1}, "not of this market"),
        (BUY_LIMIT | {"instrument": -1}, "not of this market"),
        (BUY_LIMIT | {"instrument": 99}, "not of this market"),
        (BUY_LIMIT | {"side": 2}, "not known"),
        (BUY_LIMIT | {"tif": 4}, "not known"),
        (BUY_LIMIT | {"action": 7}, "not known"),
        (BUY_LIMIT | {"type": 3}, "not known"),
        (BUY_LIMIT | {"type": OrderType.STOP_MARKET}, "above zero"),
        (BUY_LIMIT | {"size_lots": 0}, "above zero"),
        (BUY_LIMIT | {"price_ticks": 0}, "above zero"),
    ],
)
def test_an_order_that_makes_no_sense_is_not_written(linear, intent, why):
    with pytest.raises(ValueError, match=why):
        linear.preview(intent, 1, NOW_NS)


# ---- legs ----


@pytest.fixture
def hedged() -> BybitWire:
    table = Instruments(4)
    table.add(LINEAR, "BTCUSDT", "0.10", "0.001", is_perpetual=True)
    table.add(SPOT, "BTCUSDT", "0.01", "0.000001")
    wire = BybitWire(table, LINEAR)
    wire.set_codes(CODES)
    wire.set_hedge(True)
    return wire


@pytest.mark.parametrize("index", [0, 1, 2, "1", ""])
def test_the_leg_of_an_order_is_told(linear, index):
    row = json.loads(ORDER)
    row["data"][0]["positionIdx"] = index
    assert read(linear, json.dumps(row).encode())[1][0]["leg"] == (-1 if index == "" else int(index))


@pytest.mark.parametrize("index", [3, -1, 10, 1.0, "01", "long", True])
def test_a_position_index_that_nobody_knows_is_never_guessed(linear, index):
    row = json.loads(ORDER)
    row["data"][0]["positionIdx"] = index
    assert read(linear, json.dumps(row).encode()) == (BAD, [])
    assert linear.error().startswith("positionIdx:")


@pytest.mark.parametrize(
    ("side", "closed", "leg"),
    [
        ("Buy", "0", 1),
        ("Buy", "all", 2),
        ("Sell", "0.000", 2),
        ("Sell", "all", 1),
        ("Sell", "half", -1),  # an account that has legs never closes and opens in one fill
        ("Sell", "", -1),
        ("Sell", None, -1),
    ],
)
def test_the_leg_of_a_fill_follows_from_what_it_closed(hedged, linear, side, closed, leg):
    row = json.loads(EXECUTION)
    size = row["data"][0]["execQty"]
    told = {"all": size, "half": str(Decimal(size) / 2)}.get(closed, closed)
    row["data"][0] |= {"side": side, "closedSize": told, "symbol": "BTCUSDT", "category": "linear"}
    frame = json.dumps(row).encode()
    assert read(hedged, frame)[1][0]["leg"] == leg
    assert read(linear, frame)[1][0]["leg"] == -1, "in one-way mode a fill may do both"


def test_what_a_fill_closed_must_be_a_size(hedged):
    row = json.loads(EXECUTION)
    row["data"][0] |= {"closedSize": "0.00001", "symbol": "BTCUSDT", "category": "linear"}
    assert read(hedged, json.dumps(row).encode()) == (BAD, [])
    assert hedged.error().startswith("closedSize:")


@pytest.mark.parametrize("kind", [OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_MARKET])
@pytest.mark.parametrize(("leg", "closing"), [(1, Side.SELL), (2, Side.BUY)])
def test_in_hedge_mode_an_order_names_its_leg(hedged, kind, leg, closing):
    wish = BUY_LIMIT | {"type": kind, "leg": leg, "side": closing, "reduce_only": 1, "trigger_ticks": 7}
    order = json.loads(hedged.preview(wish, 5, NOW_NS))["args"][0]
    assert (order["positionIdx"], order["reduceOnly"]) == (leg, True)
    batch = json.loads(hedged.preview_batch([wish | {"type": OrderType.LIMIT}] * 2, [5, 6], NOW_NS))
    assert [x["positionIdx"] for x in batch["args"][0]["request"]] == [leg, leg]


def test_a_frame_of_a_leg_is_the_net_frame_but_for_its_leg(hedged, linear):
    net = linear.preview(BUY_LIMIT, 5, NOW_NS)
    assert hedged.preview(BUY_LIMIT | {"leg": 2}, 5, NOW_NS) == net.replace(
        b'"positionIdx":0', b'"positionIdx":2'
    )


@pytest.mark.parametrize(
    ("hedge", "intent", "why"),
    [
        (True, {}, "long or the short leg"),
        (True, {"leg": 3}, "long or the short leg"),
        (False, {"leg": 1}, "no legs here"),
        (True, {"leg": 1, "side": Side.BUY, "reduce_only": 1}, "opens its leg"),
    ],
)
def test_a_leg_that_cannot_be_is_not_written(hedged, hedge, intent, why):
    hedged.set_hedge(hedge)
    with pytest.raises(ValueError, match=why):
        hedged.preview(BUY_LIMIT | intent, 5, NOW_NS)
    with pytest.raises(ValueError, match=why):
        hedged.preview_batch([BUY_LIMIT | intent], [5], NOW_NS)


def test_spot_has_no_legs(spot):
    spot.set_hedge(True)
    wish = {"instrument": 1, "price_ticks": 1, "size_lots": 1}
    assert b"positionIdx" not in spot.preview(wish, 5, NOW_NS)
    with pytest.raises(ValueError, match="no legs here"):
        spot.preview(wish | {"leg": 1}, 5, NOW_NS)


def test_too_little_room_is_an_error(linear):
    with pytest.raises(ValueError, match="640 are needed"):
        linear.preview(BUY_LIMIT, 1, NOW_NS, 639)


@pytest.mark.parametrize("order_type", [OrderType.LIMIT, OrderType.STOP_MARKET])
@pytest.mark.parametrize("market", [SPOT, LINEAR])
def test_the_longest_frame_fits(market, order_type):
    table = Instruments(4)
    table.add(market, "X" * 43, "0." + "0" * 12 + "1", "0." + "0" * 12 + "1")
    wire = BybitWire(table, market)
    wire.window(60000)
    wish = {"price_ticks": 2**62, "size_lots": 2**62, "tif": 3, "reduce_only": 1, "side": Side.SELL}
    wish |= {"type": order_type, "trigger_ticks": 2**62}
    frame = wire.preview(wish, 2**45 - 1, 2**63 - 1)
    assert len(frame) <= 640
    assert json.loads(frame)["args"][0]["qty"] == "461168.6018427387904"
    assert len(wire.preview_batch([wish] * 10, list(range(10)), 2**63 - 1)) <= 10 * 1024


def test_a_stop_triggers_on_the_mark_price_and_only_closes(linear):
    """Reference section 4.5: triggerDirection 1 rise, 2 fall."""
    wish = {"instrument": 0, "side": Side.SELL, "type": OrderType.STOP_MARKET, "size_lots": 500}
    order = json.loads(linear.preview(wish | {"trigger_ticks": 600001}, 5, NOW_NS))["args"][0]
    assert order == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Sell",
        "orderType": "Market",
        "qty": "0.5",
        "timeInForce": "IOC",
        "triggerPrice": "60000.1",
        "triggerDirection": 2,
        "triggerBy": "MarkPrice",
        "orderLinkId": linear.client_id(5),
        "smpType": "CancelMaker",
        "positionIdx": 0,
        "reduceOnly": True,
        "closeOnTrigger": True,
    }
    buy = json.loads(linear.preview(wish | {"trigger_ticks": 7, "side": Side.BUY}, 5, NOW_NS))["args"][0]
    assert buy["triggerDirection"] == 1
    assert not linear.stop_by_rest


def test_a_spot_stop_is_a_conditional_order_in_base_coin(spot):
    wish = {"instrument": 1, "side": Side.BUY, "type": OrderType.STOP_MARKET, "size_lots": 500}
    order = json.loads(spot.preview(wish | {"trigger_ticks": 600001}, 5, NOW_NS))["args"][0]
    assert order == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Market",
        "qty": "0.0005",
        "timeInForce": "IOC",
        "marketUnit": "baseCoin",
        "triggerPrice": "6000.01",
        "orderFilter": "StopOrder",
        "orderLinkId": spot.client_id(5),
        "smpType": "CancelMaker",
        "isLeverage": 0,
    }
    cancel = {"instrument": 1, "action": Action.CANCEL, "order_id": 5, "type": OrderType.STOP_MARKET}
    assert json.loads(spot.preview(cancel, 0, NOW_NS))["args"][0]["orderFilter"] == "StopOrder"


def test_an_amend_names_the_order_its_epoch_and_the_whole_of_what_is_wanted(linear):
    wish = {"action": Action.AMEND, "order_id": 77, "epoch": 12, "price_ticks": 651000, "size_lots": 20}
    message = json.loads(linear.preview(wish, 0, NOW_NS))
    older = wire_of(LINEAR, epoch=12).client_id(77)
    assert (message["op"], message["reqId"]) == ("order.amend", f"a{older}0001")
    assert message["args"] == [
        {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": older, "qty": "0.02", "price": "65100"}
    ]
    stop = wish | {"type": OrderType.STOP_MARKET, "trigger_ticks": 640000, "price_ticks": 0}
    assert json.loads(linear.preview(stop, 0, NOW_NS))["args"][0]["triggerPrice"] == "64000"


@pytest.mark.parametrize(
    ("mode", "text"),
    [("expire_maker", "CancelMaker"), ("expire_taker", "CancelTaker"), ("expire_both", "CancelBoth")],
)
def test_self_trade_prevention_is_always_sent(linear, mode, text):
    linear.stp = mode
    assert linear.stp == mode
    assert json.loads(linear.preview(BUY_LIMIT, 1, NOW_NS))["args"][0]["smpType"] == text
    with pytest.raises(ValueError, match="self-trade prevention 'none'"):
        linear.stp = "none"


def test_a_frame_carries_the_venues_time_and_the_window(linear):
    linear.clock(-250_000_000)
    linear.window(1200)
    header = json.loads(linear.preview(BUY_LIMIT, 1, NOW_NS))["header"]
    assert header == {"X-BAPI-TIMESTAMP": "1711001594957", "X-BAPI-RECV-WINDOW": "1200"}


def test_a_batch_is_one_request_of_many_orders(linear):
    wishes = [BUY_LIMIT, BUY_LIMIT | {"side": Side.SELL, "instrument": 2}]
    message = json.loads(linear.preview_batch(wishes, [77, 78], NOW_NS))
    assert (message["op"], message["reqId"]) == ("order.create-batch", f"N{OUR_ID}0001")
    assert message["header"] == {"X-BAPI-TIMESTAMP": "1711001595207", "X-BAPI-RECV-WINDOW": "1500"}
    (args,) = message["args"]
    singles = [
        json.loads(linear.preview(x, i, NOW_NS))["args"][0] for x, i in zip(wishes, (77, 78), strict=True)
    ]
    assert args["category"] == "linear"
    assert [{"category": "linear", **x} for x in args["request"]] == singles


@pytest.mark.parametrize(("action", "op"), [(Action.CANCEL, "cancel"), (Action.AMEND, "amend")])
def test_cancels_and_amends_go_in_batches_too(linear, action, op):
    wishes = [BUY_LIMIT | {"action": action, "order_id": x, "epoch": x} for x in (7, 8)]
    message = json.loads(linear.preview_batch(wishes, [0, 0], NOW_NS))
    ids = [wire_of(LINEAR, epoch=x).client_id(x) for x in (7, 8)]
    assert message["op"] == f"order.{op}-batch"
    assert message["reqId"] == f"{op[0].upper()}{ids[0]}0001"
    assert [x["orderLinkId"] for x in message["args"][0]["request"]] == ids


def test_a_batch_is_as_large_as_the_venue_takes(linear, spot):
    assert (linear.batch_max, spot.batch_max) == (20, 10)
    wish = BUY_LIMIT | {"instrument": 1}
    assert len(json.loads(spot.preview_batch([wish] * 10, [1] * 10, NOW_NS))["args"][0]["request"]) == 10
    for count in (0, 11):
        with pytest.raises(ValueError, match=f"batch of {count}: must be 1 to 10"):
            spot.preview_batch([wish] * count, [1] * count, NOW_NS)


def test_a_batch_of_what_does_not_go_together_is_not_written(linear):
    cancel = {"action": Action.CANCEL, "order_id": 5}
    with pytest.raises(ValueError, match="different actions"):
        linear.preview_batch([BUY_LIMIT, cancel], [1, 0], NOW_NS)
    with pytest.raises(ValueError, match="stops one by one"):
        linear.preview_batch([cancel | {"type": OrderType.STOP_MARKET}], [0], NOW_NS)
    with pytest.raises(ValueError, match="not of this market"):
        linear.preview_batch([BUY_LIMIT, BUY_LIMIT | {"instrument": 1}], [1, 2], NOW_NS)


def test_what_this_venue_cannot_do_is_said(linear):
    assert (linear.can_amend, linear.can_replace) == (True, False)
    with pytest.raises(ValueError, match="action 3 is not known here"):
        linear.preview(BUY_LIMIT | {"action": Action.REPLACE}, 1, NOW_NS)


def test_the_wire_is_only_for_markets_of_this_venue():
    with pytest.raises(ValueError, match="BYBIT"):
        BybitWire(instruments(), Market.OKX)


# ---- real traffic ----


def test_a_recorded_linear_session_is_read_whole_and_its_books_are_right(linear):
    books, naive = {}, {}
    verdicts = dict.fromkeys((NOT_MINE, HANDLED, RESYNC, BAD), 0)
    mine = ("orderbook.", "publicTrade.", "tickers.")
    for line in rows("bybit/linear-2026-08-09-with-rest.jsonl.gz"):
        if line["channel"] == "connect":
            continue  # an address, no frame
        verdict, events = read(linear, line["raw"].encode())
        verdicts[verdict] += 1
        assert (verdict == HANDLED) == line["channel"].startswith(mine), (linear.error(), line["raw"][:200])
        assert events == Twin(LINEAR)(json.loads(line["raw"])) if verdict == HANDLED else events == []
        for x in events:
            if x["type"] == "depth":
                book = books.setdefault(x["instrument"], Book(x["instrument"]))
                book.feed(x["kind"], x["rule"], x["bids"], x["asks"], -1, x["last_id"], -1)
                apply(naive.setdefault(x["instrument"], ({}, {})), x)
    assert verdicts[BAD] == verdicts[RESYNC] == 0
    assert len(books) == 4
    for number, book in books.items():
        assert (book.gaps, book.crossings) == (0, 0)
        bids, asks = naive[number]
        assert book.bids() == sorted(bids.items(), reverse=True)
        assert book.asks() == sorted(asks.items())
        assert len(bids) == len(asks) == 200


def apply(sides, event):
    """The naive book: a dict a side."""
    for side, levels in zip(sides, (event["bids"], event["asks"]), strict=True):
        if event["kind"] == DepthKind.SNAPSHOT:
            side.clear()
        for price, size in levels:
            side[price] = size
            if size == 0:
                del side[price]


def test_a_recorded_top_of_book_is_read_whole(linear):
    book, sides, count = Book(0), ({}, {}), 0
    for line in rows("bybit/btcusdt-ob1-2024-11-08.jsonl.gz"):
        verdict, events = read(linear, line["raw"].encode())
        assert verdict == (NOT_MINE if line["channel"] == "reply" else HANDLED)
        for x in events:
            count += 1
            book.feed(x["kind"], x["rule"], x["bids"], x["asks"], -1, x["last_id"], -1)
            apply(sides, x)
            assert book.bids() + book.asks() == [*sides[0].items(), *sides[1].items()]
    assert (count, book.gaps, book.crossings) == (2354, 0, 0)


def test_recorded_orders_are_read_whole(linear):
    kinds = []
    for line in rows("private/bybit-orders.jsonl.gz"):
        verdict, events = read(linear, line["raw"].encode())
        assert verdict == (NOT_MINE if line["channel"] == "reply" else HANDLED)
        kinds += [x["kind"] for x in events]
    assert [
        kinds.count(x) for x in (ReportKind.REPORT_FILLED, ReportKind.REPORT_LIVE, ReportKind.REPORT_CANCELED)
    ] == [
        10,
        8,
        8,
    ]


def test_no_message_of_the_public_fixtures_is_refused(linear, spot):
    handled = {}
    for line in rows("fixtures/bybit-nautilus.jsonl.gz"):
        for wire in (linear, spot):
            if "apex" in line["raw"].lower() and wire is spot:
                continue
            verdict, events = read(wire, line["raw"].encode())
            assert verdict in (HANDLED, NOT_MINE), (line["channel"], wire.error())
            if wire is linear and verdict == HANDLED:
                handled[line["channel"].partition(":")[2]] = [x["type"] for x in events]
    assert handled["ws_orderbook_delta.json"] == ["depth"]
    assert handled["ws_ticker_linear.json"] == ["mark"]
    assert handled["ws_account_execution.json"] == ["report"]
    assert handled["ws_account_execution_adl.json"] == ["report"]
    assert handled["ws_order_response.json"] == ["report"]
    assert not any(name.startswith("http_") for name in handled)


# ---- a second line ----


def test_the_levels_of_a_copy_are_not_read_and_those_of_the_winner_are(linear):
    loser, winner = SecondLine(has=True), SecondLine(has=False)
    assert linear.read(garbled(DELTA), loser) == HANDLED
    ids = {"first_id": -1, "last_id": 21111423, "prev_id": -1}
    asked = {
        "instrument": 0,
        "kind": DepthKind.UPDATE,
        "depth": 50,
        "partial": 0,
        "rule": Rule.RULE_STEP,
    } | ids
    assert (loser.looks, loser.events) == ([asked], [])
    assert linear.read(garbled(DELTA), winner) == BAD
    assert linear.read(DELTA, winner) == HANDLED
    assert winner.events == read(linear, DELTA)[1]


@pytest.mark.parametrize(
    "frame",
    [
        SNAPSHOT,
        TOP,
        TRADES,
        TICKER,
        ORDER,
        EXECUTION,
        ACK,
        DELTA.replace(b"21111423", b"1"),
        DELTA.replace(b"BTCUSDT", b"XYZUSDT"),
        DELTA + b" ",
        DELTA.replace(b',"seq":457514742300', b""),
        DELTA.replace(b'},"cts"', b'},"x":{"y":[],"u":21111499,"seq":5},"cts"'),
        DELTA.replace(b'"u":21111423', b'"u":21111423,"x":{"y":[]},"z":[],"u":21111499'),
        DELTA.replace(b'"type":"delta",', b"").replace(b'"cts"', b'"type":"delta","cts"'),
    ],
)
def test_only_a_delta_with_the_usual_end_is_looked_at(linear, frame):
    assert frame in SAMPLES.values() or frame != DELTA
    assert not check_look(linear, frame)


def test_an_update_that_is_newer_than_the_book_is_read_without_a_look(linear):
    check_newer_is_not_looked_at(linear, DELTA)


def test_a_look_says_what_the_whole_frame_says_wherever_it_is_broken(linear):
    assert check_looks_at_mutants(linear, DELTA) > 1000


def test_no_member_that_does_not_belong_there_can_fool_a_look(linear):
    rng, looked, sound = random.Random(5), 0, 0
    keys = ("u", "seq", "s", "b", "a", "x", "data", "type", "topic", "cts")
    for _ in range(20_000):
        inner = ['"s":"BTCUSDT"', '"b":[["7.5","1"]]', '"a":[]', '"u":21', '"seq":22']
        data = with_foreign_members(rng, inner, keys)
        outer = ['"topic":"orderbook.50.BTCUSDT"', '"type":"delta"', '"ts":1', f'"data":{data}', '"cts":3']
        frame = with_foreign_members(rng, outer, keys).encode()
        if check_look(linear, frame):
            looked += 1
            sound += read(linear, frame)[0] == HANDLED
    assert looked > sound > 1000


@pytest.mark.parametrize("name", ["linear-2026-08-09-with-rest", "btcusdt-ob1-2024-11-08"])
def test_every_recorded_delta_is_looked_at(name):
    wire, *_ = captured("bybit-linear", 1500)
    deltas = 0
    for line in rows(f"bybit/{name}.jsonl.gz"):
        raw = line["raw"].encode()
        is_delta = line["channel"].startswith("orderbook") and b'"type":"delta"' in raw
        assert check_look(wire, raw) == is_delta
        deltas += is_delta
    assert deltas > 1500


def test_books_of_two_lines_are_those_of_one():
    check_second_line(*captured("bybit-linear", 800))
