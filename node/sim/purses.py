"""The judge of money: what trades, fees and funding made of it at the venue and here, and what both say
that is there."""

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
        # a part of the cost leaves with each partial close: rounded to a unit here, to the venue's own
        # decimals there
        allowed = (unit + E8) * (1 + len(fills))
        realised = sum((Decimal(x["realised"]) for x in fills), NONE)
        # fills that came behind newer ones (a list told of them) were averaged in another order than at the
        # venue: cost and realised differ by the same until the leg is flat; what they make together does not
        is_late = any(x["late"] for x in here["legs"])
        if not is_late and abs(realised - here["realised"] * unit) > allowed:
            out.append(f"{place}: realised {realised} at the venue, {here['realised'] * unit} here")
        for leg, name in zip(here["legs"], ("net", "long", "short"), strict=True):
            position = truth["positions"].get(f"{market}:{symbol}:{name}")
            cost = Decimal(position["cost"]) if position is not None else NONE
            if not is_late and abs(cost - leg["cost"] * unit) > allowed:
                out.append(f"{place} {name}: entry cost {cost} at the venue, {leg['cost'] * unit} here")
        paid = [x for x in truth["incomes"] if x["kind"] == "funding" and x["place"] == f"{market}:{symbol}"]
        theirs = sum((Decimal(x["amount"]) for x in paid), NONE)
        if abs(theirs - here["funding_e8"] * E8) > len(paid) * E8:
            out.append(f"{place}: funding {theirs} at the venue, {here['funding_e8'] * E8} here")
    return out


def purse_differences(world: "World") -> list[str]:
    """Of each purse: every coin that the venue's ledger has and the node was told of, and the equity that
    both make."""
    if world.keeper is None:
        return []
    out = []
    for name, purse in world.keeper.purses.items():
        assert purse.capital is not None
        numbers, wallet = _of_purse(world, name)
        told = {coin: amount * E8 for coin, amount in purse.capital.told.items()}
        ours = _wallet(world, numbers, told)
        slack = {coin: E8 * (2 + _finer(world, numbers, coin)) for coin in told}
        for coin in sorted(told):
            if abs(wallet.get(coin, NONE) - ours[coin]) > slack[coin]:
                out.append(f"purse {name}: {wallet.get(coin, NONE)} {coin} at the venue, {ours[coin]} here")
        out += _equity(world, name, numbers, {x: wallet.get(x, NONE) for x in told}, slack)
    return out


def _of_purse(world: "World", name: str) -> tuple[list[int], dict[str, Decimal]]:
    """The instruments of a purse, and its wallet in the venue's ledger."""
    assert world.keeper is not None
    numbers: list[int] = []
    wallet: dict[str, Decimal] = {}
    for market, watch in world.keeper.watches.items():
        if watch.desk.purse() != name:
            continue
        fake, account = world.fakes[world.venue_of[market]], world.account(market)
        for symbol, product in watch.desk.products.items():
            numbers.append(product.instrument)
            coins = account.wallets.get(fake.listings[market, symbol].wallet, {})
            wallet |= {coin: x.total for coin, x in coins.items()}
    return numbers, wallet


def _place(world: "World", number: int) -> tuple[int, str]:
    table = world.engine.instruments
    return table.market(number), table.symbol(number)


def _finer(world: "World", numbers: list[int], coin: str) -> int:
    """Fees in a coin that the venue keeps finer than the node's eight decimals."""
    out = 0
    for number in numbers:
        market, symbol = _place(world, number)
        for trade in world.account(market).trades:
            here = (trade.listing.market, trade.listing.symbol) == (market, symbol)
            out += here and trade.fee_coin == coin and trade.fee != trade.fee.quantize(E8)
    return out


def _cost(world: "World", number: int) -> Decimal:
    """What the venue says that an open perpetual position cost."""
    market, symbol = _place(world, number)
    return sum(
        (p.cost for k, p in world.account(market).positions.items() if k[:2] == (market, symbol)), NONE
    )


def _wallet(world: "World", numbers: list[int], told: dict[str, Decimal]) -> dict[str, Decimal]:
    """What the node makes of a purse, coin by coin: what it was told of, and all that it counted since."""
    out = dict(told)
    for number in numbers:
        row, here = world.engine.instruments.row(number), world.engine.account.position(number)
        moves = [(row["quote"], here["cash"] * _unit(row) + here["funding_e8"] * E8)]
        if row["is_perpetual"]:
            moves.append((row["quote"], _cost(world, number)))  # an open position is not paid for
        else:
            moves.append((row["base"], here["lots"] * _lot(row)))
        moves += [(coin, -amount * E8) for coin, amount in fees_of(world, number).items()]
        for coin, amount in moves:
            out[coin] = out.get(coin, NONE) + amount
    return out


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
        theirs, allowed = theirs + amount * price, allowed + slack[coin] * price
    theirs += sum((_beyond_wallet(world, x) for x in numbers), NONE)
    ours = here["equity_e8"] * E8
    return (
        [f"purse {name}: equity {theirs} at the venue, {ours} here"] if abs(theirs - ours) > allowed else []
    )


def _beyond_wallet(world: "World", number: int) -> Decimal:
    """What one instrument is worth besides what is in the wallet at the prices of its coins: the open profit
    of a perpetual; of spot, that what was traded here counts at its own book and what was there before at
    the price told last, and that base-coin fees cost what the coin can be bought for."""
    equity = world.engine.equity
    row, worth, held = (
        world.engine.instruments.row(number),
        equity.worth(number),
        world.engine.account.position(number),
    )
    rate, coin = equity.coin_price(row["quote"]) * E8, equity.coin_price(row["base"]) * E8
    fee, price = held["fee_base_e8"] * E8, worth["ticks"] * _tick(row) * rate
    out = fee * (coin - price)
    if row["is_perpetual"]:
        return out + worth["open_e8"] * E8 + (held["cost"] * _unit(row) - _cost(world, number)) * rate
    exit_ticks = worth["exit_bid_ticks"] if held["lots"] > 0 else worth["exit_ask_ticks"]
    return out + held["lots"] * _lot(row) * (exit_ticks * _tick(row) * rate - coin)


def _unit(row: dict[str, Any]) -> Decimal:
    """Quote coins in one tick * lot."""
    return Decimal(row["money_mul"]) / row["money_div"] * E8


def _lot(row: dict[str, Any]) -> Decimal:
    """Base coins in one lot of a spot instrument."""
    return Decimal(row["lot_mantissa"]).scaleb(-row["size_decimals"])


def _tick(row: dict[str, Any]) -> Decimal:
    return Decimal(row["tick_mantissa"]).scaleb(-row["price_decimals"])
