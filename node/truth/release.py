"""What holds a symbol until a person says otherwise, and what is left of its cause when one does."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ext.records import HaltReason
from node.truth.watch import Watch

Halt = tuple[int, int]  # instrument, records.HaltReason
SOURCES = {
    HaltReason.HALT_LIQUIDATION: "liquidation",
    HaltReason.HALT_FILTER: "engine",
    HaltReason.HALT_FOREIGN: "foreign orders",
}


@dataclass(slots=True)
class Released:
    """`ended`: what a person's word ended; `stays`: what it did not, and why."""

    ended: list[Halt] = field(default_factory=list)
    stays: dict[Halt, str] = field(default_factory=dict)


def release(watches: Iterable[Watch], now_ns: int) -> Released:
    """A person has looked: what only a person ends is over, where its cause is gone."""
    out = Released()
    for watch in watches:
        for product in watch.desk.products.values():
            for reason, source in SOURCES.items():
                if not watch.halts.has(product.instrument, reason, source):
                    continue
                halt, why = (product.instrument, int(reason)), _cause(watch, product.instrument, reason)
                if why:
                    out.stays[halt] = why
                else:
                    watch.halts.free(product.instrument, reason, source, now_ns)
                    out.ended.append(halt)
    return out


def _cause(watch: Watch, instrument: int, reason: HaltReason) -> str:
    """Why a halt must stay; "" where nothing speaks against its end. What the filters refuse, only a person
    knows to be mended."""
    if reason == HaltReason.HALT_FOREIGN and instrument in watch.reconciler.strangers:
        every_s = watch.settings.orders_every_ns // 10**9
        return f"an order that is not ours rests there: take it away; it is looked at every {every_s} s"
    if reason == HaltReason.HALT_LIQUIDATION and not watch.is_settled(watch.reconciler.liquidated_ns):
        return "what the venue left is not known yet: orders and positions must agree once behind it"
    return ""
