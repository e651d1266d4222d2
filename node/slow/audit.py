"""`tickgate audit TARGET [ORDER]`: an order's whole story from the tape, or the orders of a time, one
line each."""

import re
import time
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from ext.records import LegKind, OrderType, Side, TimeInForce
from node.errors import Failed, UserError
from node.slow.places import E8, WIDE, Place, plain
from node.slow.reading import Records, parse_time, utc
from node.slow.story import TYPES, Stories
from node.slow.told import Key, Order

SECRETS = re.compile(
    rb'("(?:apiKey|api_key|signature|sign|passphrase|secret|listenKey)"\s*:\s*")[^"]*"', re.IGNORECASE
)
BPS = Decimal("0.01")
LINKED_MOST = 8  # generations of replaced orders that one story follows


def masked(frame: bytes) -> str:
    """A request as it left, its key and signature taken out."""
    return SECRETS.sub(rb'\1***"', frame).decode("utf-8", "replace")


@dataclass
class Found:
    """What a tape told. `damage` and `torn`: why it ends where it does, "" = it is whole."""

    stories: Stories
    orders: list[Order]
    torn: str
    damage: str

    def check(self) -> None:
        """To be called when all was shown. Raises Failed where the tape is damaged."""
        if self.damage:
            raise Failed(f"the tape is damaged, and what is shown is what lies before: {self.damage}")


def read(directory: Path, stories: Stories) -> Records:
    """Feed a whole tape. Raises UserError where there is none, or nothing on it."""
    records = Records(directory, TYPES)
    for record in records:
        try:
            stories.feed(record)
        except (ValueError, KeyError, IndexError) as error:
            raise Failed(f"{directory}: record {record.sequence} cannot be read: {error}") from None
    stories.finish()
    return records


def audit_order(directory: Path, wanted: str) -> Found:
    """The order of that client id, venue id, number of the node's, or record (`#123`: a refused one), and
    those that it replaced or was replaced by. Raises UserError where the tape has none, or several."""
    first = Stories(lambda order: False)
    read(directory, first)
    keys = _linked(first, _pick(directory, first, wanted).key)
    stories = Stories(lambda order: order.key in keys or len(order.key) == 3)
    records = read(directory, stories)
    return Found(
        stories, [stories.orders[x] for x in keys if x in stories.orders], records.torn, records.damage
    )


def _pick(directory: Path, stories: Stories, wanted: str) -> Order:
    orders = list(stories.orders.values())
    if wanted.startswith("#"):
        found = [x for x in orders if str(x.sequence) == wanted[1:]]
    else:
        found = [x for x in orders if wanted and wanted in (x.client_id, x.venue_id)]
        found = found or [x for x in orders if len(x.key) == 2 and str(x.key[1]) == wanted]
    if not found:
        raise Failed(
            f"{directory}: no order {wanted!r} on this tape (a client id, a venue's id, "
            "a number of the node's, or #RECORD for a refused one)"
        )
    if len(found) > 1:
        names = ", ".join(x.name for x in found[:6])
        raise UserError(f"order {wanted!r} is of several runs: name it by its client id: {names}")
    return found[0]


def _linked(stories: Stories, key: Key) -> list[Key]:
    """The order first, then what it was replaced by and what it replaces, near ones first."""
    keys = [key]
    for _ in range(LINKED_MOST):
        more = [
            to for x in keys if x in stories.orders for _, to in stories.orders[x].links if to not in keys
        ]
        if not more:
            break
        keys += dict.fromkeys(more)
    return keys


def audit_list(directory: Path, since: str, until: str, symbol: str) -> Found:
    """Orders of which anything was said between two times, on one symbol, refused ones with them. Times
    are before now, or before the end of a tape that ended earlier. Raises UserError."""
    stories = Stories(lambda order: False)
    now_ns = time.time_ns()
    if since or until:  # a bad time is told before a long tape is read
        parse_time(since or until, "--since" if since else "--until", now_ns)
    records = read(directory, stories)
    now_ns = min(now_ns, stories.last_ns)
    from_ns = parse_time(since, "--since", now_ns) if since else 0
    until_ns = parse_time(until, "--until", now_ns) if until else stories.last_ns
    if from_ns > until_ns:
        raise UserError(f"--since {since} is behind --until {until or 'the end of the tape'}")
    known = {x.symbol for run in stories.runs for x in run.places} | {
        x.name for run in stories.runs for x in run.places
    }
    if symbol and symbol not in known:
        raise UserError(f"--symbol {symbol}: this tape has {', '.join(sorted(known)) or 'no instrument'}")
    rows = [
        x
        for x in stories.orders.values()
        if x.last_ns >= from_ns
        and x.first_ns <= until_ns
        and (not symbol or (x.place is not None and symbol in (x.place.symbol, x.place.name)))
    ]
    return Found(stories, rows, records.torn, records.damage)


# ---- one order as JSON: every number exact, as text ----


def story_json(order: Order, found: Found) -> dict[str, Any]:
    """Everything of one order."""
    return order_json(order) | {
        "known": _known(order),
        "book": _book(order),
        "checks": _checks(order.place, order.decision, order),
        "slippage": slippage(order),
        "latency": latency(order),
        "fees": fees(order),
        "unknown": [_doubt(x) for x in order.doubts],
        "links": [{"how": how, "order": _name_of(found, key)} for how, key in order.links],
        "events": [event_json(order, x) for x in order.events],
    }


def order_json(order: Order) -> dict[str, Any]:
    """One order, one line."""
    place, average = order.place, Decimal(order.worth) / order.filled_lots if order.filled_lots else None
    return {
        "client_id": order.client_id,
        "venue_id": order.venue_id,
        "record": order.sequence,
        "run": order.run.number,
        "build": order.run.build,
        "provenance": order.provenance,
        "told": PROVENANCE[order.provenance],
        "place": place.name if place else "",
        "strategy": order.strategy,
        "side": Side(order.side).name.lower() if order.side in (0, 1) else "",
        "type": OrderType(order.type).name.lower(),
        "time_in_force": TimeInForce(order.tif).name.lower(),
        "leg": LegKind(order.leg).name.lower() if order.leg > 0 else "",
        "reduce_only": bool(order.reduce_only),
        "price": _price(place, order.price_ticks),
        "trigger": _price(place, order.trigger_ticks),
        "size": _coins(place, order.size_lots),
        "filled": _coins(place, order.filled_lots),
        "found_at_start": _coins(place, order.found_lots),
        "filled_before": _coins(place, order.missed_lots),
        "average": plain(WIDE.multiply(average, place.tick)) if average is not None and place else "",
        "state": order.state,
        "reason": order.reason,
        "refused_by": _refusal(order),
        "first": utc(order.first_ns),
        "last": utc(order.last_ns),
        "first_ns": order.first_ns,
        "last_ns": order.last_ns,
    }


PROVENANCE = {
    "decided": "decided on this tape",
    "adopted": "of an earlier run whose tape this is not: taken in as the venue showed it",
    "unknown": "its beginning is not on this tape: an older segment, or a record that was lost",
    "foreign": "not this node's: somebody else trades on this account",
    "refused": "refused by risk: it never left",
}


def _refusal(order: Order) -> dict[str, Any] | None:
    if order.provenance != "refused" or order.place is None:
        return None
    return order.place.check({"reason": order.reason, "value": order.value, "limit": order.limit})


def _price(place: Place | None, ticks: int) -> str:
    return plain(place.price(ticks)) if place is not None and ticks > 0 else ""


def _coins(place: Place | None, lots: int) -> str:
    return plain(place.coins(lots)) if place is not None and lots >= 0 else ""


def _name_of(found: Found, key: Key) -> str:
    order = found.stories.orders.get(key)
    return order.name if order is not None else str(key)


def _known(order: Order) -> dict[str, Any]:
    """What was known when it was decided: the input, the dials in force, what the strategy said."""
    names = [x[0] for x in order.run.dials]
    values = order.dials or [x[1] for x in order.run.dials]
    return {
        "cause": _cause(order.cause),
        "dials": dict(zip(names, values, strict=False)),
        "dials_told": bool(order.dials),
        "signal": _signal(order),
    }


def _cause(cause: dict[str, Any]) -> dict[str, Any]:
    told = {k: v for k, v in cause.items() if k not in ("venue_ns", "age_ns")}
    if "age_ns" in cause:
        told |= {"venue_time": utc(cause["venue_ns"]), "age_ms": _ms(cause["age_ns"])}
    return told


def _signal(order: Order) -> dict[str, Any] | None:
    row = order.signal
    if row is None:
        return None
    named = row["named"] or [f"kind {row['kind']}"]
    named = [named] if isinstance(named, str) else list(named)
    numbers = {}
    for letter, field in zip("abcd", named[1:] or "abcd", strict=False):
        name, _, unit = field.partition(":")
        numbers[name] = _in_unit(order.place, row[letter], unit)
    return {"name": named[0], "numbers": numbers}


def _in_unit(place: Place | None, value: int, unit: str) -> str:
    if place is not None and unit == "ticks":
        return plain(place.price(value))
    if place is not None and unit == "half_ticks":
        return plain(place.price(value) / 2)
    if place is not None and unit == "lots":
        return plain(place.coins(value))
    if unit == "e8":
        return plain(value * E8)
    if unit in ("ppm", "ns"):
        return f"{plain(Decimal(value) / 100)} bps" if unit == "ppm" else f"{_ms(value)} ms"
    return str(value)


def _book(order: Order) -> dict[str, Any] | None:
    row, place = order.decision, order.place
    if row is None or place is None:
        return None
    told: dict[str, Any] = {
        "state": ("empty", "buffering", "synced", "gap")[row["state"]],
        "age_ms": _ms(order.decided_ns - row["changed_ns"]),
        "last_id": row["last_id"],
        "reference": _reference(place, row),
    }
    for side in ("bids", "asks"):
        told[side] = [[plain(place.price(p)), plain(place.coins(s))] for p, s in row[side]]
    return told


def _reference(place: Place, row: dict[str, Any]) -> list[str]:
    """The reference price; two, where two sources differ."""
    return [plain(place.price(x) / 2) for x in dict.fromkeys((row["low2"], row["high2"])) if x]


def _checks(
    place: Place | None, decision: dict[str, Any] | None, order: Order | None = None
) -> list[dict[str, Any]]:
    if place is None or decision is None:
        return []
    rows = [place.check(x) | {"passed": True} for x in decision["checks"]]
    if rows and order is not None and order.provenance == "refused":
        rows[-1]["passed"] = False
    return rows


def slippage(order: Order) -> dict[str, str] | None:
    """What its fills cost against the mid and the touch that it was decided on, in bps of them: above
    zero is worse. None where nothing filled, or where the book had no two sides."""
    row = order.decision
    if row is None or order.place is None or not order.filled_lots or not (row["bids"] and row["asks"]):
        return None
    bid, ask = Decimal(row["bids"][0][0]), Decimal(row["asks"][0][0])
    average = WIDE.divide(Decimal(order.worth), order.filled_lots)
    mid, touch, sign = (bid + ask) / 2, (bid if order.side else ask), (-1 if order.side else 1)
    told = {"mid": plain(mid * order.place.tick), "touch": plain(touch * order.place.tick)}
    for name, base in (("against_mid_bps", mid), ("against_touch_bps", touch)):
        told[name] = plain(WIDE.divide(sign * (average - base) * 10_000, base).quantize(BPS, ROUND_HALF_EVEN))
    return told


def latency(order: Order) -> dict[str, str]:
    """ms of each step that the tape has: in this process by its own clock, and the venue's times on this
    node's clock (as its clock was measured)."""
    steps = {
        "frame_to_decision": (order.frame_ns, order.decided_ns),
        "decision_to_written": (order.decided_ns, order.sent_ns),
        "frame_to_written": (order.frame_ns, order.sent_ns),
        "written_to_ack": (order.sent_ns, order.acked_ns),
        "ack_to_first_fill": (order.acked_ns, order.fill_ns),
        "written_to_venue": (order.sent_ns, order.ack_venue_ns and order.ack_venue_ns - order.offset_ns),
        "venue_ack_to_first_fill": (order.ack_venue_ns, order.fill_venue_ns),
        "venue_fill_to_here": (order.fill_venue_ns and order.fill_venue_ns - order.offset_ns, order.fill_ns),
    }
    return {name: _ms(to - begin) for name, (begin, to) in steps.items() if begin and to}


def fees(order: Order) -> dict[str, str]:
    """Fees of its fills, by coin; paid is above zero. A coin that the venue has not named is "?"."""
    sums: dict[str, int] = {}
    for fill in order.fills:
        if fill["fee_is_quote"] >= 0:
            coin = coin_of(order.place, fill)
            sums[coin] = sums.get(coin, 0) + fill["fee_e8"]
    return {coin: plain(amount * E8) for coin, amount in sums.items()}


def coin_of(place: Place | None, fill: dict[str, Any]) -> str:
    """The coin of a fill's fee."""
    known = {1: place.quote, 2: place.base} if place is not None else {}
    return fill["fee_coin"] or known.get(fill["fee_is_quote"], "") or "?"


def _doubt(doubt: Any) -> dict[str, Any]:
    lasted = _ms(doubt.until_ns - doubt.from_ns) if doubt.until_ns else ""
    return {"from": utc(doubt.from_ns), "why": doubt.why, "until": utc(doubt.until_ns), "lasted_ms": lasted,
            "how": doubt.how or "not resolved on this tape"}  # fmt: skip


def _ms(ns: int) -> str:
    return plain(Decimal(ns) / 10**6)


def event_json(order: Order, event: Any) -> dict[str, Any]:
    """One event: when, its record, and in people's units what it told."""
    told = dict(event.told)
    place = order.place
    out: dict[str, Any] = {
        "at": utc(event.at_ns),
        "at_ns": event.at_ns,
        "record": event.sequence,
        "what": event.what,
    }
    if event.what in ("decided", "asked"):
        decision = told.pop("decision", None)
        out |= {
            "action": told["action"].lower(),
            "by": told["by"],
            "verdict": told["reason"],
            "cause": _cause(told["cause"]),
        }
        if "price_ticks" in told:
            out |= {"price": _price(place, told["price_ticks"]), "size": _coins(place, told["size_lots"])}
        if told["reason"] != "OK" and place is not None:
            out["refused_by"] = place.check({k: told[k] for k in ("reason", "value", "limit")})
        if event.what == "asked":
            out["checks"] = _checks(place, decision)
    elif event.what == "written":
        out |= {
            "action": told["action"].lower(),
            "line": told["line"],
            "bytes": masked(told["bytes"]),
            "in_batch": told["batch"],
        }
    elif event.what in ("said", "filled"):
        out |= _said(order, told)
    elif event.what == "adopted":
        out |= {"filled": _coins(place, told["filled_lots"]), "run": told["run"], "as": told["as"]}
    else:
        out |= {k: utc(v) if k.endswith("_ns") else v for k, v in told.items()}
    return out


def _said(order: Order, told: dict[str, Any]) -> dict[str, Any]:
    """A report, with what it does not say left out."""
    place, kind = order.place, told["kind"].removeprefix("REPORT_").lower()
    out = {"kind": kind, "way": told["way"], "venue_time": utc(told["event_ns"])}
    if kind == "fill":
        out |= {
            "price": _price(place, told["price_ticks"]),
            "size": _coins(place, told["size_lots"]),
            "trade_id": trade_id(told["trade_hi"], told["trade_lo"]),
            "maker": bool(told["maker"]),
            "fee": plain(told["fee_e8"] * E8) if told["fee_is_quote"] >= 0 else "",
            "fee_coin": coin_of(place, told) if told["fee_is_quote"] >= 0 else "",
            "nature": told["nature"],
            "note": told.get("note", ""),
        }
    if told["filled_lots"] >= 0:
        out["filled_so_far"] = _coins(place, told["filled_lots"])
    if told["order_lots"] >= 0:
        out |= {
            "order_price": _price(place, told["order_ticks"]),
            "order_size": _coins(place, told["order_lots"]),
        }
    if told["code"]:
        out |= {"code": told["code"], "group": told["group"]}
    if "position_lots" in told and place is not None:
        out["position"] = plain(place.coins(told["position_lots"]))
    return out


def trade_id(high: int, low: int) -> str:
    """As the venue spells it: a number, or a UUID."""
    if not high:
        return str(low)
    text = f"{(high % 2**64) << 64 | low % 2**64:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
