"""A sample of the fuzz run on the normal build; `make sanitize` has the long one, under AddressSanitizer."""

from random import Random

import fuzz
import pytest

from ext.wire import Verdict


@pytest.mark.parametrize("entry", fuzz.ENTRIES, ids=lambda x: x.name)
def test_hostile_bytes_are_answered_or_refused(entry):
    corpus = entry.corpus()
    for number, cases in enumerate(fuzz.rounds(entry, 300)):
        told = fuzz.play(entry, corpus, 2, number, cases)
        assert told.total() == cases


@pytest.mark.parametrize("entry", fuzz.ENTRIES[:10], ids=lambda x: x.name)
def test_mutations_leave_some_frames_whole_and_spoil_others(entry):
    """Or the run shows nothing: all of one kind would not get behind the first brace."""
    told = fuzz.play(entry, entry.corpus(), 3, 0)
    assert told["HANDLED"] >= 20
    assert told["BAD"] >= 20


def test_mutated_levels_reach_the_book_and_reports_the_orders():
    for entry in fuzz.ENTRIES[5:10]:
        desk, corpus, draw = fuzz.Desk(entry.name.partition(",")[0]), entry.corpus(), Random(5)
        for _ in range(400):
            desk.take(draw, fuzz.mutated(draw, corpus))
        assert desk.book.levels > 100, entry.name
        assert desk.book.gaps > 1, entry.name
        entered = sum(desk.engine.orders.state_counts().values())
        assert entered > 2 * len(desk.orders), entry.name  # an order that is taken over enters two


def test_a_round_comes_again_by_its_seed_and_number():
    entry = fuzz.ENTRIES[0]
    seen = []
    for seed, number in ((1, 4), (1, 4), (1, 5), (2, 4)):
        cases: list[bytes] = []
        spy = fuzz.Entry(
            entry.name, entry.corpus, lambda folder, at=cases: lambda d, raw: at.append(raw) or ""
        )
        fuzz.play(spy, entry.corpus(), seed, number)
        seen.append(cases)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2] != seen[3] != seen[0]
    assert [len(x) for x in seen] == [fuzz.ROUND] * 4


@pytest.mark.parametrize("error", [AssertionError("no"), IndexError("9"), ZeroDivisionError()], ids=repr)
def test_whatever_a_case_raises_is_a_finding_that_says_how_to_have_it_again(error):
    def fail(draw, raw):
        raise error

    entry = fuzz.Entry("this one", lambda: [b"{}"], lambda folder: fail)
    with pytest.raises(fuzz.Finding, match="--only 'this one' --seed 3 --round 7, case 0"):
        fuzz.play(entry, [b"{}"], 3, 7)


def test_what_native_code_could_not_raise_is_a_finding_too():
    class Falls:
        def __del__(self):
            raise ValueError("swallowed")

    def drop(draw, raw):
        Falls()
        return ""

    with pytest.raises(fuzz.Finding, match="swallowed"):
        fuzz.play(fuzz.Entry("x", lambda: [b""], lambda folder: drop), [b""], 1, 0)


def test_a_record_that_breaks_a_promise_is_a_finding():
    whole = {"type": "quote", "instrument": 0, "bid_lots": 1, "ask_lots": 1, "bid_ticks": 1, "ask_ticks": 2}
    fuzz.check_event(whole, 1)
    for bad in ({"instrument": 1}, {"bid_ticks": -1}, {"ask_ticks": 1 << 48}, {"ask_lots": (1 << 62) + 1}):
        with pytest.raises(AssertionError):
            fuzz.check_event(whole | bad, 1)


def test_a_fill_of_more_money_than_fits_is_bad_and_latches_nothing():
    desk = fuzz.Desk("binance-spot")
    fill = next(x.raw for x in fuzz.samples.of("binance-spot") if x.name == "raw execution")
    desk.engine.on_line(4, True, desk.now)
    lie = fill.replace(b'"l":"0.25000000"', b'"l":"25000000"')
    assert desk.engine.on_bytes(4, lie, desk.now + 1) == Verdict.BAD
    assert desk.engine.risk.latches == 0
