"""Orders as a tape tells them: of runs on simulated venues, against what the venue has booked and the
engine knew, and of records made by hand."""

from collections import Counter
from decimal import Decimal

import orjson
import pytest
import taped
from chain import MS, ORDERS, PRIVATE, SEC, Script, ack, execution
from taped import CONFIG, Taped, once, stories_of

from ext.records import ReportKind
from ext.tape import Record, RecordType
from node.slow.places import E8
from node.slow.story import Stories
from node.slow.told import FOUND

ENDED = {"FILLED", "CANCELED", "REJECTED", "EXPIRED"}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A run under faults, killed with orders open, and one behind it: (first world, its states by id
    then, second world, stories)."""
    directory = tmp_path_factory.mktemp("tape")
    first = taped.run(directory, 25, seed=3, faults=taped.TROUBLE)
    then = {i: first.engine.orders.order(i) for i in range(1, first.engine.orders.next_id)}
    counted = first.engine.orders.state_counts()
    second = taped.run(directory, 25, old=first, seed=4)
    return first, then, counted, second, stories_of(directory)


def of_run(stories, number):
    return {x.key[1]: x for x in stories.orders.values() if x.run.number == number and len(x.key) == 2}


def test_every_order_of_the_venue_has_its_story_and_no_other_does(played):
    _, _, _, second, stories = played
    wire = next(iter(second.desk.wires.values()))
    theirs = {c for rows in taped.truth(second).values() for c in rows["orders"] if wire.whose(c)[0]}
    ours = {
        x.client_id for x in stories.orders.values() if x.provenance == "decided" and x.state != "NOT_SENT"
    }
    never_there = {x.client_id for x in stories.orders.values() if x.state in ("REJECTED", "UNKNOWN")}
    assert theirs <= ours
    assert ours - theirs <= never_there
    assert Counter(x.provenance for x in stories.orders.values()).keys() == {"decided", "refused"}


def test_what_an_order_filled_and_paid_is_what_the_venue_booked(played):
    *_, second, stories = played
    booked: dict[str, list] = {}
    for rows in taped.truth(second).values():
        for name, fill in rows["fills"].items():
            booked.setdefault(fill["client_id"], []).append((name, fill))
    known = {x.client_id: x for x in stories.orders.values() if x.client_id}
    assert len(booked) > 10
    for client_id, fills in booked.items():
        order = known[client_id]
        assert len({(x["trade_hi"], x["trade_lo"]) for x in order.fills}) == len(fills)
        assert order.filled_lots == sum(x["size_lots"] for _, x in fills)
        assert order.worth == sum(x["size_lots"] * x["price_ticks"] for _, x in fills)
        paid = sum(Decimal(x["fee"]) for _, x in fills)
        assert sum(x["fee_e8"] for x in order.fills) * E8 == paid
        assert {x["fee_coin"] for x in order.fills} == {x["fee_coin"] for _, x in fills}
    for order in stories.orders.values():
        assert order.filled_lots == 0 or order.client_id in booked


def test_the_state_told_is_the_state_that_the_engine_knew(played):
    _, then, _, second, stories = played
    assert sum(x["state"] in ENDED for x in then.values()) > 10
    for number, row in then.items():
        order = of_run(stories, 1)[number]
        if row["state"] in ENDED:
            assert (order.state, order.filled_lots) == (row["state"], row["filled_lots"])
    for number, order in of_run(stories, 2).items():
        row = second.engine.orders.order(number)
        assert (order.state, order.filled_lots) == (row["state"], row["filled_lots"])


def test_every_time_of_doubt_is_told_and_how_it_ended(played):
    first, _, counted, _, stories = played
    doubts = [x for order in of_run(stories, 1).values() for x in order.doubts]
    before = [x for x in doubts if x.from_ns < first.now_ns]
    assert len(before) == counted.get("UNKNOWN", 0) > 0
    assert all(x.why.startswith("no answer for 1") for x in before)
    behind = [x for x in doubts if x.from_ns >= first.now_ns]
    assert {x.why for x in behind} == {"its run ended, and what became of it was not told"}
    assert all(x.until_ns and x.how for x in behind)


def test_an_order_that_a_later_run_took_in_goes_on_with_one_story(played):
    _, _, _, second, stories = played
    taken = [x for x in stories.orders.values() if any(e.what == "adopted" for e in x.events)]
    assert len(taken) > 1
    known = {x["sequence"]: x["state"] for x in map(second.engine.orders.order, range(1, 6)) if x}
    for order in taken:
        assert (order.run.number, order.provenance) == (1, "decided")
        assert order.state == known[order.key[1]]
        words = [e.what for e in order.events]
        assert words[0] == "decided"
        assert words.index("restart") < words.index("adopted")
        assert "said" in words[words.index("adopted") :]


# ---- by hand ----


def test_what_was_known_when_it_was_decided_is_told_with_the_frame_that_caused_it(tmp_path):
    chain = Taped(tmp_path, Script(on_timer=lambda self, now: None, on_book=once), synced=False)
    chain.time(dials=[2000, 500])
    chain.sync()
    order = chain.story()
    assert (order.cause["what"], order.cause["line"]) == ("frame", "a")
    assert order.cause["venue_ns"] == 1_700_000_000 * SEC
    assert order.cause["age_ns"] == order.decided_ns - 1_700_000_000 * SEC
    assert order.dials == [2000, 500]
    assert (order.signal["named"], order.signal["a"]) == (["breakout", "level:ticks"], 9995)
    assert (order.strategy, order.state, order.side, order.price_ticks) == ("Mine", "SENT", 0, 9990)
    assert order.decision["bids"] == [(9990, 50)]


def test_a_story_ends_in_the_words_of_the_venue(tmp_path):
    chain = Taped(tmp_path, Script(on_book=once))
    chain.give(ORDERS, ack(chain.frames[0]))
    assert chain.story().state == "ACKED"
    chain.fill(chain.client_id(1), "BUY", 4, 4, 501, ticks=9990)
    chain.fill(chain.client_id(1), "BUY", 4, 4, 501, ticks=9990)  # told twice, counted once
    assert (chain.story().state, chain.story().filled_lots) == ("PARTIAL", 4)
    chain.report(chain.client_id(1), "BUY", "CANCELED", 4)
    order = chain.story()
    assert (order.state, order.filled_lots, order.worth, order.venue_id) == ("CANCELED", 4, 4 * 9990, "7")
    assert [e.what for e in order.events].count("filled") == 1


def test_a_line_that_dies_leaves_a_doubt_and_evidence_ends_it(tmp_path):
    chain = Taped(tmp_path, Script(on_book=once))
    chain.line(ORDERS, False)
    order = chain.story()
    assert (order.state, order.doubts[0].why, order.doubts[0].until_ns) == (
        "UNKNOWN",
        "orders went down unanswered",
        0,
    )
    report = {"kind": int(ReportKind.REPORT_CANCELED), "instrument": 0, "order_id": 1, "filled_lots": 0}
    chain.engine.on_evidence([report], chain.now + 5 * MS)
    order = chain.story()
    assert (order.state, order.doubts[0].how) == ("CANCELED", "canceled (asked the venue)")
    assert order.doubts[0].until_ns - order.doubts[0].from_ns == 5 * MS


def test_a_complete_proof_of_absence_ends_a_doubt_and_evidence_to_the_contrary_opens_it_again(tmp_path):
    chain = Taped(tmp_path, Script(on_book=once))
    chain.line(ORDERS, False)
    assert chain.engine.close_absent(1, chain.now + MS)
    order = chain.story()
    assert (order.state, order.doubts[0].how) == ("NEVER_EXISTED", "the proof of absence was complete")
    chain.fill(chain.client_id(1), "BUY", 10, 10, 501, status="FILLED")
    assert chain.story().state == "FILLED"


def test_a_doubt_is_told_too_where_the_engine_has_just_written_the_cancel_that_it_wants(tmp_path):
    def leave(self, now_ns):
        if self.open_orders() and now_ns == cancel_ns:
            self.cancel(1)

    chain = Taped(tmp_path, Script(on_book=once, on_timer=leave))
    cancel_ns = chain.now + 980 * MS
    for _ in range(71):  # to 1.42 s: it is repeated at 1.48
        chain.time(20 * MS)
    assert (chain.orders.order(1)["state"], len(chain.cancels())) == ("UNKNOWN", 1)
    order = chain.story()
    assert (order.state, len(order.doubts)) == ("UNKNOWN", 1)
    assert 1000 < int(order.doubts[0].why.split()[-2]) < 1400


def test_an_order_that_did_not_leave_is_told_as_not_sent(tmp_path):
    script = Script(on_timer=lambda self, now: self.buy(0, 9990, 10))
    chain = Taped(tmp_path, script)
    chain.line(ORDERS, False)
    chain.time()
    assert chain.story().state == "NOT_SENT"


def test_a_refused_order_is_told_by_its_record_with_the_reason(tmp_path):
    chain = Taped(tmp_path, Script(on_timer=lambda self, now: self.buy(0, 9990, 5000)))
    chain.time()
    (order,) = chain.stories().orders.values()
    assert (order.provenance, order.state, order.reason) == ("refused", "REFUSED", "SIZE_MAX")
    assert (order.value, order.limit, order.cause["what"]) == (5000, 1000, "timer")
    assert order.decision["checks"][-1]["reason"] == "SIZE_MAX"


def test_orders_that_replace_each_other_are_linked(tmp_path):
    def move(self, now_ns):
        if self.open_orders() == [1]:
            self.amend(1, 9980, 10)

    chain = Taped(tmp_path, Script(on_book=once, on_timer=move))
    chain.report(chain.client_id(1), "BUY", "NEW")
    chain.time()
    stories = chain.stories()
    assert stories.orders[0, 1].links == [("replaced by", (0, 2))]
    assert stories.orders[0, 2].links == [("replaces", (0, 1))]
    assert stories.orders[0, 1].events[-1].told["action"] == "REPLACE"
    assert stories.orders[0, 2].state == "SENT"


def test_somebody_elses_fill_and_an_order_without_a_beginning_are_told_as_such(tmp_path):
    chain = Taped(tmp_path, Script())
    chain.give(PRIVATE, execution("web_1", "BUY", "TRADE", "FILLED", 5, 5, 10_000, 501))
    (order,) = chain.stories().orders.values()
    assert (order.provenance, order.venue_id, order.filled_lots) == ("foreign", "7", 5)
    chain.give(PRIVATE, execution(chain.wire.client_id(44, 3), "SELL", "TRADE", "FILLED", 5, 5, 10_000, 502))
    order = chain.stories().orders[3, 44]
    assert (order.provenance, order.filled_lots, order.side) == ("unknown", 5, 1)


def test_a_fill_of_before_the_run_that_counted_it_is_marked_as_found_at_its_start(tmp_path):
    chain = Taped(tmp_path, Script())
    for number, total, ms in ((501, 5, 1_699_999_990_000), (502, 8, 1_700_000_000_002)):
        frame = execution(
            chain.wire.client_id(44, 3), "SELL", "TRADE", "FILLED", total - 5 or 5, total, 10_000, number
        )
        chain.give(PRIVATE, frame.replace(b'"T":1700000000002', f'"T":{ms}'.encode()))
    order = chain.stories().orders[3, 44]
    assert (order.filled_lots, order.found_lots) == (8, 5)
    assert [x.told["note"] for x in order.events if x.what == "filled"] == [FOUND, ""]


def test_an_order_of_an_earlier_tape_is_named_by_the_request_that_ends_it(tmp_path):
    chain = Taped(tmp_path, Script())
    number = chain.engine.adopt(0, 3, 44, 1, 0, 0, 10_010, 10, 4, False, "99", chain.now)
    assert number == 1  # which is not what its client id says
    chain.engine.want_cancel(number, chain.now)
    stories = chain.stories()
    (order,) = stories.orders.values()
    assert (order.key, order.provenance, order.state) == ((3, 44), "adopted", "PARTIAL")
    assert (order.missed_lots, order.client_id) == (4, chain.wire.client_id(44, 3))
    assert [e.what for e in order.events] == ["adopted", "want_cancel", "written"]


def test_what_a_later_run_did_not_find_at_the_venue_is_told_as_not_open(tmp_path):
    first = Taped(tmp_path, Script(on_book=once), epoch=1)
    first.give(ORDERS, ack(first.frames[0]))
    first.engine.tape.close(first.now)
    second = Taped(tmp_path, Script(), epoch=2)
    assert second.stories().orders[1, 1].state == "ACKED"
    second.engine.reconciled(0, second.now)
    order = second.stories().orders[1, 1]
    assert order.state == "NOT_OPEN"
    assert [e.what for e in order.events][-2:] == ["restart", "compared"]
    second.give(PRIVATE, execution(order.client_id, "BUY", "TRADE", "FILLED", 10, 10, 9990, 501))
    assert second.stories().orders[1, 1].state == "FILLED"


def test_what_stands_in_front_of_the_first_config_or_is_of_a_new_kind_is_left_alone():
    stories = Stories()
    stories.feed(Record(RecordType.VERDICT, 0, 1, 1, b"short"))
    stories.feed(Record(RecordType.CONFIG, 0, 2, 1, orjson.dumps(CONFIG)))
    stories.feed(Record(200, 0, 3, 1, b"of tomorrow"))
    assert stories.orders == {}
