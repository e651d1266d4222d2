"""How fine a book must be read: exact steps out of a depth reply, or a refusal."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.venues.depth import data_steps


def reply(bids=(), asks=()) -> bytes:
    return orjson.dumps({"lastUpdateId": 1, "bids": list(bids), "asks": list(asks)})


def test_a_book_on_the_venues_own_grid_is_read_on_it():
    told = reply([["100.5", "0.002"], ["100.0", "1.000"]], [["101", "3"]])
    assert data_steps(told, "0.5", "0.002") == ("0.5", "0.002")


def test_an_order_from_before_the_tick_was_made_coarser_makes_the_data_finer():
    assert data_steps(reply([["100.05", "1"]]), "0.1", "0.001") == ("0.01", "0.001")
    assert data_steps(reply([["100.3", "1"]]), "0.5", "0.001") == ("0.1", "0.001")
    assert data_steps(reply([], [["100.1", "0.00012000"]]), "0.1", "0.001") == ("0.1", "0.00001")


def test_zeros_at_the_end_are_no_digits():
    assert data_steps(reply([["100.10000000", "1.00000000"]]), "0.1", "1") == ("0.1", "1")


def test_a_step_above_one_that_does_not_fit_becomes_one():
    assert data_steps(reply([["105", "1"]]), "10", "1") == ("1", "1")


def test_an_empty_book_says_nothing_against_the_venues_grid():
    assert data_steps(reply(), "0.1", "0.001") == ("0.1", "0.001")


def test_members_behind_price_and_size_do_not_matter():
    assert data_steps(reply([["100.1", "1", "0", "4"]]), "0.1", "1") == ("0.1", "1")


def test_numbers_may_come_without_quotes():
    assert data_steps(b'{"bids":[[100,1]],"asks":[]}', "0.1", "1") == ("0.1", "1")


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"bids":[]}',
        b'{"bids":[],"asks":null}',
        b'{"bids":[],"asks":5}',
        b'{"bids":[5],"asks":[]}',
        b'{"bids":[["1"]],"asks":[]}',
        b'{"bids":[["x","1"]],"asks":[]}',
        b'{"bids":[["1",null]],"asks":[]}',
        b'{"bids":[["NaN","1"]],"asks":[]}',
        b'{"bids":[["Infinity","1"]],"asks":[]}',
        b'{"bids":[["1e9999999","1"]],"asks":[]}',
        b'{"bids":[["1e-9999999","1"]],"asks":[]}',
        b'{"bids":[["-1","1"]],"asks":[]}',
        b'{"bids":["ab"],"asks":[]}',
        b'{"bids":{"a":1},"asks":[]}',
        b'{"bids":[{"0":"1"}],"asks":[]}',
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b"<html>busy</html>",
        b'{"bids":[["' + b"1" * 5000 + b'","1"]],"asks":[]}',
    ],
)
def test_what_is_no_depth_reply_is_refused(told):
    with pytest.raises(ValueError, match="not a depth snapshot"):
        data_steps(told, "0.1", "0.001")


def test_every_cut_of_a_reply_is_refused():
    told = reply([["100.05", "1"]], [["100.10", "0.002"]])
    for size in range(len(told)):
        with pytest.raises(ValueError, match="not a depth snapshot"):
            data_steps(told[:size], "0.1", "0.001")


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 8)), min_size=1, max_size=20),
    st.sampled_from(["0.1", "0.01", "0.5", "0.25", "1", "0.00001"]),
)
def test_every_level_is_a_whole_number_of_steps(prices, tick):
    from decimal import Decimal

    texts = [format(Decimal(n).scaleb(-places), "f") for n, places in prices]
    step, _ = data_steps(reply([[x, "1"] for x in texts]), tick, "1")
    assert all(Decimal(x) % Decimal(step) == 0 for x in [*texts, tick])
