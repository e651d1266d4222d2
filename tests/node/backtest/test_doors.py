"""Each DOOR record leads back to the call that wrote it."""

import pytest
from retaped import Taker, again, config_of, run

from ext.engine import Echo, Engine
from ext.instruments import Instruments
from ext.records import Door, HaltReason, Market, StrategyOff
from ext.tape import RecordType
from node.backtest.doors import DOORS, knock
from node.sim.memory import SEC, START_NS

NOW = START_NS
INSIDE = {  # which nobody calls: what the engine says of itself, or of the record in front of it
    "DOOR_LIMITS",
    "DOOR_UNSENT",
    "DOOR_WINDOW",
}


def engine() -> Engine:
    table = Instruments(2)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        table.add(
            int(Market.BYBIT_LINEAR), symbol, "0.1", "0.001", is_perpetual=True, base=symbol[:3], quote="USDT"
        )
    out = Engine(table)
    out.echo = Echo()
    return out


def order(e: Engine, venue_id: str = "venue-77") -> int:
    return e.adopt(1, 2**35 - 1, 77, 1, 0, 0, 9990, 10, 3, True, venue_id, NOW, leg=2)


CALLS = {
    "adopt": order,
    "adopt what only a tape tells": lambda e: e.adopt(
        1, 5, 78, 0, 0, 3, 9980, 10, 0, False, "", NOW, strategy=0, unsure_ns=NOW - SEC
    ),
    "want_cancel": lambda e: e.want_cancel(order(e), NOW),
    "withdraw": lambda e: e.withdraw(order(e), NOW),
    "position": lambda e: e.set_position(1, -5, 900, NOW, leg=2, cost=-800),
    "foreign": lambda e: e.foreign(1, 5, 6, NOW),
    "halt": lambda e: e.halt(1, int(HaltReason.HALT_DRIFT), 2, NOW),
    "resume": lambda e: e.resume(1, int(HaltReason.HALT_DRIFT), NOW),
    "reconciled": lambda e: e.reconciled(1, NOW),
    "clock": lambda e: e.venue_clock(int(Market.BYBIT_LINEAR), -5, 6, NOW),
    "private": lambda e: e.private_proven(int(Market.BYBIT_LINEAR), True, NOW),
    "pause": lambda e: e.pause(int(Market.BYBIT_LINEAR), NOW + 9, NOW),
    "latch": lambda e: e.latch(1, True, NOW),
    "release": lambda e: e.latch(1, False, NOW),
    "capital": lambda e: e.capital(0, 10**11, NOW),
    "capital of a coin": lambda e: e.capital(0, 10**8, NOW, coin="BNB"),
    "flow": lambda e: e.flow(0, -5, NOW, coin="USDT"),
    "funding": lambda e: e.funding(1, -7, NOW),
    "lease": lambda e: e.set_lease(NOW + SEC, NOW),
    "flatten": lambda e: e.flatten(-1, int(HaltReason.HALT_OPERATOR), NOW),
    "flatten one": lambda e: e.flatten(1, int(HaltReason.HALT_STOP), NOW),
    "gap": lambda e: e.stood_still(SEC, NOW, False),
    "peak": lambda e: e.restore_peak(9, 8, 7, NOW),
    "coin": lambda e: e.set_coin_price("LONGESTCOINNAME", 123, NOW),
    "day trades": lambda e: e.restore_day_trades(2, 19_000, NOW),
    "day counts": lambda e: e.restore_counts(7, 3, 19_000, NOW),
    "ratio counts": lambda e: e.restore_ratio(7, 3, NOW - SEC, NOW),
    "opened": lambda e: e.restore_opened(1, 2, 19_000, NOW),
    "stopping": lambda e: e.quiet(NOW),
    "mark": lambda e: e.mark_now(NOW),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_door_called_again_from_its_record_leaves_the_same_records_and_the_same_state(name):
    ours, again = engine(), engine()
    CALLS[name](ours)
    made = ours.echo.clear()
    assert made
    replayed = []
    for kind, line, now_ns, payload in made:
        if replayed:  # what the door caused
            assert replayed.pop(0) == (kind, line, now_ns, payload)
            continue
        assert kind == RecordType.DOOR
        assert knock(again, payload, now_ns)
        replayed = again.echo.clear()
        assert replayed.pop(0) == (kind, line, now_ns, payload)
    assert replayed == []
    assert again.state_hash() == ours.state_hash()


def test_every_door_can_be_called_again_or_is_one_that_nobody_calls():
    assert set(DOORS) | INSIDE == {x.name for x in Door}
    assert not set(DOORS) & INSIDE


def test_strategies_are_switched_off_and_on_again(tmp_path):
    def act(world) -> None:
        assert world.engine.strategy_off(0, int(StrategyOff.OFF_OPERATOR), world.now_ns)
        assert world.engine.strategy_on(0, world.now_ns)

    run(tmp_path, act, config_of(), strategy=Taker())
    (result,) = again(tmp_path)
    assert result.difference is None


def test_what_nobody_calls_is_told():
    e = engine()
    e.mark_now(NOW)
    payload = bytearray(e.echo.clear()[0][3])
    payload[0] = int(Door.DOOR_UNSENT)
    assert not knock(e, bytes(payload), NOW)
