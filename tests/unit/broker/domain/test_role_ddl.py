"""The statements that make, change and remove roles, for both kinds of admin role."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.bootstrap.functions import SIGNATURES
from broker.domain.catalog import CatalogRole
from broker.domain.login_plan import LoginMark, LoginPlan
from broker.domain.parameter import Parameter
from broker.domain.role_ddl import (
    DirectDdl,
    RestrictedDdl,
    RoleDdl,
    clean_statements,
    timestamp,
)

UNTIL = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)
ROLE = CatalogRole("orders_reader", "may read", 10)
PLAN = LoginPlan(
    name="jit_a",
    role=ROLE,
    valid_until=UNTIL,
    mark=LoginMark("3f1e", "grt_06eajh8a00000000", "dev@example.com"),
)
SEARCH_PATH = Parameter("search_path", ("shop", "My Schema"))
TIMEOUT = Parameter("statement_timeout", "60000ms")
COMMENT = '{"pgcurfew": "3f1e", "grant": "grt_06eajh8a00000000", "person": "dev@example.com"}'

UP_TO_15, FROM_16, RESTRICTED = DirectDdl(150018), DirectDdl(160000), RestrictedDdl()
MAKE_THE_ROLE = (
    'CREATE ROLE "jit_a" LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION '
    "NOBYPASSRLS VALID UNTIL '2026-03-01T13:00:00.000000Z' CONNECTION LIMIT 10"
)
MARK_IT = f"COMMENT ON ROLE \"jit_a\" IS '{COMMENT}'"

# Everything that is quoted, as PostgreSQL reads it with any of its settings.
_QUOTED = re.compile(r"\"(?:[^\"]|\"\")+\"|E'(?:[^'\\]|''|\\\\)*'|'(?:[^'\\]|'')*'")
names = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.text(st.sampled_from("'\"\\E \n$;-,():")),
).filter(lambda name: 0 < len(name.encode()) <= 63)


def plan_for(role: CatalogRole) -> LoginPlan:
    return replace(PLAN, role=role)


def skeleton(statements: Iterable[str]) -> list[str]:
    """Return the statements without what is quoted in them: what PostgreSQL takes for syntax."""
    return [re.sub(r" +", " ", _QUOTED.sub("?", statement)) for statement in statements]


class TestDirect:
    """The admin role has CREATEROLE."""

    def test_up_to_15_a_login_is_made_with_the_options_there_are(self) -> None:
        assert UP_TO_15.make_login(PLAN) == (
            MAKE_THE_ROLE,
            MARK_IT,
            'GRANT "orders_reader" TO "jit_a"',
        )

    def test_the_admin_may_act_as_a_login_once_it_has_to_and_can(self) -> None:
        """Up to 15 every role that it is a member of makes its other work slower."""
        assert UP_TO_15.adopt("jit_a") == ('GRANT "jit_a" TO CURRENT_USER',)
        assert FROM_16.adopt("jit_a") == ()
        assert RESTRICTED.adopt("jit_a") == ()

    @pytest.mark.parametrize("server_version", [160000, 180006])
    def test_from_16_on_a_login_cannot_become_its_role_so_that_a_revoke_bites(
        self, server_version: int
    ) -> None:
        assert DirectDdl(server_version).make_login(PLAN) == (
            MAKE_THE_ROLE,
            MARK_IT,
            'GRANT "orders_reader" TO "jit_a" WITH INHERIT TRUE, SET FALSE',
            'GRANT "jit_a" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE',
        )

    @pytest.mark.parametrize(
        ("inherit", "set_role", "options"),
        [
            (True, True, "WITH INHERIT TRUE, SET TRUE"),
            (False, False, "WITH INHERIT FALSE, SET TRUE"),
        ],
    )
    def test_from_16_on_only_a_login_that_needs_to_may_become_its_role(
        self, *, inherit: bool, set_role: bool, options: str
    ) -> None:
        """Sessions that begin as the role, and people who want its privileges now and then."""
        role = replace(ROLE, inherit=inherit, set_role=set_role)
        statements = FROM_16.make_login(plan_for(role))
        assert f'GRANT "orders_reader" TO "jit_a" {options}' in statements

    def test_a_login_that_does_not_inherit_has_no_privileges_before_it_asks(self) -> None:
        create, *_ = UP_TO_15.make_login(plan_for(replace(ROLE, inherit=False)))
        assert create == MAKE_THE_ROLE.replace("LOGIN INHERIT", "LOGIN NOINHERIT")

    def test_a_role_that_owns_what_its_sessions_make_is_set_at_their_start(self) -> None:
        statements = UP_TO_15.make_login(plan_for(replace(ROLE, set_role=True)))
        assert statements[2] == "ALTER ROLE \"jit_a\" SET role = 'orders_reader'"
        assert len(statements) == 4

    def test_sessions_begin_with_the_parameters_of_their_role(self) -> None:
        role = replace(ROLE, parameters=(TIMEOUT, SEARCH_PATH))
        assert UP_TO_15.make_login(plan_for(role))[2:4] == (
            "ALTER ROLE \"jit_a\" SET statement_timeout = '60000ms'",
            'ALTER ROLE "jit_a" SET search_path = "shop", "My Schema"',
        )

    def test_a_verifier_is_set_by_names_that_postgresql_quotes_itself(self) -> None:
        assert UP_TO_15.set_verifier == (
            "EXECUTE format('ALTER ROLE %I PASSWORD %L', given.rolname, given.verifier);"
        )

    def test_a_disabled_login_starts_no_session_by_any_way_there_is(self) -> None:
        assert UP_TO_15.disable('jit_"a') == (
            'ALTER ROLE "jit_""a" NOLOGIN PASSWORD NULL VALID UNTIL \'epoch\' CONNECTION LIMIT 0'
        )

    def test_a_curfew_moves_in_postgresql_too(self) -> None:
        assert UP_TO_15.set_valid_until("jit_a", UNTIL) == (
            "ALTER ROLE \"jit_a\" VALID UNTIL '2026-03-01T13:00:00.000000Z'"
        )

    @pytest.mark.parametrize(
        ("ddl", "statements"),
        [
            (UP_TO_15, ('ALTER ROLE "jit_a" INHERIT', 'GRANT "own""er" TO "jit_a"')),
            (FROM_16, ('GRANT "own""er" TO "jit_a" WITH INHERIT TRUE, SET TRUE',)),
        ],
    )
    def test_a_login_can_give_all_it_owns_to_its_role_on_every_version(
        self, ddl: DirectDdl, statements: tuple[str, ...]
    ) -> None:
        assert ddl.lend_role("jit_a", 'own"er') == statements

    def test_a_login_loses_each_of_its_memberships(self) -> None:
        assert FROM_16.revoke_memberships("jit_a", ("orders_reader", 'own"er')) == (
            'REVOKE "orders_reader" FROM "jit_a"',
            'REVOKE "own""er" FROM "jit_a"',
        )
        assert FROM_16.revoke_memberships("jit_a", ()) == ()

    def test_a_quarantined_login_says_so_in_its_name_and_its_comment(self) -> None:
        assert FROM_16.quarantine("jit_a", "jit_quarantined_a", "it's held") == (
            'ALTER ROLE "jit_a" RESET ALL',
            'ALTER ROLE "jit_a" RENAME TO "jit_quarantined_a"',
            "COMMENT ON ROLE \"jit_quarantined_a\" IS 'it''s held'",
        )

    def test_a_quarantine_that_a_crash_cut_off_is_not_stopped_by_the_name_it_gave(self) -> None:
        """PostgreSQL refuses to give a role the name that it has."""
        assert FROM_16.quarantine("jit_quarantined_a", "jit_quarantined_a", "held") == (
            'ALTER ROLE "jit_quarantined_a" RESET ALL',
            "COMMENT ON ROLE \"jit_quarantined_a\" IS 'held'",
        )

    def test_a_login_is_dropped(self) -> None:
        assert FROM_16.drop('jit_"a') == 'DROP ROLE "jit_""a"'

    @pytest.mark.parametrize(
        ("ddl", "inherit", "statement"),
        [
            (UP_TO_15, True, 'GRANT "orders_reader" TO "alice"'),
            (UP_TO_15, False, 'GRANT "orders_reader" TO "alice"'),
            (FROM_16, True, 'GRANT "orders_reader" TO "alice" WITH INHERIT TRUE, SET FALSE'),
            (FROM_16, False, 'GRANT "orders_reader" TO "alice" WITH INHERIT FALSE, SET TRUE'),
        ],
    )
    def test_a_person_gets_a_membership_with_the_options_that_the_server_has(
        self, *, ddl: DirectDdl, inherit: bool, statement: str
    ) -> None:
        assert ddl.grant_membership("orders_reader", "alice", inherit=inherit) == statement

    def test_a_person_loses_the_membership_and_nothing_else(self) -> None:
        assert FROM_16.revoke_membership("orders_reader", "alice") == (
            'REVOKE "orders_reader" FROM "alice"'
        )


class TestRestricted:
    """The admin role may only call functions."""

    def test_a_login_is_made_by_one_call(self) -> None:
        assert RESTRICTED.make_login(PLAN) == (
            "SELECT curfew.make_login('jit_a', 'orders_reader', "
            f"'2026-03-01T13:00:00.000000Z'::timestamptz, 10, '{COMMENT}', true, false, "
            "'{}'::jsonb)",
        )

    def test_a_login_gets_the_options_and_parameters_of_its_role(self) -> None:
        role = replace(ROLE, inherit=False, set_role=True, parameters=(TIMEOUT, SEARCH_PATH))
        call, *rest = RESTRICTED.make_login(plan_for(role))
        assert rest == [
            'SET LOCAL ROLE "jit_a"',
            """ALTER ROLE "jit_a" SET role = 'orders_reader'""",
        ]
        assert call.endswith(
            ', false, true, \'{"statement_timeout": "60000ms", '
            '"search_path": ["shop", "My Schema"]}\'::jsonb)'
        )

    @pytest.mark.parametrize(
        ("statement", "call"),
        [
            (RESTRICTED.disable("jit_a"), "disable_login('jit_a')"),
            (
                RESTRICTED.set_valid_until("jit_a", UNTIL),
                "set_valid_until('jit_a', '2026-03-01T13:00:00.000000Z'::timestamptz)",
            ),
            (RESTRICTED.drop("it's"), "drop_login('it''s')"),
            (
                RESTRICTED.grant_membership("orders_reader", "alice", inherit=True),
                "grant_membership('orders_reader', 'alice')",
            ),
            (
                RESTRICTED.grant_membership("orders_reader", "alice", inherit=False),
                "grant_membership('orders_reader', 'alice')",
            ),
            (
                RESTRICTED.revoke_membership("orders_reader", "a\\b"),
                "revoke_membership('orders_reader', E'a\\\\b')",
            ),
        ],
    )
    def test_a_role_is_changed_by_one_call(self, statement: str, call: str) -> None:
        assert statement == f"SELECT curfew.{call}"

    def test_a_login_goes_step_by_step(self) -> None:
        assert RESTRICTED.lend_role("jit_a", "orders_reader") == (
            "SELECT curfew.lend_role('jit_a', 'orders_reader')",
        )
        assert RESTRICTED.revoke_memberships("jit_a", ("orders_reader", "owner")) == (
            "SELECT curfew.revoke_memberships('jit_a')",
        )
        assert RESTRICTED.revoke_memberships("jit_a", ()) == ()
        assert RESTRICTED.quarantine("jit_a", "jit_quarantined_a", "held") == (
            "SELECT curfew.quarantine_login('jit_a', 'jit_quarantined_a', 'held')",
        )

    def test_a_verifier_is_set_by_a_function_too(self) -> None:
        assert RESTRICTED.set_verifier == (
            "PERFORM curfew.set_verifier(given.rolname, given.verifier);"
        )

    def test_every_function_it_calls_is_one_that_bootstrap_installs(self) -> None:
        calls = [*every_statement(RESTRICTED, "a"), RESTRICTED.set_verifier]
        installed = {shape(signature) for signature in SIGNATURES}
        assert {shape(call) for call in skeleton(calls) if "curfew." in call} <= installed


def shape(call: str) -> tuple[str, int]:
    """Return the name of a function and the number of its arguments."""
    found = re.search(r"curfew\.(\w+)\(([^()]*)\)", call)
    assert found is not None, call
    return found[1], len(found[2].split(","))


def every_statement(ddl: RoleDdl, name: str) -> list[str]:
    """Return all there is to run, with `name` wherever a name or a text goes."""
    role = CatalogRole(
        name,
        "",
        1,
        set_role=True,
        parameters=(Parameter("x.y", name), Parameter("z", (name, name))),
    )
    plan = LoginPlan(name=name, role=role, valid_until=UNTIL, mark=LoginMark(name, name, name))
    return [
        *ddl.make_login(plan),
        ddl.disable(name),
        ddl.set_valid_until(name, UNTIL),
        *ddl.lend_role(name, name),
        *ddl.revoke_memberships(name, (name, name)),
        *ddl.quarantine("another", name, name),
        ddl.drop(name),
        ddl.grant_membership(name, name, inherit=True),
        ddl.revoke_membership(name, name),
    ]


@pytest.mark.parametrize("ddl", [UP_TO_15, FROM_16, RESTRICTED], ids=["15", "16", "restricted"])
@given(name=names)
def test_no_name_breaks_out_of_a_statement(ddl: RoleDdl, name: str) -> None:
    """Whatever it is, PostgreSQL reads the same syntax around it."""
    assert skeleton(every_statement(ddl, name)) == skeleton(every_statement(ddl, "harmless"))
    assert skeleton(clean_statements(name, name)) == skeleton(clean_statements("a", "a"))


@pytest.mark.parametrize("ddl", [UP_TO_15, FROM_16])
@pytest.mark.parametrize("name", ["", "a\0b", "r" * 64])
def test_a_name_that_postgresql_would_cut_or_refuse_reaches_no_statement(
    ddl: DirectDdl, name: str
) -> None:
    doomed: list[Callable[[], object]] = [
        lambda: ddl.make_login(replace(PLAN, name=name)),
        lambda: ddl.make_login(plan_for(replace(ROLE, name=name))),
        lambda: ddl.disable(name),
        lambda: ddl.set_valid_until(name, UNTIL),
        lambda: ddl.lend_role("jit_a", name),
        lambda: ddl.revoke_memberships("jit_a", ("orders_reader", name)),
        lambda: ddl.quarantine("jit_a", name, ""),
        lambda: ddl.drop(name),
        lambda: ddl.grant_membership("orders_reader", name, inherit=True),
        lambda: ddl.revoke_membership("orders_reader", name),
        lambda: clean_statements("jit_a", name),
    ]
    for build in doomed:
        with pytest.raises(ValueError, match="not a PostgreSQL identifier"):
            build()


def test_what_a_login_leaves_behind_goes_to_its_role_and_nothing_else_is_dropped() -> None:
    assert clean_statements('jit_"a', "orders_owner") == (
        'REASSIGN OWNED BY "jit_""a" TO "orders_owner"',
        'DROP OWNED BY "jit_""a" RESTRICT',
    )


def test_the_curfew_is_written_so_that_no_timezone_setting_moves_it() -> None:
    half_past_nine_in_tokyo = datetime(
        2026, 3, 1, 9, 30, 0, 250, tzinfo=timezone(timedelta(hours=9))
    )
    assert timestamp(half_past_nine_in_tokyo) == "2026-03-01T00:30:00.000250Z"
