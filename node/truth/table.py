"""The engine's order table, looked up by what a client id spells."""

from typing import Any

from node.truth.native import Native

Key = tuple[int, int]  # (epoch, sequence) as in the client id


class Table:
    """Rows are dicts, as `ext.orders` gives them; an order of an earlier epoch has a number of its own
    here."""

    def __init__(self, native: Native, wire: Any):
        self.native, self.wire = native, wire

    def key(self, row: dict[str, Any]) -> Key:
        return row["epoch"], row["sequence"]

    def client_id(self, key: Key) -> str:
        return self.wire.client_id(key[1], key[0])

    def open(self, instrument: int) -> dict[Key, dict[str, Any]]:
        """Every order of an instrument that is not terminal."""
        rows = (self.native.orders.order(id) for id in self.native.orders.open_orders(instrument))
        return {self.key(row): row for row in rows if row is not None}

    def find(self, key: Key) -> dict[str, Any] | None:
        """The order with this key, None where the table does not hold it (any more)."""
        id = self.native.orders.whose(key[1], key[0]) if key[1] else 0
        return self.native.orders.order(id) if id else None
