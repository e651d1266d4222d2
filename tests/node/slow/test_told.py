"""The values that a tape's orders are told in."""

import orjson
import pytest
from taped import CONFIG

from ext.tape import Record, RecordType
from node.slow.told import Cause, Order, run_of


def run(**more):
    return run_of(Record(RecordType.CONFIG, 0, 1, 5, orjson.dumps(CONFIG | more)), 2)


@pytest.mark.parametrize(
    ("frame", "ns"),
    [
        (b'{"e":"depthUpdate","E":1700000000123,"s":"BTCUSDT"}', 1_700_000_000_123_000_000),
        (b'{"topic":"orderbook.50","ts":1700000000123,"data":{}}', 1_700_000_000_123_000_000),
        (b'{"arg":{},"data":[{"ts":"1700000000123"}]}', 1_700_000_000_123_000_000),
        (b'{"E":1700000000123456}', 1_700_000_000_123_456_000),
        (b'{"lastUpdateId":1,"bids":[]}', 0),
        (b'{"E":17}', 0),
        (b"", 0),
    ],
)
def test_the_time_in_a_frame_is_the_venues_in_whatever_digits(frame, ns):
    assert Cause("frame", 0, 1, 5, len(frame), frame).venue_ns == ns


def test_a_run_names_its_lines_strategies_and_orders():
    told = run(epoch=9)
    assert (told.number, told.started_ns, told.ack_timeout_ns) == (2, 5, 10**9)
    assert [told.line(x) for x in (3, 40)] == ["orders", "line 40"]
    assert [told.strategy(x) for x in (0, 1, -1, -2, -3)] == [
        "Mine",
        "strategy 1",
        "adopted",
        "exit",
        "protection",
    ]
    assert [told.place(x) is None for x in (-1, 0, 1)] == [True, False, True]
    assert told.wire().whose(told.client_id(9, 17)) == (17, 9)


def test_how_long_a_run_waits_for_answers_is_what_its_config_says():
    config = CONFIG["config"] | {"ack_timeout_ms": 250}
    assert run(config=config).ack_timeout_ns == 250_000_000


def test_an_order_without_a_client_id_goes_by_what_it_has():
    order = Order(("refused", 5, 0), "refused", run(), None, sequence=5)
    assert (order.name, order.is_closed) == ("#5", False)
    order.state, order.venue_id = "REFUSED", "77"
    assert (order.name, order.is_closed) == ("77", True)
