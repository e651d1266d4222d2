"""An operator's commands: what they say of a node that is there, is not, stands still, or answers
nonsense."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest
from chain import Script
from taped import Taped

from ext.records import Latch
from ext.tape import RecordType, TapeWriter
from node.errors import Failed, UserError
from node.latch import NAME as LATCH
from node.latch import Latched, read_latch, write_latch
from node.net.console import NAME
from node.operate import (
    NotRunning,
    ask,
    ask_running,
    at_rest,
    durable,
    held_text,
    hold,
    hold_done,
    stop_done,
    tape_of,
    wait_for,
    wait_gone,
)
from node.synced import DISK, MEMORY, SyncedPage


class Node(threading.Thread):
    """Something that listens, and answers each call with the next of `answers` (None: never)."""

    def __init__(self, folder, *answers):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(folder / NAME))
        self.sock.listen(8)
        self.answers, self.heard, self.kept = answers, [], []

    def run(self):
        for answer in self.answers:
            caller = self.sock.accept()[0]
            if answer is None:
                self.kept.append(caller)
                continue
            self.heard.append(json.loads(caller.recv(65536)))
            caller.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
            caller.close()
        self.sock.close()


def node(folder, *answers) -> Node:
    made = Node(folder, *answers)
    made.start()
    return made


def test_the_tape_is_a_directory_or_what_a_config_names_however_broken_it_is_otherwise(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('tape = "some/where"\nfrob = 1\n')
    assert tape_of(path) == tmp_path / "some" / "where"
    assert tape_of(tmp_path) == tmp_path
    path.write_text("tape = 7")
    with pytest.raises(UserError, match="tape: must be the path"):
        tape_of(path)
    with pytest.raises(UserError, match="No such file"):
        tape_of(tmp_path / "none.toml")


def test_a_command_finds_the_tape_of_a_config_from_any_directory(tmp_path, monkeypatch):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "x.toml").write_text('tape = "../tapes/x"\n')
    told = []
    for here, name in (("/", tmp_path / "deploy" / "x.toml"), (tmp_path, "deploy/x.toml")):
        monkeypatch.chdir(here)
        told.append(tape_of(Path(name)))
    assert told == [tmp_path / "tapes" / "x"] * 2


def test_an_answer_is_an_answer(tmp_path):
    there = node(tmp_path, {"ok": True, "code": 0, "x": 1})
    assert ask(tmp_path, {"do": "status"}) == {"ok": True, "code": 0, "x": 1}
    assert there.heard == [{"do": "status"}]


def test_a_node_that_is_not_there_is_told_apart(tmp_path):
    with pytest.raises(
        NotRunning, match="the tape's directory is not there: no node has run with it yet, or it was moved"
    ):
        ask(tmp_path / "none", {})
    with pytest.raises(NotRunning, match="not running: there is no tape in it; name a node's config file"):
        ask(tmp_path, {})
    (tmp_path / "00000001.tape").touch()
    with pytest.raises(NotRunning, match="not running: no node listens there"):
        ask(tmp_path, {})
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / NAME))
    sock.close()
    with pytest.raises(NotRunning, match="its socket is of a node that is gone"):
        ask(tmp_path, {})


def test_a_node_that_stands_still_is_there(tmp_path):
    there = node(tmp_path, None)
    with pytest.raises(NotRunning, match="does not answer") as caught:
        ask(tmp_path, {}, 0.1)
    assert caught.value.is_there
    assert len(there.kept) == 1


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[]\n", b"{}\n", b'{"code": "x"}\n'])
def test_nonsense_is_no_answer(tmp_path, answer):
    node(tmp_path, answer)
    with pytest.raises(NotRunning, match="hung up without an answer"):
        ask(tmp_path, {})


@pytest.mark.parametrize(("name", "flatten"), [("halt", False), ("flatten", True)])
def test_where_no_node_answers_a_file_tells_the_next_start(tmp_path, name, flatten):
    (tmp_path / "00000001.tape").touch()
    answer = hold(tmp_path, name, "why not", tmp_path / "x.toml")
    assert (answer["ok"], answer["running"]) == (True, False)
    for text in (
        "its next start obeys it",
        f"latched: {name}",
        "nothing was cancelled or closed",
        "open at the venues is not known",
        f"next: start the node (`tickgate run {tmp_path / 'x.toml'}`): it cancels what is open",
        f"(`tickgate guard {tmp_path / 'x.toml'}`)",
    ):
        assert text in answer["warning"]
    done = hold_done(tmp_path, name, answer, 1)
    assert (done["ok"], done["code"], done["error"]) == (False, 1, answer["warning"])
    found = read_latch(tmp_path)
    assert (found.latch, found.flatten, found.reason) == ("operator", flatten, "why not")


def test_where_a_node_answers_there_is_no_file(tmp_path):
    there = node(tmp_path, {"ok": True, "code": 0})
    assert hold(tmp_path, "halt", "r") == {"ok": True, "code": 0}
    assert there.heard == [{"do": "halt", "reason": "r"}]
    assert not (tmp_path / LATCH).exists()


def test_callers_that_hold_the_socket_do_not_hold_up_a_halt(tmp_path):
    node(tmp_path, {"ok": False, "code": 1, "error": "busy: too many callers", "busy": True})
    answer = hold(tmp_path, "halt", "now")
    assert (answer["ok"], answer["running"]) == (True, True)
    assert "the node obeys it when it goes on" in answer["warning"]
    assert read_latch(tmp_path).reason == "now"


def test_a_directory_that_holds_no_tape_is_left_alone(tmp_path):
    with pytest.raises(UserError, match="there is no tape in it: nothing to flatten"):
        hold(tmp_path, "flatten", "")
    assert list(tmp_path.iterdir()) == []


def test_a_tape_that_is_not_there_cannot_be_halted(tmp_path):
    with pytest.raises(
        NotRunning, match="halt was given to nobody: the tape's directory is not there"
    ) as caught:
        hold(tmp_path / "none", "halt", "")
    assert "look for such a node with `pgrep -af tickgate`" in str(caught.value)
    assert "nothing to halt" not in str(caught.value)


def test_waiting_ends_when_it_is_done_or_too_late(tmp_path):
    busy = {"ok": True, "code": 0, "open_orders": 2, "open_positions": 1}
    node(tmp_path, busy, busy | {"open_orders": 0})
    took_s, last = wait_for(tmp_path, lambda x: not x["open_orders"], 5)
    assert took_s >= 0
    assert last["open_orders"] == 0
    (tmp_path / NAME).unlink()
    node(tmp_path, *[busy] * 100)
    _, last = wait_for(tmp_path, lambda x: not x["open_orders"], 0.1)
    assert last["open_orders"] == 2


def test_who_waits_is_told_what_is_still_open(tmp_path, monkeypatch):
    monkeypatch.setattr("node.operate.PROGRESS_S", 0.0)
    busy = {"ok": True, "code": 0, "open_orders": 2, "open_positions": 1}
    node(tmp_path, busy, busy | {"open_orders": 0})
    told = []
    wait_for(tmp_path, lambda x: not x["open_orders"], 5, told.append)
    assert told == ["waiting for 0 s: 2 open orders; 1 open position"]


ASKED = {"ok": True, "code": 0, "cancelling": 1, "asked_ns": 5 * 10**9}


def status(at_ns, **more):
    """A status of a node that has nothing open, and whose last list was asked for then."""
    left = {"open_orders": 0, "protective_stops": 0, "exits": 0, "open_positions": 0}
    return {"ok": True, "code": 0, **left, "listed": [{"market": "bybit-linear", "at_ns": at_ns}], **more}


def test_that_nothing_is_open_is_said_once_a_list_of_since_then_says_so(tmp_path):
    node(tmp_path, status(5 * 10**9), status(5 * 10**9 + 1))
    done = hold_done(tmp_path, "halt", dict(ASKED), 5)
    assert (done["ok"], done["silent"]) == (True, [])


@pytest.mark.parametrize(
    ("at_ns", "open_orders", "said"),
    [
        (3 * 10**9, 0, "as far as the node knows: no open orders; no open positions; "),
        (3 * 10**9, 1, "there are still 1 open order; no open positions; "),
        (0, 0, "bybit-linear has not answered since the node's start"),
    ],
)
def test_a_venue_that_has_not_answered_since_is_named_and_confirms_nothing(
    tmp_path, at_ns, open_orders, said
):
    node(tmp_path, *[status(at_ns, open_orders=open_orders)] * 100)
    done = hold_done(tmp_path, "halt", dict(ASKED), 0.1)
    assert (done["ok"], done["code"]) == (False, 4)
    assert said in done["error"]
    assert "bybit-linear has not answered since" in done["error"]
    if at_ns:
        assert "since 1970-01-01 00:00:03 UTC" in done["error"]


def test_orders_that_stay_open_at_a_venue_that_answers_are_a_failure_of_another_kind(tmp_path):
    node(tmp_path, *[status(9 * 10**9, open_orders=2)] * 100)
    done = hold_done(tmp_path, "halt", dict(ASKED), 0.1)
    assert (done["ok"], done["code"]) == (False, 1)
    assert "there are still 2 open orders; no open positions; look with `tickgate status" in done["error"]


def test_a_flatten_waits_for_the_exit_that_is_under_way_though_no_position_is_open(tmp_path):
    node(tmp_path, status(9 * 10**9, exits=1), status(9 * 10**9))
    done = hold_done(tmp_path, "flatten", dict(ASKED), 5)
    assert (done["ok"], done["exits"]) == (True, 0)


def test_a_hold_is_done_when_nothing_but_protection_is_left_and_says_so(tmp_path):
    left = {"ok": True, "code": 0, "open_orders": 1, "protective_stops": 2, "exits": 0, "open_positions": 1}
    node(tmp_path, left, left | {"open_orders": 0})
    done = hold_done(tmp_path, "halt", {"ok": True, "code": 0, "cancelling": 1}, 5)
    assert {x: done[x] for x in ("open_orders", "protective_stops", "open_positions")} == {
        "open_orders": 0,
        "protective_stops": 2,
        "open_positions": 1,
    }
    assert held_text(done) == (
        f"latched; 1 order is being cancelled; after {done['took_s']} s: no open orders; "
        "2 protective stops rest on purpose; 1 open position"
    )
    answer = {"cancelling": 0, "open_positions": 0}
    assert held_text(answer) == "latched; no orders are being cancelled; no open positions"


def test_a_node_that_stands_still_and_does_not_come_back_in_time_is_no_success(tmp_path, monkeypatch):
    (tmp_path / "00000001.tape").touch()
    waiting = {"ok": True, "code": 0, "running": True, "warning": "it stands still; latched"}
    with pytest.raises(Failed, match="it stands still; latched"):
        hold_done(tmp_path, "flatten", waiting, 0)


def test_a_node_is_gone_when_nobody_listens(tmp_path):
    node(tmp_path, {"ok": True, "code": 0})
    assert wait_gone(tmp_path, 5) >= 0


def ending(folder, **told):
    """A tape whose node ended with this word, behind an earlier run that ended well."""
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 16)
    for at_ns, left in ((10, {"left": [], "protecting": 0}), (20, told)):
        if left:
            note = {"event": "stop", **left}
            tape.append(RecordType.NOTE, 0, at_ns, json.dumps(note).encode())
    tape.close(30)


@pytest.mark.parametrize(("unreached", "code"), [([], 1), (["bybit-linear orders"], 4)])
def test_a_stop_that_left_orders_is_no_success_and_names_them(tmp_path, unreached, code):
    ending(tmp_path, left=["mn001", "mn002"], unreached=unreached, protecting=0)
    done = stop_done(tmp_path, {"ok": True, "code": 0}, 15, 5)
    assert (done["ok"], done["code"], done["left"]) == (False, code, ["mn001", "mn002"])
    assert "2 orders are not known to be closed: mn001, mn002" in done["error"]
    assert ("not reached: bybit-linear orders" in done["error"]) == bool(unreached)


def test_a_stop_that_left_nothing_is_one_and_says_what_rests(tmp_path):
    ending(tmp_path, left=[], unreached=["bybit-linear orders"], protecting=2)
    done = stop_done(tmp_path, {"ok": True, "code": 0, "open_orders": 3}, 15, 5)
    assert (done["ok"], done["code"], done["open_orders"], done["protective_stops"]) == (True, 0, 0, 2)


def test_a_node_that_is_gone_without_a_word_has_not_stopped(tmp_path):
    ending(tmp_path)
    done = stop_done(tmp_path, {"ok": True, "code": 0}, 15, 5)
    assert (done["ok"], done["code"]) == (False, 1)
    assert "which orders are open is not known" in done["error"]


def test_a_node_whose_directory_is_gone_has_not_stopped(tmp_path):
    with pytest.raises(NotRunning, match="the tape's directory is not there"):
        wait_gone(tmp_path / "none", 5)


def test_how_much_of_a_tape_is_durable_is_what_its_archiver_says(tmp_path):
    assert durable(tmp_path) is None
    page = SyncedPage(tmp_path, time.monotonic_ns(), DISK)
    page.set(time.monotonic_ns(), sequence=7, archived=5, waiting=2)
    told = durable(tmp_path)
    assert told.pop("lag_ms") >= 0
    assert told == {
        "archiver_alive": True,
        "level": "F",
        "sequence": 7,
        "suspect": False,
        "archived_sequence": 5,
        "closed_segments_waiting": 2,
    }
    assert durable(tmp_path)["lag_ms"] <= durable(tmp_path)["lag_ms"], "it grows while nothing is said"
    SyncedPage(tmp_path, time.monotonic_ns(), MEMORY)
    assert durable(tmp_path)["level"] == "K"


def test_a_node_that_does_not_run_is_told_with_what_its_next_start_is_held_by(tmp_path):
    chain = Taped(tmp_path, Script())
    chain.engine.latch(int(Latch.LATCH_STOP), True, chain.now)
    with pytest.raises(NotRunning) as told:
        ask_running(tmp_path, {"do": "status"})
    assert "latched (stop)" in str(told.value)
    write_latch(tmp_path, Latched("operator", True, "lunch", 5 * 10**9))
    with pytest.raises(NotRunning) as told:
        ask_running(tmp_path, {"do": "resume", "reason": "back"})
    text = str(told.value)
    assert "latched (flatten by the operator at 1970-01-01 00:00:05 UTC, lunch; stop)" in text
    assert f'`tickgate resume {tmp_path} --reason "TEXT"` is given to the running node' in text
    chain.engine.latch(int(Latch.LATCH_STOP), False, chain.now)
    (tmp_path / LATCH).unlink()
    assert at_rest(tmp_path) == ""


def test_a_directory_with_one_tape_below_it_means_that_one_and_of_several_one_must_be_named(tmp_path):
    assert tape_of(tmp_path) == tmp_path
    one = tmp_path / "a" / "tape"
    one.mkdir(parents=True)
    Taped(one, Script()).engine.tape.close(1)
    assert tape_of(tmp_path) == one
    assert tape_of(one) == one
    other = tmp_path / "b"
    other.mkdir()
    Taped(other, Script()).engine.tape.close(1)
    with pytest.raises(UserError, match=f"there are 2 tapes below it: name one: {one}, {other}"):
        tape_of(tmp_path)
    node(tmp_path)  # whose socket is here: this is its tape
    assert tape_of(tmp_path) == tmp_path


def test_what_holds_the_next_start_is_told_of_both_who_latched(tmp_path):
    write_latch(tmp_path, Latched("operator", False, "lunch", 5 * 10**9))
    write_latch(tmp_path, Latched("guard", False, "the node is gone", 6 * 10**9))
    told = at_rest(tmp_path)
    assert "halt by the operator at 1970-01-01 00:00:05 UTC, lunch; halt by the guard" in told
    assert "the node is gone" in told
