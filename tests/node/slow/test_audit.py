"""`tickgate audit`: one order's story in people's units, lists, and asking for what is not there."""

import json
import shutil
from decimal import Decimal
from pathlib import Path

import archives
import pytest
import taped
from chain import MS, ORDERS, PRIVATE, Script, ack, execution
from taped import Taped, once
from typer.testing import CliRunner

from ext.records import Nature
from ext.tape import RecordType, TapeWriter
from node.cli import app
from node.errors import Failed, UserError
from node.slow.audit import (
    audit_list,
    audit_order,
    latency,
    masked,
    order_json,
    slippage,
    story_json,
    trade_id,
)

NS = 10**9


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("tape")
    taped.run(out, 18, seed=3, faults=taped.TROUBLE)
    return out


def story(directory, wanted):
    found = audit_order(directory, wanted)
    return story_json(found.orders[0], found)


def filled(directory):
    """The first order on a tape that filled."""
    return next(x for x in audit_list(directory, "", "", "").orders if x.state == "FILLED")


# ---- one order ----


def test_an_order_is_found_by_each_of_its_names(directory):
    order = filled(directory)
    told = story(directory, order.client_id)
    assert told["client_id"] == order.client_id
    assert story(directory, order.venue_id) == told
    assert story(directory, str(order.key[1])) == told
    assert story(directory, f"#{order.sequence}") == told


def test_its_story_has_the_decision_the_bytes_every_word_and_the_end_in_order_of_time(directory):
    told = story(directory, filled(directory).client_id)
    words = [x["what"] for x in told["events"]]
    assert words[:2] == ["decided", "written"]
    assert {"filled", "said"} <= set(words)
    assert [x["record"] for x in told["events"]] == sorted(x["record"] for x in told["events"])
    assert told["known"]["cause"]["what"] == "frame"
    assert "feed" in told["known"]["cause"]["line"]
    assert Decimal(told["known"]["cause"]["age_ms"]) > 0
    assert told["known"]["signal"]["name"].startswith("place")
    assert len(told["book"]["bids"]) == len(told["book"]["asks"]) == 5
    assert all(x["passed"] for x in told["checks"])
    assert len(told["checks"]) > 30
    written = told["events"][1]
    assert told["client_id"] in written["bytes"]
    assert told["state"] == "FILLED"
    assert told["filled"] == told["size"] == "0.0005" or told["size"] == "0.005"


def test_every_number_is_text_and_exact(directory):
    text = json.dumps(story(directory, filled(directory).client_id))
    assert not any(isinstance(x, float) for x in numbers(json.loads(text)))


def numbers(told):
    if isinstance(told, dict):
        for value in told.values():
            yield from numbers(value)
    elif isinstance(told, list):
        for value in told:
            yield from numbers(value)
    else:
        yield told


def test_a_refused_order_is_told_by_its_record(directory):
    found = audit_list(directory, "", "", "")
    order = next(x for x in found.orders if x.provenance == "refused")
    told = story(directory, f"#{order.sequence}")
    assert told["state"] == "REFUSED"
    assert told["checks"][-1]["passed"] is False
    assert told["checks"][-1]["check"] == told["refused_by"]["check"] == order.reason
    assert told["events"][0]["refused_by"] == told["refused_by"]


def test_prices_against_mid_and_touch_are_worse_above_zero_on_both_sides(tmp_path):
    def both(self, instrument, now_ns):
        if len(self.kinds("book")) == 1:
            self.buy(instrument, 10_010, 10)
            self.sell(instrument, 9990, 10)

    chain = Taped(tmp_path, Script(on_book=both), limits={"collar_ppm": 100_000})
    # the book at the decision: 99.90 / 100.10
    chain.fill(chain.client_id(1), "BUY", 5, 5, 501, ticks=10_010)
    chain.fill(chain.client_id(1), "BUY", 5, 10, 502, ticks=10_020, status="FILLED")
    order = audit_list(tmp_path, "", "", "").orders[0]
    found = audit_order(tmp_path, order.client_id)
    told = slippage(found.orders[0])
    assert told == {"mid": "100", "touch": "100.1", "against_mid_bps": "15", "against_touch_bps": "5"}
    assert found.orders[0].state == "FILLED"


def test_a_sale_below_the_mid_costs_too(tmp_path):
    def sell(self, instrument, now_ns):
        if len(self.kinds("book")) == 1:
            self.sell(instrument, 9990, 10)

    chain = Taped(tmp_path, Script(on_book=sell))
    chain.fill(chain.client_id(1), "SELL", 10, 10, 501, ticks=9990, status="FILLED")
    told = slippage(audit_order(tmp_path, "1").orders[0])
    assert (told["touch"], told["against_mid_bps"], told["against_touch_bps"]) == ("99.9", "10", "0")


def test_each_step_has_its_time_and_the_venues_are_on_this_nodes_clock(tmp_path):
    chain = Taped(tmp_path, Script(on_timer=lambda self, now: self.open_orders() or self.buy(0, 9990, 10)))
    chain.engine.venue_clock(0, -7 * MS, MS, chain.now)
    chain.time()
    began = chain.now
    chain.give(ORDERS, ack(chain.frames[0]), 3 * MS)
    chain.fill(chain.client_id(1), "BUY", 10, 10, 501, ticks=9990, status="FILLED")
    order = audit_order(tmp_path, "1").orders[0]
    told = latency(order)
    assert told["written_to_ack"] == "3"
    assert told["ack_to_first_fill"] == "1"
    venue_ns = 1_700_000_000_001 * MS
    assert told["written_to_venue"] == str((venue_ns + 7 * MS - began) // MS)
    assert told["venue_ack_to_first_fill"] == "1"


def test_when_it_left_is_told_by_the_link(tmp_path):
    """SENT as the link writes it: when the frame was read, when the order had left."""
    chain = Taped(tmp_path, Script(on_book=once))
    row = b"".join(x.to_bytes(8, "little") for x in (1, chain.now - 20_000, chain.now + 30_000, 1))
    chain.engine.tape.append(int(RecordType.SENT), 3, chain.now + 30_000, row)
    told = latency(audit_order(tmp_path, "1").orders[0])
    assert (told["frame_to_decision"], told["decision_to_written"], told["frame_to_written"]) == (
        "0.02", "0.03", "0.05",
    )  # fmt: skip


def test_keys_and_signatures_in_a_request_are_masked():
    frame = b'{"id":"n1","params":{"apiKey":"AAAA","price":"1","signature":"BB==","timestamp":1}}'
    assert (
        masked(frame) == '{"id":"n1","params":{"apiKey":"***","price":"1","signature":"***","timestamp":1}}'
    )


def test_fees_are_summed_by_coin_and_one_that_is_not_told_yet_is_not_nothing(tmp_path):
    chain = Taped(tmp_path, Script(on_book=once))
    chain.fill(chain.client_id(1), "BUY", 5, 5, 501, ticks=9990)
    chain.fill(
        chain.client_id(1), "BUY", 5, 10, 502, ticks=9990, status="FILLED", fee="0.00002000", coin="BNB"
    )
    told = story(tmp_path, "1")
    assert told["fees"] == {"USDT": "0.001", "BNB": "0.00002"}


def test_others_and_orders_without_a_beginning_say_so(tmp_path):
    chain = Taped(tmp_path, Script())
    chain.give(PRIVATE, execution("web_1", "BUY", "TRADE", "FILLED", 5, 5, 10_000, 501))
    (order,) = audit_list(tmp_path, "", "", "").orders
    told = order_json(order)
    assert (told["provenance"], told["venue_id"], told["client_id"]) == ("foreign", "7", "")
    assert "somebody else" in told["told"]
    assert story(tmp_path, "7")["events"][0]["nature"] == int(Nature.TRADE_FILL)


def test_a_trade_id_is_spelled_as_the_venue_does():
    assert trade_id(0, 501) == "501"
    assert trade_id(0xC69CC1ACE44A5B28, 0xBA7671016FA66248) == "c69cc1ac-e44a-5b28-ba76-71016fa66248"
    assert trade_id(-1, -1) == "ffffffff-ffff-ffff-ffff-ffffffffffff"


# ---- lists ----


def test_a_list_has_what_anything_was_said_of_in_that_time_and_place(directory):
    everything = audit_list(directory, "", "", "")
    last = everything.stories.last_ns
    late = audit_list(directory, "5s", "", "")
    assert {x.key for x in late.orders} == {x.key for x in everything.orders if x.last_ns >= last - 5 * NS}
    early = audit_list(directory, "", "8s", "")
    assert {x.key for x in early.orders} == {x.key for x in everything.orders if x.first_ns <= last - 8 * NS}
    assert 0 < len(early.orders) < len(everything.orders)
    one = audit_list(directory, "", "", "binance-usdm BTCUSDT")
    assert {x.place.market for x in one.orders} == {"binance-usdm"}
    assert len(audit_list(directory, "", "", "BTCUSDT").orders) == len(everything.orders)


def test_what_is_archived_is_told_as_if_it_were_live(tmp_path):
    taped.run(tmp_path, 16, seed=3, segment_size=1 << 19)
    before = audit_list(tmp_path, "", "", "").orders
    archives.settle(archives.archive_of(tmp_path))
    assert len(list(tmp_path.glob("*.tape"))) <= 2 < len(list((tmp_path / "archive").glob("*.zst")))
    assert [order_json(x) for x in audit_list(tmp_path, "", "", "").orders] == [order_json(x) for x in before]


# ---- what is not there, and what is broken: one line each ----


def run(*words):
    return CliRunner().invoke(app, [str(x) for x in words])


def test_what_is_not_there_is_said_in_one_line(directory, tmp_path):
    for wanted in ("nobody", "#1", "#x", "999999"):
        with pytest.raises(Failed, match=f"no order '{wanted}' on this tape"):
            audit_order(directory, wanted)
    with pytest.raises(UserError, match="--since 5x: must be a time"):
        audit_list(directory, "5x", "", "")
    with pytest.raises(UserError, match="--until x: must be a time"):
        audit_list(directory, "", "x", "")
    with pytest.raises(UserError, match="--since 1s is behind --until 5s"):
        audit_list(directory, "1s", "5s", "")
    with pytest.raises(UserError, match="--symbol DOGE: this tape has BTCUSDT, "):
        audit_list(directory, "", "", "DOGE")
    with pytest.raises(UserError, match="tape"):
        audit_list(tmp_path, "", "", "")
    TapeWriter(tmp_path, now_ns=1, segment_size=1 << 16).close(1)
    with pytest.raises(UserError, match=f"{tmp_path}: the tape is empty"):
        audit_list(tmp_path, "", "", "")
    assert isinstance(run("audit", directory, "x", "--since", "5s").exception, UserError)


def test_one_number_in_two_runs_has_to_be_named_in_full(tmp_path):
    for epoch in (1, 2):
        chain = Taped(tmp_path, Script(on_book=once), epoch=epoch)
        chain.engine.tape.close(chain.now)
    with pytest.raises(UserError, match="order '1' is of several runs: name it by its client id: tckg"):
        audit_order(tmp_path, "1")


def broken(directory, tmp_path, at):
    """A copy of a tape with one bit flipped at a share of what is used."""
    path = Path(shutil.copy(directory / "00000000.tape", tmp_path))
    archives.flip(path, int(archives.used(path) * at) // 64 * 64 + 40)
    return tmp_path


def test_of_a_damaged_tape_what_lies_before_is_shown_and_the_exit_code_tells(directory, tmp_path):
    copy = broken(directory, tmp_path, 0.9)
    whole = audit_list(directory, "", "", "")
    found = audit_list(copy, "", "", "")
    assert 0 < len(found.orders) <= len(whole.orders)
    assert str(copy) in found.damage
    with pytest.raises(Failed, match="the tape is damaged, and what is shown is what lies before"):
        found.check()
    told = run("audit", copy, "--json")
    assert isinstance(told.exception, Failed)
    assert json.loads(told.stdout)["damage"] == found.damage


def test_a_record_that_cannot_be_read_is_named(tmp_path):
    chain = Taped(tmp_path, Script())
    chain.engine.tape.append(int(RecordType.VERDICT), 0, chain.now, b"short")
    with pytest.raises(Failed, match=r"record \d+ cannot be read: VERDICT record of 5 bytes"):
        audit_list(tmp_path, "", "", "")


def test_the_command_prints_json_or_a_table(directory):
    order = filled(directory)
    told = json.loads(run("audit", directory, order.client_id, "--json").stdout)
    assert told["orders"][0]["client_id"] == order.client_id
    assert (told["torn"], told["damage"]) == ("", "")
    listed = json.loads(run("audit", directory, "--json").stdout)
    assert len(listed["orders"]) == len(audit_list(directory, "", "", "").orders)
    assert order.client_id in run("audit", directory, order.client_id).stdout
