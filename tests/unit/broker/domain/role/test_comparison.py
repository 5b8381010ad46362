"""Which roles can do less than another, and nothing that it cannot."""

from dataclasses import replace

import pytest

from broker.domain.role.comparison import smaller_roles
from broker.domain.role.facts import Ability, Above, Alike, Attribute, Future, Look, Thing
from broker.domain.role.holdings import holdings_of
from tests.support.looks import EVERY_ROW, NONE, WRITES, S, look_of, things

READ, WRITE = S | EVERY_ROW, S | WRITES | EVERY_ROW
CONNECT = Ability.CONNECT


def smaller(look: Look, than: str = "a") -> tuple[str, ...] | None:
    holdings = holdings_of(look, than, may_set_role=False)
    assert holdings is not None
    return smaller_roles(holdings)


def test_smaller_roles_are_named_the_nearest_first() -> None:
    look = look_of(
        things(Thing.TABLE, WRITE, READ, READ, WRITE, READ),
        things(Thing.TABLE, READ, NONE, READ, READ, READ, count=3),
        things(Thing.TABLE, NONE, NONE, NONE, NONE, READ),
    )
    assert smaller(look) == ("c", "b")
    assert smaller(look, "b") == ()


@pytest.mark.parametrize(
    ("alike", "found"),
    [
        # It reads nothing: no help.
        ((things(Thing.TABLE, READ, NONE),), ()),
        # Its logins could not come in.
        ((things(Thing.TABLE, WRITE, READ), things(Thing.DATABASE, CONNECT, NONE)), ()),
        ((things(Thing.TABLE, WRITE, READ), things(Thing.DATABASE, CONNECT, CONNECT)), ("b",)),
        # Policies of row security may show it what the other does not see.
        ((things(Thing.TABLE, S | WRITES, S, row_security=True),), ()),
        ((things(Thing.TABLE, WRITE, S, row_security=True),), ("b",)),
    ],
)
def test_what_counts_as_smaller(alike: tuple[Alike, ...], found: tuple[str, ...]) -> None:
    assert smaller(look_of(*alike)) == found


def test_a_role_with_something_of_its_own_is_not_smaller() -> None:
    look = look_of(things(Thing.TABLE, WRITE, READ))
    monitor = Above(
        name="pg_monitor", direct=True, inherits=True, sets=False, admin=False, predefined=True
    )
    future = Future(maker="o", schema=None, things="tables", privileges=("SELECT",))
    team = Above(name="team", direct=True, inherits=True, sets=False, admin=False)
    first, second = look.roles
    for other in (
        replace(second, above=(monitor,)),
        replace(second, attributes=frozenset({Attribute.CREATEDB})),
        replace(second, futures=(future,)),
    ):
        assert smaller(replace(look, roles=(first, other))) == ()
    assert smaller(replace(look, roles=(first, replace(second, above=(team,))))) == ("b",)


def test_of_two_that_do_the_same_here_one_may_be_more_by_what_it_is() -> None:
    look = look_of(things(Thing.TABLE, READ, READ))
    first, second = look.roles
    more = replace(first, attributes=frozenset({Attribute.CREATEDB}))
    assert smaller(look) == ()
    assert smaller(replace(look, roles=(more, second))) == ("b",)


def test_what_was_not_all_looked_at_is_not_compared() -> None:
    assert smaller(look_of(things(Thing.TABLE, WRITE, READ), complete=False)) is None
