"""What earlier runs counted, out of their tapes; and a node that goes on from there."""

import orjson
import pytest
from hands import BUY, IOC, SEC, Ours

from ext.engine import Engine
from ext.instruments import Instruments
from ext.records import Market, ReportKind
from ext.tape import RecordType, TapeWriter
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


def test_no_tape_tells_nothing(tmp_path):
    assert recall(tmp_path).last_ns == recall(tmp_path / "nowhere").last_ns == 0


def test_a_damaged_tape_tells_what_is_whole_before_the_damage(tmp_path):
    run(tmp_path, ["BTCUSDT"], [(0, 0, n + 1) for n in range(50)])
    path = next(tmp_path.glob("*.tape"))
    data = bytearray(path.read_bytes())
    data[8000] ^= 1
    path.write_bytes(data)
    found = recall(tmp_path)
    assert 3 < found.positions[MARKET, "BTCUSDT"][0] < 50


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
