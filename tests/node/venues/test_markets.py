"""One row per market: sessions, requests, decoders and the topic of a frame, for all of them."""

import pytest

from ext.instruments import Instruments
from ext.records import Market
from node.config import DEPTHS
from node.config import MARKETS as NUMBERS
from node.venues.markets import MARKETS, make_wire
from node.venues.values import Reply, Request, Send

SPOT, USDM = int(Market.BINANCE_SPOT), int(Market.BINANCE_USDM)
BYBIT, BYBIT_SPOT, OKX = int(Market.BYBIT_LINEAR), int(Market.BYBIT_SPOT), int(Market.OKX)
SYMBOLS = {
    SPOT: ["BTCUSDT", "ETHUSDT"],
    USDM: ["BTCUSDT"],
    BYBIT: ["BTCUSDT"],
    BYBIT_SPOT: ["BTCUSDT"],
    OKX: ["BTC-USDT-SWAP"],
}


def topics(market: int, depth: int | None = None, trades: bool = True) -> list[list]:
    """Of each connection of one line."""
    name = next(x for x, number in NUMBERS.items() if number == market)
    depths = dict.fromkeys(SYMBOLS[market], DEPTHS[name][0] if depth is None else depth)
    sessions = MARKETS[market].feeds(market, SYMBOLS[market], depths, trades)
    names = [getattr(x, "streams", None) or x.topics for x in sessions]
    return [[x for x in of_line if x[0] not in ("instruments", "status")] for of_line in names]


def test_there_is_a_row_for_each_market_that_can_be_configured():
    assert set(MARKETS) == set(NUMBERS.values())
    assert set(DEPTHS) == set(NUMBERS)


@pytest.mark.parametrize("market", MARKETS)
def test_a_row_makes_what_a_node_needs_of_it(market):
    row = MARKETS[market]
    instruments = Instruments(1)
    instruments.add(market, SYMBOLS[market][0], "0.1", "0.001")
    wire = make_wire(instruments, market, "tst0", 1)
    assert isinstance(wire, row.wire)
    assert wire.market == market
    for request in row.instruments(market, SYMBOLS[market]):
        assert isinstance(request, Request)
        assert request.method == "GET"
    (first, *_), *_ = (
        x.start(1) for x in row.feeds(market, SYMBOLS[market], dict.fromkeys(SYMBOLS[market], 50), True)
    )
    assert isinstance(first, Send)
    row.orders(market, None).start(1)
    for address, session in row.private(market, None):
        assert address in ("streams", "orders")
        assert (session is None) == (row.listen_key is not None)


@pytest.mark.parametrize("market", MARKETS)
def test_a_reply_that_is_none_is_refused_with_words(market):
    for reply in (
        b"",
        b"{}",
        b"[]",
        b"null",
        b"<html>",
        b'{"code":0,"data":5}',
        b'{"retCode":0,"result":null}',
        b'{"symbols":5}',
    ):
        with pytest.raises(ValueError, match=r"."):
            MARKETS[market].read(market, reply)


def test_binance_follows_the_full_book_and_perpetual_trades_sit_on_a_route_of_their_own():
    assert topics(SPOT) == [
        [
            "btcusdt@depth@100ms",
            "btcusdt@bookTicker",
            "ethusdt@depth@100ms",
            "ethusdt@bookTicker",
            "btcusdt@trade",
            "ethusdt@trade",
        ]
    ]
    assert topics(USDM) == [
        ["btcusdt@depth@100ms", "btcusdt@bookTicker"],
        ["btcusdt@aggTrade", "btcusdt@markPrice@1s"],
    ]


def test_bybit_follows_the_depth_that_was_asked_for():
    assert topics(BYBIT) == [
        ["orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"]
    ]
    assert topics(BYBIT_SPOT, 200)[0][0] == "orderbook.200.BTCUSDT"


def test_okx_names_the_channel_of_a_depth():
    assert topics(OKX) == [
        [("books", "BTC-USDT-SWAP"), ("bbo-tbt", "BTC-USDT-SWAP"), ("trades", "BTC-USDT-SWAP")]
    ]
    assert topics(OKX, 50)[0][0] == ("books50-l2-tbt", "BTC-USDT-SWAP")


def test_okx_tells_of_instruments_and_of_its_own_state_to_every_feed():
    depths = {"BTC-USDT-SWAP": 400, "BTC-USDT": 400}
    (session,) = MARKETS[OKX].feeds(OKX, list(depths), depths, False)
    assert session.topics[-3:] == [("instruments", "SPOT"), ("instruments", "SWAP"), ("status", "")]
    assert not set(session.topics[-3:]) & set(session.spoken)


def test_without_trades_only_books_and_quotes_are_subscribed():
    assert topics(SPOT, trades=False) == [topics(SPOT)[0][:4]]
    assert topics(USDM, trades=False) == topics(USDM)[:1]
    assert topics(BYBIT, trades=False) == [topics(BYBIT)[0][:2]]
    assert topics(OKX, trades=False) == [topics(OKX)[0][:2]]


@pytest.mark.parametrize(
    ("market", "frame", "topic"),
    [
        (SPOT, b'{"stream":"btcusdt@trade","data":{}}', "btcusdt@trade"),
        (SPOT, b'{ "stream" : "btcusdt@trade" , "data" : {} }', "btcusdt@trade"),
        (USDM, b'{"data":{"e":"depthUpdate","b":[' + b"1," * 400 + b'1]},"stream":"x@depth"}', "x@depth"),
        (BYBIT, b'{"topic":"orderbook.50.BTCUSDT","type":"delta"}', "orderbook.50.BTCUSDT"),
        (BYBIT, b'{"type":"delta","ts":1,\n"topic": "orderbook.50.BTCUSDT"}', "orderbook.50.BTCUSDT"),
        (OKX, b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[]}', ("books", "BTC-USDT")),
        (OKX, b'{"arg": {"instId" :"BTC-USDT", "channel": "books"},"data":[]}', ("books", "BTC-USDT")),
        (SPOT, b'{"e":"trade"}', None),
        (BYBIT, b"{}", None),
        (OKX, b'{"arg":{"channel":"books"}}', None),
        (OKX, b"", None),
        (SPOT, b'{"stream":"\xff\xfe"}', None),
        (BYBIT, b'{"topic":"\xff"}', None),
        (OKX, b'{"arg":{"channel":"\xff","instId":"\xff"}}', None),
    ],
)
def test_the_topic_of_a_frame_is_read_whatever_its_spacing_and_order(market, frame, topic):
    assert MARKETS[market].topic(frame) == topic


def test_depth_snapshots_are_requested_where_the_venue_works_so():
    assert "BTCUSDT" in MARKETS[SPOT].snapshot(SPOT, "BTCUSDT").target
    assert [m for m in MARKETS if MARKETS[m].snapshot is None] == [BYBIT_SPOT, BYBIT, OKX]


def test_the_limit_on_conditional_orders_of_okx_is_no_limit_on_all_orders():
    rows = MARKETS[NUMBERS["okx"]].budgets(NUMBERS["okx"])
    assert min(limit for _, limit, _, _ in rows) == 60


def test_okx_is_asked_for_each_kind_of_instrument_once():
    asked = MARKETS[OKX].instruments(OKX, ["BTC-USDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP"])
    assert [x.target.partition("instType=")[2] for x in asked] == ["SPOT", "SWAP"]


def opened(body: bytes):
    asks, opened = MARKETS[USDM].listen_key(USDM, "key", None)
    assert (asks().method, dict(asks().headers)) == ("POST", {"X-MBX-APIKEY": "key"})
    return opened(Reply(200, {}, body))


def test_a_listen_key_opens_a_private_stream():
    session = opened(b'{"listenKey":"abc"}')
    assert "abc" in session.path
    assert session.path != opened(b'{"listenKey":"abd"}').path


@pytest.mark.parametrize(
    "reply", [b"", b"{}", b"[]", b'{"listenKey":""}', b'{"listenKey":5}', b'{"code":-1,"msg":"no"}', b"\xff"]
)
def test_a_reply_without_a_listen_key_is_refused(reply):
    with pytest.raises(ValueError, match=r"."):
        opened(reply)
