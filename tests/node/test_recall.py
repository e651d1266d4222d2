"""What earlier runs counted, out of their tapes; and a node that goes on from there."""

import struct

import orjson
import pytest
from hands import BUY, IOC, SEC, Ours

from ext.engine import Engine
from ext.instruments import Instruments
from ext.records import HaltReason, Latch, Market, Reason, ReportKind, StopPolicy
from ext.tape import RecordType, TapeWriter
from node.limits import changes, new_scopes
from node.recall import recall

MARKET = int(Market.BYBIT_LINEAR)


def run(folder, symbols, trades):
    """A run that counts `trades` (instrument, side, id), a lot each, onto the tape in `folder`."""
    instruments = Instruments(len(symbols))
    for symbol in symbols:
        instruments.add(MARKET, symbol, "0.1", "0.001")
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 20)
    rows = [{"market": "bybit-linear", "symbol": x, "tick": "0.1", "lot": "0.001"} for x in symbols]
    tape.append(RecordType.CONFIG, 0, 1, orjson.dumps({"instruments": rows}))
    engine = Engine(instruments, tape=tape)
    for instrument, side, number in trades:
        report = {"kind": ReportKind.REPORT_FILL, "instrument": instrument, "side": side, "size_lots": 1}
        engine.on_evidence([report | {"price_ticks": 10, "trade_lo": number, "trade_hi": 7}], number)
    tape.close(2)


def test_positions_and_trades_of_all_runs_are_found_under_the_names_that_each_run_had(tmp_path):
    run(tmp_path, ["BTCUSDT", "ETHUSDT"], [(0, 0, 11), (1, 1, 12), (0, 0, 13)])
    run(tmp_path, ["ETHUSDT"], [(0, 0, 14)])
    found = recall(tmp_path)
    btc, eth = (MARKET, "BTCUSDT"), (MARKET, "ETHUSDT")
    assert found.positions == {btc: (2, -20), eth: (1, -10)}
    assert list(found.trades) == [(btc, 0, 7, 11), (eth, 1, 7, 12), (btc, 0, 7, 13), (eth, 0, 7, 14)]
    assert found.last_ns == 14


def corrected(folder, corrections, *, grid=("0.1", "0.001"), clock_ns=0):
    """A run that sets positions of one instrument: (lots, cash, cost, leg, ns) each."""
    instruments = Instruments(1)
    instruments.add(MARKET, "BTCUSDT", *grid)
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 20)
    row = {"market": "bybit-linear", "symbol": "BTCUSDT", "tick": grid[0], "lot": grid[1]}
    tape.append(RecordType.CONFIG, 0, 1, orjson.dumps({"instruments": [row]}))
    engine = Engine(instruments, tape=tape)
    if clock_ns:
        engine.venue_clock(MARKET, clock_ns, 1, 2)
    for lots, cash, cost, leg, now_ns in corrections:
        engine.set_position(0, lots, cash, now_ns, leg=leg, cost=cost)
    tape.close(2)


BTC = (MARKET, "BTCUSDT")


def test_a_position_that_was_taken_over_is_what_the_venue_said_with_all_trades_until_then(tmp_path):
    run(tmp_path, ["BTCUSDT"], [(0, 0, 11)])
    assert recall(tmp_path).floors == {}
    corrected(tmp_path, [(1, -10, 10, 0, 20), (4, -100, 100, 0, 30)], clock_ns=7)
    found = recall(tmp_path)
    assert (found.positions, found.legs) == ({BTC: (4, -100)}, {BTC: {0: (4, -100, 100)}})
    assert found.floors == {BTC: 37}  # on the venue's clock
    assert (found.last_ns, len(found.trades)) == (11, 1)
    corrected(tmp_path, [(4, -100, 100, 0, 50)])  # put back at a start: nothing new
    assert recall(tmp_path).floors == {BTC: 37}


def test_legs_are_corrected_one_by_one_and_a_death_between_two_of_them_loses_neither(tmp_path):
    corrected(tmp_path, [(9, -90, 90, 0, 5)])
    corrected(tmp_path, [(5, -300, 250, 1, 20), (-5, 150, -150, 2, 21)])
    found = recall(tmp_path)
    assert found.legs == {BTC: {1: (5, -300, 250), 2: (-5, 150, -150)}}
    assert found.positions == {BTC: (0, -150)}
    corrected(tmp_path, [(5, -300, 250, 1, 30)])
    assert recall(tmp_path).legs == found.legs
    assert recall(tmp_path).floors == {BTC: 21}


def test_a_run_with_other_increments_that_died_at_once_leaves_the_position_as_it_was(tmp_path):
    corrected(tmp_path, [(5, -300, 250, 1, 20), (-2, 150, -100, 2, 21)])
    corrected(tmp_path, [], grid=("0.1", "0.0001"))
    found = recall(tmp_path)
    assert found.grids == {BTC: ("0.1", "0.0001")}
    assert found.legs == {BTC: {1: (50, -3000, 2500), 2: (-20, 1500, -1000)}}
    assert found.positions == {BTC: (30, -1500)}
    corrected(tmp_path, [(50, -3000, 2500, 1, 30), (-20, 1500, -1000, 2, 31)], grid=("0.10", "0.00010"))
    assert recall(tmp_path).legs == found.legs
    assert recall(tmp_path).floors == {BTC: 21}


def test_no_tape_tells_nothing(tmp_path):
    assert recall(tmp_path).last_ns == recall(tmp_path / "nowhere").last_ns == 0
    assert recall(tmp_path).damage == recall(tmp_path / "nowhere").damage == ""


def test_a_record_that_cannot_be_read_is_damage_too(tmp_path):
    tape = told(tmp_path, latch(OPERATOR), close=False)
    assert recall(tmp_path).damage == ""
    tape.append(RecordType.CONFIG, 0, 9, b"{")
    found = recall(tmp_path)
    assert found.damage.startswith("a record cannot be read: ")
    assert found.latches == {OPERATOR}


def test_a_damaged_tape_tells_what_is_whole_before_the_damage(tmp_path):
    run(tmp_path, ["BTCUSDT"], [(0, 0, n + 1) for n in range(50)])
    path = next(tmp_path.glob("*.tape"))
    data = bytearray(path.read_bytes())
    data[8000] ^= 1
    path.write_bytes(data)
    found = recall(tmp_path)
    assert 3 < found.positions[MARKET, "BTCUSDT"][0] < 50
    assert path.name in found.damage


@pytest.mark.parametrize(
    "market", ["binance-spot", "binance-usdm", "bybit-spot", "bybit-linear", "okx", "okx-spot"]
)
def test_a_node_that_starts_again_on_its_tape_knows_its_position_and_counts_no_trade_twice(market, tmp_path):
    """Killed, and started a quarter of an hour later: on spot nothing but the tape knows what was bought."""
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 22)
    hand = Ours(market, tape=tape)
    tape.append(RecordType.CONFIG, 0, hand.world.now_ns, orjson.dumps(hand.world.desk.describe()))
    hand.ready()
    for _ in range(3):
        hand.place(BUY, hand.through(BUY), tif=IOC)
        hand.run(2)
    held = hand.position()
    assert held == 3 * hand.size == hand.traded_there()
    tape.close(hand.world.now_ns)
    again = hand.restart(after_s=900, recalled=recall(tmp_path))
    again.ready()
    again.run(70)
    assert again.position() == held
    assert again.halts() == {}
    again.place(BUY, again.through(BUY), tif=IOC)
    again.run(5)
    assert again.position() == held + again.size
    assert SEC


# ---- what holds a node back ----------------------------------------------------------------------

OPERATOR, GUARD, LOSS = int(Latch.LATCH_OPERATOR), int(Latch.LATCH_GUARD), int(Latch.LATCH_STOP)
BY_HAND, BY_STOP = int(HaltReason.HALT_OPERATOR), int(HaltReason.HALT_STOP)


def told(folder, *acts, symbols=("BTCUSDT", "ETHUSDT"), limits=None, close=True):
    """A run in which `acts` (engine, now_ns) happen; not closed is killed."""
    instruments = Instruments(len(symbols))
    for symbol in symbols:
        instruments.add(MARKET, symbol, "0.1", "0.001")
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 20)
    rows = [{"market": "bybit-linear", "symbol": x, "tick": "0.1", "lot": "0.001"} for x in symbols]
    config = {"instruments": rows} | ({} if limits is None else {"limits": limits})
    tape.append(RecordType.CONFIG, 0, 1, orjson.dumps(config))
    engine = Engine(instruments, tape=tape)
    for n, act in enumerate(acts):
        act(engine, n + 2)
    if close:
        tape.close(99)
    return tape


def latch(why, on=True):
    return lambda engine, now_ns: engine.latch(why, on, now_ns)


@pytest.mark.parametrize("close", [True, False])
def test_143_latches_of_people_and_of_stops_are_found_again_also_behind_a_kill(tmp_path, close):
    writer = told(
        tmp_path, latch(OPERATOR), latch(LOSS), latch(GUARD), latch(int(Latch.LATCH_FAULT)), close=close
    )
    assert recall(tmp_path).latches == {OPERATOR, LOSS, GUARD}
    assert writer is not None


def test_what_was_released_is_not_found(tmp_path):
    told(tmp_path, latch(OPERATOR), latch(LOSS), latch(OPERATOR, False))
    assert recall(tmp_path).latches == {LOSS}
    told(tmp_path, latch(LOSS, False))
    assert recall(tmp_path).latches == set()


def test_halts_are_found_under_the_names_that_each_run_had_and_those_of_the_venue_are_not(tmp_path):
    told(
        tmp_path,
        lambda e, t: e.halt(0, BY_HAND, 2, t),
        lambda e, t: e.halt(1, BY_STOP, 1, t),
        lambda e, t: e.halt(1, int(HaltReason.HALT_DRIFT), 2, t),
    )
    told(tmp_path, lambda e, t: e.resume(0, BY_STOP, t), symbols=("ETHUSDT",))
    assert recall(tmp_path).halts == {((MARKET, "BTCUSDT"), BY_HAND): 2}


def test_a_flatten_goes_on_until_somebody_resumes(tmp_path):
    told(tmp_path, lambda e, t: e.flatten(-1, BY_HAND, t))
    assert recall(tmp_path).flattening
    told(tmp_path, lambda e, t: e.resume(0, BY_HAND, t))
    assert not recall(tmp_path).flattening


def stop(instrument, policy, reason=Reason.POSITION_LOSS):
    row = struct.pack("<iiiiqqq", int(reason), instrument, int(policy), -1, 5, 4, 100)
    return lambda engine, now_ns: engine.tape.append(RecordType.STOP, 0, now_ns, row)


def test_a_loss_stop_that_closes_goes_on_closing_until_somebody_resumes(tmp_path):
    bitcoin = (MARKET, "BTCUSDT")
    told(tmp_path, stop(0, StopPolicy.STOP_CANCEL), stop(0, StopPolicy.STOP_FLATTEN, Reason.WINDOW))
    assert recall(tmp_path).closing == set()
    told(tmp_path, stop(0, StopPolicy.STOP_FLATTEN))
    assert recall(tmp_path).closing == {bitcoin}
    told(tmp_path, lambda e, t: e.resume(0, BY_STOP, t))
    assert recall(tmp_path).closing == set()
    told(tmp_path, stop(-1, StopPolicy.STOP_FLATTEN, Reason.DRAWDOWN))
    assert bitcoin in recall(tmp_path).closing


def trade(number, side, lots, day, instrument=0, made=None):
    row = {"kind": int(ReportKind.REPORT_FILL), "instrument": instrument, "side": side, "size_lots": lots,
           "price_ticks": 1000, "trade_lo": number}  # fmt: skip
    if made is not None:
        row["event_ns"] = made * 86_400 * SEC + SEC // 2
    return lambda engine, now_ns: engine.on_evidence([row], day * 86_400 * SEC + now_ns)


def test_day_trades_are_reductions_of_what_grew_on_the_same_day_once_for_each_closing(tmp_path):
    told(
        tmp_path,
        trade(1, 0, 5, 10), trade(2, 1, 2, 10), trade(3, 1, 3, 10),  # opened and closed on day 10
        trade(4, 0, 5, 10), trade(5, 1, 9, 11), trade(6, 0, 4, 11),  # over night, turned, closed: one more
        trade(7, 0, 1, 12, 1), trade(8, 1, 1, 13, 1),  # kept over night
        trade(9, 0, 5, 14), trade(10, 1, 4, 14), trade(11, 0, 4, 14), trade(12, 1, 4, 14),  # one lot left
    )  # fmt: skip
    assert recall(tmp_path).day_trades == {10: 1, 11: 1, 14: 2}


def test_a_fill_heard_of_behind_midnight_is_of_the_day_on_which_the_venue_made_it(tmp_path):
    told(
        tmp_path,
        trade(1, 0, 5, 10), trade(2, 1, 5, 11, made=10),
        trade(3, 0, 5, 12), trade(4, 1, 5, 13, made=14),  # of the future: by our clock
        trade(5, 0, 5, 50), trade(6, 1, 5, 50, made=1),  # older than any notice
        trade(7, 0, 5, 51), trade(8, 0, 5, 51, made=50), trade(9, 1, 1, 51),  # the older one told later
    )  # fmt: skip
    assert recall(tmp_path).day_trades == {10: 1, 50: 1, 51: 1}


def test_day_trades_of_earlier_runs_count_in_the_gate(tmp_path):
    engine = Engine(Instruments(1), tape=TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 20))
    engine.restore_day_trades(3, 20_000, 20_000 * 86_400 * SEC)
    with pytest.raises(ValueError, match="is no count of a day"):
        engine.restore_day_trades(-1, 20_000, 1)
    assert engine.risk.throttle.day_trade_rows() == [(20_000, 3)]


def test_the_peak_is_the_last_one_that_was_known(tmp_path):
    told(tmp_path, lambda e, t: e.restore_peak(5 * 10**8, 4 * 10**8, 0, t))
    assert recall(tmp_path).peak == (5 * 10**8, 4 * 10**8, 0)
    told(tmp_path, lambda e, t: e.mark_now(t))  # nobody told its capital: no equity, no peak
    assert recall(tmp_path).peak == (5 * 10**8, 4 * 10**8, 0)


def test_the_limits_are_those_of_the_last_run_or_what_they_were_tightened_to(tmp_path):
    assert recall(tmp_path).limits is None
    told(tmp_path, limits={"account": {"max_leverage": "5"}})
    tape = told(tmp_path, limits={"account": {"max_leverage": "4"}}, close=False)
    assert recall(tmp_path).limits == {"account": {"max_leverage": "4"}}
    tape.append(
        RecordType.NOTE, 0, 9, orjson.dumps({"event": "limits", "limits": {"account": {"max_leverage": "3"}}})
    )
    tape.append(RecordType.NOTE, 0, 9, b'"limits" said nobody')
    assert recall(tmp_path).limits == {"account": {"max_leverage": "3"}}


def test_a_scope_that_a_run_leaves_out_keeps_its_last_limits(tmp_path):
    told(tmp_path, limits={"a b": {"max_open_orders": 1}, "account": {"max_leverage": "5"}})
    told(tmp_path, limits={"account": {"max_leverage": "4"}})
    last = {"a b": {"max_open_orders": 1}, "account": {"max_leverage": "4"}}
    assert recall(tmp_path).limits == last
    now = last | {"a b": {"max_open_orders": 1000}, "c d": {}}
    assert [(x.scope, x.ratio) for x in changes(recall(tmp_path).limits, now)] == [("a b", 1000)]
    assert new_scopes(last, now) == ["c d"]


@pytest.mark.parametrize("market", ["binance-usdm", "bybit-spot"])
def test_what_was_earned_before_a_restart_does_not_change_what_is_open(market, tmp_path):
    """The entry price of what is left is its own, not that less what was realised on the way."""
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 22)
    hand = Ours(market, tape=tape)
    tape.append(RecordType.CONFIG, 0, hand.world.now_ns, orjson.dumps(hand.world.desk.describe()))
    hand.ready()
    for side in (BUY, BUY, BUY, 1 - BUY):  # each pays the spread: something is realised
        hand.place(side, hand.through(side), tif=IOC)
        hand.run(2)
    before = hand.world.engine.account.position(0)
    assert before["realised"] != 0
    tape.close(hand.world.now_ns)
    again = hand.restart(after_s=5, recalled=recall(tmp_path))
    after = again.world.engine.account.position(0)
    assert {k: after[k] for k in ("lots", "cash", "realised")} == {
        k: before[k] for k in ("lots", "cash", "realised")
    }
    assert after["legs"][0]["cost"] == before["legs"][0]["cost"]


@pytest.mark.parametrize("market", ["binance-usdm", "bybit-linear", "okx"])
def test_a_withdrawal_while_nobody_looked_is_no_loss(market, tmp_path):
    """Row 78: the peak that is restored moves with what was paid out behind it."""
    tape = TapeWriter(str(tmp_path), now_ns=1, segment_size=1 << 22)
    hand = Ours(market, tape=tape)
    tape.append(RecordType.CONFIG, 0, hand.world.now_ns, orjson.dumps(hand.world.desk.describe()))
    hand.ready().run(70)
    equity = hand.world.engine.equity
    assert equity.known
    peak_e8 = equity.peak_e8
    hand.world.engine.mark_now(hand.world.now_ns)
    tape.close(hand.world.now_ns)
    hand.fault("acct.withdraw", coin="USDT", amount=1000, wallet=hand.listing.wallet, after_s=5)
    again = hand.restart(after_s=600, recalled=recall(tmp_path), control_at=tmp_path)
    again.ready().run(130)
    equity = again.world.engine.equity
    assert hand.hits("acct.withdraw") == 1
    assert equity.known
    assert equity.peak_e8 == peak_e8 - 1000 * 10**8
    assert again.world.engine.risk.latched == 0
    assert again.world.engine.stops.state()["fired"] == []
