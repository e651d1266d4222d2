"""Pages: all of them, or no list."""

from types import SimpleNamespace

import pytest

from node.truth.desk import Purpose
from node.truth.pull import Pull, one_page
from node.venues.values import Reply, Request, RestError, Said


def pull(read, requests=2, pages=10):
    return Pull(SimpleNamespace(), "open", [Request("GET", str(i)) for i in range(requests)], read, pages)


def answer(asks, body=b"", left=1, now=5):
    for ask in asks:
        ask.left_ns = left
        ask.then(Reply(200, body=body) if body is not None else None, now)


def test_rows_are_there_when_every_request_was_answered():
    x = pull(lambda reply: ([1], None))
    asks = x.asks(Purpose.RECONCILE)
    assert x.asks(Purpose.RECONCILE) == []
    answer(asks[:1])
    assert not x.is_done
    answer(asks[1:], left=3, now=7)
    assert x.is_complete
    assert (x.rows, x.left_ns, x.read_ns) == ([1, 1], 1, 7)


def test_pages_are_followed():
    x = pull(lambda reply: ([reply.body], Request("GET", "more") if reply.body == b"a" else None), 1)
    answer(x.asks(Purpose.RECONCILE), b"a")
    assert not x.is_done
    answer(x.asks(Purpose.RECONCILE), b"b")
    assert x.rows == [b"a", b"b"]
    assert x.is_complete


def refuse(reply):
    raise RestError("no", Said(1, code=7))


def garble(reply):
    raise ValueError("not a list")


@pytest.mark.parametrize(
    ("read", "body", "text"),
    [(refuse, b"", ""), (garble, b"", "not a list"), (one_page(list), None, "no answer")],
)
def test_one_page_that_fails_is_a_list_that_failed(read, body, text):
    x = pull(read)
    asks = x.asks(Purpose.RECONCILE)
    answer(asks[:1], body)
    assert x.is_done
    assert not x.is_complete
    assert text in x.failure.text
    answer(asks[1:], b"")
    assert not x.is_complete


def test_pages_without_end_are_a_failure():
    x = pull(lambda reply: ([1], Request("GET", "more")), 1, pages=3)
    while not x.is_done:
        answer(x.asks(Purpose.RECONCILE))
    assert x.failure.text == "pages without end"


def test_no_requests_are_an_empty_list():
    assert pull(one_page(list), 0).is_complete
