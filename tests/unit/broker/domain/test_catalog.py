"""What may be asked for, and how little a person learns about the rest."""

from datetime import timedelta

import pytest

from broker.domain.catalog import Catalog, CatalogRole, CatalogTarget
from broker.domain.errors import PolicyDenied, UnknownRole, UnknownTarget
from broker.domain.person import Person
from broker.domain.policy import Ask, People, Policy, Resource, may_request

DEV = Person("per_1", "dev@example.com", "A developer", frozenset({"developers"}))
REVIEWER = Person("per_2", "reviewer@example.com", "A reviewer", frozenset({"dba"}))


def target(name: str, *roles: str) -> CatalogTarget:
    return CatalogTarget(name, name, {role: CatalogRole(role, f"may {role}", 10) for role in roles})


def policy(group: str, *resources: Resource) -> Policy:
    return Policy(
        name=f"{group}-policy",
        requesters=People(groups=frozenset({group})),
        resources=resources,
        approvers=People(anyone=True),
        max_duration=timedelta(hours=1),
    )


CATALOG = Catalog(
    {
        each.name: each
        for each in (
            target("orders", "orders_writer", "orders_reader", "orders_owner"),
            target("billing", "billing_reader"),
            target("payroll", "payroll_reader"),
        )
    }
)
POLICIES = (
    policy("developers", Resource(target="orders", role="orders_[rw]*"), Resource("billing")),
    policy("dba", Resource()),
)


def test_a_person_finds_what_a_policy_lets_them_ask_for() -> None:
    found = CATALOG.find(DEV, POLICIES, target="orders", role="orders_reader")
    assert found == (
        CATALOG.targets["orders"],
        CatalogRole("orders_reader", "may orders_reader", 10),
    )


def test_everybody_sees_only_their_own_part_of_the_catalog() -> None:
    assert CATALOG.allowed_to(DEV, POLICIES) == {
        "orders": ["orders_reader", "orders_writer"],
        "billing": ["billing_reader"],
    }
    assert CATALOG.allowed_to(REVIEWER, POLICIES) == {
        "orders": ["orders_owner", "orders_reader", "orders_writer"],
        "billing": ["billing_reader"],
        "payroll": ["payroll_reader"],
    }


@pytest.mark.parametrize("name", ["payroll", "no-such-target"])
def test_a_target_that_one_may_not_see_looks_like_one_that_does_not_exist(name: str) -> None:
    with pytest.raises(UnknownTarget) as refusal:
        CATALOG.find(DEV, POLICIES, target=name, role="payroll_reader")
    assert str(refusal.value) == f"unknown target {name!r}; you may ask for billing, orders"


@pytest.mark.parametrize("name", ["orders_owner", "no_such_role"])
def test_a_role_that_one_may_not_see_looks_like_one_that_does_not_exist(name: str) -> None:
    with pytest.raises(UnknownRole) as refusal:
        CATALOG.find(DEV, POLICIES, target="orders", role=name)
    assert str(refusal.value) == (
        f"unknown role {name!r} on target 'orders'; you may ask for orders_reader, orders_writer"
    )


@pytest.mark.parametrize("name", ["orders", "no-such-target"])
def test_whoever_may_ask_for_nothing_learns_nothing(name: str) -> None:
    stranger = Person("per_3", "stranger@example.com", "")
    assert CATALOG.allowed_to(stranger, POLICIES) == {}
    with pytest.raises(PolicyDenied) as refusal:
        CATALOG.find(stranger, POLICIES, target=name, role="orders_reader")
    assert str(refusal.value) == "no policy lets you ask for anything; ask your administrator"


@pytest.mark.parametrize(
    ("pattern", "database"),
    [("*", "orders"), ("orders_2026", "orders_2026"), ("orders_[ab]", "orders_b")],
)
def test_whatever_a_policy_allows_in_some_database_is_in_the_catalog(
    pattern: str, database: str
) -> None:
    """The person names the database later; the catalog must not hide what they may get."""
    policies = [policy("developers", Resource("orders", pattern, "orders_reader"))]
    wish = Ask(
        requester=DEV,
        target="orders",
        database=database,
        role="orders_reader",
        duration=timedelta(minutes=5),
        reason="",
    )
    assert type(may_request(policies, wish)).__name__ == "Allow"
    assert CATALOG.allowed_to(DEV, policies) == {"orders": ["orders_reader"]}


def test_policies_may_come_from_a_generator() -> None:
    """They are gone through once for each role of each target."""
    assert CATALOG.allowed_to(REVIEWER, (each for each in POLICIES)) == CATALOG.allowed_to(
        REVIEWER, POLICIES
    )
