"""Which faults strike when: windows, chances, counts, scripts, and what is wrong with a row."""

import pytest

from node.venues.faults import ACTIVE, NAMES, PASSIVE, FaultError, Faults, parse_row, read_script

S = 1_000_000_000


def hits(faults, name, times, **about):
    return [t for t in times if faults.hit(name, t, **about)]


def test_a_row_strikes_in_its_time_so_many_times_after_skipping_some():
    faults = Faults()
    faults.start(100)
    faults.add("ack.drop", after_ns=10, for_ns=20)
    assert hits(faults, "ack.drop", range(100, 140, 5)) == [110, 115, 120, 125]
    faults.clear()
    faults.add("ack.drop", count=2, skip=1)
    assert hits(faults, "ack.drop", range(200, 205)) == [201, 202]
    assert faults.counts["ack.drop"] == 6


def test_rows_that_were_added_early_count_from_the_start():
    faults = Faults()
    faults.add("ack.dup", after_ns=5)
    faults.start(1000)
    assert hits(faults, "ack.dup", [1004, 1005]) == [1005]


def test_chance_comes_from_the_seed_and_a_row_of_its_own():
    def draw(seed, before=()):
        faults = Faults(seed)
        faults.start(0)
        faults.add("exec.drop", every=0.5)
        for name in before:
            faults.add(name)
        for name in before:
            faults.hit(name, 1)
        return hits(faults, "exec.drop", range(64))

    assert draw(1) == draw(1) == draw(1, ["ack.drop", "exec.dup"])
    assert draw(1) != draw(2)
    assert 20 < len(draw(1)) < 44


def test_a_row_is_for_what_it_names():
    faults = Faults()
    faults.add("ack.error", code="-1007", symbol="BTCUSDT", op="place", live=False)
    assert not faults.hit("ack.error", 1, symbol="ETHUSDT", op="place", live=False)
    assert not faults.hit("ack.error", 1, symbol="BTCUSDT", op="cancel", live=False)
    assert not faults.hit("ack.error", 1, symbol="BTCUSDT", op="place", live=True)
    assert faults.hit("ack.error", 1, symbol="BTCUSDT", op="place", live=False).get("code") == "-1007"
    faults.add("px.delay", way="in", path="/private")
    assert faults.standing("px.delay", 1, way="in", path="/v5/private?x=1")
    assert not faults.standing("px.delay", 1, way="out", path="/v5/private")
    assert not faults.standing("px.delay", 1, way="in", path="/v5/public")


def test_a_lasting_condition_counts_once():
    faults = Faults()
    faults.start(0)
    row = faults.add("px.blackhole", for_ns=10, count=1)
    assert [bool(faults.standing("px.blackhole", t)) for t in (0, 5, 9, 10)] == [True, True, True, False]
    assert (row.hits, faults.counts["px.blackhole"], row.end_ns()) == (1, 1, 10)


def test_an_active_fault_is_due_once_or_once_a_period():
    faults = Faults()
    faults.start(0)
    faults.add("acct.funding", after_ns=5)
    faults.add("dms.fire", period_ns=10)
    due = {t: [x.name for x in faults.due(t)] for t in range(0, 30, 5)}
    assert due == {0: ["dms.fire"], 5: ["acct.funding"], 10: ["dms.fire"], 15: [], 20: ["dms.fire"], 25: []}


def test_groups_are_known_and_forgotten():
    faults = Faults()
    assert not faults.touches("px")
    faults.add("px.rst")
    faults.add("ban")
    assert faults.touches("px")
    assert faults.any_of("ban")
    assert faults.clear("px.rst") == 1
    assert not faults.touches("px")
    assert faults.clear() == 1
    assert faults.table() == []


def test_every_injector_of_the_catalogue_is_known():
    listed = """gap dup reorder freeze cross bad_checksum stale_snapshot reset keepalive_only"""
    assert {f"book.{x}" for x in listed.split()} <= set(NAMES)
    for group, names in {
        "ack": "drop delay dup error after_fill swap batch",
        "exec": "dup drop reorder split fee unknown_status",
        "order": "fill_immediately fill_on_cancel accept_silent reject reject_late amend_fail_late amend_qty "
        "amend_id_change expire stp split zero_fill_filled algo",
        "rest": "status body delay not_found_for stale_by",
        "acct": "external_order drift deposit withdraw funding adl liquidation leverage posmode "
        "collateral_price",
        "status": "halt cancel_only phase maintenance tick_change delist relist",
        "session": "expire revoke max_age shutdown_notice sub_fail sub_ack_then_kick ip_denied key",
        "market": "crash gap sweep spread empty print mark",
        "px": "blackhole half rst refuse delay rate chop merge corrupt storm",
    }.items():
        assert {f"{group}.{x}" for x in names.split()} <= set(NAMES), group
    assert {"me_stall", "ratelimit", "ban", "dms.fire"} <= set(NAMES)
    assert not set(PASSIVE) & set(ACTIVE)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"name": "ack.dorp"}, "fault 1: fault 'ack.dorp' is not known"),
        ({}, "must be a table with a name"),
        (7, "must be a table with a name"),
        ({"name": "ack.drop", "every": 2}, "must be a probability"),
        ({"name": "ack.drop", "every": "often"}, "every = 'often': must be a number"),
        ({"name": "ack.drop", "count": 0}, "must be 1 or more"),
        ({"name": "ack.drop", "count": 1.5}, "must be a count"),
        ({"name": "ack.drop", "at_s": -1}, "must be a number"),
        ({"name": "ack.drop", "at_s": float("nan")}, "must be a number"),
        ({"name": "ack.delay", "delay_ms": "long"}, "must be a number"),
        ({"name": "ack.drop", "colour": "red"}, "colour is not an argument"),
        ({"name": "acct.deposit", "amount": "much"}, "must be a decimal"),
        ({"name": "acct.deposit", "amount": "1e99"}, "must be a decimal"),
        ({"name": "order.fill_on_cancel", "part": "2"}, "must be a share"),
        ({"name": "ack.error", "live": "no"}, "must be a boolean"),
        ({"name": "ack.drop", "symbol": [1]}, "symbol: must be text"),
        ({"name": "px.rst", "way": "up"}, "must be one of in, out, both"),
        ({"name": "acct.external_order", "tif": "day"}, "must be one of gtc"),
        ({"name": "acct.drift", "leg": "left"}, "must be one of net, long, short"),
        ({"name": "acct.funding", "account": "one"}, "must be an account's number"),
        ({"name": "market.sweep", "side": "up"}, "must be buy or sell"),
        ({"name": "exec.fee", "rate": "1"}, "must be a rate"),
        ({"name": "market.gap", "percent": "100"}, "must be a percent"),
        ({"name": "session.kick", "code": 5000}, "must be 1000 to 4999"),
        ({"name": "rest.status", "status": 42}, "must be 200 to 599"),
    ],
)
def test_a_row_that_is_wrong_is_one_line(row, why):
    with pytest.raises(FaultError, match="fault 1") as error:
        parse_row(row)
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_script_is_toml_or_json():
    toml = '[[fault]]\nname = "ack.drop"\nat_s = 1.5\nfor_s = 2\n\n[[fault]]\nname = "ban"\nvenue = "okx"\n'
    rows = read_script(toml)
    assert read_script('[{"name":"ack.drop","at_s":1.5,"for_s":2},{"name":"ban","venue":"okx"}]') == rows
    faults = Faults()
    assert faults.load(rows, "bybit") == 1
    assert faults.load(rows, "okx") == 2
    assert (faults.rows[0].after_ns, faults.rows[0].for_ns) == (3 * S // 2, 2 * S)
    assert read_script("") == []
    assert read_script("[]") == []


@pytest.mark.parametrize(
    "text",
    [
        "x = ",
        "[{",
        "seed = 1",
        "fault = 3",
        '[[fault]]\nname = "no"',
        '[{"name":"no"}]',
        "[[fault]]\n" + "a." * 3000 + "b = 1",
        "[" * 5000,
        "\x00",
    ],
)
def test_a_script_that_is_wrong_is_one_line_with_its_name(text):
    with pytest.raises(FaultError, match=r"^bad\.toml: ") as error:
        read_script(text, "bad.toml")
    assert "\n" not in str(error.value)


def test_a_script_with_one_bad_row_adds_none():
    faults = Faults()
    with pytest.raises(FaultError):
        faults.load([{"name": "ban"}, {"name": "bann"}])
    assert faults.rows == []
