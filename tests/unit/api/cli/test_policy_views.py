"""What is said about policies, to people who have never seen one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.cli.output import out
from api.cli.policy_views import (
    print_access,
    print_answer,
    print_book,
    print_diff,
    print_in_force,
    print_replay,
)
from api.schemas.policies import (
    AccessView,
    AnswerView,
    InForceView,
    PolicyView,
    ShiftLine,
    TextView,
    VersionDetailsView,
)
from broker.domain.catalog import Catalog, CatalogRole, CatalogTarget
from broker.domain.policy.access import access_of
from broker.domain.policy.approval import STANDING, Agreement, Approval
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.explanation import explain
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import NOBODY
from broker.domain.policy.replay import shift
from broker.domain.policy.resources import Resource
from broker.domain.policy.rule import Policy
from broker.domain.policy.summary import summary_of
from broker.domain.request import AccessRequest, RequestState
from broker.service.policy_questions import Answered
from broker.service.policy_replay import Shifted
from tests.support.policies import (
    BY_DBA,
    DEV,
    FACTS,
    HOUR,
    MANAGED,
    NOW,
    ask,
    group,
    people,
    policy,
)

_VERSION = TextView(
    number=3,
    kind="policies",
    digest="41d10a59c0a3e5f1",
    since=NOW,
    loaded_by="curfew-1",
    text="",
    environment=(),
)
UNTIL_TWO = WeeklyHours((Span(2, 9 * 60, 14 * 60),), ZoneInfo("Europe/Berlin"))


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", 80)


def answer(policies: Sequence[Policy], wish: Ask, facts: Facts = FACTS) -> AnswerView:
    explanation = explain(PolicyBook(tuple(policies)), wish, facts)
    return AnswerView.of(Answered(ask=wish, facts=facts, explanation=explanation))


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what was printed, line by line, columns by one space."""
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_who_would_approve_and_what_cuts_it(capsys: pytest.CaptureFixture[str]) -> None:
    approval = Approval(
        (Agreement(group("dba"), count=2), Agreement(NOBODY, manager=True)),
        break_glass=people("reviewer@example.com"),
    )
    managed = policy(approval=approval, max_duration=8 * HOUR, hours=UNTIL_TWO)
    print_answer(answer([managed], ask(MANAGED, duration=4 * HOUR)))
    assert said(capsys) == [
        "To be approved: it would wait until its approvers agree.",
        "",
        "who managed@example.com",
        "in groups developers",
        "manager lead@example.com",
        "asks for orders_reader on orders, database orders",
        "at 2026-03-04 12:00:00 UTC",
        "why policy 'orders-readers' gives 'orders_reader' in database 'orders' on",
        "target 'orders'",
        "how long 1h instead of 4h",
        "cut to 1h: policy 'orders-readers' is open until wed 2026-03-04 14:00",
        "Europe/Berlin",
        "approvers 2 of group dba, and lead@example.com (manager)",
        "or else reviewer@example.com alone, breaking the glass",
        "",
        "Policies about this role",
        "policy what it does",
        "orders-readers → decides",
    ]


def test_why_not_and_what_came_close(capsys: pytest.CaptureFixture[str]) -> None:
    policies = [
        policy("freeze", approval=None, hours=UNTIL_TWO),
        policy("leads", requesters=group("leads")),
        policy("short"),
        policy("off", enabled=False),
    ]
    later = Facts(now=NOW + 2 * HOUR)
    print_answer(answer(policies, ask(duration=2 * HOUR), later))
    lines = said(capsys)
    assert lines[0] == "Denied: it could not be asked for like this."
    assert "why not 2h is too long: policy 'short' allows at most 1h" in lines
    assert lines[-5:] == [
        "policy what it does why",
        "freeze · does not deny denies it only wed 09:00-14:00 Europe/Berlin",
        "leads · for others is for group leads",
        "short ✗ does not fit 2h is too long: policy 'short' allows at most 1h",
        "off · disabled is disabled",
    ]


def test_what_needs_nobody_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    print_answer(answer([policy(approval=STANDING)], ask()))
    lines = said(capsys)
    assert lines[0] == "Given at once: nobody has to agree."
    assert "nobody has to agree" in lines
    assert "approvers" not in " ".join(lines)


def test_all_that_somebody_may_ask_for(capsys: pytest.CaptureFixture[str]) -> None:
    catalog = Catalog(
        {"orders": CatalogTarget("orders", "orders", {"orders_reader": CatalogRole("r", "", 1)})}
    )
    book = PolicyBook((policy(reason_required=True), policy("b", approval=STANDING)))
    found = [AccessView.of(each) for each in access_of(book, catalog, DEV, FACTS)]
    print_access(found, DEV.email)
    assert said(capsys) == [
        "dev@example.com may ask for:",
        "",
        "orders_reader on orders, database orders",
        "at most 1h",
        "approvers group dba",
        "notes needs a reason",
        "policy orders-readers",
        "",
        "orders_reader on orders, database orders",
        "at most 1h",
        "approvers nobody has to agree",
        "policy b",
    ]
    print_access([], None)
    assert said(capsys) == ["You may ask for nothing."]


def shifted(after: Sequence[Policy], number: int = 1, **wish: Any) -> ShiftLine:
    found = ask(**wish)
    other = shift(PolicyBook((policy(),)), PolicyBook(tuple(after)), found, FACTS)
    assert other is not None
    request = AccessRequest(
        id=f"req_{number:016}",
        person=found.person,
        requester=found.requester,
        target=found.target,
        database=found.database,
        role=found.role,
        duration=HOUR,
        reason="",
        source=None,
        policy="orders-readers",
        why=(),
        state=RequestState.APPROVED,
        created_at=NOW,
        lapses_at=NOW,
    )
    return ShiftLine.of(Shifted(request, other))


def test_a_replay_tells_like_requests_together(capsys: pytest.CaptureFixture[str]) -> None:
    standing = [policy(approval=STANDING)]
    shifts = [
        shifted([policy(reason_required=True)], 1),
        shifted(standing, 2),
        shifted(standing, 3, person=MANAGED, requester=MANAGED),
    ]
    print_replay(shifts, considered=40, since=datetime(2026, 1, 1, tzinfo=UTC))
    assert said(capsys) == [
        "3 of 40 requests since 2026-01-01 00:00:00 UTC would be answered otherwise.",
        "",
        "2 requests for orders_reader on orders",
        "who dev@example.com, managed@example.com",
        "now needs group dba; policy orders-readers",
        "then given at once, policy orders-readers",
        "newest req_0000000000000003",
        "",
        "1 request for orders_reader on orders",
        "who dev@example.com",
        "now needs group dba; policy orders-readers",
        "then denied: policy 'orders-readers' wants a reason",
        "newest req_0000000000000001",
    ]


def test_a_replay_says_what_else_changes(capsys: pytest.CaptureFixture[str]) -> None:
    one_party = Approval(BY_DBA.agreements, one_party=True)
    short = policy(max_duration=timedelta(minutes=30))
    shifts = [shifted([policy(approval=one_party)]), shifted([short], duration=None)]
    print_replay(shifts, considered=2, since=NOW)
    lines = said(capsys)
    assert "now needs group dba; policy orders-readers, and in no other way" in lines
    assert (
        "then needs group dba; policy orders-readers, or who asks may be one of those who agree"
        in " ".join(lines)
    )
    assert "then needs group dba; policy orders-readers, for 30m" in lines


def test_a_replay_that_changes_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_replay([], considered=7, since=NOW)
    assert said(capsys) == [
        "None of 7 requests since 2026-03-04 12:00:00 UTC would be answered otherwise."
    ]


def test_a_long_diff_says_how_much_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    print_diff(VersionDetailsView(version=_VERSION, before=2, diff="-[a]\n+b", lines_left_out=9))
    assert said(capsys) == [
        "Version 3 of the policies, against version 2: in force since 2026-03-04 12:00:00",
        "UTC on curfew-1.",
        "-[a]",
        "+b",
        "… 9 more lines; --json has the whole text.",
    ]


def test_policies_in_force_are_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    policies = (
        policy("readers", max_duration=8 * HOUR, default_duration=HOUR, reason_required=True),
        policy("robots", approval=STANDING, requesters=group("robots")),
        policy("never", approval=None, enabled=False, remove=(Resource(role="a"),)),
    )
    views = tuple(PolicyView.of(summary_of(each)) for each in policies)
    print_in_force(InForceView(version=_VERSION, policies=views))
    assert said(capsys) == [
        "Version 3, in force since 2026-03-04 12:00:00 UTC; sha256 41d10a59c0a3…",
        "",
        "readers",
        "who anyone but machines",
        "may have orders_reader on orders, database orders",
        "for at most 8h, by default 1h",
        "approvers group dba",
        "terms needs a reason",
        "",
        "robots",
        "who group robots",
        "may have orders_reader on orders, database orders",
        "for at most 1h",
        "approvers nobody",
        "",
        "never (disabled)",
        "who anyone but machines",
        "may not have orders_reader on orders, database orders",
        "but not a on every target",
    ]


def test_a_policy_file_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    policies = (policy("a"), policy("b", approval=None), policy("c", enabled=False))
    print_book(PolicyBook(policies), "policies.yaml")
    assert said(capsys) == [
        "policies.yaml can come into force. Policies: 3, of which deny: 1, are disabled: 1."
    ]
