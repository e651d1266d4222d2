"""State files beside a tape: a fold that goes on where an earlier reader stopped."""

import shutil

import pytest

from ext.crash import Crashed, arm, disarm
from ext.tape import TapeWriter
from node import states
from node.crashes import config_of
from node.recall import Recalled, read_on, recall
from node.sim.memory import SEC, World
from node.states import identity, is_good, keep, newest_state, plain, read_state, recall_fast, write_state


@pytest.fixture(scope="module", params=["bybit", "okx"])
def tape(request, tmp_path_factory):
    """A run under faults over several segments, killed."""
    folder = tmp_path_factory.mktemp("tape")
    writer = TapeWriter(str(folder), now_ns=1, segment_size=1 << 19)
    world = World(config_of(request.param), seed=7, tape=writer)
    world.engine.latch(1, True, world.now_ns)
    world.engine.latch(1, False, world.now_ns)
    world.run_for(25 * SEC)
    writer.close(world.now_ns)
    return folder


def segments(folder):
    return sorted(int(x.stem) for x in folder.glob("*.tape") if identity(folder, int(x.stem)))


def up_to(folder, index):
    """What a reader has come to at the start of segment `index`."""
    first = identity(folder, index)[0]
    return read_on(Recalled(), folder, until=first)


def test_a_state_and_the_rest_of_the_tape_come_to_what_all_of_it_comes_to(tape):
    whole = recall(tape)
    assert len(segments(tape)) > 3
    assert whole.tracked.newest
    assert whole.trades
    for index in segments(tape)[1:]:
        path = write_state(tape, index, up_to(tape, index))
        found, notes = recall_fast(tape)
        assert notes == []
        assert found == whole
        assert plain(found) == plain(whole)
        path.unlink()


def test_the_archiver_keeps_a_state_behind_each_segment_going_on_from_the_last_one(tape):
    whole = recall(tape)
    for index in segments(tape)[1:]:
        path = keep(tape, index)
        assert read_state(path, identity(tape, index)) == up_to(tape, index)
        assert keep(tape, index) is None
    found, notes = recall_fast(tape)
    assert (found, notes) == (whole, [])
    for path in tape.glob("*.state"):
        path.unlink()
    with pytest.raises(ValueError, match="no segment 00009999"):
        keep(tape, 9999)


def test_the_newest_good_one_counts_and_others_are_passed_over_with_a_note(tape, monkeypatch):
    whole, (_, second, third, *_) = recall(tape), segments(tape)
    good = write_state(tape, second, up_to(tape, second))
    bad = write_state(tape, third, up_to(tape, third))
    raw = bad.read_bytes()
    for broken in (raw[:-3], raw.replace(b'"version":3', b'"version":2'), b"", bytes([raw[0] ^ 1]) + raw[1:]):
        bad.write_bytes(broken)
        found, notes = recall_fast(tape)
        assert found == whole
        assert [x.split(":")[0] for x in notes] == [bad.name]
    bad.write_bytes(good.read_bytes())  # whole, and of another segment
    assert "of another tape" in recall_fast(tape)[1][0]
    (tape / "99999999.state").write_bytes(raw)
    assert len(recall_fast(tape)[1]) == 2
    monkeypatch.setattr(states, "VERSION", 4)
    assert newest_state(tape)[1] is None
    for path in tape.glob("*.state"):
        path.unlink()


def test_a_kill_in_the_middle_of_writing_one_leaves_none(tape):
    index = segments(tape)[1]
    arm("snapshot_half")
    try:
        with pytest.raises(Crashed):
            write_state(tape, index, up_to(tape, index))
    finally:
        disarm()
    assert list(tape.glob("*.state")) == []
    assert recall_fast(tape) == (recall(tape), [])


def test_there_is_no_state_of_a_segment_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="no segment 00000007"):
        write_state(tmp_path, 7, Recalled())
    assert recall_fast(tmp_path) == (Recalled(), [])
    assert recall_fast(tmp_path / "nowhere")[0] == Recalled()
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "00000001.state", None)


def test_a_state_is_made_again_from_the_archive_when_none_is_good_any_more(tape, tmp_path):
    """Another build reads no state of this one: what is live no longer tells it all."""
    room = tmp_path / "room"
    shutil.copytree(tape, room)
    whole, last = recall(room), segments(room)[-1]
    raw = {x: (room / f"{x:08d}.tape").read_bytes() for x in segments(room)[:-2]}
    for index in raw:
        (room / f"{index:08d}.tape").unlink()
    assert "whose beginning was taken away" in recall_fast(room)[0].damage, "by somebody: there is no archive"
    (room / "archive").mkdir()
    damage = recall_fast(room)[0].damage
    assert f"before {last - 1:08d} are in the archive only" in damage
    assert "archive CONFIG --once" in damage
    path = keep(room, last, 0, raw.get)
    assert is_good(path)
    assert recall_fast(room)[0] == whole
    path.write_bytes(path.read_bytes().replace(b'"version":3', b'"version":2'))
    assert not is_good(path)
    assert not is_good(room / "00000099.state")
