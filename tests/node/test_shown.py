"""Limits and state as tables, and as one JSON line."""

import json
from decimal import Decimal

from rich.console import Console
from screen import screen

from node.limits import Change, Effective
from node.shown import changes_table, limits_tables, print_limits, print_status, show_limits

TABLES = {
    "okx BTC-USDT-SWAP": {"leverage": 5, "max_order_base": "0.1", "max_jump_bps": "off"},
    "account": {"max_leverage": "2", "max_total_quote": "off"},
    "compliance": {"no_new": ["fri 09:00-10:00 UTC"], "flat_by": []},
}
SHOWN = Effective(TABLES, {("account", "max_leverage"): "20"}, None)
STATUS = {"uptime_s": 1, "mode": "sim", "strategy": "none", "lines": [], "held": [], "equity": None}
STATUS |= {"instruments": [], "way_out": "", "refusals": {}, "latched_refusals": {}}
LOOSER = [Change("account", "max_total_quote", "10", "off", None), Change("a b", "k", 1, 3, Decimal(3))]


def test_the_limits_are_a_table_and_a_first_run_says_so(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    show_limits(SHOWN, None, [], False, False)
    out, err = capsys.readouterr()
    assert out == ""
    for text in (
        "max_order_base",
        "0.1",
        "account: max_leverage",
        "2 (profile; asked 20)",
        "fri 09:00-10:00 UTC",
        "first run",
    ):
        assert text in err


def test_what_is_much_looser_is_a_table_of_old_new_and_ratio(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    for accepted, word in ((False, "refused"), (True, "accepted, and recorded")):
        show_limits(SHOWN, TABLES, LOOSER, accepted, False)
        err = capsys.readouterr().err
        assert "no limit" in err
        assert "any more" in err
        assert f"limits: {word}" in err


def test_a_scope_that_was_never_on_this_tape_is_told_and_one_that_is_gone_is_not(capsys):
    last = {k: v for k, v in TABLES.items() if k != "account"} | {"gone X": {"k": 1}}
    show_limits(SHOWN, last, [], False, False)
    err = capsys.readouterr().err
    assert "limits: account: new on this tape" in err
    assert "gone X" not in err
    assert "differ" not in err
    show_limits(SHOWN, last, [], False, True)
    assert json.loads(capsys.readouterr().err)["new"] == ["account"]


def test_as_json_it_is_one_line(capsys):
    show_limits(SHOWN, TABLES, LOOSER, False, True)
    told = json.loads(capsys.readouterr().err)
    assert told["limits"] == TABLES
    assert told["clamped"] == [{"scope": "account", "key": "max_leverage", "asked": "20"}]
    assert [x["ratio"] for x in told["looser"]] == [None, 3.0]
    assert (told["first_run"], told["accepted"]) == (False, False)


def test_a_status_tells_what_holds_the_node_back(capsys):
    answer = {"uptime_s": 61.4, "mode": "sim", "strategy": "quoter", "lines": []}
    answer["lines"] = [{"name": "okx feed A", "up": True}, {"name": "okx orders", "up": False}]
    answer |= {
        "held": ["latched: operator: halt, [stops] are odd"],
        "equity": {"equity": "9.50", "peak": "10.00", "drawdown_bps": 500, "today": "-0.50"},
    }
    answer["instruments"] = [
        {
            "name": "okx X",
            "position": "0.1 X (1 contract)",
            "open_orders": 2,
            "protective_stops": 3,
            "exits": 1,
        }
    ]
    answer["instruments"][0] |= {"halted_by": ["guard"], "cooldown_s": 59}
    answer["instruments"][0] |= {"unprotected": "0.04 X", "unprotected_base": "0.04", "unprotected_s": 12.3}
    answer |= {"way_out": '`tickgate resume x.toml --reason "TEXT"`'}
    answer |= {"refusals": {"SPREAD": 1, "LATCHED": 9}, "latched_refusals": {"operator": 7, "stop": 2}}
    print_status(answer, Console(width=120))
    out = capsys.readouterr().out
    for text in (
        "running for 61 s",
        "1 of 2 lines up",
        "down: okx orders",
        "latched: operator: halt, [stops] are odd",
        '`tickgate resume x.toml --reason "TEXT"`',
        "refused so far: 9 LATCHED (operator 7, stop 2), 1 SPREAD",
        "500 bps below",
        "0.1 X",
        "(1 contract)",
        "2 + 1 exit",
        "guard, cool-down 59 s",
        "0.04 X of the position has had no protective order for 12 s",
    ):
        assert text in out
    answer["instruments"][0]["unprotected_s"] = 1.5  # the order is on its way
    quiet = {"held": [], "equity": None, "way_out": "", "refusals": {}}
    print_status(answer | quiet, Console(width=120))
    out = capsys.readouterr().out
    assert "nothing holds it back" in out
    assert "resume" not in out
    assert "no protective" not in out
    assert "refused" not in out
    assert changes_table([LOOSER[0].to_json()]).row_count == 1


def test_a_status_fits_80_columns_and_a_command_in_it_is_one_line(capsys):
    row = {"name": "bybit-linear 1000PEPEUSDT", "position": "-0.005 BTC (0.5 contracts)", "open_orders": 2}
    row |= {"protective_stops": 1, "exits": 0, "halted_by": ["operator"], "cooldown_s": 0}
    row |= {"unprotected": "", "unprotected_base": "0", "unprotected_s": 0}
    long = f'`tickgate resume {"/long" * 20} --reason "TEXT"`'
    answer = STATUS | {"instruments": [row], "way_out": long}
    print_status(answer, Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert long in lines
    assert max(len(x) for x in lines if x != long) <= 80
    assert any("bybit-linear 1000PEPEUSDT" in x and "-0.005 BTC" in x for x in lines)
    assert any(x.strip() == "(0.5 contracts)" for x in lines)


def test_a_status_of_a_node_of_an_earlier_build_is_shown_as_far_as_it_tells(capsys):
    row = {"name": "okx X", "position_base": "0.1", "open_orders": 2, "halts": {"HALT_STOP": 2}}
    row |= {"unprotected_base": "0", "unprotected_s": 0}
    answer = {k: v for k, v in STATUS.items() if k not in ("way_out", "refusals", "latched_refusals")}
    print_status(answer | {"instruments": [row]}, Console(width=80))
    out = capsys.readouterr().out
    assert "0.1" in out
    assert "HALT_STOP" in out


def test_limits_that_were_taken_over_have_a_heading_and_none_is_said(capsys):
    print_limits({"changes": [LOOSER[1].to_json()], "cancelling": 1}, Console(width=100))
    out = capsys.readouterr().out
    assert "limits taken over from the file, tighter from now on:" in out
    assert "1 open order beyond them is being cancelled" in out
    print_limits({"changes": [LOOSER[1].to_json()], "cancelling": 0}, Console(width=100))
    assert "none of the open orders is beyond them" in capsys.readouterr().out
    print_limits({"changes": [], "cancelling": 0}, Console(width=100))
    assert "nothing to take over" in capsys.readouterr().out


def test_a_status_tells_how_much_of_the_tape_is_durable(capsys):
    answer = STATUS
    page = {"archiver_alive": True, "level": "F", "sequence": 90, "lag_ms": 2.5, "suspect": False}
    page |= {"archived_sequence": 40, "closed_segments_waiting": 0}

    def told(**change) -> str:
        print_status(answer | {"synced": page | change}, Console(width=160))
        return capsys.readouterr().out

    assert "tape: durable up to sequence 90, lag 2.5 ms; archived up to 40\n" in told()
    assert "3 closed segments wait" in told(closed_segments_waiting=3)
    assert "SUSPECT" in told(suspect=True)
    assert "nothing but the archive survives a power cut" in told(level="K")
    assert "the archiver is gone: durable up to sequence 90" in told(archiver_alive=False, lag_ms=None)
    print_status(answer, Console(width=160))
    assert "tape:" not in capsys.readouterr().out


def test_limits_of_many_instruments_are_as_many_tables_as_80_columns_need():
    names = [f"{m} {s}" for m in ("binance-usdm", "okx") for s in ("SHIBUSDT", "BTC-USDT-SWAP", "ETHUSDC")]
    limits = {"max_position_loss_quote": "123456.789", "max_order_base": "0.00012345"}
    shown = Effective(TABLES | dict.fromkeys(names, limits), {("account", "max_leverage"): "20"}, None)
    text = "".join(screen(lambda c, t=t: c.print(t)) for t in limits_tables(shown, 80))
    assert text.count("max_position_loss_quote") > 1
    assert text.count("123456.789") == len(names)
    assert "2 (profile; asked 20)" in text
    screen(lambda console: console.print(changes_table((x.to_json() for x in LOOSER), "looser")))


def test_feeds_are_a_row_each_and_read_at_eighty_columns(monkeypatch):
    row = {
        "name": "binance-usdm feed A",
        "up": True,
        "first": 1234567,
        "copies": 765432,
        "share_percent": 61.7,
    }
    row |= {"lead_p50_us": 1048.576, "lead_p99_us": None, "healed": 12, "held": 40, "lost": 1, "spilled": 0}
    text = screen(print_status, STATUS | {"feeds": [row, {"name": "okx feed B", "up": False}]}, width=80)
    assert "binance-usdm feed A  1234567   61.7     1049" in text
    assert "okx feed B (down)" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "feed" not in screen(print_status, STATUS | {"feeds": [{"name": "okx", "up": True}]}, width=80)
