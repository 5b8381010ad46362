"""What a role may do, in words that somebody who has never read an ACL understands."""

from typing import Any

import pytest

from broker.domain.role.facts import Ability, Above, Attribute, Future, Thing
from broker.domain.role.holdings import Extent, Holdings, holdings_of
from broker.domain.role.meaning import how_much, meaning_of
from broker.domain.role.predefined import Danger
from tests.support.looks import EVERY_ROW, NONE, WRITES, S, held, look_of, things

TABLE = Thing.TABLE


def texts(holdings: Holdings) -> list[str]:
    return [each.text for each in meaning_of(holdings).lines]


def test_reading_and_changing_is_told_by_schema() -> None:
    role = held(
        things(TABLE, S | EVERY_ROW, count=9),
        things(TABLE, S | WRITES | EVERY_ROW, count=3),
        things(TABLE, S | Ability.TRUNCATE | EVERY_ROW, schema="stock"),
    )
    assert texts(role) == [
        "reads 12 tables in schema shop, changes 3 of them (DELETE, INSERT, UPDATE)",
        "reads 1 table in schema stock, changes it (TRUNCATE)",
    ]
    assert meaning_of(role).summary == "reads 13 tables, changes 4 tables"


@pytest.mark.parametrize(
    ("alike", "text", "summary"),
    [
        (
            [things(TABLE, S | WRITES | EVERY_ROW, count=2)],
            "reads 2 tables in schema shop, changes all of them (DELETE, INSERT, UPDATE)",
            "reads 2 tables, changes 2 tables",
        ),
        (
            [things(TABLE, Ability.INSERT | EVERY_ROW)],
            "changes 1 table in schema shop (INSERT), though it may not be read",
            "changes 1 table, reads none",
        ),
        (
            [things(TABLE, Ability.INSERT | EVERY_ROW, count=2)],
            "changes 2 tables in schema shop (INSERT), though they may not be read",
            "changes 2 tables, reads none",
        ),
        (
            [things(TABLE, Ability.SELECT_COLUMNS | Ability.UPDATE | EVERY_ROW)],
            "changes 1 table in schema shop (UPDATE)",
            "reads 1 table, changes 1 table",
        ),
        (
            [things(Thing.PARTITION, S | EVERY_ROW, count=4)],
            "reads or changes 4 partitions in schema shop",
            "reads 4 tables, changes none",
        ),
        (
            [things(Thing.VIEW, S | EVERY_ROW, count=2)],
            "uses 2 views in schema shop, which show what their owners may read",
            "reads and changes no table of database orders",
        ),
        (
            [things(TABLE, Ability.TRIGGER | EVERY_ROW)],
            "may put triggers on 1 table in schema shop, which then act as whoever changes rows "
            "there",
            "reads and changes no table of database orders",
        ),
        (
            [things(TABLE, Ability.OWN | EVERY_ROW, count=2, schema=None)],
            "owns 2 tables in other schemas: it may alter and drop them",
            "reads and changes no table of database orders",
        ),
        (
            [things(TABLE, S, row_security=True)],
            "sees only some rows of 1 table: row security holds there",
            "reads 1 table, changes none",
        ),
        ([], "may do nothing in database orders", "reads and changes no table of database orders"),
    ],
)
def test_what_may_be_done_with_tables(alike: Any, text: str, summary: str) -> None:
    meaning = meaning_of(held(*alike))
    assert text in [each.text for each in meaning.lines]
    assert meaning.summary == summary


def test_things_that_are_no_tables() -> None:
    role = held(
        things(TABLE, Ability.SELECT_COLUMNS | EVERY_ROW, count=2),
        things(Thing.COLUMN, S, count=7, names=tuple("abcdefg")),
        things(Thing.SEQUENCE, Ability.USAGE),
        things(Thing.FUNCTION, Ability.EXECUTE, names=("f",)),
        things(Thing.DEFINER, Ability.EXECUTE, count=2, names=("g", "h")),
        things(Thing.SCHEMA, Ability.CREATE | Ability.USAGE, schema=None, names=("shop",)),
        things(Thing.DATABASE, Ability.CREATE | Ability.CONNECT, schema=None),
        things(Thing.OTHER, Ability.OWN, schema=None, count=2, names=("type",)),
        things(Thing.OTHER, Ability.USAGE, schema=None, names=("foreign_server",)),
    )
    assert texts(role) == [
        "reads some columns of 2 tables in schema shop: a, b, c, d, e …",
        "uses 1 sequence in schema shop",
        "runs 2 functions as their owner in schema shop: g, h",
        "runs 1 function, not for everybody in schema shop: f",
        "may create tables and functions in 1 schema: shop",
        "may create schemas in database orders",
        "owns 2 types",
        "has privileges on 1 foreign server",
    ]


def test_the_dangerous_comes_first() -> None:
    role = held(
        things(TABLE, S | EVERY_ROW),
        things(Thing.SUPERUSER_DEFINER, Ability.EXECUTE, names=("f",)),
        things(Thing.DATABASE, Ability.OWN, schema=None),
        above=(
            Above(name="boss", direct=True, inherits=True, sets=False, admin=False,
                  attributes=frozenset({Attribute.SUPERUSER})),
            Above(name="pg_checkpoint", direct=True, inherits=True, sets=False, admin=False,
                  predefined=True),
            Above(name="pg_read_all_data", direct=True, inherits=True, sets=False, admin=False,
                  predefined=True),
            Above(name="team", direct=True, inherits=True, sets=False, admin=False),
        ),
    )  # fmt: skip
    lines = meaning_of(role).lines
    assert [(each.text, each.danger) for each in lines[:4]] == [
        ("is a member of boss, a superuser", Danger.ALL),
        (
            "reads every table, view and sequence of every schema (is a member of "
            "pg_read_all_data)",
            Danger.WIDE,
        ),
        ("runs 1 function as a superuser in schema shop: f", Danger.WIDE),
        ("owns database orders: it may drop it", Danger.WIDE),
    ]
    assert "runs CHECKPOINT (is a member of pg_checkpoint)" in [each.text for each in lines]
    assert len(meaning_of(role).dangers) == 4


@pytest.mark.parametrize(
    ("version", "may_set_role", "said"),
    [
        (180000, False, ["may give to anybody given"]),
        (
            180000,
            True,
            ["may create roles (CREATEROLE)", "may become above", "may give to anybody given"],
        ),
        (
            150018,
            False,
            [
                "may create roles (CREATEROLE), which is as good as superuser before PostgreSQL 16",
                "may become above",
                "may give to anybody given",
            ],
        ),
    ],
)
def test_attributes_and_roles_above_count_for_whom_sessions_may_become(
    version: int, *, may_set_role: bool, said: list[str]
) -> None:
    role = held(
        server_version=version,
        may_set_role=may_set_role,
        attributes=frozenset({Attribute.CREATEROLE}),
        above=(
            Above(name="above", direct=True, inherits=False, sets=True, admin=False),
            Above(name="given", direct=True, inherits=False, sets=False, admin=True),
            Above(name="nothing", direct=False, inherits=False, sets=False, admin=False),
        ),
    )
    assert texts(role) == (said or ["may do nothing in database orders"])


def test_every_attribute_is_explained() -> None:
    role = held(may_set_role=True, attributes=frozenset(Attribute))
    assert len(meaning_of(role).lines) == len(Attribute)


def test_what_is_too_much_is_counted() -> None:
    future = Future(maker="owner", schema=None, things="tables", privileges=("SELECT",))
    role = held(
        *[things(TABLE, S | EVERY_ROW, schema=f"s{n}") for n in range(11)],
        futures=(future,) * 12,
        complete=False,
    )
    said = texts(role)
    assert "reads or changes 3 tables in 3 other schemas" in said
    assert said.count("will have SELECT on tables that owner makes") == 10
    assert said[-2:] == [
        "will have privileges on what others make, by 2 more default privileges",
        "may do more: there are too many different privileges here to tell them all apart",
    ]
    (told,) = texts(
        held(futures=(Future(maker="o", schema="s", things="types", privileges=("USAGE",)),))
    )
    assert told == "will have USAGE on types that o makes in schema s"


@pytest.mark.parametrize(
    ("extent", "said"),
    [
        (Extent(1, 1200, 0, 1536), "about 1,200 rows, 1.5kB"),
        (Extent(1, 0, 1, 0, 1), "an unknown number of rows"),
        (Extent(2, 5, 1, 10, 1), "about 5 rows and those of 1 table never analyzed, at least 10B"),
        (Extent(3, 5, 2, 10), "about 5 rows and those of 2 tables never analyzed, 10B"),
    ],
)
def test_estimates_are_told_as_what_they_are(extent: Extent, said: str) -> None:
    assert how_much(extent) == said


def test_a_role_that_is_not_there_has_no_meaning() -> None:
    look = look_of(things(TABLE, S, NONE))
    assert holdings_of(look, "nobody", may_set_role=False) is None


def test_rows_are_counted_once_and_privileges_by_table() -> None:
    role = held(
        things(TABLE, S | EVERY_ROW, rows=5, size=10, names=("t",)),
        things(Thing.PARTITION, S | EVERY_ROW, count=4, rows=100, rows_unknown=1, size_unknown=2),
        things(Thing.FOREIGN_TABLE, S | EVERY_ROW, rows=10**6),
        things(Thing.VIEW, S | EVERY_ROW, rows=7),
    )
    assert role.extent(S) == Extent(2, 105, 1, 10, 2)
    assert role.tables_by_privilege() == {"SELECT": 2}
