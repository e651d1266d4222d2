"""What the truth room needs of the engine: the doors through which evidence, halts and corrections go in."""

from typing import Any, Protocol

Rows = list[dict[str, Any]]


class NativeOrders(Protocol):
    """Orders as dicts, `state` by name. `id` is the table's own number, `epoch` and `sequence` what the
    client id spells."""

    def troubled(self, now_ns: int, report_due_ns: int) -> Rows: ...
    def order(self, id: int) -> dict[str, Any] | None: ...
    def open_orders(self, instrument: int) -> list[int]: ...  # ids, oldest first
    def whose(self, sequence: int, epoch: int) -> int: ...  # id, 0 where it is not in the table


class NativeAccount(Protocol):
    def position(self, instrument: int) -> dict[str, Any]: ...  # `lots` is signed


class NativeRisk(Protocol):
    def halts(self, instrument: int) -> dict[str, int]: ...  # HaltReason name -> level


class Native(Protocol):
    """`ext.engine.Engine`. Every call is on the tape; none reads a clock."""

    @property
    def orders(self) -> NativeOrders: ...
    @property
    def account(self) -> NativeAccount: ...
    @property
    def risk(self) -> NativeRisk: ...
    @property
    def instruments(self) -> Any: ...

    def on_evidence(self, reports: Rows, now_ns: int) -> int: ...
    def want_cancel(self, order_id: int, now_ns: int) -> bool: ...
    def close_absent(self, order_id: int, now_ns: int) -> bool: ...
    def settle(self, order_id: int, now_ns: int) -> None: ...
    def adopt(
        self,
        instrument: int,
        epoch: int,
        sequence: int,
        side: int,
        type: int,
        tif: int,
        price_ticks: int,
        size_lots: int,
        filled_lots: int,
        reduce_only: bool,
        venue_id: str,
        now_ns: int,
    ) -> int: ...
    def set_position(self, instrument: int, lots: int, cash: int, now_ns: int) -> None: ...
    def foreign(self, instrument: int, buy_lots: int, sell_lots: int, now_ns: int) -> None: ...
    def halt(self, instrument: int, why: int, level: int, now_ns: int) -> None: ...
    def pause(self, market: int, until_ns: int, now_ns: int) -> None: ...
    def resume(self, instrument: int, why: int, now_ns: int) -> None: ...
    def reconciled(self, instrument: int, now_ns: int) -> None: ...
    def venue_clock(self, market: int, offset_ns: int, error_ns: int, now_ns: int) -> None: ...
    def private_proven(self, market: int, ok: bool, now_ns: int) -> None: ...
