"""What makes a catalog role unusable, and what is said about it."""

from dataclasses import replace

import pytest

from broker.domain.catalog import CatalogRole
from broker.domain.grant import GrantKind
from broker.domain.role_check import ParameterFacts, RoleFacts, find_role_faults, role_faults

ROLE = CatalogRole("orders_reader", "may read", 10)
GOOD = RoleFacts(
    name="orders_reader",
    oid=16384,
    can_connect=True,
    public_can_connect=False,
    database="orders",
    admin="curfew_admin",
    server_version=150018,
)


def the_fault(facts: RoleFacts, role: CatalogRole = ROLE, *parameters: ParameterFacts) -> str:
    (fault,) = role_faults(facts, role, parameters)
    return fault


def test_a_role_that_only_holds_privileges_may_be_given() -> None:
    assert role_faults(GOOD, ROLE, [ParameterFacts("work_mem", known=True, settable=True)]) == ()


def test_a_role_that_does_not_exist_is_the_only_fault() -> None:
    missing = replace(GOOD, oid=None, grantable=False, can_connect=False)
    assert the_fault(missing) == (
        'role orders_reader does not exist; CREATE ROLE "orders_reader" NOLOGIN and grant it what '
        "it is for, or ask for another"
    )


@pytest.mark.parametrize(
    ("facts", "attribute"),
    [
        (replace(GOOD, can_login=True), "LOGIN"),
        (replace(GOOD, superuser=True), "SUPERUSER"),
        (replace(GOOD, replication=True), "REPLICATION"),
        (replace(GOOD, bypass_rls=True), "BYPASSRLS"),
        (replace(GOOD, create_role=True), "CREATEROLE"),
    ],
)
def test_an_attribute_that_no_catalog_role_may_have_is_named_with_its_remedy(
    facts: RoleFacts, attribute: str
) -> None:
    (fault,) = find_role_faults(facts, ROLE, ())
    assert fault.code == f"role-{attribute.lower()}"
    assert fault.sentence.startswith(f"role orders_reader has {attribute}: ")
    assert fault.sentence.endswith(
        f'; ALTER ROLE "orders_reader" NO{attribute}, or ask for another'
    )
    assert fault.sql == (f'ALTER ROLE "orders_reader" NO{attribute}',)


def test_createrole_is_harmless_from_16_on_unless_sessions_may_become_the_role() -> None:
    creates = replace(GOOD, create_role=True, server_version=160004, public_can_connect=True)
    assert role_faults(creates, ROLE, ()) == ()
    for role in (replace(ROLE, set_role=True), replace(ROLE, inherit=False)):
        assert "has CREATEROLE" in the_fault(creates, role)


def test_createdb_is_no_fault() -> None:
    assert role_faults(replace(GOOD, create_db=True), ROLE, ()) == ()


def test_every_power_that_the_role_reaches_is_a_fault() -> None:
    powerful = replace(GOOD, powers=("postgres (a superuser)", "copier (REPLICATION)"))
    faults = role_faults(powerful, ROLE, ())
    assert len(faults) == 2
    assert "is a member of postgres (a superuser)" in faults[0]
    assert "is a member of copier (REPLICATION)" in faults[1]


def test_a_superuser_that_is_a_member_would_carry_out_what_is_planted() -> None:
    (fault,) = find_role_faults(replace(GOOD, superuser_members=('boss"',)), ROLE, ())
    assert fault.sql == ('REVOKE "orders_reader" FROM "boss"""',)
    assert 'granted to superuser boss"' in fault.sentence


def test_a_role_that_the_admin_role_may_not_grant() -> None:
    ungrantable = replace(GOOD, grantable=False)
    assert the_fault(ungrantable) == (
        "curfew_admin may not grant role orders_reader; run pgcurfew bootstrap again"
    )
    assert the_fault(replace(ungrantable, server_version=160004)) == (
        'curfew_admin may not grant role orders_reader; GRANT "orders_reader" TO "curfew_admin" '
        "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE, or run pgcurfew bootstrap again"
    )


def test_that_a_superuser_cannot_be_granted_is_not_its_fault() -> None:
    assert "has SUPERUSER" in the_fault(replace(GOOD, superuser=True, grantable=False))


@pytest.mark.parametrize("role", [ROLE, replace(ROLE, set_role=True)])
def test_logins_that_inherit_connect_by_the_right_of_the_role(role: CatalogRole) -> None:
    assert role_faults(GOOD, role, ()) == ()
    said = the_fault(replace(GOOD, can_connect=False, public_can_connect=False), role)
    assert said == (
        "role orders_reader may not connect to database orders; "
        'GRANT CONNECT ON DATABASE "orders" TO "orders_reader"'
    )


def test_logins_that_do_not_inherit_connect_only_by_the_right_of_everybody() -> None:
    role = replace(ROLE, inherit=False)
    said = the_fault(GOOD, role)
    assert "with inherit: false a login of role orders_reader does not inherit" in said
    assert 'GRANT CONNECT ON DATABASE "orders" TO PUBLIC' in said
    assert role_faults(replace(GOOD, public_can_connect=True), role, ()) == ()


def test_a_parameter_that_this_version_lacks_or_the_admin_role_may_not_set() -> None:
    unknown = ParameterFacts("transaction_timeout", known=False, settable=False)
    assert the_fault(GOOD, ROLE, unknown) == (
        "PostgreSQL 15 has no parameter transaction_timeout that a role's settings may hold; take "
        "it from the settings of role orders_reader"
    )
    forbidden = ParameterFacts("log_statement", known=True, settable=False)
    assert the_fault(GOOD, ROLE, forbidden) == (
        "curfew_admin may not set parameter log_statement on logins of PostgreSQL 15; take it from "
        "the settings of role orders_reader"
    )


def test_what_only_logins_need_does_not_matter_to_memberships() -> None:
    role = replace(ROLE, kinds=frozenset({GrantKind.MEMBERSHIP}))
    unknown = ParameterFacts("transaction_timeout", known=False, settable=False)
    assert role_faults(replace(GOOD, can_connect=False), role, [unknown]) == ()
