"""Members and their types, as the documents list them."""

from binance_venue import NOW, Rest, events, user_line, venue

from node.venues.binance import fake_shapes as shapes
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.fakes import BUY, FakeOrder


def words(text: str) -> list[str]:
    return text.split()


EXECUTION_REPORT = words("e E s c S o f q p P F g C x X r i l z L n N T t I w m M O Z Y Q W V ")
ORDER_UPDATE = words("s c S o f q p ap sp x X i l z L T t b a m R wt ot ps cp rp pP si ss V pm gtd er ")
RESULT = words(
    "symbol orderId orderListId clientOrderId transactTime price origQty executedQty "
    "origQuoteOrderQty cummulativeQuoteQty status timeInForce type side workingTime "
    "selfTradePreventionMode "
)


def test_an_execution_report_has_its_members_in_order():
    fake = venue()
    user_line(fake, BINANCE_SPOT)
    Rest(fake).place(BINANCE_SPOT)
    (report,) = [x for x in events(fake) if x["e"] == "executionReport"]
    assert list(report) == EXECUTION_REPORT
    assert all(isinstance(report[x], str) for x in words("s c S o f q p P F C x X r l z L n Z Y Q V"))
    assert all(isinstance(report[x], int) for x in ["E", "g", "i", "T", "t", "I", "O", "W"])


def test_an_order_update_has_its_members_and_no_fee_without_a_fill():
    fake = venue()
    user_line(fake, BINANCE_USDM)
    Rest(fake).place(BINANCE_USDM, price="60000.1")
    updates = [x["o"] for x in events(fake) if x["e"] == "ORDER_TRADE_UPDATE"]
    assert list(updates[0]) == ORDER_UPDATE
    assert set(updates[1]) == {*ORDER_UPDATE, "n", "N"}


def test_a_result_is_an_ack_and_more():
    result = Rest(venue()).place(BINANCE_SPOT, newOrderRespType="RESULT")[1]
    assert list(result) == RESULT


def test_a_cancel_report_swaps_the_ids():
    client = Rest(venue())
    client.place(BINANCE_SPOT, newClientOrderId="mine")
    report = client.delete(
        "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="gone"
    )[1]
    assert (report["origClientOrderId"], report["clientOrderId"], report["status"]) == (
        "mine",
        "gone",
        "CANCELED",
    )


def order_with(done="", filled=0, **notes):
    listing = venue().listings[BINANCE_SPOT, "BTCUSDT"]
    order = FakeOrder(listing, 1, "c", BUY, 600000, 10, "gtc", None, filled_lots=filled, done=done)
    return shapes.note_order(order, **notes)


def test_every_end_has_its_status_and_reason():
    assert shapes.status(order_with()) == "NEW"
    assert shapes.status(order_with(filled=3)) == "PARTIALLY_FILLED"
    for done, word in (
        ("filled", "FILLED"),
        ("canceled", "CANCELED"),
        ("countdown", "CANCELED"),
        ("ioc", "EXPIRED"),
        ("stp", "EXPIRED_IN_MATCH"),
        ("rejected", "REJECTED"),
        ("whatever a fault says", "EXPIRED"),
    ):
        assert shapes.status(order_with(done, filled=3)) == word
    assert shapes.why_expired(order_with("ioc", type="MARKET")) == "market"
    assert shapes.spot_conditional(order_with("ioc"))["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert NOW
