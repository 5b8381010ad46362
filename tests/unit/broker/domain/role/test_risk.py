"""How dangerous it is to give a role, and why."""

from typing import Any

import pytest

from broker.domain.role.facts import Ability, Above, Alike, SensitiveAlike, Thing
from broker.domain.role.meaning import meaning_of
from broker.domain.role.risk import MANY_ROWS, Level, Risk, risk_of
from tests.support.looks import EVERY_ROW, NONE, WRITES, S, held, things

READ, WRITE = S | EVERY_ROW, S | WRITES | EVERY_ROW
RUNS = Above(
    name="pg_execute_server_program",
    direct=True,
    inherits=True,
    sets=False,
    admin=False,
    predefined=True,
)


def risk(*alike: Alike, **more: Any) -> Risk:
    holdings = held(*alike, **more)
    return risk_of(holdings, meaning_of(holdings))


@pytest.mark.parametrize(
    ("alike", "level", "reason"),
    [
        ([], Level.LOW, None),
        ([things(Thing.TABLE, READ, rows=10)], Level.LOW, "reads 1 table with about 10 rows, 0B"),
        ([things(Thing.TABLE, READ, rows=MANY_ROWS)], Level.MEDIUM, "reads 1 table with about"),
        ([things(Thing.TABLE, READ, count=100)], Level.MEDIUM, "reads 100 tables with"),
        ([things(Thing.TABLE, READ, rows_unknown=1)], Level.MEDIUM, "an unknown number of rows"),
        ([things(Thing.TABLE, WRITE, rows=10)], Level.MEDIUM, "changes 1 table with about 10"),
        ([things(Thing.TABLE, WRITE, size=2**40)], Level.HIGH, "changes 1 table with"),
        ([things(Thing.TABLE, Ability.OWN)], Level.HIGH, "owns 1 table, and may drop"),
        (
            [things(Thing.SCHEMA, Ability.CREATE, schema=None)],
            Level.MEDIUM,
            "may create tables and functions in 1 schema",
        ),
        (
            [things(Thing.SUPERUSER_DEFINER, Ability.EXECUTE)],
            Level.HIGH,
            "runs 1 function as a superuser in schema shop",
        ),
    ],
)
def test_the_level_and_what_makes_it(alike: list[Alike], level: Level, reason: str | None) -> None:
    found = risk(*alike)
    assert found.level is level
    assert (reason or "") in "; ".join(found.reasons)
    assert bool(found.reasons) == (reason is not None)


def test_what_is_as_good_as_superuser_is_critical() -> None:
    found = risk(things(Thing.TABLE, WRITE), above=(RUNS,))
    assert (found.level, found.level.word) == (Level.CRITICAL, "critical")
    assert found.reasons == (
        "runs programs on the server as its operating-system user (is a member of "
        "pg_execute_server_program)",
    )


def test_sensitive_columns_are_named_and_counted() -> None:
    found = risk(
        things(Thing.TABLE, READ, rows=1),
        sensitive=(
            SensitiveAlike(
                abilities=(S | Ability.UPDATE,), count=2, names=("s.t.b", "s.t.a"), why="tagged"
            ),
            SensitiveAlike(abilities=(S,), count=60, names=tuple("cdef"), why="its comment"),
            SensitiveAlike(abilities=(NONE,), count=9, names=("hidden",), why="its comment"),
        ),
    )
    assert (found.level, found.sensitive_count) == (Level.HIGH, 62)
    assert found.reasons == (
        "reads 62 columns that are said to be sensitive",
        "changes 2 columns that are said to be sensitive",
    )
    assert [(each.name, each.changes) for each in found.sensitive if "." in each.name] == [
        ("s.t.a", True),
        ("s.t.b", True),
    ]
