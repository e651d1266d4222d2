"""Orders as they are read: units, modes, legs, limits."""

import pytest
from okx_client import Venue

from node.venues.fakes import Account, Balance, Key
from node.venues.okx.fake_reading import terms_of

SPOT = {"instId": "BTC-USDT", "tdMode": "cash"}


def poor(usdt: str, btc: str) -> Account:
    from decimal import Decimal

    wallet = {"USDT": Balance(Decimal(usdt)), "BTC": Balance(Decimal(btc))}
    return Account(1, "1", [Key("simulated", "simulated", "simulated")], {"": wallet})


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"instId": "NO-SUCH"}, "51001"),
        ({"instId": ""}, "50014"),
        ({"tdMode": "cash"}, "51000"),
        ({"ordType": "fok", "stpMode": "cancel_both"}, "54036"),
        ({"stpMode": "none"}, "51000"),
        ({"tag": "with space"}, "51000"),
        ({"tradeQuoteCcy": "USDT"}, "51000"),
        ({"posSide": "short"}, "51000"),
        ({"px": "400000"}, "51006"),
        ({"side": "sell", "px": "11999"}, "51006"),
        ({"attachAlgoOrds": "x"}, "51000"),
        ({**SPOT, "reduceOnly": True}, "51205"),
        ({**SPOT, "px": "400000"}, "51137"),
        ({**SPOT, "side": "sell", "px": "11999"}, "51138"),
        ({**SPOT, "sz": "900000000"}, "51005"),
        ({"sz": "900000000"}, "51101"),
    ],
)
def test_what_breaks_a_rule_has_the_code_of_that_rule(change, want):
    assert Venue().place(**change)["sCode"] == want


@pytest.mark.parametrize("change", [{"px": "1"}, {"side": "sell", "px": "900000"}, {"px": 59999, "sz": 1}])
def test_a_price_far_on_its_own_side_is_no_offence_and_numbers_pass_for_text(change):
    assert Venue().place(**change)["sCode"] == "0"


def test_a_price_outside_the_band_is_moved_where_the_client_says_so():
    venue = Venue()
    number = venue.place(px="400000", pxAmendType="1", ordType="ioc", sz="0.01")["ordId"]
    (row,) = venue.get(f"trade/order?instId=BTC-USDT-SWAP&ordId={number}")
    assert row["px"] == "300000"


def test_a_spot_market_order_is_sized_in_either_coin():
    venue = Venue(levels=50)
    for change, filled in (
        ({"side": "buy", "sz": "0.6"}, "0.00000999"),
        ({"side": "buy", "sz": "0.00002", "tgtCcy": "base_ccy"}, "0.00002"),
        ({"side": "sell", "sz": "0.00002"}, "0.00002"),
        ({"side": "sell", "sz": "0.6", "tgtCcy": "quote_ccy"}, "0.00001"),
    ):
        number = venue.place(**SPOT, **change, ordType="market")["ordId"]
        (row,) = venue.get(f"trade/order?instId=BTC-USDT&ordId={number}")
        assert (row["state"], row["accFillSz"], row["sz"]) == ("filled", filled, change["sz"])


def test_a_market_order_is_cut_to_the_balance_unless_that_is_banned():
    for ban, want in ((False, "0"), (True, "51008")):
        venue = Venue(levels=50, accounts=[poor("0.3", "0")])
        row = venue.place(**SPOT, ordType="market", sz="1", banAmend=ban)
        assert row["sCode"] == want
    venue = Venue(levels=50, accounts=[poor("0", "0")])
    assert venue.place(**SPOT, ordType="market", sz="1")["sCode"] == "51008"


def test_money_is_held_and_its_lack_refused_with_a_sub_code():
    venue = Venue(accounts=[poor("100", "0.001")])
    assert venue.place(**SPOT, px="50000", sz="0.001")["sCode"] == "0"
    assert venue.get("account/balance?ccy=USDT")[0]["details"][0]["ordFrozen"] == "50"
    row = venue.place(**SPOT, px="50000", sz="0.0011")
    assert (row["sCode"], row["subCode"]) == ("51008", "1000")
    row = venue.place(px="50000", sz="100")
    assert (row["sCode"], row["subCode"]) == ("51008", "1001")
    assert venue.place(**SPOT, side="sell", px="70000", sz="0.0011")["sCode"] == "51008"


def test_in_long_short_mode_every_swap_order_names_its_leg():
    venue = Venue()
    assert venue.post("account/set-position-mode", {"posMode": "long_short_mode"})["code"] == "0"
    assert venue.place()["sCode"] == "51000"
    assert venue.place(posSide="long", side="sell", px="70000")["sCode"] == "51169"
    assert venue.place(posSide="long", ordType="market")["sCode"] == "0"
    assert venue.place(posSide="short", side="sell", ordType="market")["sCode"] == "0"
    rows = {x["posSide"]: x["pos"] for x in venue.get("account/positions")}
    assert rows == {"long": "1", "short": "1"}
    assert venue.place(posSide="long", side="sell", px="70000", sz="2")["sCode"] == "51112"
    assert venue.place(posSide="short", side="buy", ordType="market")["sCode"] == "0"
    assert [x["posSide"] for x in venue.get("account/positions")] == ["long"]
    assert venue.place(**SPOT, px="50000", sz="0.1")["sCode"] == "0"


def test_terms_keep_what_was_asked_for():
    venue = Venue()
    number = venue.place(tag="t1", stpMode="cancel_taker", sz="0.10")["ordId"]
    (order,) = venue.fake.open_orders()
    assert (terms_of(order).size, terms_of(order).tag, order.stp) == ("0.10", "t1", "expire_taker")
    (row,) = venue.get(f"trade/order?instId=BTC-USDT-SWAP&ordId={number}")
    assert (row["sz"], row["tag"], row["stpMode"], row["lever"]) == ("0.10", "t1", "cancel_taker", "20")
