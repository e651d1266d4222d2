"""What a start takes over from a tape, and which tapes it refuses."""

import msgspec
import pytest
from hands import BUY, IOC, SELL, Ours, config_of

from ext.crash import Crashed, arm, disarm
from ext.tape import TapeWriter
from node.errors import UserError
from node.recall import Recalled, recall
from node.restore import next_epoch, refuse_gone, refuse_others, restore_counts
from node.sim.memory import SEC
from node.tracked import Kept

BTC = (3, "BTCUSDT")
DAY_NS = 86_400 * SEC


@pytest.fixture(autouse=True)
def asleep():
    yield
    disarm()


def life(folder, market="bybit-linear", **more):
    """A node that writes a tape into `folder`, ready."""
    tape = TapeWriter(str(folder), now_ns=1, segment_size=1 << 22)
    hand = Ours(market, tape=tape, **more)
    return hand.ready()


def kept(**more):
    fields = {"place": BTC, "grid": ("0.1", "0.001"), "price_ticks": 1000, "size_lots": 10, "sent_ns": 5}
    zeros = dict.fromkeys(("strategy", "side", "type", "tif", "leg", "trigger_ticks"), 0)
    return Kept(**zeros | fields | {"reduce_only": False} | more)


# ---- orders ----


@pytest.mark.parametrize("label", ["journaled", "lease_checked", "written"])
def test_87_an_order_that_may_be_there_is_reserved_asked_for_and_never_sent_again(label, tmp_path):
    hand = life(tmp_path)
    arm(label)
    with pytest.raises(Crashed):
        hand.place(SELL, hand.away(SELL))
    again = hand.restart(0.5, recalled=recall(tmp_path))
    (order_id,) = again.open_here()
    order = again.order(order_id)
    assert (order["state"], order["side"], order["strategy"]) == ("UNKNOWN", SELL, 0)
    assert again.reserved(SELL) == again.size
    again.until(lambda: "HALT_START" not in again.halts())
    assert again.open_here() == [] or "HALT_UNKNOWN" in again.halts()
    again.until(lambda: not again.open_here(), 80)
    assert label == "written" or again.told("of unknown fate since an earlier run: reduce-only")
    assert not again.told("for 0 s")
    again.until(lambda: not again.halts(), 30)
    state = again.state(order_id)
    assert state == ("CANCELED" if again.taken() else "NEVER_EXISTED")
    assert again.taken() == (label == "written")
    again.agree()


def test_107_orders_that_are_kept_rest_on_and_those_beyond_the_limits_of_now_do_not(tmp_path):
    old = {"reconcile": {"keep_old": True}}
    hand = life(tmp_path, changes=old)
    small = hand.place(BUY, hand.away(BUY))
    hand.place(BUY, hand.away(BUY, 600), 3 * hand.size)
    hand.run(1)
    most = str(2 * hand.size / 1000)
    hand.config = config_of("bybit-linear", **old | {"limits": {"max_order_base": most}})
    again = hand.restart(1, recalled=recall(tmp_path))
    again.world.desk.record_limits(again.world.now_ns)  # as a start does behind what it takes over
    again.until(lambda: not again.halts())
    again.run(5)
    (left,) = map(again.order, again.open_here())
    assert (left["sequence"], left["state"]) == (small, "LIVE")
    again.agree()


def test_starting_twice_in_a_row_changes_nothing(tmp_path):
    hand = life(tmp_path)
    hand.place(BUY, hand.through(BUY), tif=IOC)
    hand.place(BUY, hand.away(BUY))
    hand.run(1)
    again = hand.restart(1, recalled=recall(tmp_path), tape=second(hand, tmp_path))
    again.ready().run(5)
    held, asked, taken = again.position(), again.asked_new(), again.taken()
    third = again.restart(1, recalled=recall(tmp_path), tape=second(again, tmp_path))
    heard = len(third.fake.heard)
    third.ready().run(5)
    assert (third.position(), third.asked_new(), third.taken()) == (held, asked, taken)
    assert not [x for x in third.fake.heard[heard:] if "cancel" in x.lower()]
    assert third.open_here() == []
    assert not [x for x in recall(tmp_path).tracked.open]
    third.agree()


def second(hand, folder):
    """The tape of the next life, once that of this one is dropped."""
    hand.world.engine.tape.close(hand.world.now_ns)
    return TapeWriter(str(folder), now_ns=1, segment_size=1 << 22)


# ---- tapes that are not ours ----


def of(**more):
    return msgspec.structs.replace(config_of("bybit-linear"), **more)


def test_a_tape_of_another_deployment_environment_or_account_is_refused():
    refuse_others(Recalled(), of())
    refuse_others(Recalled(deployment="tst0"), of())
    with pytest.raises(UserError, match="written by deployment 'brrr', and this config is 'tst0'"):
        refuse_others(Recalled(deployment="brrr"), of())
    there = {"bybit-linear": {"environment": "live", "account": "7", "key": "x"}}
    with pytest.raises(UserError, match="orders are of environment 'live'"):
        refuse_others(Recalled(venues=there), of())
    config = config_of("bybit-linear", venue={"account": "8"})
    there["bybit-linear"]["environment"] = "sim"
    with pytest.raises(UserError, match="orders are of account '7'"):
        refuse_others(Recalled(venues=there), config)


def test_a_symbol_that_is_gone_with_something_open_is_named_and_refused_until_a_person_says_so():
    eth = (3, "ETHUSDT")
    found = Recalled()
    refuse_gone(found, of())
    found.positions[eth] = (5, -10)
    with pytest.raises(
        UserError, match=r"bybit-linear ETHUSDT has a position of 5 lots .* does not trade it"
    ):
        refuse_gone(found, of())
    found.positions[eth], found.legs[eth] = (0, -10), {1: (5, -300, 250), 2: (-5, 290, -290)}
    with pytest.raises(UserError, match="has a position of 5 and -5 lots"):
        refuse_gone(found, of())
    found.positions.clear()
    found.tracked.placed((4, 9), kept(place=eth))
    with pytest.raises(UserError, match="has order 9 of run 4"):
        refuse_gone(found, of())
    refuse_gone(found, config_of("bybit-linear", reconcile={"gone": ["bybit-linear ETHUSDT"]}))


def test_the_epoch_never_repeats_whatever_the_clock_says():
    now_ns = 1_790_000_000 * SEC
    fresh = next_epoch(now_ns, Recalled())
    assert next_epoch(now_ns - DAY_NS, Recalled(epochs=[fresh])) == fresh + 1
    assert next_epoch(now_ns + DAY_NS, Recalled(epochs=[fresh])) > fresh + 1


# ---- counts ----


def test_what_the_day_has_seen_counts_on(tmp_path):
    hand = life(tmp_path)
    for _ in range(3):
        hand.place(BUY, hand.through(BUY), tif=IOC)
        hand.run(1)
    hand.cancel(hand.place(BUY, hand.away(BUY)))
    hand.run(2)
    before = hand.engine.risk.throttle
    orders, fills = before.day_orders, before.day_fills
    assert orders > 2
    assert fills > 2
    found = recall(tmp_path)
    assert found.counts == (hand.world.now_ns // DAY_NS, orders, fills)
    assert [sum(x) for x in zip(*found.minutes.values(), strict=True)] == [1, fills]
    again = hand.restart(1, recalled=found)
    after = again.engine.risk.throttle
    assert (after.day_orders, after.day_fills) == (orders, fills)
    restore_counts(again.world.desk, Recalled(counts=(found.counts[0] + 1, 9, 9)), again.world.now_ns)
    assert after.day_orders == orders
