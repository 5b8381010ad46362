"""What holds for whatever policies there are. The index must say what a look at one policy after
another would say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain.grant import GrantKind
from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Decision, Outcome, decide, recheck
from broker.domain.policy.explanation import Part, explain
from broker.domain.policy.fit import why_not
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import NOBODY, People
from broker.domain.policy.resources import Resource, Resources
from broker.domain.policy.rule import Policy
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions
from tests.support.policies import (
    ANYONE,
    DEPLOY,
    DEV,
    HOUR,
    LEAD,
    MANAGED,
    NOW,
    REVIEWER,
    group,
    people,
)

NAMES = ("orders", "billing", "shop_a", "shop_b")
GLOBS = st.sampled_from((*NAMES, "*", "shop_*", "*s", "sh*_b", "?*"))
PEOPLE = st.sampled_from(
    (
        ANYONE,
        NOBODY,
        group("developers"),
        group("leads", "deployers"),
        people("dev@example.com"),
        People(machines=frozenset({"deploy@github.machine"})),
    )
)
RESOURCES = st.builds(Resource, GLOBS, GLOBS, GLOBS)
NETWORKS = st.lists(
    st.sampled_from([ip_network(each) for each in ("10.0.0.0/8", "10.1.0.0/16", "fd00::/8")]),
    max_size=2,
).map(tuple)
AGREEMENTS = st.builds(
    Agreement,
    st.sampled_from((NOBODY, group("dba"), people("dev@example.com"), people("lead@example.com"))),
    manager=st.booleans(),
    count=st.integers(1, 2),
)
APPROVALS = st.builds(
    Approval,
    st.lists(AGREEMENTS, max_size=2).map(tuple),
    st.none() | st.just(OnCall(frozenset({"primary"}), HOUR / 2)),
    st.sampled_from((frozenset[str](), frozenset({"primary"}))),
    st.sampled_from((NOBODY, group("dba"))),
    st.booleans(),
)
HOURS = st.builds(
    lambda day, zone: WeeklyHours((Span(day, 600, 900),), ZoneInfo(zone)),
    st.integers(2, 3),
    st.sampled_from(("UTC", "Europe/Berlin", "Asia/Tokyo")),
)
SELDOM = st.sampled_from((False, False, False, True))
POLICIES = st.builds(
    Policy,
    name=st.just("to be numbered"),
    requesters=PEOPLE,
    resources=st.builds(
        Resources,
        st.lists(RESOURCES, min_size=1, max_size=3).map(tuple),
        st.lists(RESOURCES, max_size=1).map(tuple),
    ),
    approval=st.none() | st.just(STANDING) | APPROVALS | APPROVALS,
    enabled=st.sampled_from((True, True, True, False)),
    max_duration=st.sampled_from((HOUR / 2, HOUR, 2 * HOUR)),
    default_duration=st.none() | st.just(HOUR / 2),
    reason_required=SELDOM,
    duration_required=SELDOM,
    pre_approval_required=SELDOM,
    networks=NETWORKS,
    hours=st.none() | st.none() | HOURS,
    on_behalf=PEOPLE,
    at_once=st.none() | st.integers(1, 3),
    conditions=st.sampled_from((NO_CONDITIONS, NO_CONDITIONS, Conditions(max_rows=1000))),
)
LISTS = st.lists(POLICIES, max_size=8).map(
    lambda found: [replace(each, name=f"p{number}") for number, each in enumerate(found)]
)
WHO = st.sampled_from((DEV, REVIEWER, LEAD, MANAGED, DEPLOY))
ASKS = st.builds(
    lambda person, requester, **rest: Ask(person=person, requester=requester or person, **rest),
    WHO,
    st.none() | st.none() | WHO,
    target=st.sampled_from(NAMES),
    database=st.sampled_from(NAMES),
    role=st.sampled_from(NAMES),
    kind=st.sampled_from((GrantKind.LOGIN, GrantKind.LOGIN, GrantKind.MEMBERSHIP)),
    duration=st.sampled_from((None, HOUR / 4, HOUR, 3 * HOUR)),
    reason=st.sampled_from((" ", "a fix")),
    networks=NETWORKS,
)
FACTS = st.builds(
    Facts,
    now=st.sampled_from((NOW, NOW + 3 * HOUR, NOW + 22 * HOUR)),
    on_call=st.dictionaries(
        st.sampled_from(("primary", "secondary")),
        st.frozensets(st.sampled_from(("dev@example.com", "deploy@github.machine"))),
    ),
    pre_approved=st.dictionaries(
        st.sampled_from(("p0", "p1", "p9")), st.sampled_from((HOUR / 3, 4 * HOUR))
    ),
    living=st.integers(0, 3),
)


def covers(policy: Policy, ask: Ask) -> bool:
    where = {"target": ask.target, "database": ask.database, "role": ask.role}
    return policy.enabled and policy.covers(ask.person, **where)


def naively(policies: Sequence[Policy], ask: Ask, facts: Facts) -> Policy | None:
    """Return the policy that decides, by a look at one after another."""
    covering = [policy for policy in policies if covers(policy, ask)]
    for policy in covering:
        if policy.denies and (policy.hours is None or policy.hours.includes(facts.now)):
            return policy
    for policy in covering:
        if policy.approval and not [*why_not(policy, policy.approval, ask, facts)]:
            return policy
    return None


def same(one: Decision, other: Decision) -> bool:
    errors = [(type(each.error), str(each.error)) for each in (one, other)]
    return errors[0] == errors[1] and replace(one, error=None) == replace(other, error=None)


@settings(max_examples=200, deadline=None)
@given(LISTS, ASKS, FACTS)
def test_the_index_says_what_one_policy_after_another_would(
    policies: list[Policy], ask: Ask, facts: Facts
) -> None:
    decision = decide(PolicyBook(tuple(policies)), ask, facts)
    expected = naively(policies, ask, facts)
    assert decision.policy == expected
    denied = expected is None or expected.denies
    assert (decision.outcome is Outcome.DENIED) is denied
    assert (decision.error is not None) is denied
    assert decision.why


@settings(max_examples=80, deadline=None)
@given(LISTS, ASKS, FACTS)
def test_a_refusal_is_one_that_some_policy_gives(
    policies: list[Policy], ask: Ask, facts: Facts
) -> None:
    decision = decide(PolicyBook(tuple(policies)), ask, facts)
    reasons = {
        str(error)
        for policy in policies
        if covers(policy, ask) and policy.approval
        for error in why_not(policy, policy.approval, ask, facts)
    }
    if decision.outcome is Outcome.DENIED and decision.policy is None and reasons:
        assert set(decision.why) <= reasons


@settings(max_examples=80, deadline=None)
@given(LISTS, ASKS, FACTS, st.randoms(use_true_random=False))
def test_a_denial_wins_whatever_the_order(
    policies: list[Policy], ask: Ask, facts: Facts, random: Random
) -> None:
    denied = decide(PolicyBook(tuple(policies)), ask, facts).policy
    random.shuffle(policies)
    shuffled = decide(PolicyBook(tuple(policies)), ask, facts).policy
    assert (denied is not None and denied.denies) is (shuffled is not None and shuffled.denies)


@settings(max_examples=80, deadline=None)
@given(LISTS, ASKS, FACTS)
def test_a_disabled_policy_changes_nothing(policies: list[Policy], ask: Ask, facts: Facts) -> None:
    enabled = tuple(policy for policy in policies if policy.enabled)
    assert same(
        decide(PolicyBook(tuple(policies)), ask, facts), decide(PolicyBook(enabled), ask, facts)
    )


@settings(max_examples=80, deadline=None)
@given(LISTS, ASKS, FACTS)
def test_what_is_given_is_within_the_policy(policies: list[Policy], ask: Ask, facts: Facts) -> None:
    decision = decide(PolicyBook(tuple(policies)), ask, facts)
    if decision.outcome is Outcome.DENIED:
        return
    policy = decision.policy
    assert policy is not None
    assert decision.duration is not None
    assert timedelta() < decision.duration <= policy.max_duration
    ends = facts.now + decision.duration - timedelta(microseconds=1)
    assert policy.hours is None or policy.hours.includes(ends)
    for other in policies:
        if other.denies and covers(other, ask):
            assert other.hours is not None
            assert not other.hours.includes(ends)
    assert [cut.to for cut in decision.cuts] == sorted((c.to for c in decision.cuts), reverse=True)
    if ask.person.kind is DEPLOY.kind and decision.outcome is Outcome.ASK:
        assert policy.approval is not None
        assert policy.approval.agreements


@settings(max_examples=80, deadline=None)
@given(LISTS, ASKS, FACTS)
def test_what_was_decided_is_decided_again_under_the_same_policy(
    policies: list[Policy], ask: Ask, facts: Facts
) -> None:
    book = PolicyBook(tuple(policies))
    decision = decide(book, ask, facts)
    if decision.policy is not None:
        assert same(recheck(book, decision.policy.name, ask, facts), decision)


@settings(max_examples=60, deadline=None)
@given(LISTS, ASKS, FACTS)
def test_an_explanation_agrees_with_the_decision(
    policies: list[Policy], ask: Ask, facts: Facts
) -> None:
    book = PolicyBook(tuple(policies))
    explanation = explain(book, ask, facts)
    assert same(explanation.decision, decide(book, ask, facts))
    parts = {each.policy.name: each.part for each in explanation.considered}
    decided = explanation.decision
    if decided.policy is not None:
        wanted = Part.DENIES if decided.outcome is Outcome.DENIED else Part.DECIDES
        assert parts[decided.policy.name] is wanted
    assert set(parts) >= {policy.name for policy in policies if covers(policy, ask)}
    assert all(each.why for each in explanation.considered)
