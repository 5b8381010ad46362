"""Who may ask for what, who may approve it, and for how long."""

from datetime import timedelta

import pytest

from broker.domain.errors import DurationTooLong, PolicyDenied, ReasonRequired
from broker.domain.person import Person
from broker.domain.policy import (
    Allow,
    Ask,
    Deny,
    People,
    Policy,
    Resource,
    find,
    may_decide,
    may_request,
)

HOUR = timedelta(hours=1)
DEV = Person("per_1", "dev@example.com", "A developer", frozenset({"developers"}))
REVIEWER = Person("per_2", "reviewer@example.com", "A reviewer", frozenset({"dba", "oncall"}))

ANYONE = People(anyone=True)
DEVELOPERS = People(groups=frozenset({"developers"}))
DBA = People(groups=frozenset({"dba"}))


def policy(
    name: str = "orders-readers",
    *,
    requesters: People = ANYONE,
    resources: tuple[Resource, ...] = (Resource("orders", "orders", "orders_reader"),),
    approvers: People = DBA,
    max_duration: timedelta = HOUR,
    reason_required: bool = False,
) -> Policy:
    return Policy(
        name=name,
        requesters=requesters,
        resources=resources,
        approvers=approvers,
        max_duration=max_duration,
        reason_required=reason_required,
    )


def ask(
    *,
    requester: Person = DEV,
    target: str = "orders",
    database: str = "orders",
    role: str = "orders_reader",
    duration: timedelta = HOUR,
    reason: str = "",
) -> Ask:
    return Ask(
        requester=requester,
        target=target,
        database=database,
        role=role,
        duration=duration,
        reason=reason,
    )


def refusal(decision: Allow | Deny) -> tuple[type[Exception], str]:
    assert isinstance(decision, Deny)
    return type(decision.error), decision.reason


def test_a_policy_that_fits_allows_the_request() -> None:
    assert may_request([policy()], ask()) == Allow(policy())


def test_the_first_policy_in_the_file_that_fits_decides() -> None:
    policies = [policy("first", approvers=DBA), policy("second", approvers=ANYONE)]
    assert may_request(policies, ask()) == Allow(policies[0])
    assert may_request(policies[::-1], ask()) == Allow(policies[1])


def test_a_policy_that_is_too_tight_leaves_the_decision_to_a_later_one() -> None:
    policies = [
        policy("an-hour"),
        policy("with-reason", max_duration=8 * HOUR, reason_required=True),
        policy("a-day", max_duration=24 * HOUR),
    ]
    assert may_request(policies, ask(duration=HOUR)) == Allow(policies[0])
    assert may_request(policies, ask(duration=2 * HOUR, reason="a fix")) == Allow(policies[1])
    assert may_request(policies, ask(duration=2 * HOUR)) == Allow(policies[2])


def test_a_request_may_last_exactly_as_long_as_its_policy_allows() -> None:
    a_little_more = ask(duration=HOUR + timedelta(seconds=1))
    assert may_request([policy()], ask(duration=HOUR)) == Allow(policy())
    assert refusal(may_request([policy()], a_little_more)) == (
        DurationTooLong,
        "1h 1s is too long: policy 'orders-readers' allows at most 1h",
    )


@pytest.mark.parametrize("reason", ["", " ", "\t\n"])
def test_a_policy_may_want_a_reason_and_blanks_are_none(reason: str) -> None:
    strict = policy(reason_required=True)
    assert refusal(may_request([strict], ask(reason=reason))) == (
        ReasonRequired,
        "policy 'orders-readers' wants a reason",
    )
    assert may_request([strict], ask(reason="a fix")) == Allow(strict)


def test_when_several_policies_almost_fit_the_first_one_explains() -> None:
    """It is the one that the operator put first for this case."""
    short, strict = policy("short"), policy("strict", max_duration=8 * HOUR, reason_required=True)
    too_long_without_reason = ask(duration=2 * HOUR)
    assert refusal(may_request([short, strict], too_long_without_reason)) == (
        DurationTooLong,
        "2h is too long: policy 'short' allows at most 1h",
    )
    assert refusal(may_request([strict, short], too_long_without_reason)) == (
        ReasonRequired,
        "policy 'strict' wants a reason",
    )


@pytest.mark.parametrize(
    "wish",
    [
        ask(target="billing"),
        ask(database="postgres"),
        ask(role="orders_owner"),
        ask(requester=REVIEWER),
    ],
    ids=["target", "database", "role", "person"],
)
def test_what_no_policy_names_is_denied(wish: Ask) -> None:
    decision = may_request([policy(requesters=DEVELOPERS)], wish)
    assert refusal(decision) == (
        PolicyDenied,
        f"no policy lets you ask for {wish.role!r} in database {wish.database!r} "
        f"on target {wish.target!r}",
    )


def test_without_policies_nobody_gets_anything() -> None:
    assert refusal(may_request([], ask()))[0] is PolicyDenied


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("orders_reader", "orders_reader", True),
        ("orders_reader", "orders_reader2", False),
        ("orders_reader", "ORDERS_READER", False),
        ("orders_*", "orders_a", True),
        ("orders_*", "orders_", True),
        ("orders_*", "xorders_a", False),
        ("orders_*", "orders", False),
        ("*_reader", "orders_reader", True),
        ("*_reader", "orders_reader_x", False),
        ("*", "anything at all", True),
        ("orders_?", "orders_a", True),
        ("orders_?", "orders_ab", False),
        ("orders_[ab]", "orders_b", True),
        ("orders_[ab]", "orders_c", False),
        ("orders.reader", "orders_reader", False),  # a glob, not a regular expression
        ("orders_*", "orders_a\nb", True),
        ("orders_reader", "orders_reader\n", False),
    ],
)
def test_a_name_in_a_policy_is_exact_or_a_glob_of_the_whole_name(
    *, pattern: str, name: str, fits: bool
) -> None:
    assert Resource(target=pattern).matches(name, "d", "r") is fits
    assert Resource(database=pattern).matches("t", name, "r") is fits
    assert Resource(role=pattern).matches("t", "d", name) is fits


def test_all_three_names_of_a_resource_must_fit_together() -> None:
    """Two resources are two pairs, never their cross product."""
    both = policy(resources=(Resource("a", "*", "reader"), Resource("b", "*", "writer")))
    fits = {
        (target, role): both.covers(DEV, target=target, database="d", role=role)
        for target in "ab"
        for role in ("reader", "writer")
    }
    assert fits == {
        ("a", "reader"): True,
        ("a", "writer"): False,
        ("b", "reader"): False,
        ("b", "writer"): True,
    }


@pytest.mark.parametrize(
    ("people", "dev", "reviewer"),
    [
        (ANYONE, True, True),
        (People(emails=frozenset({"reviewer@example.com"})), False, True),
        (People(groups=frozenset({"dba"})), False, True),
        (People(groups=frozenset({"dba", "developers"})), True, True),
        (People(emails=frozenset({"dev@example.com"}), groups=frozenset({"dba"})), True, True),
        (
            People(emails=frozenset({"developers"}), groups=frozenset({"dev@example.com"})),
            False,
            False,
        ),
        (People(), False, False),
    ],
    ids=["anyone", "email", "group", "groups", "email or group", "never mixed up", "nobody"],
)
def test_approvers_are_named_by_email_by_group_or_are_anyone(
    *, people: People, dev: bool, reviewer: bool
) -> None:
    policies = [policy(approvers=people)]
    assert may_decide(policies, "orders-readers", DEV) is dev
    assert may_decide(policies, "orders-readers", REVIEWER) is reviewer


def test_only_the_policy_of_the_request_names_its_approvers() -> None:
    policies = [policy("theirs", approvers=DBA), policy("ours", approvers=DEVELOPERS)]
    assert may_decide(policies, "ours", REVIEWER) is False
    assert may_decide(policies, "theirs", REVIEWER) is True


def test_a_policy_that_was_removed_has_no_approvers_any_more() -> None:
    assert may_decide([policy("other", approvers=ANYONE)], "orders-readers", REVIEWER) is False


def test_a_policy_is_found_by_its_name() -> None:
    policies = [policy("first"), policy("second")]
    assert find(policies, "second") is policies[1]
    assert find(policies, "third") is None


@pytest.mark.parametrize(
    ("people", "names"),
    [
        (People(anyone=True, emails=frozenset({"dev@example.com"})), ("anyone else",)),
        (
            People(
                emails=frozenset({"reviewer@example.com", "dev@example.com"}),
                groups=frozenset({"oncall", "dba"}),
            ),
            ("dev@example.com", "reviewer@example.com", "group dba", "group oncall"),
        ),
        (People(), ()),
    ],
)
def test_who_waits_for_an_approval_is_told_whom_to_ask(
    people: People, names: tuple[str, ...]
) -> None:
    assert people.describe() == names
