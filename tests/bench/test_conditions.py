"""How figures are measured: turns, pinning, noise, and what is said of the machine."""

import gc
import os
from contextlib import suppress

from bench import conditions
from bench.conditions import Watch, best_and_median, percentile, take_turns, watching


def test_passes_take_turns_and_keep_their_own_times():
    order: list[str] = []

    def one(name: str, ns: int) -> int:
        order.append(name)
        return ns

    passes = {"a": lambda: one("a", 1), "b": lambda: one("b", 2)}
    assert take_turns(passes, 3, Watch(), conditions.silent) == {"a": [1, 1, 1], "b": [2, 2, 2]}
    assert order == ["a", "b"] * 3


def test_progress_is_told_about_ten_times_however_many_rounds_there_are():
    told: list[str] = []
    take_turns({"a": lambda: 1}, 200, Watch(), told.append)
    assert told == [f"round {turn} of 200" for turn in range(1, 200, 20)]


def test_a_measurement_is_pinned_without_collector_and_both_are_given_back():
    before = os.sched_getaffinity(0)
    assert gc.isenabled()
    with suppress(ZeroDivisionError), watching():
        assert os.sched_getaffinity(0) == {max(before)}
        assert not gc.isenabled()
        _ = 1 / 0
    assert os.sched_getaffinity(0) == before
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with watching():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_preemptions_during_passes_make_a_run_noisy(monkeypatch):
    switches = iter([100, 100, 100, 107])
    monkeypatch.setattr(conditions, "involuntary_switches", lambda: next(switches))
    watch = Watch()
    assert watch.measure(lambda: 5) == 5
    assert (watch.preempted, watch.quiet) == (0, True)
    watch.measure(lambda: 5)
    assert (watch.preempted, watch.quiet) == (7, False)
    assert watch.report()["quiet"] is False


def test_best_and_median_are_per_unit():
    assert best_and_median([100, 300, 200], 10) == (10.0, 20.0)


def test_percentiles_are_measured_values():
    assert [percentile([1, 2, 3, 4], q) for q in (0.5, 0.99, 1.0)] == [2, 4, 4]


def test_conditions_name_the_machine_and_the_build():
    found = conditions.conditions()
    assert set(found) == {
        "cpu",
        "cores",
        "pinned_to",
        "kernel",
        "governor",
        "python",
        "build",
        "load_average",
    }
    assert found["cores"] == os.cpu_count()
    assert found["build"].startswith("-O3, ") or "AddressSanitizer" in found["build"]


def test_what_cannot_be_read_is_not_available():
    assert conditions.first_line("/no/such/file") == "not available"


def test_recordings_are_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TICKGATE_RECORDINGS", str(tmp_path))
    assert conditions.recordings_dir() == tmp_path
    monkeypatch.delenv("TICKGATE_RECORDINGS")
    assert conditions.recordings_dir() == conditions.ROOT.parent / "shared" / "recordings"
