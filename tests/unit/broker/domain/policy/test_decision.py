"""What is decided about an ask, and why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from zoneinfo import ZoneInfo

import pytest

from broker.domain.errors import (
    DurationRequired,
    DurationTooLong,
    NetworkOutside,
    NobodyCouldApprove,
    NotThroughProxy,
    OutsideHours,
    PolicyDenied,
    PreApprovalRequired,
    ReasonRequired,
    TooManyAtOnce,
)
from broker.domain.grant import GrantKind
from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Cut, Decision, Outcome, decide, recheck
from broker.domain.policy.hours import DAY, Span, WeeklyHours
from broker.domain.policy.people import NOBODY
from broker.domain.policy.resources import Resource
from broker.domain.policy.rule import Policy
from broker.domain.statement.conditions import Conditions, Recorded, StatementKind
from tests.support.policies import (
    BY_DBA,
    DEPLOY,
    DEV,
    FACTS,
    HOUR,
    LEAD,
    MANAGED,
    REVIEWER,
    ask,
    group,
    people,
    policy,
)

BERLIN = ZoneInfo("Europe/Berlin")


def at(berlin: str) -> Facts:
    return Facts(now=datetime.fromisoformat(berlin).replace(tzinfo=BERLIN))


def decided(policies: Sequence[Policy], wish: Ask, facts: Facts = FACTS) -> Decision:
    return decide(PolicyBook(tuple(policies)), wish, facts)


def asked_under(policies: Sequence[Policy], wish: Ask) -> str:
    return asked_under_at(policies, wish, FACTS)


def asked_under_at(policies: Sequence[Policy], wish: Ask, facts: Facts) -> str:
    decision = decided(policies, wish, facts)
    assert decision.outcome is Outcome.ASK
    assert decision.policy is not None
    return decision.policy.name


def refusal(decision: Decision) -> tuple[type[Exception], str]:
    assert decision.outcome is Outcome.DENIED
    assert decision.error is not None
    assert decision.why[0] == str(decision.error)
    return type(decision.error), str(decision.error)


def test_the_first_policy_in_the_file_that_fits_decides() -> None:
    policies = [policy("first"), policy("second")]
    assert asked_under(policies, ask()) == "first"
    assert asked_under(policies[::-1], ask()) == "second"


def test_a_policy_that_is_too_tight_leaves_the_decision_to_a_later_one() -> None:
    policies = [
        policy("an-hour"),
        policy("with-reason", max_duration=8 * HOUR, reason_required=True),
        policy("a-day", max_duration=24 * HOUR),
    ]
    assert asked_under(policies, ask(duration=HOUR)) == "an-hour"
    assert asked_under(policies, ask(duration=2 * HOUR, reason="a fix")) == "with-reason"
    assert asked_under(policies, ask(duration=2 * HOUR)) == "a-day"


def test_a_request_may_last_exactly_as_long_as_its_policy_allows() -> None:
    a_little_more = ask(duration=HOUR + timedelta(seconds=1))
    assert asked_under([policy()], ask(duration=HOUR)) == "orders-readers"
    assert refusal(decided([policy()], a_little_more)) == (
        DurationTooLong,
        "1h 1s is too long: policy 'orders-readers' allows at most 1h",
    )


@pytest.mark.parametrize("reason", ["", " ", "\t\n"])
def test_a_policy_may_want_a_reason_and_blanks_are_none(reason: str) -> None:
    strict = policy(reason_required=True)
    assert refusal(decided([strict], ask(reason=reason))) == (
        ReasonRequired,
        "policy 'orders-readers' wants a reason",
    )
    assert asked_under([strict], ask(reason="a fix")) == "orders-readers"


def test_when_several_policies_almost_fit_the_first_one_explains() -> None:
    """It is the one that the operator put first for this case."""
    short, strict = policy("short"), policy("strict", max_duration=8 * HOUR, reason_required=True)
    too_long_without_reason = ask(duration=2 * HOUR)
    assert refusal(decided([short, strict], too_long_without_reason)) == (
        DurationTooLong,
        "2h is too long: policy 'short' allows at most 1h",
    )
    assert refusal(decided([strict, short], too_long_without_reason)) == (
        ReasonRequired,
        "policy 'strict' wants a reason",
    )


@pytest.mark.parametrize(
    "wish",
    [
        ask(target="billing"),
        ask(database="postgres"),
        ask(role="orders_owner"),
        ask(REVIEWER),
    ],
    ids=["target", "database", "role", "person"],
)
def test_what_no_policy_names_is_denied(wish: Ask) -> None:
    decision = decided([policy(requesters=group("developers"))], wish)
    assert refusal(decision) == (
        PolicyDenied,
        f"no policy lets you ask for {wish.role!r} in database {wish.database!r} "
        f"on target {wish.target!r}",
    )


def test_without_policies_nobody_gets_anything() -> None:
    assert refusal(decided([], ask()))[0] is PolicyDenied


def why(decision: Decision) -> tuple[str, ...]:
    assert decision.outcome is Outcome.DENIED
    return decision.why


OFFICE = WeeklyHours(tuple(Span(day, 9 * 60, 17 * 60 + 30) for day in range(5)), BERLIN)
ON_CALL = OnCall(frozenset({"primary"}), timedelta(minutes=30))
DEV_ON_CALL = replace(FACTS, on_call={"primary": frozenset({"dev@example.com"})})
TEN = ip_network("10.0.0.0/8")


def test_a_standing_policy_gives_at_once() -> None:
    assert decided([policy(approval=STANDING)], ask()) == Decision(
        outcome=Outcome.GIVEN,
        policy=policy(approval=STANDING),
        duration=HOUR,
        why=(
            "policy 'orders-readers' gives 'orders_reader' in database 'orders' on target 'orders'",
            "nobody has to agree",
        ),
    )


def test_otherwise_those_who_must_agree_are_named() -> None:
    both = Approval((Agreement(group("dba"), count=2), Agreement(NOBODY, manager=True)))
    decision = decided([policy(approval=both)], ask(MANAGED))
    assert decision.outcome is Outcome.ASK
    assert decision.why[1] == "must agree: 2 of group dba; and lead@example.com (manager)"


def test_who_names_no_duration_gets_the_default_or_else_the_longest() -> None:
    short = policy(max_duration=8 * HOUR, default_duration=HOUR)
    assert decided([short], ask(duration=None)).duration == HOUR
    assert decided([policy(max_duration=8 * HOUR)], ask(duration=None)).duration == 8 * HOUR
    assert decided([policy(default_duration=2 * HOUR)], ask(duration=None)).duration == HOUR


def test_a_policy_may_want_a_duration() -> None:
    strict = policy(duration_required=True)
    assert refusal(decided([strict], ask(duration=None))) == (
        DurationRequired,
        "policy 'orders-readers' wants a duration; it allows at most 1h",
    )
    assert decided([strict], ask()).outcome is Outcome.ASK


def test_of_policies_that_are_all_too_short_the_longest_is_named() -> None:
    policies = [
        policy("short"),
        policy("long", max_duration=8 * HOUR),
        policy("middle", max_duration=4 * HOUR),
        policy("longer-but-strict", max_duration=9 * HOUR, reason_required=True),
    ]
    assert refusal(decided(policies, ask(duration=10 * HOUR))) == (
        DurationTooLong,
        "10h is too long: policy 'long' allows at most 8h",
    )


def test_what_the_requester_can_change_is_said_before_what_they_cannot() -> None:
    policies = [policy("advance", pre_approval_required=True), policy("said", reason_required=True)]
    decision = decided(policies, ask())
    assert refusal(decision)[0] is ReasonRequired
    assert decision.why == (
        "policy 'said' wants a reason",
        "policy 'advance' wants an approval in advance, and there is none now",
    )


def test_who_asks_for_too_long_and_without_a_reason_is_told_both() -> None:
    strict = policy("strict", reason_required=True)
    assert why(decided([strict], ask(duration=2 * HOUR))) == (
        "2h is too long: policy 'strict' allows at most 1h",
        "policy 'strict' wants a reason",
    )


def test_at_most_three_policies_say_why_they_do_not_fit() -> None:
    policies = [policy(f"p{number}", reason_required=True) for number in range(9)]
    assert len(why(decided(policies, ask()))) == 3


def test_a_policy_that_denies_wins_wherever_it_stands() -> None:
    deny = policy("never", approval=None, requesters=group("developers"))
    for policies in ([deny, policy()], [policy(), deny]):
        decision = decided(policies, ask())
        assert decision.policy == deny
        assert refusal(decision) == (
            PolicyDenied,
            "policy 'never' denies 'orders_reader' in database 'orders' on target 'orders'",
        )
        assert decided(policies, ask(REVIEWER)).outcome is Outcome.ASK


def test_what_is_removed_from_a_policy_it_does_not_give() -> None:
    readers = policy(keep=(Resource("orders"),), remove=(Resource(role="*_reader"),))
    assert refusal(decided([readers], ask()))[0] is PolicyDenied
    assert asked_under([readers, policy("other")], ask()) == "other"
    assert asked_under([readers], ask(role="orders_writer")) == "orders-readers"


def test_a_denial_may_have_hours_and_ends_what_begins_before_them() -> None:
    freeze = policy("freeze", approval=None, hours=OFFICE)
    during = decided([policy(), freeze], ask())
    assert refusal(during)[1].endswith(
        "denies 'orders_reader' in database 'orders' on target 'orders' "
        "until wed 2026-03-04 17:30 Europe/Berlin"
    )
    early = decided([policy(), freeze], ask(), at("2026-03-04T08:30"))
    assert early.outcome is Outcome.ASK
    assert early.duration == timedelta(minutes=30)
    assert early.cuts == (
        Cut(
            timedelta(minutes=30),
            "policy 'freeze' denies it from wed 2026-03-04 09:00 Europe/Berlin",
        ),
    )
    elsewhere = policy("x", approval=None, hours=OFFICE, keep=(Resource("billing"),))
    assert decided([policy(), elsewhere], ask(), at("2026-03-04T08:30")).duration == HOUR


def test_a_denial_at_all_hours_has_no_end() -> None:
    always = WeeklyHours(tuple(Span(day, 0, DAY) for day in range(7)), BERLIN)
    decision = decided([policy("never", approval=None, hours=always)], ask())
    assert refusal(decision)[1].endswith("on target 'orders'")


def test_a_disabled_policy_is_as_good_as_absent() -> None:
    off = [
        policy("given", approval=STANDING, enabled=False),
        policy("never", approval=None, enabled=False),
    ]
    assert asked_under([*off, policy()], ask()) == "orders-readers"
    assert refusal(decided(off, ask()))[0] is PolicyDenied


def test_outside_its_hours_a_policy_gives_nothing_and_says_when_it_will() -> None:
    office = policy("office", hours=OFFICE)
    decision = decided([office], ask(), at("2026-03-06T18:00"))
    assert refusal(decision) == (
        OutsideHours,
        "policy 'office' gives access only mon-fri 09:00-17:30 Europe/Berlin: "
        "it opens mon 2026-03-09 09:00 Europe/Berlin",
    )


def test_what_begins_within_the_hours_ends_with_them() -> None:
    office = policy("office", hours=OFFICE)
    assert decided([office], ask(), at("2026-03-04T16:30")).cuts == ()
    late = decided([office], ask(), at("2026-03-04T16:45"))
    assert late.duration == timedelta(minutes=45)
    assert late.cuts == (
        Cut(
            timedelta(minutes=45),
            "policy 'office' is open until wed 2026-03-04 17:30 Europe/Berlin",
        ),
    )
    assert late.why[2:] == (
        "cut to 45m: policy 'office' is open until wed 2026-03-04 17:30 Europe/Berlin",
    )


def test_who_is_on_call_gets_it_at_once_but_not_for_longer() -> None:
    on_call = policy(approval=replace(BY_DBA, on_call=ON_CALL))
    decision = decided([on_call], ask(), DEV_ON_CALL)
    assert decision.outcome is Outcome.GIVEN
    assert decision.duration == timedelta(minutes=30)
    assert decision.cuts == (Cut(timedelta(minutes=30), "dev@example.com is on call (primary)"),)
    assert decision.why[1] == "nobody has to agree: dev@example.com is on call (primary)"
    for others in ({}, {"secondary": {"dev@example.com"}}, {"primary": {"lead@example.com"}}):
        facts = replace(FACTS, on_call={name: frozenset(who) for name, who in others.items()})
        assert decided([on_call], ask(), facts).outcome is Outcome.ASK


def test_a_machine_is_never_on_call() -> None:
    facts = replace(FACTS, on_call={"primary": frozenset({DEPLOY.email})})
    on_call = policy(requesters=group("deployers"), approval=replace(BY_DBA, on_call=ON_CALL))
    assert decided([on_call], ask(DEPLOY), facts).outcome is Outcome.ASK
    managed = Approval((Agreement(NOBODY, manager=True),), on_call=ON_CALL)
    alone = policy(requesters=group("deployers"), approval=managed)
    assert refusal(decided([alone], ask(DEPLOY), facts))[0] is NobodyCouldApprove


def test_what_was_approved_in_advance_needs_nobody_under_that_policy() -> None:
    required = policy("advance", pre_approval_required=True, max_duration=4 * HOUR)
    assert refusal(decided([required], ask()))[0] is PreApprovalRequired
    facts = replace(FACTS, pre_approved={"advance": 2 * HOUR, "gone": HOUR})
    decision = decided([policy("other", approval=BY_DBA), required], ask(duration=3 * HOUR), facts)
    assert (decision.outcome, decision.duration) == (Outcome.GIVEN, 2 * HOUR)
    assert decision.why[1] == "nobody has to agree: it was approved in advance"
    assert decided([policy("other")], ask(), facts).outcome is Outcome.ASK


def test_of_two_ways_past_the_approvers_the_longer_one_is_taken() -> None:
    both = policy("both", approval=replace(BY_DBA, on_call=ON_CALL))
    facts = replace(DEV_ON_CALL, pre_approved={"both": timedelta(minutes=45)})
    assert decided([both], ask(), facts).duration == timedelta(minutes=45)


def test_a_standing_policy_is_not_cut_for_who_is_on_call() -> None:
    standing = policy(approval=replace(STANDING, on_call=ON_CALL))
    assert decided([standing], ask(), DEV_ON_CALL).duration == HOUR


MANAGER_ONLY = Approval((Agreement(NOBODY, manager=True),))


def test_who_needs_a_manager_and_has_none_is_told_when_they_ask() -> None:
    managers = policy("managers", approval=MANAGER_ONLY)
    assert refusal(decided([managers], ask())) == (
        NobodyCouldApprove,
        "policy 'managers' needs the approval of the manager of dev@example.com (not known); "
        "nobody could give it for this request",
    )
    assert decided([managers], ask(MANAGED)).outcome is Outcome.ASK
    assert asked_under([managers, policy("other")], ask()) == "other"


@pytest.mark.parametrize(
    ("approval", "facts", "outcome"),
    [
        (replace(MANAGER_ONLY, on_call=ON_CALL), DEV_ON_CALL, Outcome.GIVEN),
        (replace(MANAGER_ONLY, on_call=ON_CALL), FACTS, Outcome.DENIED),
        (MANAGER_ONLY, replace(FACTS, pre_approved={"managers": HOUR}), Outcome.GIVEN),
        (replace(MANAGER_ONLY, escalation=frozenset({"primary"})), FACTS, Outcome.ASK),
        (replace(MANAGER_ONLY, break_glass=group("dba")), FACTS, Outcome.ASK),
        (Approval((Agreement(group("dba"), manager=True),)), FACTS, Outcome.ASK),
    ],
    ids=["on call", "not on call", "in advance", "escalation", "break-glass", "or a group"],
)
def test_a_missing_manager_does_not_matter_where_there_is_another_way(
    approval: Approval, facts: Facts, outcome: Outcome
) -> None:
    assert decided([policy("managers", approval=approval)], ask(), facts).outcome is outcome


def test_a_manager_who_asks_for_their_people_cannot_be_the_one_who_agrees() -> None:
    managers = policy("managers", approval=MANAGER_ONLY, on_behalf=group("leads"))
    for_managed = ask(MANAGED, requester=LEAD)
    assert refusal(decided([managers], for_managed))[0] is NobodyCouldApprove
    one_party = replace(managers, approval=replace(MANAGER_ONLY, one_party=True))
    assert decided([one_party], for_managed).outcome is Outcome.ASK


def test_a_policy_whose_only_approver_asks_leaves_the_decision_to_a_later_one() -> None:
    alone = policy("alone", approval=Approval((Agreement(people("dev@example.com")),)))
    assert asked_under([alone, policy("other")], ask()) == "other"
    assert refusal(decided([alone], ask()))[0] is NobodyCouldApprove
    strict = policy("strict", reason_required=True)
    assert refusal(decided([alone, strict], ask()))[0] is ReasonRequired


def test_who_asks_for_somebody_else_needs_a_policy_that_lets_them() -> None:
    leads = policy("leads", requesters=group("developers"), on_behalf=group("leads"))
    for_dev = ask(DEV, requester=LEAD)
    assert decided([leads], for_dev).outcome is Outcome.ASK
    assert refusal(decided([policy("own")], for_dev)) == (
        PolicyDenied,
        "policy 'own' does not let you ask for dev@example.com",
    )
    assert asked_under([policy("own"), leads], for_dev) == "leads"
    assert refusal(decided([leads], ask(LEAD, requester=LEAD)))[0] is PolicyDenied


def test_a_machine_has_so_many_grants_at_once_and_a_human_any_number() -> None:
    deploys = policy("deploys", requesters=group("deployers", "developers"), at_once=2)
    assert decided([deploys], ask(DEPLOY), replace(FACTS, living=1)).outcome is Outcome.ASK
    assert refusal(decided([deploys], ask(DEPLOY), replace(FACTS, living=2))) == (
        TooManyAtOnce,
        "2 grants live already, and policy 'deploys' allows 2 at once; "
        "relinquish one, or wait for its end",
    )
    assert decided([deploys], ask(DEV), replace(FACTS, living=2)).outcome is Outcome.ASK
    unbounded = policy("any", requesters=group("deployers"))
    assert asked_under_at([deploys, unbounded], ask(DEPLOY), replace(FACTS, living=9)) == "any"


@pytest.mark.parametrize(
    ("bounds", "asked", "given"),
    [
        ((), (), ()),
        ((), ("192.0.2.0/24",), ("192.0.2.0/24",)),
        (("10.0.0.0/8",), (), ("10.0.0.0/8",)),
        (("10.0.0.0/8",), ("10.1.0.0/16",), ("10.1.0.0/16",)),
        (("10.0.0.0/8",), ("10.0.0.0/8",), ("10.0.0.0/8",)),
        (("10.0.0.0/9", "10.128.0.0/9"), ("10.0.0.0/8",), ("10.0.0.0/8",)),
        (
            ("10.0.0.0/8", "fd00::/8"),
            ("fd00::1/128", "10.0.0.1/32"),
            ("fd00::1/128", "10.0.0.1/32"),
        ),
    ],
)
def test_networks_are_those_asked_for_within_those_of_the_policy(
    bounds: tuple[str, ...], asked: tuple[str, ...], given: tuple[str, ...]
) -> None:
    bounded = policy(networks=tuple(map(ip_network, bounds)))
    wish = ask(networks=tuple(map(ip_network, asked)))
    assert decided([bounded], wish).networks == tuple(map(ip_network, given))


@pytest.mark.parametrize("asked", ["10.0.0.0/7", "192.0.2.1/32", "fd00::/8"])
def test_networks_beyond_those_of_the_policy_are_refused(asked: str) -> None:
    bounded = policy("office", networks=(TEN,))
    wish = ask(networks=(ip_network("10.1.0.0/16"), ip_network(asked)))
    assert refusal(decided([bounded], wish)) == (
        NetworkOutside,
        f"network {asked} is not within what policy 'office' allows: 10.0.0.0/8",
    )
    assert asked_under([bounded, policy("anywhere")], wish) == "anywhere"


def test_a_membership_is_given_by_policies_without_networks_only() -> None:
    """It is used without the proxy, so nothing would keep it to them."""
    wish = ask(kind=GrantKind.MEMBERSHIP)
    bounded = policy("office", networks=(TEN,))
    assert refusal(decided([bounded], wish))[0] is NotThroughProxy
    assert asked_under([bounded, policy("anywhere")], wish) == "anywhere"
    assert refusal(decided([policy()], replace(wish, networks=(TEN,))))[0] is NotThroughProxy


def test_a_membership_is_given_by_policies_that_hold_sessions_to_nothing_only() -> None:
    wish = ask(kind=GrantKind.MEMBERSHIP)
    held = policy("held", conditions=Conditions(refused=frozenset({StatementKind.DDL})))
    assert refusal(decided([held], wish))[0] is NotThroughProxy
    assert asked_under([held, policy("free")], wish) == "free"
    recorded = policy("recorded", conditions=Conditions(parameters=Recorded.TYPES))
    assert asked_under([held, recorded], wish) == "recorded"


def test_a_decision_says_what_sessions_are_held_to() -> None:
    held = policy("held", conditions=Conditions(refused=frozenset({StatementKind.DDL}), max_rows=9))
    assert decided([held], ask()).why[2:] == (
        "refused: statements that change the schema",
        "at most 9 rows are returned",
    )


def again(policies: Sequence[Policy], wish: Ask, facts: Facts = FACTS) -> Decision:
    return recheck(PolicyBook(tuple(policies)), "orders-readers", wish, facts)


def test_asked_again_only_the_policy_of_the_request_decides() -> None:
    others = [policy("given", approval=STANDING), policy("x", max_duration=9 * HOUR)]
    assert again([*others, policy()], ask()) == decided([policy()], ask())
    assert refusal(again([*others, policy()], ask(duration=2 * HOUR)))[0] is DurationTooLong


def test_asked_again_a_denial_that_came_since_wins() -> None:
    assert refusal(again([policy(), policy("never", approval=None)], ask()))[1].startswith(
        "policy 'never' denies"
    )


@pytest.mark.parametrize(
    ("policies", "why"),
    [
        ([policy("other")], "is gone"),
        ([policy(enabled=False)], "is disabled now"),
        (
            [policy(requesters=group("dba"))],
            "no longer gives 'orders_reader' in database 'orders' on target 'orders' "
            "to dev@example.com",
        ),
        (
            [policy(keep=(Resource("billing"),))],
            "no longer gives 'orders_reader' in database 'orders' on target 'orders' "
            "to dev@example.com",
        ),
        (
            [policy(approval=None, hours=OFFICE)],
            "no longer gives 'orders_reader' in database 'orders' on target 'orders' "
            "to dev@example.com",
        ),
    ],
)
def test_asked_again_a_policy_that_is_another_one_now_refuses(
    policies: list[Policy], why: str
) -> None:
    assert refusal(again(policies, ask(), at("2026-03-07T12:00"))) == (
        PolicyDenied,
        f"policy 'orders-readers', under which this was asked for, {why}",
    )
