"""What a start takes over from the tape of earlier runs, and which tapes it refuses: orders of unknown fate,
positions, counts of the day, pauses that a venue imposed."""

from datetime import UTC, datetime
from typing import Any

from ext.records import OrderType
from node.assembly import MARKET_NAMES, Assembly, epoch_of
from node.config import MARKETS as MARKET_NUMBERS
from node.config import Config
from node.errors import UserError
from node.recall import DAY_NS, MINUTE_NS, Recalled
from node.regrid import scaled
from node.tracked import Kept, Key, Place
from node.truth.keeper import Keeper
from node.truth.settings import SEC

ANY = ""  # what a config or an old tape does not say


def next_epoch(now_ns: int, recalled: Recalled) -> int:
    """What client ids of a run that starts now carry: never what a run on this tape had, wherever the clock
    is."""
    return max(epoch_of(now_ns), recalled.last_epoch + 1)


def refuse_others(recalled: Recalled, config: Config) -> None:
    """Raises UserError where the tape is another deployment's or another account's: its positions and
    orders are not ours."""
    if recalled.deployment not in (ANY, config.deployment):
        raise UserError(
            f"tape {config.tape}: was written by deployment {recalled.deployment!r}, and this config is "
            f"{config.deployment!r}: name another `tape`"
        )
    for x in config.venue:
        before = recalled.venues.get(x.market, {})
        for what, now in (("environment", x.environment), ("account", x.account)):
            if ANY not in (now, before.get(what, ANY)) and before[what] != now:
                raise UserError(
                    f"tape {config.tape}: its {x.market} orders are of {what} {before[what]!r}, and this "
                    f"config says {now!r}: name another `tape`"
                )


def refuse_gone(recalled: Recalled, config: Config) -> None:
    """Raises UserError where an order or a position of earlier runs is on a symbol that nobody would look
    after now, and the config does not say that a person has (`gone` in [reconcile])."""
    trading = {MARKET_NUMBERS[x.market] for x in config.venue if x.orders and x.key is not None}
    here = {(MARKET_NUMBERS[x.market], x.symbol) for x in config.instrument}
    kept = {place for place in here if place[0] in trading} | {_place(x) for x in config.reconcile.gone}
    found = {place: _lots(recalled, place) for place in recalled.positions}
    held = {place: f"a position of {lots} lots" for place, lots in found.items() if lots}
    held |= {x.place: f"order {key[1]} of run {key[0]}" for key, x in recalled.tracked.open.items()}
    for place in sorted(held.keys() - kept):
        name = f"{MARKET_NAMES[place[0]]} {place[1]}"
        raise UserError(
            f"tape {config.tape}: {name} has {held[place]} of the last run, and this config does not "
            f'trade it: put it back, or close it at the venue and name it in [reconcile] gone = ["{name}"]'
        )


def _lots(recalled: Recalled, place: Place) -> str:
    """What is held there, "" = nothing: legs that come to nothing together are two positions."""
    lots = recalled.positions[place][0]
    legs = [x for leg, (x, _, _) in sorted(recalled.legs.get(place, {}).items()) if leg and x]
    return " and ".join(map(str, legs)) if len(legs) > 1 else str(lots or "")


def _place(text: str) -> Place:
    market, _, symbol = text.partition(" ")
    return MARKET_NUMBERS[market], symbol


def take_orders(desk: Assembly, recalled: Recalled, now_ns: int, *, keep: bool = True) -> list[str]:
    """Take in every order that the tape does not show as closed: of unknown fate, its whole size reserved,
    until the venue says what became of it. With `keep`, where old orders are kept, those that rested are
    taken in as resting. Returns a line for each symbol that has some. Raises UserError where the table
    cannot hold them."""
    told: dict[Place, list[int]] = {}
    for key, order in recalled.tracked.open.items():
        number = desk.numbers.get(order.place)
        if number is None or order.place[0] not in desk.rest:
            continue
        rests = order.is_live and not order.closing and order.amend is None
        is_known = rests and _stays(desk, order, keep)
        fields = _adoption(desk, number, key, order, recalled.strategy)
        fields["unsure_ns"] = 0 if is_known else min(order.sent_ns, now_ns) or 1
        if not desk.engine.adopt(**fields, now_ns=now_ns):
            raise UserError("the order table is too small for the orders that the last run left")
        told.setdefault(order.place, [0, 0])[is_known] += 1
    return [
        f"{MARKET_NAMES[market]} {symbol}: {unsure} orders of the last run to be asked for"
        + (f", {known} taken over" if known else "")
        for (market, symbol), (unsure, known) in told.items()
    ]


def _stays(desk: Assembly, order: Kept, keep: bool) -> bool:
    """Not to be cancelled: the config keeps old orders, or it is a stop that protects a position."""
    stops = desk.config.stops is not None and desk.config.stops.protect_bps > 0
    return (keep and desk.config.reconcile.keep_old) or (
        stops and order.type == OrderType.STOP_MARKET and order.reduce_only
    )


def _adoption(desk: Assembly, number: int, key: Key, order: Kept, strategy: str) -> dict[str, Any]:
    """Arguments of `Engine.adopt`, in the instrument's grids as they are now."""
    ticks, lots = order.most()
    grids = (desk.instruments.price_grid(number).step, desk.instruments.size_grid(number).step)
    owner = -1
    if strategy == desk.config.strategy and 0 <= order.strategy < len(desk.engine.strategies):
        owner = order.strategy
    return {
        "instrument": number,
        "epoch": key[0],
        "sequence": key[1],
        "side": order.side,
        "type": order.type,
        "tif": order.tif,
        "price_ticks": scaled(ticks, order.grid[0], grids[0]),
        "size_lots": max(scaled(lots, order.grid[1], grids[1]), 1),
        "filled_lots": scaled(order.filled_lots, order.grid[1], grids[1]),
        "reduce_only": order.reduce_only,
        "venue_id": order.venue_id,
        "leg": order.leg,
        "trigger_ticks": scaled(order.trigger_ticks, order.grid[0], grids[0]),
        "strategy": owner,
    }


def restore_pauses(desk: Assembly, recalled: Recalled, keeper: Keeper, now_ns: int) -> list[str]:
    """A venue that turned an earlier run away wants no request from this one either, until then: a ban is of
    the address. Returns a line for each."""
    told = []
    for market, until_ns in paused(recalled, desk.config, now_ns).items():
        if market in keeper.watches:
            desk.engine.pause(market, until_ns, now_ns)
            keeper.watches[market].budget.pause(until_ns, now_ns)
            told.append(pause_text(market, until_ns))
    return told


def paused(recalled: Recalled, config: Config, now_ns: int) -> dict[int, int]:
    """By market: until when (ns) the venue wants no request."""
    here = {MARKET_NUMBERS[x.market] for x in config.venue}
    return {x: until_ns for x, until_ns in recalled.pauses.items() if x in here and until_ns > now_ns}


def pause_text(market: int, until_ns: int) -> str:
    at = datetime.fromtimestamp(-(-until_ns // SEC), UTC)
    return (
        f"{MARKET_NAMES[market]}: the venue turned the last run away and wants no request before "
        f"{at:%Y-%m-%d %H:%M:%S} UTC: none leaves until then; this ends by itself"
    )


def restore_floors(desk: Assembly, recalled: Recalled, keeper: Keeper) -> None:
    """Trades that a position taken over by an earlier run holds already are not counted by this one."""
    for place, floor_ns in recalled.floors.items():
        number, watch = desk.numbers.get(place), keeper.watches.get(place[0])
        if number is not None and watch is not None and desk.instruments.row(number)["is_perpetual"]:
            watch.reconciler.floor_ns[number] = floor_ns


def restore_counts(desk: Assembly, recalled: Recalled, now_ns: int) -> None:
    """What limits of a day and of a time count, as earlier runs had counted it. What they say of a time
    that is yet to come was said by a clock that has gone back since, and does not count."""
    day, orders, fills = recalled.counts
    if day == now_ns // DAY_NS:
        desk.engine.restore_counts(orders, fills, day, now_ns)
    for minute, (cancels, trades) in recalled.minutes.items():
        if minute * MINUTE_NS <= now_ns:
            desk.engine.restore_ratio(cancels, trades, minute * MINUTE_NS, now_ns)
    for (place, leg), grown in recalled.opened.items():
        number = desk.numbers.get(place)
        if number is not None and grown == now_ns // DAY_NS:
            desk.engine.restore_opened(number, leg, grown, now_ns)
