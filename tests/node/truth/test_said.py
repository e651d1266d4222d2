"""Answers to order requests that went by REST: what each proves of its order, and what proves nothing."""

import pytest

from ext.records import Action, ErrorGroup, Outcome, ReportKind, pack_reports
from node.truth.said import report_of, said_of
from node.venues.values import Reply, Request, RestError, Said

ORDER = {"instrument": 2, "side": 1, "sequence": 7, "epoch": 9, "id": 55}
REQUEST, REPLY = Request("POST", "/order"), Reply(200)
NEW, CANCEL, AMEND, REPLACE = (int(x) for x in (Action.NEW, Action.CANCEL, Action.AMEND, Action.REPLACE))


class Answers:
    """A REST half that says `said` of every answer, or raises it."""

    def __init__(self, said):
        self.said = said

    def read_said(self, request, reply):
        assert (request, reply) == (REQUEST, REPLY)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def kinds(action, said, order=ORDER):
    reports = report_of(order, action, said)
    assert pack_reports(reports) is not None
    for x in reports:
        assert (x["instrument"], x["side"], x["order_id"], x["epoch"]) == (2, 1, 7, 9)
    return [ReportKind(x["kind"]).name.removeprefix("REPORT_") for x in reports]


@pytest.mark.parametrize(
    ("action", "accepted", "refused", "uncertain", "silence"),
    [
        (NEW, ["ACK"], ["REJECT"], ["UNCERTAIN"], ["UNCERTAIN"]),
        (REPLACE, ["ACK"], ["REJECT"], ["UNCERTAIN"], ["UNCERTAIN"]),
        (CANCEL, [], ["CANCEL_REJECT"], ["UNCERTAIN"], []),
        (AMEND, [], ["AMEND_REJECT"], ["UNCERTAIN"], []),
    ],
)
def test_each_answer_proves_what_it_says_and_no_more(action, accepted, refused, uncertain, silence):
    assert kinds(action, Said(int(Outcome.ACCEPTED))) == accepted
    assert kinds(action, Said(int(Outcome.REFUSED))) == refused
    assert kinds(action, Said(int(Outcome.UNCERTAIN))) == uncertain
    assert kinds(action, Said(int(Outcome.NOT_SENT))) == uncertain
    assert kinds(action, None) == silence


def test_code_group_and_the_venues_number_go_along():
    said = Said(int(Outcome.REFUSED), int(ErrorGroup.GROUP_ACCESS), -2015, "no", venue_id="8" * 50)
    (report,) = report_of(ORDER, NEW, said)
    assert (report["code"], report["group"]) == (-2015, ErrorGroup.GROUP_ACCESS)
    assert report["venue_id"] == "8" * 40


def test_an_order_that_the_table_forgot_is_told_nothing():
    assert report_of(None, NEW, Said(int(Outcome.ACCEPTED))) == []


def test_an_answer_is_read_by_its_venue():
    said = Said(int(Outcome.ACCEPTED), venue_id="5")
    assert said_of(Answers(said), REQUEST, REPLY) is said
    assert said_of(Answers(said), REQUEST, None) is None


def test_a_refused_answer_says_what_its_error_says():
    said = Said(int(Outcome.REFUSED), code=-1021)
    assert said_of(Answers(RestError("order", said)), REQUEST, REPLY) is said


def test_an_answer_that_cannot_be_read_leaves_the_order_of_unknown_fate():
    said = said_of(Answers(ValueError("orderId: '' is not a number")), REQUEST, REPLY)
    assert said.outcome == Outcome.UNCERTAIN
    assert "orderId" in said.text
    assert kinds(NEW, said) == ["UNCERTAIN"]
