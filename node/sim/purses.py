"""The judge of money: what trades, fees and funding made of it at the venue and here, and what both say that is there."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from node.assembly import MARKET_NAMES

if TYPE_CHECKING:
    from node.sim.memory import World

E8 = Decimal("1e-8")  # what the node keeps
NONE = Decimal(0)


def fees_of(world: "World", number: int) -> dict[str, int]:
    """Fees of one instrument as the node counted them: coin -> 1e-8 of it."""
    held, row = world.engine.account.position(number), world.engine.instruments.row(number)
    out = dict(held["fees"])
    for coin, name in ((row["quote"], "fee_e8"), (row["base"], "fee_base_e8")):
        out[coin] = out.get(coin, 0) + held[name]
    return out


def money_differences(world: "World", market: int, truth: dict[str, Any]) -> list[str]:
    """Realised profit, average entry price and funding of each perpetual of a market."""
    out = []
    for (of, symbol), number in world.desk.numbers.items():
        row = world.engine.instruments.row(number)
        if of != market or not row["is_perpetual"]:
            continue
        here, place = world.engine.account.position(number), f"{MARKET_NAMES[market]} {symbol}"
        fills = [x for k, x in truth["fills"].items() if k.startswith(f"{market}:{symbol}:")]
        unit = _unit(row)
        # a part of the cost leaves with each partial close: rounded to a unit here, to the venue's own decimals there
        allowed = (unit + E8) * (1 + len(fills))
        realised = sum((Decimal(x["realised"]) for x in fills), NONE)
        if abs(realised - here["realised"] * unit) > allowed:
            out.append(f"{place}: realised {realised} at the venue, {here['realised'] * unit} here")
        for leg, name in zip(here["legs"], ("net", "long", "short"), strict=True):
            position = truth["positions"].get(f"{market}:{symbol}:{name}")
            cost = Decimal(position["cost"]) if position is not None else NONE
            if abs(cost - leg["cost"] * unit) > allowed:
                out.append(f"{place} {name}: entry cost {cost} at the venue, {leg['cost'] * unit} here")
        paid = [x for x in truth["incomes"] if x["kind"] == "funding" and x["place"] == f"{market}:{symbol}"]
        theirs = sum((Decimal(x["amount"]) for x in paid), NONE)
        if abs(theirs - here["funding_e8"] * E8) > len(paid) * E8:
            out.append(f"{place}: funding {theirs} at the venue, {here['funding_e8'] * E8} here")
    return out


def purse_differences(world: "World") -> list[str]:
    """Of each purse: every coin that the venue's ledger has and the node knows a price of, and the equity that both make."""
    if world.keeper is None:
        return []
    out = []
    for name, purse in world.keeper.purses.items():
        numbers, wallet = _of_purse(world, name)
        truth, told = wallet, dict(purse.capital.told) if purse.capital is not None else {}
        ours, slack = _wallet(world, numbers, told)
        for coin, amount in sorted(ours.items()):
            theirs = truth.get(coin, NONE)
            if coin in told and abs(theirs - amount) > slack.get(coin, 2 * E8):
                out.append(f"purse {name}: {theirs} {coin} at the venue, {amount} here")
        out += _equity(world, name, numbers, {x: truth.get(x, NONE) for x in told}, slack)
    return out


def _of_purse(world: "World", name: str) -> tuple[list[int], dict[str, Decimal]]:
    """The instruments of a purse, and its wallet in the venue's ledger."""
    assert world.keeper is not None
    numbers, wallet = [], {}
    for market, watch in world.keeper.watches.items():
        if watch.desk.purse() != name:
            continue
        fake, account = world.fakes[world.venue_of[market]], world.account(market)
        for symbol, product in watch.desk.products.items():
            numbers.append(product.instrument)
            wallet |= {
                c: x.total for c, x in account.wallets.get(fake.listings[market, symbol].wallet, {}).items()
            }
    return numbers, wallet


def _wallet(
    world: "World", numbers: list[int], told: dict[str, int]
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """What the node makes of a purse, coin by coin, and how far rounding may take each."""
    out = {coin: amount * E8 for coin, amount in told.items()}
    slack = dict.fromkeys(told, 2 * E8)
    for number in numbers:
        row, here = world.engine.instruments.row(number), world.engine.account.position(number)
        base, quote, unit = row["base"], row["quote"], _unit(row)
        moves = [
            (quote, (here["realised"] if row["is_perpetual"] else here["cash"]) * unit),
            (quote, here["funding_e8"] * E8),
        ]
        if not row["is_perpetual"]:
            lot = Decimal(row["lot_mantissa"]).scaleb(-row["size_decimals"])
            moves.append((base, here["lots"] * lot))
        moves += [(coin, -amount * E8) for coin, amount in fees_of(world, number).items()]
        for coin, amount in moves:
            out[coin] = out.get(coin, NONE) + amount
            slack[coin] = slack.get(coin, 2 * E8) + here["fills"] * (
                E8 + (unit if row["is_perpetual"] else NONE)
            )
    return out, slack


def _equity(
    world: "World", name: str, numbers: list[int], wallet: dict[str, Decimal], slack: dict[str, Decimal]
) -> list[str]:
    """The ledger's wallet and open positions at the node's own prices, against the node's equity."""
    equity, keeper = world.engine.equity, world.keeper
    assert keeper is not None
    capital = keeper.purses[name].capital
    assert capital is not None
    here = equity.sums(capital.number)
    if not here["known"]:
        return [f"purse {name}: equity is not known"]
    theirs, allowed = NONE, E8 * (10 + 4 * len(numbers))
    for coin, amount in wallet.items():
        price = equity.coin_price(coin) * E8
        theirs, allowed = theirs + amount * price, allowed + slack.get(coin, NONE) * price
    for number in numbers:
        row, worth = world.engine.instruments.row(number), equity.worth(number)
        held = world.engine.account.position(number)
        rate = equity.coin_price(row["quote"]) * E8
        if row["is_perpetual"]:
            theirs += worth["open_e8"] * E8
            continue
        lot = Decimal(row["lot_mantissa"]).scaleb(-row["size_decimals"])
        exact = held["lots"] * lot - held["fee_base_e8"] * E8
        tick = Decimal(row["tick_mantissa"]).scaleb(-row["price_decimals"])
        # what was traded here is valued at its own book, what was there before at the price that was told last; fees at the ask
        exit_ticks = worth["exit_bid_ticks"] if held["lots"] > 0 else worth["exit_ask_ticks"]
        paid = held["fee_base_e8"] * E8 * worth["ticks"] * tick * rate
        theirs += (
            held["lots"] * lot * exit_ticks * tick * rate - paid - exact * equity.coin_price(row["base"]) * E8
        )
    for number in numbers:
        row = world.engine.instruments.row(number)
        if row["is_perpetual"] and row["base"] in wallet:
            fee = world.engine.account.position(number)["fee_base_e8"] * E8
            tick = Decimal(row["tick_mantissa"]).scaleb(-row["price_decimals"])
            rate = equity.coin_price(row["quote"]) * E8
            theirs += fee * (
                equity.coin_price(row["base"]) * E8 - equity.worth(number)["ticks"] * tick * rate
            )
    ours = here["equity_e8"] * E8
    if abs(theirs - ours) > allowed:
        return [f"purse {name}: equity {theirs} at the venue, {ours} here"]
    return []


def _unit(row: dict[str, Any]) -> Decimal:
    """Quote coins in one tick * lot."""
    return Decimal(row["money_mul"]) / row["money_div"] * E8
