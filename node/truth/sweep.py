"""One pass over the open orders and the trades of a desk: everything asked for, or nothing to show."""

from node.truth.desk import Ask, Purpose, VenueDesk
from node.truth.evidence import Owners
from node.truth.pull import Pull
from node.truth.reconcile import Lists, Reconciler
from node.venues.values import Reply, Request, RestError, Said

BY_SYMBOL = 4  # as many symbols are asked for one by one: Binance counts 80 for all symbols, 6 for one


class Sweep:
    """`from_ns`: by symbol, since when trades are wanted (our clock); `offset_ns` is the venue's clock
    minus ours."""

    def __init__(
        self,
        desk: VenueDesk,
        reconciler: Reconciler,
        owners: Owners,
        from_ns: dict[str, int],
        offset_ns: int,
        pages_max: int,
    ):
        rest = desk.rest
        self.desk, self.reconciler, self.owners, self.from_ns = desk, reconciler, owners, from_ns
        self.open = Pull(desk, "open", _open_orders(desk), rest.read_open_orders, pages_max)
        self.trades = [
            Pull(desk, "trades", [rest.trades(symbol, since_ns + offset_ns)], rest.read_trades, pages_max)
            for symbol, since_ns in from_ns.items()
        ]
        self.failure: Said | None = None
        self.symbols = {x.symbol for x in reconciler.cases.cases.values()}
        self._owner_asks = 0
        self._asked_owners = False

    @property
    def _pulls(self) -> list[Pull]:
        return [self.open, *self.trades]

    def asks(self) -> list[Ask]:
        """What to ask now: lists first; then, where it matters whose trades are, their orders."""
        asks = [ask for pull in self._pulls for ask in pull.asks(Purpose.RECONCILE)]
        if asks or not all(x.is_complete for x in self._pulls) or self._asked_owners:
            return asks
        self._asked_owners = True
        self.reconciler.learn_owners(self.open.rows, [p.instrument for p in self.desk.products.values()])
        rows = [row for pull in self.trades for row in pull.rows]
        asks = [
            self._owner(symbol, venue_id) for symbol, venue_id in self.reconciler.unowned(rows, self.symbols)
        ]
        self._owner_asks = len(asks)
        return asks

    def _owner(self, symbol: str, venue_id: str) -> Ask:
        def then(reply: Reply | None, now_ns: int) -> None:
            self._owner_asks -= 1
            try:
                row = self.desk.rest.read_order(reply) if reply is not None else None
            except RestError as error:
                self.failure = error.said
                return
            except ValueError as error:
                self.failure = Said(outcome=0, text=f"cannot be understood: {error}")
                return
            if reply is None:
                self.failure = Said(outcome=0, text="no answer")
                return
            key = self.owners.key(row.client_id) if row is not None else (0, 0)
            self.owners.learn(symbol, venue_id, key)

        return Ask(
            self.desk, self.desk.rest.order(symbol, venue_id=venue_id), Purpose.RECONCILE, "order", then
        )

    @property
    def is_done(self) -> bool:
        """Complete, or failed and nothing of it under way any more."""
        if self._failed() is not None:
            return all(x.is_done for x in self._pulls) and not self._owner_asks
        return self._asked_owners and not self._owner_asks

    def _failed(self) -> Said | None:
        return self.failure or next((x.failure for x in self._pulls if x.failure is not None), None)

    def result(self) -> Lists | Said:
        """What it brought, or why it brought nothing."""
        failure = self._failed()
        if failure is not None:
            return failure
        left_ns = (
            min(x.left_ns for x in self._pulls if x.left_ns) if any(x.left_ns for x in self._pulls) else 0
        )
        rows = [row for pull in self.trades for row in pull.rows]
        return Lists(
            left_ns, self.open.rows, rows, self.from_ns, max((x.read_ns for x in self.trades), default=0)
        )


def _open_orders(desk: VenueDesk) -> list[Request]:
    """For each symbol or for all together, whichever costs the venue's limits less."""
    each = [x for symbol in desk.products for x in desk.rest.open_orders(symbol)]
    whole = desk.rest.open_orders("")
    by_count = bool(whole and desk.rest.buckets(whole[0]))  # requests count there, not their weight
    is_cheaper = len(whole) < len(each) if by_count else len(desk.products) > BY_SYMBOL
    return whole if is_cheaper else each
