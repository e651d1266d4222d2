"""What one lot is, in the units that venues and wallets count in: exact decimals of the instrument table's
rows."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def lot(row: Mapping[str, Any]) -> Decimal:
    """One lot in the unit of the venue's sizes (contracts, or coins), of a row of `Instruments.row`."""
    return Decimal(row["lot_mantissa"]).scaleb(-row["size_decimals"])


def contract(row: Mapping[str, Any]) -> Decimal:
    """One unit of the venue's sizes in coins."""
    return Decimal(row["contract_mantissa"]).scaleb(-row["contract_decimals"])
