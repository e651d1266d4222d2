"""A node without its sockets: lines in the order that the arbiter needs, limits on the venues' grids, and
nothing that does not fit goes unsaid."""

import dataclasses
import itertools
from decimal import Decimal
from unittest.mock import ANY

import configs
import msgspec
import pytest

from ext.engine import LineKind, Recorder
from ext.strategies.quoter import Quoter
from node.assembly import EPOCH_NS, EPOCH_ZERO_NS, Assembly, epoch_of, path_of
from node.config import MARKETS as NUMBERS
from node.config import Config, check
from node.errors import UserError
from node.recall import Recalled
from node.truth.settings import SEC
from node.venues.bybit.session import Session as BybitSession
from node.venues.keys import Key
from node.venues.values import InstrumentRow

HERE = "ws://127.0.0.1:1"
MOST = {"max_position_base": "3"}
QUOTE = {"size_base": "0.005", "half_spread_ppm": 100}
SYMBOLS = dict.fromkeys(NUMBERS, "BTCUSDT") | {"okx": "BTC-USDT-SWAP"}


def config_of(*markets: str, venue=None, instrument=None, **more) -> Config:
    raw = {
        "mode": "sim",
        **configs.tables(orders=10),
        "venue": [configs.venue(x, streams=[HERE, HERE]) | (venue or {}) for x in markets],
        "instrument": [
            configs.instrument(x, SYMBOLS[x], "2.0005", limits=MOST, quote=QUOTE) | (instrument or {})
            for x in markets
        ],
    } | more
    config = msgspec.convert(raw, Config)
    check(config, "test")
    return config


def rows_of(config: Config, **changes) -> dict:
    out = {}
    for x in config.instrument:
        market = NUMBERS[x.market]
        row = InstrumentRow(market, x.symbol, "0.10", "0.001", base="BTC", quote="USDT", inst_code=7)
        row = dataclasses.replace(row, is_perpetual=x.market not in ("binance-spot", "bybit-spot"), **changes)
        out[market, x.symbol] = row
    return out


def assembly(config: Config, keys=None, **more) -> Assembly:
    keys = {m: Key("simulated", "simulated", "simulated") for m in NUMBERS.values()} if keys is None else keys
    rows = more.pop("rows", None) or rows_of(config)
    return Assembly(config, rows, {}, keys, tape=None, epoch=5, outlet=Recorder(), **more)


@pytest.fixture
def five() -> Assembly:
    return assembly(config_of(*NUMBERS))


# ---- lines ---------------------------------------------------------------------------------------


def test_feeds_of_all_venues_come_first_and_each_spec_is_its_line(five):
    kinds = [x.kind for x in five.engine.lines]
    assert kinds == sorted(kinds, key=lambda x: x != LineKind.MARKET_LINE)
    for spec in five.lines:
        row = five.engine.lines[spec.line]
        assert (row.name, row.wire) == (spec.name, five.wires[spec.market])
        assert (
            row.kind
            == {
                "feed": LineKind.MARKET_LINE,
                "orders": LineKind.ORDER_LINE,
                "private": LineKind.PRIVATE_LINE,
            }[spec.role]
        )
        assert spec.up_at_once == (spec.role == "feed" or spec.asks is not None)
    assert len({x.line for x in five.lines}) == len(five.lines)


def test_each_market_that_trades_has_a_line_for_requests_and_books_from_snapshots_one_for_those(five):
    assert set(five.rest_lines) == set(five.rest) == set(NUMBERS.values())
    for line in five.rest_lines.values():
        assert five.engine.lines[line].kind == LineKind.REST_LINE
    assert sorted(five.snapshots) == [0, 1]  # Binance
    for number, line in five.snapshots.items():
        assert (five.engine.lines[line].kind, five.engine.lines[line].context) == (
            LineKind.SNAPSHOT_LINE,
            number,
        )


@pytest.mark.parametrize("market", list(NUMBERS))
def test_frames_of_the_market_are_left_out_where_the_config_says_so_and_never_those_of_orders(market):
    of_market = (LineKind.MARKET_LINE, LineKind.SNAPSHOT_LINE)
    for frames in ("all", "private"):
        for line in assembly(config_of(market, venue={"record_frames": frames})).engine.lines:
            assert line.recorded == (frames == "all" or line.kind not in of_market), line.name


def test_usdm_hears_of_its_orders_on_a_line_that_needs_a_listen_key(five):
    private = [x for x in five.lines if x.role == "private"]
    needs = [x for x in private if x.asks is not None]
    assert [x.market for x in needs] == [NUMBERS["binance-usdm"]]
    assert all((x.session is None) == (x.asks is not None) for x in private)
    assert {x.market for x in private} == {NUMBERS[x] for x in NUMBERS} - {NUMBERS["binance-spot"]}


@pytest.mark.parametrize("stp", ["maker", "taker", "both"])
def test_self_trade_prevention_is_what_the_config_says_on_every_venue(stp):
    made = assembly(config_of(*NUMBERS, venue={"stp": stp}))
    assert {x.stp for x in made.wires.values()} == {"expire_" + stp}
    assert {x.window_ms for x in made.wires.values()} == {1500}


def test_without_an_address_for_orders_there_is_market_data_only():
    watching = assembly(config_of("bybit-linear", venue={"orders": "", "key": None}, mode="watch"), keys={})
    assert {x.role for x in watching.lines} == {"feed"}
    assert watching.rest == {}


def test_the_path_of_a_connection_is_its_sessions():
    assert path_of(BybitSession("trade", NUMBERS["bybit-linear"]), NUMBERS["bybit-linear"]) == "/v5/trade"
    assert "spot" in path_of(BybitSession("public", NUMBERS["bybit-spot"]), NUMBERS["bybit-spot"])


# ---- instruments ---------------------------------------------------------------------------------


def test_what_the_table_refuses_is_told_with_its_market():
    config = config_of("okx")
    with pytest.raises(UserError, match="okx: "):
        assembly(config, rows=rows_of(config, tick="0"))


def test_filters_are_taken_over_as_they_are_now_while_the_increments_fit(five):
    row = next(iter(five.rows.values()))
    assert five.refresh(0, dataclasses.replace(row, min_notional="25", max_size="7"), 1)
    assert five.instruments.row(0)["min_notional_e8"] == 25 * 10**8
    assert not five.refresh(0, dataclasses.replace(row, tick="0.03"), 2)
    assert five.instruments.row(0)["min_notional_e8"] == 25 * 10**8


def test_the_tape_begins_with_what_a_reader_needs(five):
    told = five.describe()
    assert told["epoch"] == 5
    assert [x["market"] for x in told["instruments"]] == list(NUMBERS)
    assert (told["instruments"][0]["tick"], told["instruments"][0]["lot"]) == ("0.10", "0.001")
    assert [x["name"] for x in told["lines"]] == [x.name for x in five.engine.lines]
    assert "simulated" not in str(told)


# ---- limits and quotes ---------------------------------------------------------------------------


def test_limits_are_in_lots_rounded_down_and_contracts_are_resolved(five):
    rows = five.engine.risk.table.as_dict()["instruments"]
    assert [x["max_size_lots"] for x in rows] == [2000] * 5
    assert [x["max_position_lots"] for x in rows] == [3000] * 5
    config = config_of("okx", instrument={"quote": None})
    contracts = assembly(config, rows=rows_of(config, contract="0.01"))
    row = contracts.engine.risk.table.as_dict()["instruments"][0]
    assert (row["max_size_lots"], row["max_position_lots"]) == (200_050, 300_000)
    assert contracts.effective.tables["okx BTC-USDT-SWAP"]["max_order_base"] == "2.00050"
    assert contracts.base_text(0, -123) == "-0.00123"


def test_a_quote_off_the_grid_is_an_error_now():
    quote = {"size_base": "0.0055", "half_spread_ppm": 100}
    with pytest.raises(
        UserError, match=r"bybit-linear BTCUSDT: quote: size_base 0.0055: must be a multiple of 0.001"
    ):
        assembly(config_of("bybit-linear", instrument={"quote": quote}))


def test_a_limit_above_the_compiled_ceiling_is_named():
    limits = configs.instrument("okx", "BTC-USDT-SWAP")["limits"] | {"max_order_quote": "10000001"}
    with pytest.raises(
        UserError, match="limits: max_order_quote '10000001': is above the ceiling of 10000000"
    ):
        assembly(config_of("okx", instrument={"limits": limits}))


def test_leverage_beyond_what_the_venue_sells_is_refused_at_start():
    config = config_of("bybit-linear", instrument={"leverage": 101})
    with pytest.raises(UserError, match=r"bybit-linear BTCUSDT: leverage 101: the venue sells at most 100"):
        assembly(config, rows=rows_of(config, max_leverage="100.00"))
    assembly(config, rows=rows_of(config, max_leverage="101"))
    assembly(config, rows=rows_of(config))  # a venue that does not say


def test_hedge_mode_reaches_the_wire_and_the_gate():
    config = config_of("binance-usdm", "okx", venue={"hedge": True})
    desk = assembly(config)
    assert all(x.hedge for x in desk.wires.values())
    for number in desk.numbers.values():
        assert desk.engine.risk.try_order(number, 0, 1, 1, 0)[0] == "LEG"
        assert desk.engine.risk.try_order(number, 0, 1, 1, 0, leg=1)[0] != "LEG"
    assert not any(x.hedge for x in assembly(config_of("binance-usdm")).wires.values())


def test_what_an_earlier_run_counted_is_restored_by_leg():
    config = config_of("bybit-linear", venue={"hedge": True})
    desk, place = assembly(config), (NUMBERS["bybit-linear"], "BTCUSDT")
    grid = {place: (desk.instruments.price_grid(0).step, desk.instruments.size_grid(0).step)}
    legs = {place: {0: (9, 9, 9), 1: (5, -300, 250), 2: (-2, 150, -150)}}
    desk.restore(Recalled({place: (3, -150)}, legs, grid), 1)
    row = desk.engine.account.position(0)
    assert [x["lots"] for x in row["legs"]] == [0, 5, -2]
    assert (row["lots"], row["legs"][1]["cost"], row["legs"][1]["realised"]) == (3, 250, -50)


def test_a_position_in_other_increments_is_put_back_as_large_as_it_was_or_larger_and_told():
    desk, place = assembly(config_of("bybit-linear")), (NUMBERS["bybit-linear"], "BTCUSDT")
    tick, lot = desk.instruments.price_grid(0).step, desk.instruments.size_grid(0).step

    def put_back(lots, lot_before, tick_before=tick):
        recalled = Recalled({place: (lots, -lots * 100)}, grids={place: (tick_before, lot_before)})
        (line,) = desk.restore(recalled, 1)
        row = desk.engine.account.position(0)
        return row["lots"], row["cash"], line

    tenth = f"{Decimal(lot) / 10:f}"
    assert put_back(30, f"{Decimal(lot)}000")[:2] == (30, -3000)
    assert put_back(30, tenth)[:2] == (3, -300)
    assert put_back(30, lot, f"{Decimal(tick) * 10:f}")[:2] == (30, -30_000)
    lots, cash, line = put_back(31, tenth)
    assert (lots, cash) == (4, -400)
    assert f"rounded up: it was counted in lots of {tenth}" in line
    with pytest.raises(UserError, match=r"BTCUSDT: the position of the last run does not fit"):
        put_back(2**46, f"{Decimal(lot) * 1000:f}")


def test_an_order_whose_limits_mean_different_things_is_told_of_once_when_the_price_is_known():
    told: list[tuple[str, str]] = []
    made = assembly(config_of("binance-spot", strategy="none"))
    made.weigh(lambda *x: told.append(x))
    assert told == []  # no book, no price
    made.engine.books[0].feed(1, 1, [(10_000_000, 5)], [(10_000_001, 5)], last_id=1)
    for _ in range(2):
        made.weigh(lambda *x: told.append(x))
    assert told == [("binance-spot BTCUSDT", ANY)]
    assert "max_order_base 2.000 is worth 2000000.00, max_order_quote is 100000" in told[0][1]


def test_quotes_wait_for_the_first_book(five):
    assert isinstance(five.quoter, Quoter)
    five.start_quoting(1)
    assert len(five._unquoted) == 5


def test_the_strategy_that_is_handed_in_is_used_instead_of_the_configs():
    mine = Quoter()
    assert assembly(config_of("okx"), strategy=mine).quoter is mine
    assert assembly(config_of("okx", strategy="none")).quoter is None


# ---- the keeper ----------------------------------------------------------------------------------


def keeper(made: Assembly, **settings):
    told: list[tuple[str, str]] = []
    return made.keeper(
        lambda where, text: told.append((where, text)),
        note=lambda fields: None,
        refresh=lambda market: None,
        recycle=lambda market: None,
        **settings,
    )


def test_the_keeper_watches_every_market_that_trades_with_the_configs_settings():
    reconcile = {"foreign": "halt", "keep_old": True, "orders_s": 7}
    made = keeper(assembly(config_of(*NUMBERS, reconcile=reconcile)))
    assert set(made.watches) == set(NUMBERS.values())
    assert made.settings.orders_every_ns == 7 * SEC
    assert (made.settings.foreign, made.settings.keep_old) == ("halt", True)


def test_markets_with_the_same_wallet_share_one_purse():
    apart = keeper(assembly(config_of("bybit-spot", "bybit-linear")))
    shared = keeper(assembly(config_of("bybit-spot", "bybit-linear", venue={"wallet": "unified"})))
    assert (len(apart.purses), list(shared.purses)) == (2, ["unified"])


def test_desks_at_one_venue_share_its_published_limits_whatever_they_pay_from():
    made = keeper(assembly(config_of("bybit-spot", "bybit-linear", "okx")))
    spot, linear, okx = (x.desk.buckets for x in made.watches.values())
    assert spot is linear
    assert spot is not okx


def test_with_a_keeper_nothing_is_risked_before_the_venues_agree():
    made = assembly(config_of("bybit-linear"))
    keeper(made).begin(10**18)
    assert "HALT_START" in made.engine.risk.halts(0)


# ---- epochs --------------------------------------------------------------------------------------


def test_two_starts_never_share_an_epoch_and_epochs_fit_their_digits():
    times = [EPOCH_ZERO_NS + i * EPOCH_NS for i in range(5)]
    assert all(b == a + 1 for a, b in itertools.pairwise(map(epoch_of, times)))
    year_2127_ns = (2127 - 1970) * 31_556_952 * 10**9
    assert 0 <= epoch_of(EPOCH_ZERO_NS) < epoch_of(year_2127_ns) < 2**35
