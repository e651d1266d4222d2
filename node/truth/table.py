"""The engine's order table, looked up by what a client id spells."""

from typing import Any

from node.truth.native import Native

Key = tuple[int, int]  # (epoch, sequence) as in the client id
LATEST = 16_384


class Table:
    """`wire.epoch` is this process's epoch: rows that name none are of it."""

    def __init__(self, native: Native, wire: Any):
        self.native, self.wire = native, wire
        self.ids: dict[Key, int] = {}  # of other epochs: where the engine put them

    def key(self, row: dict[str, Any]) -> Key:
        key = (row.get("epoch") or self.wire.epoch, row.get("sequence") or row["id"])
        if key[0] != self.wire.epoch or key[1] != row["id"]:
            self.remember(key, row["id"])
        return key

    def remember(self, key: Key, id: int) -> None:
        self.ids[key] = id
        if len(self.ids) > LATEST:
            del self.ids[next(iter(self.ids))]

    def client_id(self, key: Key) -> str:
        return self.wire.client_id(key[1], key[0])

    def open(self, instrument: int) -> dict[Key, dict[str, Any]]:
        """Every order of an instrument that is not terminal."""
        rows = (self.native.orders.order(id) for id in self.native.orders.open_orders(instrument))
        return {self.key(row): row for row in rows if row is not None}

    def find(self, key: Key) -> dict[str, Any] | None:
        """The order with this key, None where the table does not hold it (any more)."""
        id = self.ids.get(key, key[1] if key[0] == self.wire.epoch else 0)
        row = self.native.orders.order(id) if id else None
        return row if row is not None and self.key(row) == key else None
