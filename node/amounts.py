"""How large something is, for people: coins, whatever unit a venue counts in."""

from decimal import Decimal

from ext.instruments import Instruments


def contract_of(instruments: Instruments, number: int) -> Decimal:
    """Base coins of one unit of the venue's sizes: 1 where those are coins already."""
    row = instruments.row(number)
    return Decimal(row["contract_mantissa"]).scaleb(-row["contract_decimals"])


def base_per_lot(instruments: Instruments, number: int) -> Decimal:
    """Base coins of one lot: contracts are resolved here."""
    grid = instruments.size_grid(number)
    return Decimal(grid.mantissa).scaleb(-grid.decimals) * contract_of(instruments, number)


def amount_text(instruments: Instruments, number: int, lots: int) -> str:
    """Signed lots as base coins, "-0.005 BTC"; where the venue counts in contracts of another size, those
    behind it: "0.005 BTC (0.5 contracts)"."""
    base, contract = lots * base_per_lot(instruments, number), contract_of(instruments, number)
    coin = instruments.row(number)["base"]
    text = f"{_plain(base)} {coin}" if coin else _plain(base)
    if contract == 1 or not lots:
        return text
    there = base / contract
    return f"{text} ({_plain(there)} contract{'' if abs(there) == 1 else 's'})"


def _plain(value: Decimal) -> str:
    return f"{value.normalize() + 0:f}" if value else "0"
