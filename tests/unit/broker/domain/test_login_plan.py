"""A login's name, and the mark by which it is known again."""

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.catalog import CatalogRole
from broker.domain.login_plan import (
    LoginMark,
    LoginPlan,
    login_name,
    quarantine_name,
    read_mark,
)

GRANT = "grt_06eajh8a00000000"
MARK = LoginMark("3f1e", GRANT, "dev@example.com")
HOSTILE = 'x"; DROP ROLE postgres; --'


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


def test_a_quarantined_login_cannot_be_taken_for_a_usable_one() -> None:
    assert quarantine_name(GRANT) == "jit_quarantined_06eajh8a00000000"


def test_two_quarantined_logins_never_want_the_same_name() -> None:
    assert quarantine_name("grt_06eajh8a00000001") != quarantine_name(GRANT)


@given(st.text() | st.from_regex(r"[a-z0-9]{40,80}", fullmatch=True))
def test_the_name_of_a_quarantined_login_fits_and_needs_no_quotes(id_: str) -> None:
    """The id comes from a comment that somebody may have rewritten."""
    name = quarantine_name(f"grt_{id_}")
    assert re.fullmatch(r"jit_quarantined_[a-z0-9_]*", name)
    assert len(name.encode()) <= 63


def test_an_id_that_somebody_rewrote_does_not_stop_the_quarantine() -> None:
    """The sweep takes it from the comment, where it may be any text."""
    name = quarantine_name("rewritten")
    assert re.fullmatch(r"jit_quarantined_[a-z0-9_]*", name)


@given(installation=st.text(), grant_id=st.text(), person=st.text())
def test_a_login_can_be_told_by_its_comment(installation: str, grant_id: str, person: str) -> None:
    mark = LoginMark(installation, grant_id, person)
    assert read_mark(mark.comment()) == mark


def test_a_comment_names_the_person_for_those_who_read_it() -> None:
    assert json.loads(MARK.comment()) == {
        "pgcurfew": "3f1e",
        "grant": GRANT,
        "person": "dev@example.com",
    }


def test_a_login_is_made_with_its_mark_as_its_comment() -> None:
    """A crash at the next statement must leave a login that the sweep knows."""
    plan = LoginPlan(
        name="jit_a",
        role=CatalogRole("orders_reader", "", 10),
        valid_until=datetime(2026, 3, 1, 13, 0, tzinfo=UTC),
        mark=MARK,
    )
    assert read_mark(plan.comment) == MARK


def test_a_quarantined_login_says_why_and_is_still_ours() -> None:
    comment = MARK.comment(quarantined="a backend does not end")
    assert json.loads(comment)["quarantined"] == "a backend does not end"
    assert read_mark(comment) == MARK


def test_a_comment_without_a_person_is_still_ours() -> None:
    comment = '{"pgcurfew": "3f1e", "grant": "grt_06eajh8a00000000"}'
    assert read_mark(comment) == LoginMark("3f1e", GRANT, "")


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "the reporting user",
        MARK.comment()[:-1],
        MARK.comment() + "x",
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
