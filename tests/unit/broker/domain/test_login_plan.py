"""A login's name and mark, and the statements that make and remove it."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.login_plan import (
    LoginMark,
    LoginPlan,
    clean_statements,
    create_statements,
    disable_statement,
    lend_group_statements,
    login_name,
    read_mark,
    timestamp,
)

GRANT = "grt_06eajh8a00000000"
PLAN = LoginPlan(
    name="jit_dev_orders_reader_06eajh8a00000000",
    catalog_role="orders_reader",
    valid_until=datetime(2026, 3, 1, 13, 0, tzinfo=UTC),
    connection_limit=10,
    installation="3f1e",
    grant_id=GRANT,
    person="dev@example.com",
)
HOSTILE = 'x"; DROP ROLE postgres; --'

MAKE_THE_ROLE = (
    'CREATE ROLE "jit_dev_orders_reader_06eajh8a00000000" LOGIN INHERIT NOSUPERUSER NOCREATEDB '
    "NOCREATEROLE NOREPLICATION NOBYPASSRLS VALID UNTIL '2026-03-01T13:00:00.000000Z' "
    "CONNECTION LIMIT 10"
)
MARK_IT = (
    'COMMENT ON ROLE "jit_dev_orders_reader_06eajh8a00000000" IS '
    '\'{"pgcurfew": "3f1e", "grant": "grt_06eajh8a00000000", "person": "dev@example.com"}\''
)


def test_postgresqls_own_logs_name_the_person_the_role_and_the_grant() -> None:
    name = login_name("dev@example.com", "orders_reader", GRANT)
    assert name == "jit_dev_orders_reader_06eajh8a00000000"


@pytest.mark.parametrize(
    ("email", "role", "name"),
    [
        ("Dev.Two+x@example.com", "Orders-Reader", "jit_dev_two_x_orders_reader_06eajh8a00000000"),
        ("dev@a@b", "r", "jit_dev_r_06eajh8a00000000"),
        ("--@example.com", "r", "jit_r_06eajh8a00000000"),
        ("é@example.com", "日本", "jit__06eajh8a00000000"),
        (HOSTILE, "r", "jit_x_drop_role_postgres_r_06eajh8a00000000"),
        (
            "a" * 64 + "@example.com",
            "orders_reader",
            "jit_" + "a" * 42 + "_06eajh8a00000000",
        ),
    ],
)
def test_a_login_name_needs_no_quotes_whoever_it_is_for(email: str, role: str, name: str) -> None:
    assert login_name(email, role, GRANT) == name


@given(st.text(), st.text(), st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=16, max_size=16))
def test_a_login_name_fits_and_keeps_the_whole_grant_id(email: str, role: str, id_: str) -> None:
    """PostgreSQL would cut a longer name with no more than a NOTICE, and lose the grant."""
    name = login_name(email, role, f"grt_{id_}")
    assert re.fullmatch(r"jit_[a-z0-9_]*", name)
    assert name.endswith(f"_{id_}")
    assert len(name.encode()) <= 63


@given(
    st.text(min_size=60, max_size=300).filter(lambda text: "@" not in text),
    st.from_regex(r"[a-z0-9]{60,70}", fullmatch=True),
)
def test_a_login_name_uses_all_the_room_there_is(email: str, role: str) -> None:
    assert len(login_name(email, role, GRANT)) == 63


def test_up_to_15_a_login_is_made_with_the_options_there_are() -> None:
    assert create_statements(PLAN, 150018) == (
        MAKE_THE_ROLE,
        MARK_IT,
        'GRANT "orders_reader" TO "jit_dev_orders_reader_06eajh8a00000000"',
        'GRANT "jit_dev_orders_reader_06eajh8a00000000" TO CURRENT_USER',
    )


@pytest.mark.parametrize("server_version", [160000, 180006])
def test_from_16_on_a_login_cannot_become_its_group_so_that_a_revoke_bites(
    server_version: int,
) -> None:
    assert create_statements(PLAN, server_version) == (
        MAKE_THE_ROLE,
        MARK_IT,
        'GRANT "orders_reader" TO "jit_dev_orders_reader_06eajh8a00000000" '
        "WITH INHERIT TRUE, SET FALSE",
        'GRANT "jit_dev_orders_reader_06eajh8a00000000" TO CURRENT_USER '
        "WITH SET TRUE, INHERIT FALSE",
    )


def test_no_name_breaks_out_of_a_statement() -> None:
    plan = LoginPlan(
        name=HOSTILE,
        catalog_role=HOSTILE,
        valid_until=PLAN.valid_until,
        connection_limit=1,
        installation="it's",
        grant_id=GRANT,
        person='a"b\\c@example.com',
    )
    quoted = '"x""; DROP ROLE postgres; --"'
    create, comment, membership, back = create_statements(plan, 180006)
    assert create.startswith(f"CREATE ROLE {quoted} LOGIN INHERIT ")
    assert comment == (
        f"COMMENT ON ROLE {quoted} IS  E'"
        '{"pgcurfew": "it\'\'s", "grant": "grt_06eajh8a00000000", '
        '"person": "a\\\\"b\\\\\\\\c@example.com"}\''
    )
    assert membership == f"GRANT {quoted} TO {quoted} WITH INHERIT TRUE, SET FALSE"
    assert back == f"GRANT {quoted} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE"


def test_a_disabled_login_starts_no_session_by_any_way_there_is() -> None:
    assert disable_statement('jit_"a') == (
        'ALTER ROLE "jit_""a" NOLOGIN PASSWORD NULL VALID UNTIL \'epoch\' CONNECTION LIMIT 0'
    )


@pytest.mark.parametrize(
    ("server_version", "statements"),
    [
        (150018, ('ALTER ROLE "jit_a" INHERIT', 'GRANT "own""er" TO "jit_a"')),
        (160000, ('GRANT "own""er" TO "jit_a" WITH INHERIT TRUE, SET TRUE',)),
        (180006, ('GRANT "own""er" TO "jit_a" WITH INHERIT TRUE, SET TRUE',)),
    ],
)
def test_a_login_can_give_all_it_owns_to_its_group_on_every_version(
    server_version: int, statements: tuple[str, ...]
) -> None:
    assert lend_group_statements("jit_a", 'own"er', server_version) == statements


def test_what_a_login_leaves_behind_goes_to_its_group_and_nothing_else_is_dropped() -> None:
    assert clean_statements('jit_"a', "orders_owner") == (
        'SET LOCAL ROLE "jit_""a"',
        'REASSIGN OWNED BY "jit_""a" TO "orders_owner"',
        'DROP OWNED BY "jit_""a" RESTRICT',
    )


def test_the_curfew_is_written_so_that_no_timezone_setting_moves_it() -> None:
    half_past_nine_in_tokyo = datetime(
        2026, 3, 1, 9, 30, 0, 250, tzinfo=timezone(timedelta(hours=9))
    )
    assert timestamp(half_past_nine_in_tokyo) == "2026-03-01T00:30:00.000250Z"


@given(installation=st.text(), grant_id=st.text(), person=st.text())
def test_a_login_can_be_told_by_its_comment(installation: str, grant_id: str, person: str) -> None:
    plan = LoginPlan(
        name="jit_a",
        catalog_role="orders_reader",
        valid_until=PLAN.valid_until,
        connection_limit=1,
        installation=installation,
        grant_id=grant_id,
        person=person,
    )
    assert read_mark(plan.comment) == LoginMark(installation, grant_id)


def test_a_comment_names_the_person_for_those_who_read_it() -> None:
    assert json.loads(PLAN.comment) == {
        "pgcurfew": "3f1e",
        "grant": GRANT,
        "person": "dev@example.com",
    }


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "the reporting user",
        PLAN.comment[:-1],
        PLAN.comment + "x",
        "null",
        "[]",
        '"pgcurfew"',
        "{}",
        '{"pgcurfew": "3f1e"}',
        '{"grant": "grt_06eajh8a00000000"}',
        '{"pgcurfew": 1, "grant": "grt_06eajh8a00000000"}',
        '{"pgcurfew": "3f1e", "grant": null}',
        "[" * 100_000,
    ],
    ids=lambda comment: repr(comment)[:40],
)
def test_a_role_that_is_not_ours_is_never_taken_for_one(comment: str | None) -> None:
    assert read_mark(comment) is None


@given(st.text())
def test_no_comment_of_somebody_else_stops_the_sweep(comment: str) -> None:
    assert read_mark(comment) is None
