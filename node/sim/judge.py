"""The venue is the judge: what its ledger has, and what the node thinks, compared to the last unit."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from node.assembly import MARKET_NAMES
from node.sim.purses import fees_of, money_differences, purse_differences

if TYPE_CHECKING:
    from node.sim.memory import World


COUNTED = "counted here"


def differences(world: "World") -> list[str]:
    """Where the venues' ledgers and the node do not agree, one line each; [] = they do."""
    out: list[str] = []
    for market in world.venue_of:
        truth = world.fakes[world.venue_of[market]].truth(world.account(market))
        out += _orders(world, market, truth)
        out += _positions(world, market, truth)
        out += _fees(world, market, truth)
        out += _identities(world, market, truth)
        out += money_differences(world, market, truth)
    out += purse_differences(world)
    if world.keeper is not None:
        out += [str(x) for x in world.keeper.differences()]
    return out


def differences_behind_a_restart(world: "World") -> list[str]:
    """The same for a node that an earlier run's tape was read for: what that run counted and the tape does
    not hold - how many trades, which fees - is not compared."""
    out: list[str] = []
    for market in world.venue_of:
        truth = world.fakes[world.venue_of[market]].truth(world.account(market))
        out += _orders(world, market, truth)
        out += [x for x in _positions(world, market, truth) if not x.endswith(COUNTED)]
        out += _identities(world, market, truth)
    if world.keeper is not None:
        out += [str(x) for x in world.keeper.differences()]
    return out


def _orders(world: "World", market: int, truth: dict[str, Any]) -> list[str]:
    """Open orders: the same ids, filled as far, of the same price and size."""
    name, wire, orders = MARKET_NAMES[market], world.desk.wires[market], world.engine.orders
    theirs = {
        (x["symbol"], x["client_id"]): x
        for x in truth["open"]
        if x["market"] == market and wire.whose(x["client_id"])[0]
    }
    ours = {}
    for number in (n for (m, _), n in world.desk.numbers.items() if m == market):
        for order_id in orders.open_orders(number):
            row = orders.order(order_id)
            ours[world.desk.instruments.symbol(number), wire.client_id(row["sequence"], row["epoch"])] = row
    out = [f"{name} {s} {c}: open at the venue, not here" for s, c in sorted(theirs.keys() - ours.keys())]
    out += [
        f"{name} {s} {c}: {ours[s, c]['state']} here, not open at the venue"
        for s, c in sorted(ours.keys() - theirs.keys())
    ]
    for key in sorted(theirs.keys() & ours.keys()):
        for field in ("filled_lots", "size_lots", "price_ticks"):
            if theirs[key][field] != ours[key][field]:
                out.append(
                    f"{name} {key[1]}: {field} {theirs[key][field]} at the venue, {ours[key][field]} here"
                )
        if ours[key]["state"] == "UNKNOWN":
            out.append(f"{name} {key[1]}: of unknown fate")
    return out


def _positions(world: "World", market: int, truth: dict[str, Any]) -> list[str]:
    """Lots and number of trades of each instrument."""
    out = []
    for (of, symbol), number in world.desk.numbers.items():
        if of != market:
            continue
        here, place = world.engine.account.position(number), f"{MARKET_NAMES[market]} {symbol}"
        fills = [x for k, x in truth["fills"].items() if k.startswith(f"{market}:{symbol}:")]
        traded = sum(-x["size_lots"] if x["side"] == "sell" else x["size_lots"] for x in fills)
        if here["lots"] != traded:
            out.append(f"{place}: position {traded} lots at the venue, {here['lots']} here")
        if here["fills"] != len(fills):
            out.append(f"{place}: {len(fills)} trades at the venue, {here['fills']} {COUNTED}")
        cash = sum(x["price_ticks"] * (1 if x["side"] == "sell" else -1) * x["size_lots"] for x in fills)
        if here["cash"] != cash:
            out.append(f"{place}: cash {cash} at the venue, {here['cash']} here")
        position = truth["positions"].get(f"{market}:{symbol}:net")
        if position is not None and position["lots"] != here["lots"]:
            out.append(f"{place}: ledger has {position['lots']} lots, {here['lots']} here")
        out += _legs(truth, f"{market}:{symbol}", here, place)
    return out


def _legs(truth: dict[str, Any], key: str, here: dict[str, Any], place: str) -> list[str]:
    """Hedge mode: each leg by itself."""
    out = []
    for leg, name in ((1, "long"), (2, "short")):
        lots = truth["positions"].get(f"{key}:{name}", {"lots": 0})["lots"]
        if lots != here["legs"][leg]["lots"]:
            out.append(f"{place}: the {name} leg has {lots} lots, {here['legs'][leg]['lots']} here")
    return out


def _fees(world: "World", market: int, truth: dict[str, Any]) -> list[str]:
    """Fees in any coin. The node keeps eight decimals: each fill may differ by less than one of them."""
    out = []
    for (of, symbol), number in world.desk.numbers.items():
        if of != market:
            continue
        fills = [x for k, x in truth["fills"].items() if k.startswith(f"{market}:{symbol}:")]
        ours = fees_of(world, number)
        for coin in sorted(ours.keys() | {x["fee_coin"] for x in fills}):
            theirs = sum((Decimal(x["fee"]) for x in fills if x["fee_coin"] == coin), Decimal(0)).scaleb(8)
            if abs(theirs - ours.get(coin, 0)) > len(fills):
                where = f"{MARKET_NAMES[market]} {symbol}"
                out.append(f"{where}: fees of {theirs} e-8 {coin} at the venue, {ours.get(coin, 0)} here")
    return out


def _identities(world: "World", market: int, truth: dict[str, Any]) -> list[str]:
    """Each intent made at most one order, and every order of ours was one."""
    wire, out = world.desk.wires[market], []
    for client_id, count in truth["orders"].items():
        if wire.whose(client_id)[0] and count > 1:
            out.append(f"{MARKET_NAMES[market]} {client_id}: {count} orders with one id")
    return out


def totals(world: "World") -> list[dict[str, Any]]:
    """One row for each instrument, for reports: what both sides counted."""
    rows = []
    for (market, symbol), number in world.desk.numbers.items():
        truth = world.fakes[world.venue_of[market]].truth(world.account(market))
        fills = [x for k, x in truth["fills"].items() if k.startswith(f"{market}:{symbol}:")]
        here = world.engine.account.position(number)
        rows.append(
            {
                "market": MARKET_NAMES[market],
                "symbol": symbol,
                "orders": sum(n for c, n in truth["orders"].items() if world.desk.wires[market].whose(c)[0]),
                "fills_venue": len(fills),
                "fills_node": here["fills"],
                "lots_venue": sum(-x["size_lots"] if x["side"] == "sell" else x["size_lots"] for x in fills),
                "lots_node": here["lots"],
                "volume": str(sum(Decimal(x["size_lots"]) for x in fills)),
                "unknown": world.engine.orders.reserved(number)["unknown_lots"],
            }
        )
    return rows
