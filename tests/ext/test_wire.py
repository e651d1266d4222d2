"""Client order ids and request ids: ours come back, anything else is nobody's."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ext.instruments import Instruments
from ext.records import Action, ErrorGroup, Outcome
from ext.venues.binance import BinanceWire
from ext.wire import ListSink, Sink, Verdict, Wire, depth_dict

BASE32 = "0123456789bcdfghjklmnpqrstvwxyzB"
TABLE = Instruments()


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 2**45 - 1), st.integers(0, 2**35 - 1), st.text(BASE32[:31], min_size=4, max_size=4))
def test_a_client_id_comes_back_and_is_legal_on_three_venues(order_id, epoch, deployment):
    wire = Wire(TABLE, 0, deployment, epoch)
    text = wire.client_id(order_id)
    assert wire.order_id(text) == order_id
    assert re.fullmatch(r"[a-zA-Z0-9]{1,32}", text)  # OKX; Binance and Bybit allow more
    assert text.startswith(deployment)


@settings(max_examples=1000, deadline=None)
@given(st.integers(1, 2**45 - 1), st.integers(0, 20), st.sampled_from(BASE32))
def test_one_wrong_character_is_refused(order_id, at, other):
    wire = Wire(TABLE, 0)
    text = wire.client_id(order_id)
    changed = text[:at] + other + text[at + 1 :]
    assert wire.order_id(changed) == (order_id if changed == text else 0)


@settings(max_examples=1000, deadline=None)
@given(st.integers(1, 2**45 - 1), st.integers(0, 20), st.integers(0, 20))
def test_two_swapped_characters_are_refused(order_id, at, other):
    wire = Wire(TABLE, 0)
    text = wire.client_id(order_id)
    characters = list(text)
    characters[at], characters[other] = characters[other], characters[at]
    swapped = "".join(characters)
    assert wire.order_id(swapped) == (order_id if swapped == text else 0)


def test_ids_of_others_are_not_ours():
    mine = Wire(TABLE, 0, "bbbb", 7).client_id(5)
    assert Wire(TABLE, 0, "bbbb", 8).order_id(mine) == Wire(TABLE, 0, "bbbc", 7).order_id(mine) == 0
    wire = Wire(TABLE, 0, "bbbb", 7)
    for text in (
        "",
        mine[:-1],
        mine + "0",
        mine.upper(),
        "é" * 21,
        "x" * 21,
        "\0" * 21,
        mine[:12] + "a" + mine[13:],
    ):
        assert wire.order_id(text) == 0


@pytest.mark.parametrize(
    ("deployment", "epoch"),
    [("bcd", 0), ("bcdfg", 0), ("BCDF", 0), ("bcd-", 0), ("wxyB", 0), ("éaaa", 0), ("tckg", 2**35)],
)
def test_a_head_that_is_not_legal_everywhere_is_refused(deployment, epoch):
    with pytest.raises(ValueError, match=r"deployment|epoch"):
        Wire(TABLE, 0, deployment, epoch)


def test_a_new_epoch_changes_the_ids():
    wire = Wire(TABLE, 0, "tckg", 1)
    before = wire.client_id(1)
    wire.identify("tckg", 2)
    assert wire.client_id(1) != before
    assert wire.order_id(before) == 0


def test_an_order_of_an_earlier_epoch_is_known_as_ours_but_not_as_this_process_s():
    before, now = Wire(TABLE, 0, "tckg", 1), Wire(TABLE, 0, "tckg", 2)
    text = before.client_id(77)
    assert now.order_id(text) == 0
    assert now.whose(text) == (77, 1)
    assert now.client_id(77, 1) == text
    assert Wire(TABLE, 0, "tckh", 1).whose(text) == (0, 0)


def test_ids_have_no_vowels_so_that_no_firewall_reads_words():
    wire = Wire(TABLE, 0, "tckg", 2**35 - 1)
    assert not set("".join(wire.client_id(i * 7919) for i in range(1, 5000))) & set("aeiouAEIOU")


def test_a_code_that_is_not_in_the_table_proves_nothing():
    wire = Wire(TABLE, 0)
    assert wire.outcome(5) == (Outcome.UNCERTAIN, ErrorGroup.GROUP_UNKNOWN)
    wire.set_codes([(-7, 1, 1, 1, 4), (5, 1, 2, 3, 1), (90, 3, 3, 3, 2)])
    assert [wire.outcome(5, action) for action in (Action.NEW, Action.CANCEL, Action.AMEND)] == [
        (1, 1),
        (2, 1),
        (3, 1),
    ]
    assert wire.outcome(-7) == (1, 4)
    assert [wire.outcome(x)[0] for x in (-8, 0, 4, 6, 91)] == [Outcome.UNCERTAIN] * 5
    with pytest.raises(ValueError, match="twice"):
        wire.set_codes([(5, 1, 1, 1, 1), (5, 1, 1, 1, 2)])
    with pytest.raises(ValueError, match="outcomes"):
        wire.set_codes([(5, 1, 4, 1, 1)])


def test_a_window_outside_what_venues_take_is_refused():
    wire = Wire(TABLE, 0)
    wire.window(1000)
    assert wire.window_ms == 1000
    for window_ms in (0, 99, 60_001):
        with pytest.raises(ValueError, match="window"):
            wire.window(window_ms)


def test_the_base_wire_takes_nothing():
    wire = Wire(TABLE, 0)
    sink = ListSink()
    assert wire.read(b"{}", sink) == Verdict.NOT_MINE
    assert sink.events == []


def test_a_bad_frame_is_explained():
    table = Instruments()
    table.add(0, "BTCUSDT", "0.01", "1")
    wire = BinanceWire(table, 0)
    frame = b'{"e":"trade","s":"BTCUSDT","t":1,"p":"1.005","q":"1","T":1,"m":true}'
    assert wire.read(frame, Sink()) == Verdict.BAD
    assert re.fullmatch(r"p: off the grid at byte \d+", wire.error())


def test_records_become_dicts():
    assert depth_dict({"kind": 1}, [(1, 2)], []) == {"type": "depth", "kind": 1, "bids": [(1, 2)], "asks": []}
