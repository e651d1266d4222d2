"""How large something is: what a lot is to a venue and in coins, exactly, and in words for people."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ext.instruments import Instruments


def lot(row: Mapping[str, Any]) -> Decimal:
    """One lot in the unit of the venue's sizes (contracts, or coins), of a row of `Instruments.row`."""
    return Decimal(row["lot_mantissa"]).scaleb(-row["size_decimals"])


def contract(row: Mapping[str, Any]) -> Decimal:
    """One unit of the venue's sizes in base coins: 1 where those are coins already."""
    return Decimal(row["contract_mantissa"]).scaleb(-row["contract_decimals"])


def base_per_lot(instruments: Instruments, number: int) -> Decimal:
    """Base coins of one lot: contracts are resolved here."""
    row = instruments.row(number)
    return lot(row) * contract(row)


def amount_text(instruments: Instruments, number: int, lots: int) -> str:
    """Signed lots as base coins, "-0.005 BTC"; where the venue counts in contracts of another size, those
    behind it: "0.005 BTC (0.5 contracts)"."""
    row = instruments.row(number)
    base = lots * base_per_lot(instruments, number)
    text = f"{_plain(base)} {row['base']}" if row["base"] else _plain(base)
    if contract(row) == 1 or not lots:
        return text
    there = base / contract(row)
    return f"{text} ({_plain(there)} contract{'' if abs(there) == 1 else 's'})"


def _plain(value: Decimal) -> str:
    return f"{value.normalize() + 0:f}" if value else "0"
