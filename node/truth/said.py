"""The answer to an order request that went by REST -> reports for the engine."""

from typing import Any

from ext.records import Action, Outcome, ReportKind
from node.venues.values import Reply, Request, Rest, RestError, Said

REFUSALS = {
    Action.NEW: ReportKind.REPORT_REJECT,
    Action.REPLACE: ReportKind.REPORT_REJECT,
    Action.CANCEL: ReportKind.REPORT_CANCEL_REJECT,
    Action.AMEND: ReportKind.REPORT_AMEND_REJECT,
}


def said_of(rest: Rest, request: Request, reply: Reply | None) -> Said | None:
    """What the answer to `request` says, None where none came. One that cannot be read proves nothing."""
    if reply is None:
        return None
    try:
        return rest.read_said(request, reply)
    except RestError as error:
        return error.said
    except ValueError as error:
        return Said(int(Outcome.UNCERTAIN), text=f"cannot be understood: {error}"[:200])


def report_of(order: dict[str, Any] | None, action: int, said: Said | None) -> list[dict[str, Any]]:
    """What `said` (None: no answer) proves of the order (a row of `Orders.order`) whose request it
    answers.

    An accepted new order is acknowledged, not live, and an accepted cancel proves nothing: a report or a
    query must say more. So with an amend: two of three venues mean "received" by it, and the smaller size
    must not count before it is in force.
    """
    if order is None:
        return []
    report: dict[str, Any] = {
        "instrument": order["instrument"],
        "side": order["side"],
        "order_id": order["sequence"],
        "epoch": order["epoch"],
    }
    if said is None:
        return (
            [report | {"kind": ReportKind.REPORT_UNCERTAIN}] if action in (Action.NEW, Action.REPLACE) else []
        )
    report |= {"code": said.code, "group": said.group, "venue_id": said.venue_id[:40]}
    if said.outcome == Outcome.REFUSED:
        return [report | {"kind": REFUSALS[Action(action)]}]
    if said.outcome != Outcome.ACCEPTED:
        return [report | {"kind": ReportKind.REPORT_UNCERTAIN}]
    if action in (Action.CANCEL, Action.AMEND):
        return []
    return [report | {"kind": ReportKind.REPORT_ACK}]
