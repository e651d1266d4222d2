"""What an operator tells a node: it holds at once, over kill -9, and lets go only with a reason and
without a cause."""

import json
from types import SimpleNamespace

import configs
import msgspec
import orjson
import pytest
from hands import BUY, IOC, SELL, Ours

from ext.records import HaltReason, Latch, ReportKind, StrategyOff
from ext.tape import RecordType, TapeWriter
from node import control as module
from node.control import HELD, OK, USAGE, money
from node.guarded import Guarded
from node.latch import NAME, Latched, read_latch, utc_text, write_latch
from node.phrases import resume_command
from node.recall import Recalled, recall

MARKET = "bybit-linear"
OPERATOR = int(Latch.LATCH_OPERATOR)


def hand_of(folder, **more) -> Ours:
    folder.mkdir(exist_ok=True)
    return Ours(MARKET, control_at=folder, **more)


@pytest.fixture
def hand(tmp_path):
    return hand_of(tmp_path / "tape").ready()


def do(hand, name, **more) -> dict:
    answer = hand.world.control.do({"do": name, **more}, hand.world.now_ns, 0)
    json.dumps(answer)
    return answer


def latched(hand) -> bool:
    return bool(hand.engine.risk.latches >> OPERATOR & 1)


# ---- halt, flatten ----


def test_a_halt_latches_and_cancels_at_once_and_nothing_new_leaves(hand):
    for _ in range(3):
        hand.place(BUY, hand.away(BUY))
    hand.run(2)
    assert len(hand.open_there()) == 3
    answer = do(hand, "halt", reason="test")
    assert (answer["ok"], answer["cancelling"], answer["asked_ns"]) == (True, 3, hand.world.now_ns)
    (row,) = do(hand, "status")["listed"]
    assert (row["market"], row["at_ns"] < hand.world.now_ns) == (MARKET, True)
    assert latched(hand)
    hand.run(2)
    assert hand.open_there() == []
    assert do(hand, "status")["open_orders"] == 0
    assert do(hand, "status")["listed"][0]["at_ns"] > answer["asked_ns"]  # the venue was asked at once
    assert not hand.place(BUY, hand.away(BUY))
    assert hand.taken() == 3


def test_a_flatten_closes_the_position_and_stays_latched(hand):
    hand.place(BUY, hand.through(BUY), tif=IOC)
    hand.run(2)
    assert hand.position() == hand.size
    assert do(hand, "flatten")["ok"]
    hand.until(lambda: not hand.position(), 30)
    assert latched(hand)
    assert do(hand, "status")["open_positions"] == 0


def test_what_is_too_small_for_an_order_is_no_open_position(tmp_path):
    hand = Ours("binance-spot", control_at=tmp_path).ready()
    hand.engine.account.fill(0, BUY, 600_000, 1)
    assert hand.engine.account.position(0)["lots"] == 1
    assert do(hand, "status")["open_positions"] == 0


def test_a_status_counts_the_lines_that_can_be_up(tmp_path):
    (tmp_path / "tape").mkdir()
    lines = do(Ours("binance-spot", control_at=tmp_path / "tape").ready(), "status")["lines"]
    assert len(lines) >= 2
    assert all(x["up"] for x in lines)


def test_a_latch_file_is_obeyed_by_a_running_node_and_removed_by_resume(hand, tmp_path):
    hand.place(BUY, hand.away(BUY))
    hand.run(1)
    write_latch(tmp_path / "tape", Latched("guard", False, "stood still", 5))
    hand.run(1)
    assert hand.engine.risk.latches >> int(Latch.LATCH_GUARD) & 1
    assert hand.told("halt by the guard: stood still")
    assert hand.open_there() == []
    assert do(hand, "resume", reason="looked")["ok"]
    assert not (tmp_path / "tape" / NAME).exists()
    hand.run(1)
    assert hand.engine.risk.latches == 0


def test_the_same_latch_file_is_obeyed_once_and_a_new_one_again(hand, tmp_path):
    control = hand.world.control
    do(hand, "halt", reason="mine")
    assert control.poll(1) == []  # its own
    assert read_latch(tmp_path / "tape").reason == "mine"
    write_latch(tmp_path / "tape", Latched("operator", True, "more", 5))
    assert control.poll(2) == ["latch.json: flatten by the operator: more"]
    assert control.poll(3) == []


def test_what_an_operator_said_is_kept_where_the_guard_latches_behind_him(tmp_path):
    hand = hand_of(tmp_path / "tape").ready()
    do(hand, "halt", reason="lunch")
    write_latch(tmp_path / "tape", Latched("guard", False, "the node is gone", 5))
    assert hand.world.control.poll(hand.world.now_ns) == ["latch.json: halt by the guard: the node is gone"]
    held = do(hand, "status")["held"]
    assert [x for x in held if x.startswith("latched: operator: halt, lunch")]
    assert [x for x in held if x.startswith("latched: guard: halt, the node is gone")]
    fresh = hand_of(tmp_path / "tape")  # another tape: the file is all there is
    assert {x["why"] for x in do(fresh, "status")["latches"]} == {"halt, lunch", "halt, the node is gone"}


@pytest.mark.parametrize("name", ["halt", "flatten"])
@pytest.mark.parametrize("with_file", [True, False])
def test_143_it_survives_kill_9_and_restart_by_tape_or_by_file_until_resume(tmp_path, name, with_file):
    folder = tmp_path / "tape"
    folder.mkdir()
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 22)
    hand = hand_of(folder, tape=tape)
    tape.append(RecordType.CONFIG, 0, 1, orjson.dumps(hand.world.desk.describe()))
    hand.ready()
    assert do(hand, name)["ok"]
    if not with_file:
        (folder / NAME).unlink()
    recalled = recall(folder)
    assert recalled.flattening == (name == "flatten")
    if with_file:  # a tape that was thrown away
        recalled = recalled.__class__()
    again = hand.restart(control_at=folder, recalled=recalled)
    assert latched(again)
    again.run(30)
    assert latched(again)
    assert not again.place(BUY, again.away(BUY))
    assert do(again, "resume", reason="it was a test")["ok"]
    again.until(again.may_trade, 70)


def test_legs_that_cancel_out_are_still_an_open_position_and_dust_is_none(tmp_path):
    hand = hand_of(tmp_path / "tape")
    report = {"kind": ReportKind.REPORT_FILL, "instrument": 0, "size_lots": 3, "price_ticks": 600_000}
    legs = [report | {"side": BUY, "leg": 1, "trade_lo": 1}, report | {"side": SELL, "leg": 2, "trade_lo": 2}]
    hand.engine.on_evidence(legs, hand.world.now_ns)
    assert hand.engine.account.position(0)["lots"] == 0
    assert do(hand, "status")["open_positions"] == 1


def test_what_is_too_small_for_any_order_is_no_open_position(tmp_path):
    (tmp_path / "tape").mkdir()
    hand = Ours("binance-spot", control_at=tmp_path / "tape").ready()
    report = {"kind": ReportKind.REPORT_FILL, "instrument": 0, "side": BUY, "price_ticks": hand.best(BUY)}
    hand.engine.on_evidence([report | {"size_lots": 1, "trade_lo": 1}], hand.world.now_ns)
    assert hand.engine.account.position(0)["lots"] == 1
    assert do(hand, "status")["open_positions"] == 0
    hand.engine.on_evidence([report | {"size_lots": hand.size, "trade_lo": 2}], hand.world.now_ns)
    assert do(hand, "status")["open_positions"] == 1


# ---- resume ----


@pytest.mark.parametrize("reason", ["", "  ", None])
def test_a_resume_without_a_reason_is_refused(hand, reason):
    do(hand, "halt")
    answer = do(hand, "resume", **({} if reason is None else {"reason": reason}))
    assert (answer["ok"], answer["code"]) == (False, USAGE)
    assert "give a reason" in answer["error"]
    assert latched(hand)


def test_a_resume_lets_go_of_everything_that_people_and_stops_held_and_says_what(hand):
    engine, now_ns = hand.engine, hand.world.now_ns
    do(hand, "halt")
    engine.halt(0, int(HaltReason.HALT_STOP), 1, now_ns)
    engine.halt(0, int(HaltReason.HALT_DRIFT), 1, now_ns)
    engine.latch(int(Latch.LATCH_STOP), True, now_ns)
    answer = do(hand, "resume", reason="all is well")
    assert set(answer["cleared"]) == {
        "operator",
        "stop",
        "bybit-linear BTCUSDT: operator",
        "bybit-linear BTCUSDT: stop",
    }
    assert answer["held"] == ["bybit-linear BTCUSDT: reduce only: drift"]
    assert engine.risk.latches == 0


def test_a_resume_ends_what_only_a_person_ends_and_says_what_stays_and_why(tmp_path):
    hand = hand_of(tmp_path / "tape", changes={"reconcile": {"foreign": "halt"}}).ready()
    hand.engine.halt(0, int(HaltReason.HALT_FILTER), 1, hand.world.now_ns)
    hand.befall("acct.external_order", side="buy", size_lots=hand.size, price_ticks=hand.away(BUY))
    hand.run(12)
    assert set(hand.halts()) == {"HALT_FILTER", "HALT_FOREIGN"}
    answer = do(hand, "resume", reason="sizes are mended")
    assert answer["cleared"] == ["bybit-linear BTCUSDT: filter"]
    (held,) = answer["held"]
    assert held.startswith("bybit-linear BTCUSDT: stopped: foreign: an order that is not ours rests there")
    assert set(hand.halts()) == {"HALT_FOREIGN"}


@pytest.mark.parametrize("why", [Latch.LATCH_ENCODE, Latch.LATCH_FAULT, Latch.LATCH_STOPPING])
def test_what_only_a_restart_mends_is_not_resumed(hand, why):
    do(hand, "halt")
    hand.engine.latch(int(why), True, hand.world.now_ns)
    answer = do(hand, "resume", reason="please")
    assert (answer["ok"], answer["code"]) == (False, HELD)
    assert "only a restart" in answer["error"]
    assert latched(hand)
    assert "only a restart" in do(hand, "status")["way_out"]


def test_a_tape_that_cannot_be_written_is_told_with_its_cause_and_resume_asks_for_room_first(hand, tmp_path):
    do(hand, "halt", reason="lunch")
    hand.engine.latch(int(Latch.LATCH_TAPE), True, hand.world.now_ns)
    hand.world.control.tape_causes = lambda: ["/tapes: less than 64 MB are free"]
    answer = do(hand, "resume", reason="please")
    assert (answer["ok"], answer["code"]) == (False, HELD)
    assert "tape: /tapes: less than 64 MB are free: make room on " in answer["error"]
    assert answer["error"].endswith("; then resume")
    told = do(hand, "status")
    assert any(x.startswith("latched: tape: /tapes: less than 64 MB are free (since ") for x in told["held"])
    assert f"make room on {tmp_path / 'tape'}" in told["way_out"]
    assert "then `tickgate resume" in told["way_out"]
    hand.engine.latch(int(Latch.LATCH_TAPE), False, hand.world.now_ns)
    assert do(hand, "resume", reason="there is room")["ok"]


def test_a_latch_that_came_by_itself_is_told_with_when_it_did_and_not_with_when_a_person_asked(hand):
    at_ns = hand.world.now_ns
    hand.engine.latch(int(Latch.LATCH_TAPE), True, at_ns)
    hand.world.control.poll(at_ns)
    hand.run(5)
    (latch,) = do(hand, "status")["latches"]
    assert (latch["latch"], latch["since_ns"]) == ("tape", at_ns)


def test_orders_that_a_latch_refused_are_counted_by_latch(hand):
    do(hand, "halt")
    for _ in range(2):
        assert not hand.place(BUY, hand.away(BUY))
    assert do(hand, "status")["latched_refusals"] == {"operator": 2}


def test_what_the_guard_held_is_not_said_to_be_an_operators(hand, tmp_path):
    write_latch(tmp_path / "tape", Latched("guard", False, "the node is gone", 5 * 10**9))
    hand.world.control.poll(hand.world.now_ns)
    answer = do(hand, "status")
    assert "bybit-linear BTCUSDT: stopped: guard" in answer["held"]
    assert answer["instruments"][0]["halted_by"] == ["guard"]
    assert not any("operator" in x for x in answer["held"])
    do(hand, "halt")
    assert "bybit-linear BTCUSDT: stopped: operator" in do(hand, "status")["held"]


def test_every_hint_is_a_command_that_can_be_pasted(hand, tmp_path):
    do(hand, "halt")
    assert f'`tickgate resume {tmp_path / "tape"} --reason "TEXT"`' in do(hand, "status")["way_out"]
    found = Recalled(latches={OPERATOR}, damage="cut")
    told = hand.world.control.begin(found, hand.world.now_ns, looping=True)
    told = [x for x in told if "tickgate resume" in x]
    assert len(told) == 3
    assert all(f"tickgate resume {tmp_path / 'tape'} --reason" in x for x in told)


def test_stops_that_protect_a_position_are_no_open_orders_and_have_their_own_number(tmp_path):
    hand = hand_of(tmp_path, changes={"stops": configs.tables()["stops"] | {"protect_bps": 400}}).ready()
    hand.place(BUY, hand.through(BUY), tif=IOC)
    hand.place(BUY, hand.away(BUY))
    hand.until(lambda: len(hand.engine.orders.open_orders()) == 2)
    before = do(hand, "status")
    assert (before["open_orders"], before["protective_stops"], before["exits"]) == (1, 1, 0)
    answer = do(hand, "halt")
    assert answer["cancelling"] == 1
    hand.run(2)
    row = do(hand, "status")["instruments"][0]
    assert (row["open_orders"], row["protective_stops"], row["position"]) == (0, 1, "0.01 BTC")


def test_the_reason_of_a_resume_is_on_record_before_anything_is_let_go(hand, monkeypatch):
    do(hand, "halt")
    released, notes = [], hand.world.notes

    def note(row, before=hand.world.control.note):
        released.append((row["event"], row.get("reason"), latched(hand)))
        before(row)

    monkeypatch.setattr(hand.world.control, "note", note)
    assert do(hand, "resume", reason="looked at it")["ok"]
    assert released[0] == ("resume", "looked at it", True)
    assert not latched(hand)
    assert notes[-2]["event"] == "resume"


def test_a_new_peak_begins_only_where_nothing_else_is_in_the_way(hand):
    hand.until(lambda: hand.engine.equity.peak_e8)
    engine, now_ns = hand.engine, hand.world.now_ns
    peak_e8 = 2 * engine.equity.peak_e8
    engine.restore_peak(peak_e8, engine.equity.day_e8, engine.equity.day, now_ns)
    do(hand, "halt")
    engine.latch(int(Latch.LATCH_FAULT), True, now_ns)
    answer = do(hand, "resume", reason="x", reset_peak=True)
    assert answer["held"] == [
        f"only a restart clears fault: `tickgate stop {hand.world.control.directory}`, then start it again"
    ]
    assert engine.equity.peak_e8 == peak_e8
    engine.latch(int(Latch.LATCH_FAULT), False, now_ns)
    assert do(hand, "resume", reason="x", reset_peak=True)["ok"]
    assert engine.equity.peak_e8 < peak_e8


def test_a_latch_that_was_written_meanwhile_is_not_removed_and_holds(hand, tmp_path):
    do(hand, "halt")
    write_latch(tmp_path / "tape", Latched("guard", False, "stood still", 5))
    answer = do(hand, "resume", reason="was it the guard?")
    assert (answer["code"], latched(hand)) == (HELD, True)
    assert "latched meanwhile: latch.json: halt by the guard: stood still" in answer["error"]
    assert read_latch(tmp_path / "tape").reason == "stood still"
    assert do(hand, "resume", reason="looked")["ok"]
    assert list((tmp_path / "tape").glob("latch*")) == []


def test_a_latch_that_is_written_in_the_very_moment_of_a_resume_holds_too(hand, tmp_path, monkeypatch):
    do(hand, "halt")
    poll = hand.world.control._poll_file

    def late(now_ns):
        told = poll(now_ns)
        monkeypatch.setattr(hand.world.control, "_poll_file", poll)
        write_latch(tmp_path / "tape", Latched("guard", False, "just now", 5))
        return told

    monkeypatch.setattr(hand.world.control, "_poll_file", late)
    answer = do(hand, "resume", reason="fine")
    assert "just now" in answer["error"]
    assert latched(hand)
    assert read_latch(tmp_path / "tape").reason == "just now"


# ---- what is recalled ----


def test_a_damaged_tape_latches_and_says_why(hand):
    (told,) = hand.world.control.begin(Recalled(damage="x.tape: broken"), hand.world.now_ns)
    assert "the tape is damaged" in told
    assert "x.tape: broken" in told
    assert latched(hand)


def test_a_peak_of_a_day_that_is_yet_to_come_holds_and_its_day_is_today(hand):
    now_ns, today = hand.world.now_ns, hand.world.now_ns // (86_400 * 10**9)
    (told,) = hand.world.control.begin(Recalled(peak=(9 * 10**15, 8 * 10**15, today + 1)), now_ns)
    assert told.startswith("the clock went back: ")
    equity = hand.engine.equity
    assert (equity.peak_e8, equity.day_e8, equity.day) == (9 * 10**15, 8 * 10**15, today)


def test_money_is_plain_text():
    assert [money(x) for x in (0, 123_456_789, -123_456_789, -1)] == ["0.00", "1.23", "-1.23", "-0.00"]


class Worth:
    """An equity that a test writes."""

    def __init__(self, worth, peak, day):
        self.measured, self.worth_e8, self.peak_e8, self.day_e8, self.day = True, worth, peak, day, 20_000

    def sums(self):
        return {"equity_e8": self.worth_e8}

    def worth(self, number):
        return {"open_e8": -50}


def losses(worth, lots=0, **account) -> list[str]:
    """What `Control` says of an account that is so deep under."""
    limits = {"max_drawdown_ppm": 100_000, "max_daily_loss_e8": -1} | account
    instruments = SimpleNamespace(count=1, market=lambda n: 3, symbol=lambda n: "BTCUSDT")
    table = {"account": limits, "instruments": [{"max_loss_e8": 40}]}
    engine = SimpleNamespace(
        equity=worth,
        instruments=instruments,
        account=SimpleNamespace(position=lambda n: {"lots": lots}),
        risk=SimpleNamespace(latches=0, table=SimpleNamespace(as_dict=lambda: table)),
    )
    control = module.Control.__new__(module.Control)
    control.engine = engine
    return control.causes()


def test_a_drawdown_holds_just_above_its_limit_and_not_at_it():
    assert losses(Worth(900, 1000, 1000)) == []
    (told,) = losses(Worth(899, 1000, 1000))
    assert "1010 bps below its peak" in told
    assert "--reset-peak" in told
    assert losses(Worth(0, 0, 0)) == []


def test_a_day_s_loss_and_an_open_loss_hold_too():
    assert losses(Worth(950, 1000, 1000), max_daily_loss_e8=50) == []
    (told,) = losses(Worth(949, 1000, 1000), max_daily_loss_e8=50)
    assert "midnight UTC" in told
    (told,) = losses(Worth(1000, 1000, 1000), lots=1)
    assert told.startswith("bybit-linear BTCUSDT: the open loss is beyond")


# ---- limits ----


def reread(hand, **limits):
    """The config file, as somebody changed it."""
    row = hand.config.instrument[0]
    row = msgspec.structs.replace(row, limits=msgspec.structs.replace(row.limits, **limits))
    hand.world.control.reread = lambda: msgspec.structs.replace(hand.config, instrument=[row])


def test_limits_can_be_tightened_at_once_also_for_what_rests(hand):
    for _ in range(2):
        hand.place(BUY, hand.away(BUY))
    hand.run(1)
    reread(hand, max_open_orders=1)
    answer = do(hand, "limits")
    assert answer["ok"], answer
    assert [(x["key"], x["old"], x["new"]) for x in answer["changes"]] == [("max_open_orders", 64, 1)]
    assert answer["cancelling"] == 1
    assert hand.engine.risk.table.as_dict()["instruments"][0]["max_open_orders"] == 1
    assert hand.world.notes[-2]["event"] == "limits"
    hand.run(1)
    assert len(hand.open_there()) == 1


@pytest.mark.parametrize(
    "change", [{"max_open_orders": 65}, {"collar_bps": 1999, "max_position_base": "100.001"}]
)
def test_a_looser_limit_is_refused_and_none_changes(hand, change):
    reread(hand, **change)
    before = hand.engine.risk.table.as_dict()
    answer = do(hand, "limits")
    assert (answer["ok"], answer["code"]) == (False, HELD)
    assert "limits can only be tightened here" in answer["error"]
    assert hand.engine.risk.table.as_dict() == before


def test_without_a_file_there_is_nothing_to_read_again(hand):
    assert do(hand, "limits")["code"] == USAGE


# ---- requests ----


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        "halt",
        7,
        {},
        {"do": 1},
        {"do": "sell"},
        {"do": "_status"},
        {"do": "do"},
        {"do": "halt", "frob": 1},
        {"do": "halt", "reason": 1},
        {"do": "halt", "reason": "x" * 501},
        {"do": "resume", "reason": "x", "reset_peak": 1},
        {"do": "status", "reason": "x"},
    ],
)
def test_what_is_no_request_is_refused_recorded_and_changes_nothing(hand, request_):
    answer = hand.world.control.do(request_, hand.world.now_ns, 7)
    assert (answer["ok"], answer["code"]) == (False, USAGE)
    assert hand.engine.risk.latches == 0
    note = hand.world.notes[-1]
    assert (note["event"], note["uid"], note["outcome"]["code"]) == ("control", 7, USAGE)


def test_what_is_asked_and_what_came_of_it_is_noted_and_a_status_is_not(hand):
    before = len(hand.world.notes)
    assert do(hand, "status")["code"] == OK
    assert len(hand.world.notes) == before
    do(hand, "halt", reason="lunch")
    note = hand.world.notes[-1]
    assert note["request"] == {"do": "halt", "reason": "lunch"}
    assert note["outcome"] == {"code": 0, "cancelling": 0}


def test_a_status_has_position_orders_and_what_holds(hand):
    hand.place(BUY, hand.through(BUY), tif=IOC)
    hand.place(SELL, hand.away(SELL))
    hand.run(2)
    answer = do(hand, "status")
    (row,) = answer["instruments"]
    assert (row["name"], row["position_base"], row["open_orders"]) == ("bybit-linear BTCUSDT", "0.010", 1)
    assert not row["unprotected_base"].strip("0.")  # nothing is to be protected
    assert (answer["open_orders"], answer["open_positions"], answer["held"]) == (1, 1, [])
    do(hand, "halt")
    assert do(hand, "status")["held"][0].startswith("latched: operator: halt, no reason given (since ")


def test_a_stop_ends_the_node_where_it_can_be_ended(hand):
    assert do(hand, "stop")["code"] == USAGE
    ended = []
    hand.world.control.stop = lambda: ended.append(1)
    assert do(hand, "stop")["ok"]
    assert ended == [1]


def test_a_status_tells_of_equity_that_is_not_known_and_of_a_cool_down(tmp_path):
    unknown = "equity is not known: nothing new is sent where a limit needs it"
    hand = hand_of(tmp_path)
    assert do(hand, "status")["held"].count(unknown) == 1
    hand.ready()
    assert do(hand, "status")["held"] == []
    engine = hand.world.engine
    engine.flatten(0, int(HaltReason.HALT_STOP), hand.world.now_ns)
    engine.resume(0, int(HaltReason.HALT_STOP), hand.world.now_ns)
    seconds = -(-engine.risk.cooling_ns(0, hand.world.now_ns) // 10**9)
    assert seconds > 0
    answer = do(hand, "status")
    assert answer["held"] == [
        f"bybit-linear BTCUSDT: cools down after a stop or a flatten: no new risk for {seconds} s more "
        "([stops] cooldown_s)"
    ]
    assert answer["instruments"][0]["cooldown_s"] == seconds


def test_a_status_says_who_latched_why_and_since_when(hand, tmp_path):
    now_ns = hand.world.now_ns
    do(hand, "flatten", reason="the venue looks odd")
    write_latch(tmp_path / "tape", Latched("guard", False, "stood still", 5 * 10**9))
    hand.world.control.poll(now_ns)
    hand.engine.latch(int(Latch.LATCH_STOP), True, now_ns)
    answer = do(hand, "status")
    assert answer["held"][:3] == [
        f"latched: operator: flatten, the venue looks odd (since {utc_text(now_ns)})",
        f"latched: stop (since {utc_text(now_ns)})",
        "latched: guard: flatten, stood still (since 1970-01-01 00:00:05 UTC)",
    ]
    assert {x["latch"]: x["since_ns"] for x in answer["latches"]}["operator"] == now_ns
    assert do(hand, "resume", reason="looked")["ok"]
    assert do(hand, "status")["latches"] == []


def test_a_latch_of_an_earlier_run_is_told_with_what_its_file_says(tmp_path):
    (tmp_path / "x").mkdir()
    write_latch(tmp_path / "x", Latched("operator", False, "lunch", 5 * 10**9))
    world = hand_of(tmp_path / "x", recalled=Recalled(latches={OPERATOR, int(Latch.LATCH_STOP)})).world
    held = world.control.do({"do": "status"}, world.now_ns, 0)["held"]
    assert "latched: operator: halt, lunch (since 1970-01-01 00:00:05 UTC)" in held
    assert "latched: stop: since an earlier run" in held


def test_how_long_a_position_has_been_without_protection_is_told(hand, monkeypatch):
    control, now_ns, bare = hand.world.control, hand.world.now_ns, [7]
    shields = SimpleNamespace(bare=lambda number: bare[0])
    engine = SimpleNamespace(stops=SimpleNamespace(shields=shields), instruments=hand.engine.instruments)
    engine.risk = SimpleNamespace(latches=0)
    monkeypatch.setattr(control, "engine", engine)
    control.poll(now_ns)
    control.poll(now_ns + 2 * 10**9)
    assert control.bare_ns == {0: now_ns}
    bare[0] = 0
    control.poll(now_ns + 3 * 10**9)
    assert control.bare_ns == {}


def test_a_status_says_whether_a_guard_watches_and_holds_it_against_the_node_when_none_does(hand, tmp_path):
    control, now_ns = hand.world.control, hand.world.now_ns
    assert do(hand, "status")["guard"] is None
    control.guarded = Guarded(tmp_path / "tape", now_ns - 9 * 10**9)
    assert control.poll(now_ns) == []
    answer = do(hand, "status")
    assert answer["guard"] == {"watches": False, "gone_s": 9.0}
    assert not any("guard" in x for x in answer["held"])
    control.guarded = Guarded(tmp_path / "tape", now_ns - 11 * 10**9)
    assert control.poll(now_ns)[0].startswith("ALARM: no guard has watched this node for 11 s")
    held = [x for x in do(hand, "status")["held"] if "guard" in x]
    assert len(held) == 1
    assert held[0].startswith("no guard has watched this node for 11 s: nobody cancels its orders")
    assert held[0].endswith("start one: `tickgate guard CONFIG`")


def test_limits_are_taken_over_from_the_file_that_the_node_was_started_from_and_of_no_other(hand, tmp_path):
    control, own, other = hand.world.control, tmp_path / "own.toml", tmp_path / "other.toml"
    reread(hand, max_open_orders=1)
    control.file = own
    for path in (own, other):
        path.touch()
    answer = do(hand, "limits", file=str(other))
    assert answer["code"] == USAGE
    assert f"{other} is not the file that this node was started from" in answer["error"]
    assert f"takes over the limits of {own} only" in answer["error"]
    assert do(hand, "limits", file=str(tmp_path / "none.toml"))["code"] == USAGE
    assert do(hand, "limits", file=7)["code"] == USAGE
    (tmp_path / "link.toml").symlink_to(own)
    assert do(hand, "limits", file=str(tmp_path / "link.toml"))["ok"]
    assert do(hand, "limits", file=str(own))["ok"]
    assert do(hand, "limits")["ok"]


def test_a_strategy_that_is_switched_off_is_told_with_name_cause_and_way_out(hand, tmp_path):
    hand.engine.strategy_off(0, int(StrategyOff.OFF_FAULTS), hand.world.now_ns)
    (told,) = [x for x in do(hand, "status")["held"] if "strategy" in x]
    name = type(hand.engine.strategies[0]).__name__
    assert told.startswith(
        f"strategy 0 ({name}): switched off: it raised, hung or proposed nonsense too often: "
    )
    assert told.endswith(f"mend it and start the node again, or {resume_command(tmp_path / 'tape')}")
    assert do(hand, "resume", reason="mended")["ok"]
    assert not any("strategy" in x for x in do(hand, "status")["held"])
