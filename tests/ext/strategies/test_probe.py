"""The probe: one immediate order for every update of a synced book."""

from chain import Chain

from ext.strategies.probe import Probe


def test_every_update_of_a_synced_book_gives_one_immediate_order_at_the_best_ask():
    chain = Chain(Probe(3))
    for ask in (10_008, 10_006, 10_004):
        chain.tick(asks=[(ask, 5)])
    assert [(p["side"], p["timeInForce"], p["price"], p["quantity"]) for p in chain.news()] == [
        ("BUY", "IOC", price, "0.003") for price in ("100.10", "100.08", "100.06", "100.04")
    ]


def test_without_an_ask_or_without_a_synced_book_there_is_no_order():
    chain = Chain(Probe())
    assert len(chain.news()) == 1
    chain.tick(asks=[(10_010, 0)])
    chain.tick(skip=2)
    chain.tick()
    assert len(chain.news()) == 1
