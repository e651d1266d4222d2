"""Rows and the text they are made of."""

from decimal import Decimal

import orjson
import pytest

from node.venues.fakes import Listing
from node.venues.okx.fake_errors import Problem
from node.venues.okx.fake_rows import (
    covers,
    flag_in,
    instrument_row,
    number_in,
    objects,
    order_id,
    order_number,
    plain,
    reply,
    rounded,
    text_in,
)

SWAP = Listing("BTC-USDT-SWAP", "0.1", "0.01", 3, "BTC", "USDT", "0.01", 10459, True)
SPOT = Listing("BTC-USDT", "0.1", "0.00000001", 3, "BTC", inst_code=3, min_size="0.00001")


def test_an_instrument_row_is_what_the_venue_documents():
    swap, spot = instrument_row(SWAP), instrument_row(SPOT)
    assert swap.keys() == spot.keys()
    assert (swap["instIdCode"], swap["ctVal"], swap["settleCcy"], swap["baseCcy"]) == (
        10459,
        "0.01",
        "USDT",
        "",
    )
    assert (spot["baseCcy"], spot["quoteCcy"], spot["ctVal"], spot["lever"]) == ("BTC", "USDT", "", "")
    assert (spot["lotSz"], spot["minSz"], swap["minSz"]) == ("0.00000001", "0.00001", "0.01")
    texts = {k for k, v in swap.items() if not isinstance(v, str)}
    assert texts == {"instIdCode", "futureSettlement", "tradeQuoteCcyList", "upcChg"}


@pytest.mark.parametrize(
    ("status", "state"),
    [("trading", "live"), ("halt", "suspend"), ("post_only", "post_only"), ("auction", "preopen")],
)
def test_the_state_of_an_instrument_follows_its_status(status, state):
    assert instrument_row(Listing("X-USDT", "1", "1", 3, status=status))["state"] == state


def test_order_ids_have_nineteen_digits_and_a_way_back():
    assert len(order_id(7)) == 19
    assert order_number(order_id(7)) == 7
    assert order_number("x") is None
    assert order_number(5) is None


def test_members_are_read_strictly():
    assert text_in({}, "a") == text_in({"a": None}, "a") == text_in({"a": ""}, "a") == ""
    assert [flag_in({"a": x}, "a") for x in (True, "true", False, "false", "", None)] == [True, True] + [
        False
    ] * 4
    assert number_in({"sz": "5"}, "sz", 1, 400) == 5
    assert number_in({}, "sz", 1, 400) == 1
    for call in (
        lambda: text_in({"a": 5}, "a"),
        lambda: flag_in({"a": "yes"}, "a"),
        lambda: number_in({"a": "0"}, "a", 1, 9),
        lambda: number_in({"a": "²"}, "a", 1, 9),
    ):
        with pytest.raises(Problem) as error:
            call()
        assert error.value.code == "51000"


def test_arguments_must_be_a_list_of_objects():
    assert objects([{}]) == [{}]
    assert objects([1]) == objects({}) == objects(None) == []


def test_numbers_have_no_exponent_and_no_padding():
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("0.00000010")) == "0.0000001"
    assert plain(Decimal("-0.0")) == "0"
    assert rounded(Decimal(1) / 3, 4) == "0.3333"


def test_what_a_filter_covers():
    assert covers({}, SWAP)
    assert covers({"instType": "ANY", "instFamily": "BTC-USDT"}, SPOT)
    assert not covers({"instType": "SPOT"}, SWAP)
    assert not covers({"instId": "ETH-USDT-SWAP"}, SWAP)
    assert not covers({"uly": "ETH-USDT"}, SWAP)


def test_the_envelope():
    assert orjson.loads(reply("0", [], "", inTime="1")) == {"code": "0", "data": [], "msg": "", "inTime": "1"}
