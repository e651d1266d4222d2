"""Group B of the failure catalogue, order entry: one scenario or more for each row."""

from hands import BUY
from rows import row


@row(28, star=True)
def test_28_an_ack_that_is_lost_leaves_one_order_at_the_venue_and_its_size_reserved(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    price = hand.away(BUY)
    order = hand.place(BUY, price)
    hand.run(1.5)
    assert hand.hits("ack.drop") == 1
    assert hand.taken() == 1
    hand.run(10)
    assert hand.taken() == 1
    assert order
    hand.agree()


@row(32, star=True, markets=("binance-spot", "okx"))
def test_32_a_client_id_is_no_idempotency_key(make, market):
    hand = make(market).ready()
    hand.fault("ack.drop", count=1)
    hand.fault("exec.drop", for_s=3)
    hand.place(BUY, hand.through(BUY))
    hand.run(20)
    assert hand.taken() == 1
    assert hand.traded_there() == hand.size
    hand.agree()
