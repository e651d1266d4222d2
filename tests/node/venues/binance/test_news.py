"""Account events of Binance to rows: documented samples, hostile ones, and a real capture."""

import json

import frames
import pytest

from node.venues.binance import news
from node.venues.binance.rules import BINANCE_SPOT, BINANCE_USDM
from node.venues.values import (
    AccountNews,
    BalanceRow,
    CashRow,
    ModeRow,
    PositionRow,
    Relist,
    StatusRow,
)

MS = 1_000_000
AT = 1564745798938
# um-docs "Event: Balance and Position Update"
UPDATE = {"e": "ACCOUNT_UPDATE", "E": 1564745798939, "T": AT}
COIN = {"a": "USDT", "wb": "122624.12", "cw": "100.12", "bc": "50.12"}
PLACE = {"s": "BTCUSDT", "pa": "-0.5", "ep": "6563.8", "bep": "0", "cr": "200", "up": "0"}
PLACE |= {"mt": "isolated", "iw": "0.0", "ps": "BOTH"}
SAMPLES = {
    "account position": (
        BINANCE_SPOT,
        {"e": "outboundAccountPosition", "E": 1, "u": 2, "B": [{"a": "ETH", "f": "1.5", "l": "0.25"}]},
    ),
    "balance update": (BINANCE_SPOT, {"e": "balanceUpdate", "E": 1, "a": "BTC", "d": "-100.0", "T": 3}),
    "lock": (BINANCE_SPOT, {"e": "externalLockUpdate", "E": 1, "a": "NEO", "d": "10.0", "T": 3}),
    "account update": (BINANCE_USDM, UPDATE | {"a": {"m": "ORDER", "B": [COIN], "P": [PLACE]}}),
    "leverage": (
        BINANCE_USDM,
        {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 2, "ac": {"s": "BTCUSDT", "l": 25}},
    ),
    "multi assets": (BINANCE_USDM, {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 2, "ai": {"j": True}}),
    "margin call": (
        BINANCE_USDM,
        {"e": "MARGIN_CALL", "E": 1, "p": [{"s": "ETHUSDT", "mp": "187", "mm": "1"}]},
    ),
}


def rows(market: int, event: dict) -> tuple:
    (action,) = news.read(market, event, True)
    assert isinstance(action, AccountNews)
    return action.rows


def update(reason: str, coins=(COIN,), places=(PLACE,)) -> tuple:
    return rows(BINANCE_USDM, UPDATE | {"a": {"m": reason, "B": list(coins), "P": list(places)}})


def odd(rows_: tuple) -> bool:
    return all(isinstance(x, StatusRow) and x.status == "odd" for x in rows_)


def test_a_spot_account_position_is_absolute():
    assert rows(*SAMPLES["account position"]) == (BalanceRow(BINANCE_SPOT, "ETH", "1.75", "1.5", 2 * MS),)


def test_a_balance_update_is_a_change_and_not_a_balance():
    (row,) = rows(*SAMPLES["balance update"])
    assert (row.coin, row.kind, row.amount, row.event_ns) == ("BTC", "transfer", "-100.0", 3 * MS)
    assert row.key


def test_a_lock_from_outside_leaves_the_total_alone():
    (row,) = rows(*SAMPLES["lock"])
    assert (row.kind, row.amount) == ("lock", "0")


def test_an_order_changes_wallet_and_position_and_no_cash_is_told_twice():
    assert update("ORDER") == (
        BalanceRow(BINANCE_USDM, "USDT", "122624.12", event_ns=AT * MS),
        PositionRow(
            BINANCE_USDM, "BTCUSDT", "-0.5", entry="6563.8", margin_mode="isolated", event_ns=AT * MS
        ),
    )


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("FUNDING_FEE", "funding"),
        ("DEPOSIT", "deposit"),
        ("WITHDRAW", "withdraw"),
        ("MARGIN_TRANSFER", "transfer"),
        ("ASSET_TRANSFER", "transfer"),
        ("INSURANCE_CLEAR", "liquidation"),
        ("WITHDRAW_REJECT", "withdraw_reject"),
        ("ADJUSTMENT", "adjustment"),
        ("AUTO_EXCHANGE", "auto_exchange"),
        ("SOMETHING_NEW", "something_new"),
    ],
)
def test_money_that_moves_without_a_trade_is_told_by_its_reason(reason, kind):
    (cash,) = [x for x in update(reason) if isinstance(x, CashRow)]
    assert (cash.kind, cash.amount, cash.symbol, cash.coin) == (kind, "50.12", "BTCUSDT", "USDT")


def test_crossed_funding_names_no_symbol_and_no_position():
    found = update("FUNDING_FEE", [COIN | {"bc": "-0.02"}], [])
    assert [type(x) for x in found] == [BalanceRow, CashRow]
    assert (found[1].amount, found[1].symbol) == ("-0.02", "")


def test_a_change_of_zero_is_no_cash():
    assert not [x for x in update("ASSET_TRANSFER", [COIN | {"bc": "0"}]) if isinstance(x, CashRow)]


def test_two_legs_are_told_apart_and_show_hedge_mode():
    """failures.md row 82."""
    found = update("ORDER", [], [PLACE | {"ps": "LONG", "pa": "20"}, PLACE | {"ps": "SHORT", "pa": "-10"}])
    assert [(x.leg, x.size) for x in found if isinstance(x, PositionRow)] == [
        ("long", "20"),
        ("short", "-10"),
    ]
    assert ModeRow(BINANCE_USDM, hedge=True) in found


def test_leverage_margin_type_and_asset_mode_are_told():
    """failures.md row 81."""
    assert rows(*SAMPLES["leverage"]) == (ModeRow(BINANCE_USDM, "BTCUSDT", leverage="25"),)
    assert rows(*SAMPLES["multi assets"]) == (ModeRow(BINANCE_USDM, margin_mode="multi_assets"),)
    found = update("MARGIN_TYPE_CHANGE", [], [PLACE])
    assert found[-1] == ModeRow(BINANCE_USDM, "BTCUSDT", margin_mode="isolated")


def test_a_margin_call_names_its_symbol():
    (row,) = rows(*SAMPLES["margin call"])
    assert (row.symbol, row.status) == ("ETHUSDT", "margin_call")


def test_sums_are_exact_however_many_digits():
    assert news.total("9" * 38, "0." + "0" * 37 + "1") == "9" * 38 + "." + "0" * 37 + "1"
    assert news.less("1.0", "0.25") == "0.75"


def test_a_contract_that_changes_is_listed_again():
    event = {"e": "contractInfo", "E": 1, "s": "BTCUSDT", "ct": "PERPETUAL", "cs": "SETTLING", "st": 1}
    status = StatusRow(BINANCE_USDM, "BTCUSDT", "settling", "SETTLING")
    assert news.read(BINANCE_USDM, event, False) == [Relist("BTCUSDT"), AccountNews((status,))]
    assert news.read(BINANCE_USDM, event | {"st": 2}, False) == []


@pytest.mark.parametrize("name", ["somethingNew", "ACCOUNT_UPDATE_V2"])
def test_an_event_that_nobody_knows_is_named(name):
    assert odd(rows(BINANCE_USDM, {"e": name, "E": 1}))
    assert name in rows(BINANCE_USDM, {"e": name, "E": 1})[0].text
    assert news.read(BINANCE_USDM, {"e": name, "E": 1}, False) == []


def test_events_of_orders_are_not_news():
    for name in news.SILENT:
        assert news.read(BINANCE_SPOT, {"e": name}, True) == []


@pytest.mark.parametrize("text", ["", "1e5", "NaN", "--1", "1.", "0x1", "1" * 41, None, 5, [], "١"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("account position", ("B", 0, "f")),
        ("account position", ("B", 0, "l")),
        ("balance update", ("d",)),
        ("account update", ("a", "B", 0, "wb")),
        ("account update", ("a", "P", 0, "pa")),
        ("account update", ("a", "P", 0, "ep")),
    ],
)
def test_a_number_that_is_none_is_odd_and_never_zero(name, path, text):
    """failures.md row 84: "" is not flat."""
    market, event = SAMPLES[name]
    event = json.loads(json.dumps(event))
    inner = event
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = text
    assert odd(rows(market, event))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_missing_or_misshapen_member_never_raises(name):
    market, event = SAMPLES[name]

    def walk(value, path=()):
        yield path
        for key, inner in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            yield from walk(inner, (*path, key))

    for path in walk(event):
        for odd_value in (None, 5, "x", [], {}, [5], True, -1):
            changed = json.loads(json.dumps(event))
            inner = changed
            for step in path[:-1]:
                inner = inner[step]
            if path and path != ("e",):
                inner[path[-1]] = odd_value
            news.read(market, changed, True)


def test_a_real_capture_is_understood():
    seen = set()
    for line in frames.rows("private/binance-pm-2024-09-26-a.jsonl.gz"):
        event = json.loads(line["raw"])
        market = BINANCE_USDM if event.get("fs") == "UM" else BINANCE_SPOT
        for action in news.read(market, event, True):
            assert isinstance(action, AccountNews)
            for row in action.rows:
                assert not isinstance(row, StatusRow), row
                seen.add((event["e"], type(row).__name__))
    assert seen == {
        ("ACCOUNT_CONFIG_UPDATE", "ModeRow"),
        ("ACCOUNT_UPDATE", "BalanceRow"),
        ("ACCOUNT_UPDATE", "CashRow"),
        ("ACCOUNT_UPDATE", "PositionRow"),
        ("outboundAccountPosition", "BalanceRow"),
        ("balanceUpdate", "CashRow"),
    }
