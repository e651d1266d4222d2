"""What a person reads: everything is there, and it fits the screen."""

import io

import archives
import pytest
import taped
from chain import ORDERS, PRIVATE, Script, ack, execution
from rich.console import Console
from screen import screen
from taped import Taped, once

from ext.records import ReportKind
from node.slow.audit import audit_list, audit_order
from node.slow.telling import print_list, print_story

MS = 10**6


def shown(print_it, found):
    out = io.StringIO()
    print_it(found, Console(file=out, width=100, force_terminal=False))
    text = out.getvalue()
    assert max(len(x) for x in text.splitlines()) <= 100
    return " ".join(text.split())


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    out = tmp_path_factory.mktemp("tape")
    taped.run(out, 16, seed=3, faults=taped.TROUBLE)
    return out


def test_every_story_of_a_run_fits_a_hundred_columns(directory):
    orders = audit_list(directory, "", "", "").orders
    assert len(orders) > 20
    for order in [*orders[:3], *orders[-5:]]:
        name = order.client_id or f"#{order.sequence}"
        text = shown(print_story, audit_order(directory, name))
        assert text.startswith(f"order {order.client_id or 'record ' + name}")
        for word in ("cause", "dials", "signal", "book", "LATCHED", "decided", "end"):
            assert word in text


def test_a_list_has_a_line_for_each_and_the_refused_ones_by_reason(directory):
    found = audit_list(directory, "", "", "")
    text = shown(print_list, found)
    assert f"{len(found.orders)} orders; refused: " in text
    for order in found.orders:
        assert (order.client_id or f"#{order.sequence}") in text


def test_a_story_says_what_was_not_known_and_how_it_ended(tmp_path):
    chain = Taped(tmp_path, Script(on_book=once))
    chain.line(ORDERS, False)
    text = shown(print_story, audit_order(tmp_path, "1"))
    assert "orders went down unanswered; not resolved on this tape" in text
    report = {"kind": int(ReportKind.REPORT_CANCELED), "instrument": 0, "order_id": 1, "filled_lots": 0}
    chain.engine.on_evidence([report], chain.now + 5 * MS)
    text = shown(print_story, audit_order(tmp_path, "1"))
    assert "(5 ms): canceled (asked the venue)" in text
    assert "end CANCELED" in text


def test_fills_fees_slippage_and_latency_are_in_the_story(tmp_path):
    chain = Taped(tmp_path, Script(on_book=once))
    chain.give(ORDERS, ack(chain.frames[0]))
    chain.fill(chain.client_id(1), "BUY", 10, 10, 501, ticks=9990, status="FILLED")
    text = shown(print_story, audit_order(tmp_path, "1"))
    assert "0.01 at 99.9, maker, fee 0.001 USDT, trade 501 (private)" in text
    assert "end FILLED, 0.01 of 0.01 at 99.9" in text
    assert "fees 0.001 USDT" in text
    assert "-10 bps against the mid 100 on arrival, -20 bps" not in text
    assert "-10 bps against the mid 100 on arrival" in text
    assert "written -> first answer 1 ms" in text
    assert "signal breakout: level 99.95" in text


def test_what_a_start_found_filled_says_so_in_the_story_and_in_the_list(tmp_path):
    chain = Taped(tmp_path, Script())
    name = chain.wire.client_id(44, 3)
    frame = execution(name, "BUY", "TRADE", "FILLED", 5, 5, 10_000, 501)
    chain.give(PRIVATE, frame.replace(b'"T":1700000000002', b'"T":1699999990000'))
    text = shown(print_story, audit_order(tmp_path, name))
    assert "trade 501 (private); found at start: of before this run" in text
    assert "0.005 of it found at a start, filled while no run looked" in text
    assert "(unknown, found at start)" in shown(print_list, audit_list(tmp_path, "", "", ""))


def test_a_refusal_says_which_check_with_value_limit_and_unit(tmp_path):
    chain = Taped(tmp_path, Script(on_timer=lambda self, now: self.buy(0, 9990, 5000)))
    chain.time()
    order = audit_list(tmp_path, "", "", "").orders[0]
    text = shown(print_story, audit_order(tmp_path, f"#{order.sequence}"))
    assert "end REFUSED: SIZE_MAX, value 5, limit 1 BTC" in text
    assert "signal none: the strategy did not say why" in text


def test_foreign_orders_and_a_torn_end_are_told(tmp_path, capsys):
    chain = Taped(tmp_path, Script())
    chain.give(PRIVATE, execution("web_1", "BUY", "TRADE", "FILLED", 5, 5, 10_000, 501))
    text = shown(print_list, audit_list(tmp_path, "", "", ""))
    assert "filled 0.005 (foreign)" in text or "partial 0.005 (foreign)" in text
    chain.engine.tape.append(11, 0, chain.now, b"{}")
    path = tmp_path / "00000000.tape"
    archives.flip(path, archives.used(path) // 64 * 64 + 32)
    shown(print_list, audit_list(tmp_path, "", "", ""))
    assert "the tape's end is not whole" in capsys.readouterr().err


def test_lists_and_stories_are_read_at_80_columns(directory):
    found = audit_list(directory, "", "", "")
    text = screen(print_list, found)
    for order in found.orders:
        assert (order.client_id or f"#{order.sequence}") in text
    for order in found.orders[:10]:
        screen(print_story, audit_order(directory, order.client_id or f"#{order.sequence}"))
