"""Which trades earlier runs counted, out of their tapes."""

from dataclasses import astuple

import orjson

from ext.engine import Engine
from ext.instruments import Instruments
from ext.records import Market, ReportKind
from ext.tape import RecordType, TapeWriter
from node.recall import counted_trades

MARKET = int(Market.BYBIT_LINEAR)


def run(folder, symbols, trades):
    """A run that counts `trades` (instrument, side, id) onto the tape in `folder`."""
    instruments = Instruments(len(symbols))
    for symbol in symbols:
        instruments.add(MARKET, symbol, "0.1", "0.001")
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 20)
    rows = [{"market": "bybit-linear", "symbol": x} for x in symbols]
    tape.append(RecordType.CONFIG, 0, 1, orjson.dumps({"instruments": rows}))
    engine = Engine(instruments, tape=tape)
    for instrument, side, number in trades:
        report = {"kind": ReportKind.REPORT_FILL, "instrument": instrument, "side": side, "size_lots": 1}
        engine.on_evidence([report | {"price_ticks": 10, "trade_lo": number, "trade_hi": 7}], 1)
    tape.close(2)
    return engine


def test_the_trades_of_all_runs_are_found_under_the_names_that_each_run_had(tmp_path):
    run(tmp_path, ["BTCUSDT", "ETHUSDT"], [(0, 0, 11), (1, 1, 12)])
    run(tmp_path, ["ETHUSDT"], [(0, 0, 13)])
    assert [astuple(x) for x in counted_trades(tmp_path)] == [
        (MARKET, "BTCUSDT", 0, 7, 11),
        (MARKET, "ETHUSDT", 1, 7, 12),
        (MARKET, "ETHUSDT", 0, 7, 13),
    ]


def test_a_trade_that_is_remembered_is_not_counted_again(tmp_path):
    run(tmp_path, ["BTCUSDT"], [(0, 0, 11)])
    (trade,) = counted_trades(tmp_path)
    instruments = Instruments(1)
    instruments.add(MARKET, "BTCUSDT", "0.1", "0.001")
    engine = Engine(instruments)
    assert engine.orders.remember(0, trade.side, trade.trade_hi, trade.trade_lo)
    assert not engine.orders.remember(0, trade.side, trade.trade_hi, trade.trade_lo)
    report = {
        "kind": ReportKind.REPORT_FILL,
        "instrument": 0,
        "size_lots": 1,
        "price_ticks": 10,
        "trade_hi": 7,
    }
    engine.on_evidence([report | {"trade_lo": 11}, report | {"trade_lo": 12}], 5)
    assert (engine.account.position(0)["lots"], engine.orders.duplicates) == (1, 1)


def test_no_tape_tells_nothing(tmp_path):
    assert counted_trades(tmp_path) == []
    assert counted_trades(tmp_path / "nowhere") == []


def test_a_damaged_tape_tells_what_is_whole_before_the_damage(tmp_path):
    run(tmp_path, ["BTCUSDT"], [(0, 0, n) for n in range(50)])
    path = next(tmp_path.glob("*.tape"))
    data = bytearray(path.read_bytes())
    data[8000] ^= 1
    path.write_bytes(data)
    found = counted_trades(tmp_path)
    assert 5 < len(found) < 50
    assert [x.trade_lo for x in found] == list(range(len(found)))
