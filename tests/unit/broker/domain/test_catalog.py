"""What may be asked for, and how little a person learns about the rest."""

from datetime import timedelta

import pytest

from broker.domain.catalog import Catalog, CatalogRole, CatalogTarget
from broker.domain.errors import PolicyDenied, UnknownRole, UnknownTarget
from broker.domain.grant import GrantKind
from broker.domain.parameter import Parameter
from broker.domain.person import Person
from broker.domain.policy.approval import STANDING
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Outcome, decide
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource, Resources
from broker.domain.policy.rule import Policy
from tests.support.policies import FACTS, ask

DEV = Person("per_1", "dev@example.com", "A developer", frozenset({"developers"}))
REVIEWER = Person("per_2", "reviewer@example.com", "A reviewer", frozenset({"dba"}))


def target(name: str, *roles: str) -> CatalogTarget:
    return CatalogTarget(name, name, {role: CatalogRole(role, f"may {role}", 10) for role in roles})


def policy(group: str, *resources: Resource) -> Policy:
    return Policy(
        name=f"{group}-policy",
        requesters=People(groups=frozenset({group})),
        resources=Resources(resources),
        approval=STANDING,
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
POLICIES = PolicyBook(
    (
        policy("developers", Resource(target="orders", role="orders_[rw]*"), Resource("billing")),
        policy("dba", Resource()),
    )
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


def test_a_role_is_given_as_a_login_that_inherits_it_unless_the_operator_says_otherwise() -> None:
    role = CatalogRole("orders_reader", "", 10)
    assert (role.kinds, role.inherit, role.set_role) == (frozenset({GrantKind.LOGIN}), True, False)
    assert not role.pin_address


@pytest.mark.parametrize(
    ("inherit", "set_role", "may"),
    [(True, False, False), (True, True, True), (False, False, True)],
)
def test_only_a_login_that_has_to_may_become_its_role(
    *, inherit: bool, set_role: bool, may: bool
) -> None:
    """One that became it keeps the privileges until the session ends, whatever is revoked."""
    role = CatalogRole("orders_reader", "", 10, inherit=inherit, set_role=set_role)
    assert role.may_set_role is may


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
    policies = PolicyBook((policy("developers", Resource("orders", pattern, "orders_reader")),))
    assert decide(policies, ask(DEV, database=database), FACTS).outcome is Outcome.GIVEN
    assert CATALOG.allowed_to(DEV, policies) == {"orders": ["orders_reader"]}


def test_roles_come_by_name_and_one_can_be_looked_at_alone() -> None:
    roles = list(CATALOG.roles())
    assert roles == sorted(roles)
    assert ("orders", "orders_owner") in roles
    alone = CATALOG.only("orders", "orders_owner")
    assert list(alone.roles()) == [("orders", "orders_owner")]
    assert alone.targets["orders"].database == CATALOG.targets["orders"].database


def test_what_a_policy_sets_on_a_login_takes_the_place_of_what_the_role_does() -> None:
    own = (Parameter("work_mem", "64MB"), Parameter("search_path", ("shop",)))
    role = CatalogRole("orders_reader", "may read", 10, parameters=own)
    given = role.with_parameters((Parameter("work_mem", "8MB"), Parameter("timezone", "UTC")))
    assert given.parameters == (
        Parameter("work_mem", "8MB"),
        Parameter("search_path", ("shop",)),
        Parameter("timezone", "UTC"),
    )
    assert role.with_parameters(()) == role
