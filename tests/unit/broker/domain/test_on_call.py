"""What decisions are told about who is on call, and the people on call about a request."""

from dataclasses import replace
from datetime import timedelta

from broker.domain.on_call import OnCallNow, Page

ALICE = frozenset({"alice@example.com"})
PAGE = Page(
    request_id="req_1",
    person="alice@example.com",
    requester="alice@example.com",
    target="orders",
    database="shop",
    role="orders_writer",
    duration=timedelta(minutes=90),
    reason="the queue is stuck",
    link="https://curfew.example.com/requests/req_1",
)


def test_who_is_on_call_is_a_mapping_that_also_says_whose_source_is_silent() -> None:
    now = OnCallNow({"primary": ALICE, "database": frozenset()}, {"database": "PagerDuty …"})
    assert now == {"primary": ALICE, "database": frozenset()}
    assert (len(now), list(now)) == (2, ["primary", "database"])
    assert now.get("small-team") is None
    assert now.silent == {"database": "PagerDuty …"}
    assert OnCallNow({}).silent == {}


def test_a_page_says_who_waits_for_what() -> None:
    assert PAGE.title == "alice@example.com waits for orders_writer on orders, shop"
    assert PAGE.details == {
        "request": "req_1",
        "for": "1h 30m",
        "reason": "the queue is stuck",
        "approve or deny": "https://curfew.example.com/requests/req_1",
    }


def test_a_page_says_what_is_unusual_and_leaves_out_what_is_not_there() -> None:
    page = replace(PAGE, requester="bob@example.com", duration=None, reason="", link=None)
    assert page.details == {
        "request": "req_1",
        "asked by": "bob@example.com",
        "approve or deny": "pgcurfew show req_1",
    }


def test_a_page_keeps_what_others_wrote_on_one_short_line() -> None:
    page = replace(
        PAGE, database="shop\x00\nno", reason="one\r\n\ttwo\u202e three \x1b[31m" + "x" * 999
    )
    assert page.title == "alice@example.com waits for orders_writer on orders, shop no"
    assert page.details["reason"].startswith("one two three [31mxxx")
    assert len(page.details["reason"]) == 501


def test_pages_are_the_same_for_one_request_and_schedule_only() -> None:
    keys = {
        PAGE.key("primary"),
        PAGE.key("database"),
        replace(PAGE, request_id="req_2").key("primary"),
    }
    assert len(keys) == 3
    assert replace(PAGE, reason="still").key("primary") == PAGE.key("primary")
