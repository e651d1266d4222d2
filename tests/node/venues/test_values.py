"""What sessions answer with: plain values that cannot be changed on the way."""

import dataclasses

import pytest

from ext.instruments import Instruments
from node.venues.values import Down, InstrumentRow, Ready, Replace, Request, Resync, Send


@pytest.mark.parametrize(
    "value", [Send("x"), Ready(), Resync("BTCUSDT", "gap"), Down("why"), Replace("old"), Request("GET", "/")]
)
def test_values_are_frozen_and_compare_by_content(value):
    assert value == dataclasses.replace(value)
    for field in dataclasses.fields(value):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field.name, "other")


def test_a_connection_is_tried_again_unless_the_venue_says_it_is_useless():
    assert Down("reset").retry
    assert not Down("bad key", retry=False).retry


def test_a_row_holds_the_arguments_of_the_instrument_table():
    row = dataclasses.asdict(
        InstrumentRow(1, "BTCUSDT", "0.10", "0.001", min_notional="5", is_perpetual=True)
    )
    table = Instruments()
    places = [row.pop(x) for x in ("market", "symbol", "tick", "lot", "contract")]
    del row["max_leverage"], row["status"], row["ends_ns"]  # for the cold side
    index = table.add(*places, **row)
    assert table.row(index)["min_notional_e8"] == 5 * 10**8
