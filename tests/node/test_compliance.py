"""What an account may do: profiles, what replaces their fields, and times by the clocks of a place."""

import re
import tomllib
from datetime import UTC, datetime

import msgspec
import pytest

from ext.records import WindowKind
from node.compliance import DAYS, PROFILES, SHIPPED, Compliance, Profile, TimeRule, profile_of, tighter
from node.errors import UserError

HOUR = 3600 * 10**9


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def ruled(*, no_new=(), flat_by=()) -> Profile:
    base = profile_of(Compliance(profile="unrestricted"), "x")
    return msgspec.structs.replace(base, no_new=list(no_new), flat_by=list(flat_by))


def rule(between: str, days=DAYS, zone="UTC") -> TimeRule:
    return TimeRule(list(days), between, zone)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_loads_and_explains_every_field(name):
    assert profile_of(Compliance(profile=name), "x") is not None
    text = (PROFILES / f"{name}.toml").read_text()
    assert set(tomllib.loads(text)) == set(Profile.__struct_fields__)
    for line in text.splitlines():
        if re.match(r"\w+ = ", line):
            assert len(line.partition("#")[2].strip()) > 10, line


def test_overrides_are_of_the_same_fields():
    assert set(Compliance.__struct_fields__) == {"profile", *Profile.__struct_fields__}


def test_the_config_replaces_single_fields_of_a_profile(tmp_path):
    found = profile_of(Compliance(profile="retail", products=["spot"], max_day_trades="off"), "x")
    assert (found.products, found.max_day_trades, found.max_leverage_perpetual) == (["spot"], "off", 2)
    (tmp_path / "own.toml").write_text((PROFILES / "retail.toml").read_text().replace('"10000"', '"7"'))
    assert profile_of(Compliance(profile="own.toml"), "x", tmp_path).max_coin_quote == "7"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("max_total_quote", "max_totl_quote"),
            "unknown field `max_totl_quote`: did you mean `max_total_quote`?",
        ),
        (("max_day_trades = 3 ", 'max_day_trades = "three" '), "max_day_trades: "),
        (
            ("day_trade_days = 5 ", "# "),
            "missing required field `day_trade_days`: must be a whole number of days",
        ),
        (
            ("no_new = []", 'no_new = [{days = ["mon"], between = "9:00-10:00", zone = "UTC"}]'),
            "two times of day",
        ),
        (
            ("no_new = []", 'no_new = [{days = ["mon"], between = "09:00-10:00\\n", zone = "UTC"}]'),
            "two times of day",
        ),
        (('max_coin_quote = "10000"', 'max_coin_quote = "1\\n"'), "max_coin_quote: "),
        (('max_leverage = "', 'max_leverage = "1\\n" # '), "max_leverage: "),
        (
            ("no_new = []", 'no_new = [{days = ["mon"], between = "09:00-24:01", zone = "UTC"}]'),
            "two times of day",
        ),
        (
            ("no_new = []", 'no_new = [{days = ["mon"], between = "09:00-09:00", zone = "UTC"}]'),
            "is no time at all",
        ),
        (
            ("no_new = []", 'no_new = [{days = [], between = "09:00-10:00", zone = "UTC"}]'),
            "must name at least one of",
        ),
        (
            ("no_new = []", 'no_new = [{days = ["Mon"], between = "09:00-10:00", zone = "UTC"}]'),
            "no_new[0].days",
        ),
        (
            ("flat_by = []", 'flat_by = [{days = ["mon"], between = "09:00-10:00", zone = "Mars/Olympus"}]'),
            "flat_by[0]: zone 'Mars/Olympus'",
        ),
        (
            ("flat_by = []", 'flat_by = [{days = ["mon"], between = "09:00-10:00", zone = "../etc"}]'),
            "flat_by[0]: zone '../etc'",
        ),
        (
            ("flat_by = []", 'flat_by = [{days = ["mon"], between = "09:00-10:00", zone = "Europe"}]'),
            "flat_by[0]: zone 'Europe'",
        ),
        (
            ("flat_by = []", 'flat_by = [{days = ["mon"], between = "09:00-10:00", zone = ""}]'),
            "flat_by[0]: zone ''",
        ),
    ],
)
def test_a_profile_that_cannot_be_names_file_field_and_fix(tmp_path, change, told):
    path = tmp_path / "own.toml"
    text = (PROFILES / "retail.toml").read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(UserError) as caught:
        profile_of(Compliance(profile=str(path)), "x")
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


def test_a_profile_that_is_not_there_or_is_none_is_named(tmp_path):
    with pytest.raises(UserError, match=r"must be unrestricted, retail or a path that ends in \.toml"):
        profile_of(Compliance(profile="retial"), "x")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        profile_of(Compliance(profile="none.toml"), "x", tmp_path)


def test_what_a_profile_forbids_cannot_be_configured():
    profile = profile_of(Compliance(profile="retail", venues=["okx"], products=["spot"]), "x")
    profile.check("x", [("okx", "BTC-USDT", False)])
    with pytest.raises(
        UserError, match=r"bybit-spot BTCUSDT: the compliance profile allows no bybit-spot \(venues: okx\)"
    ):
        profile.check("x", [("bybit-spot", "BTCUSDT", False)])
    with pytest.raises(
        UserError, match=r"okx BTC-USDT-SWAP: the compliance profile allows no perpetual \(products: spot\)"
    ):
        profile.check("x", [("okx", "BTC-USDT-SWAP", True)])


def test_off_is_larger_than_any_number():
    assert [tighter("off", 2, 3), tighter("off", "off"), tighter(2, "off")] == [2, "off", 2]


# ---- times ----


def test_a_rule_is_spelled_out_for_its_days_and_past_midnight():
    spans = ruled(no_new=[rule("22:00-01:00", ["fri"])]).windows(at("2026-11-20T12:00"), days=8)
    assert spans == [
        (at("2026-11-20T22:00"), at("2026-11-21T01:00"), WindowKind.NO_NEW),
        (at("2026-11-27T22:00"), at("2026-11-28T01:00"), WindowKind.NO_NEW),
    ]


def test_one_that_began_yesterday_still_holds_and_one_that_is_over_does_not():
    profile = ruled(flat_by=[rule("22:00-01:00")])
    inside = profile.windows(at("2026-11-20T00:30"), days=1)
    assert inside[0] == (at("2026-11-19T22:00"), at("2026-11-20T01:00"), WindowKind.FLAT)
    assert profile.windows(at("2026-11-20T01:00"), days=1)[0][0] == at("2026-11-20T22:00")


def test_rules_of_a_kind_that_meet_or_overlap_are_one():
    spans = ruled(no_new=[rule("09:00-10:00"), rule("09:30-11:00"), rule("11:00-12:00")]).windows(
        at("2026-11-20T00:00"), days=0
    )
    assert spans == [(at("2026-11-20T09:00"), at("2026-11-20T12:00"), WindowKind.NO_NEW)]


def test_a_rule_until_24_00_leaves_no_minute_open_and_one_until_23_59_does():
    days = ["sat", "sun"]
    (whole,) = ruled(flat_by=[rule("00:00-24:00", days)]).windows(at("2026-11-20T12:00"), days=6)
    assert whole == (at("2026-11-21T00:00"), at("2026-11-23T00:00"), WindowKind.FLAT)
    (evening, *_) = ruled(flat_by=[rule("21:55-24:00", ["fri"])]).windows(at("2026-11-20T12:00"), days=6)
    assert evening == (at("2026-11-20T21:55"), at("2026-11-21T00:00"), WindowKind.FLAT)
    first, second = ruled(flat_by=[rule("00:00-23:59", days)]).windows(at("2026-11-20T12:00"), days=6)
    assert (first[1], second[0]) == (at("2026-11-21T23:59"), at("2026-11-22T00:00"))


def test_400_days_are_spelled_out_in_order():
    spans = ruled(no_new=[rule("01:00-02:00")], flat_by=[rule("03:00-04:00")]).windows(at("2026-01-01T00:00"))
    assert len(spans) == 802
    assert spans == sorted(spans)
    assert spans[-1][1] == at("2027-02-05T04:00")


def test_clocks_are_those_of_the_zone_in_summer_too():
    spans = ruled(no_new=[rule("09:00-10:00", zone="Europe/Berlin")])
    assert spans.windows(at("2026-01-10T00:00"), days=0)[0][0] == at("2026-01-10T08:00")
    assert spans.windows(at("2026-07-10T00:00"), days=0)[0][0] == at("2026-07-10T07:00")


def test_the_hour_that_is_twice_is_covered_twice():
    """Berlin, 2026-10-25: 03:00 summer time is 02:00."""
    (span,) = ruled(no_new=[rule("02:15-02:45", zone="Europe/Berlin")]).windows(
        at("2026-10-25T00:00"), days=0
    )
    assert span[:2] == (at("2026-10-25T00:15"), at("2026-10-25T01:45"))


def test_the_hour_that_is_missing_is_no_hole():
    """New York, 2026-03-08: after 01:59 comes 03:00. A rule from 01:30 to 02:30 holds until after the gap."""
    (span,) = ruled(no_new=[rule("01:30-02:30", zone="America/New_York")]).windows(
        at("2026-03-08T05:00"), days=0
    )
    assert span[:2] == (at("2026-03-08T06:30"), at("2026-03-08T07:30"))
    (gap,) = ruled(no_new=[rule("02:10-02:20", zone="America/New_York")]).windows(
        at("2026-03-08T05:00"), days=0
    )
    assert gap[0] <= at("2026-03-08T07:00") <= gap[1]
