"""The drill's strategy: rests what it was asked for, and hangs where it is told to."""

import threading
import time

import pytest
from chain import Chain

from node.resting import EACH, FAR_PPM, HANG, Resting


@pytest.fixture
def resting(monkeypatch, tmp_path):
    monkeypatch.setenv(EACH, "3")
    monkeypatch.setenv(HANG, str(tmp_path / "hang"))
    return Resting()


def test_it_places_so_many_orders_far_below_one_in_a_turn(resting):
    chain = Chain(resting)
    for _ in range(20):
        chain.now += 25_000_000
        chain.tick(bids=[(9990, 10 + chain.last % 50)])
    prices = [float(x["params"]["price"]) for x in chain.sent]
    assert len(prices) == 3
    assert len(set(prices)) == 3
    assert all(100 * (1 - 3 * FAR_PPM / 1e6) < x < 100 * (1 - FAR_PPM / 1e6) + 0.01 for x in prices)


def test_it_hangs_for_as_long_as_the_file_is_there(resting):
    resting.hang.touch()
    began_s = time.monotonic()
    threading.Timer(0.05, resting.hang.unlink).start()
    resting.on_timer(0)
    assert not resting.hang.exists()
    assert time.monotonic() > began_s
