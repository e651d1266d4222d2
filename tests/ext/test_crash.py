"""Crash points: asleep but where they are armed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ext import crash

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def asleep():
    yield
    crash.disarm()


def test_a_label_that_is_not_armed_is_passed():
    for label in crash.labels():
        crash.at(label)
    crash.arm("written")
    crash.at("decide")
    assert crash.is_armed()
    assert crash.passed() == 0


def test_the_chosen_pass_strikes_and_only_once():
    crash.arm("fill_applied", 3)
    crash.at("fill_applied")
    crash.at("fill_applied")
    with pytest.raises(crash.Crashed, match="crashed at fill_applied") as struck:
        crash.at("fill_applied")
    assert struck.value.label == "fill_applied"
    assert crash.passed() == 3
    assert not crash.is_armed()
    assert crash.has_struck()
    crash.at("fill_applied")
    crash.disarm()
    assert not crash.has_struck()


def test_nothing_that_catches_errors_catches_a_crash():
    assert not issubclass(crash.Crashed, Exception)


@pytest.mark.parametrize(
    ("label", "nth", "how"),
    [("nowhere", 1, "raise"), ("labels", 1, "raise"), ("decide", 0, "raise"), ("decide", 1, "gently")],
)
def test_what_cannot_be_armed_is_refused(label, nth, how):
    with pytest.raises(ValueError, match="crash point"):
        crash.arm(label, nth, how)


@pytest.mark.parametrize("text", ["written:x", "written:-1", "written:", "written:0", "Written", ""])
def test_what_the_environment_says_is_checked(text):
    if text == "written:":
        crash.arm_text(text)  # the first pass
        return
    with pytest.raises(ValueError, match="crash point"):
        crash.arm_text(text)


def test_a_real_kill_ends_the_process_at_the_label():
    code = "from ext import crash; crash.arm_text('stop_requested:2')\n" + "crash.at('stop_requested')\n" * 2
    told = subprocess.run([sys.executable, "-c", code + "print('alive')"], cwd=ROOT, capture_output=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)  # fmt: skip
    assert told.returncode == -signal.SIGKILL
    assert told.stdout == b""
