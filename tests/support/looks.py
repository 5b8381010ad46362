"""Looks at a database that never was: what roles may do there, in a few words."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from broker.domain.role.facts import Ability, Alike, Look, RoleOnServer, Thing
from broker.domain.role.holdings import Holdings, holdings_of

NOW = datetime(2026, 8, 1, tzinfo=UTC)
S, EVERY_ROW = Ability.SELECT, Ability.EVERY_ROW
WRITES = Ability.INSERT | Ability.UPDATE | Ability.DELETE
NONE = Ability(0)


def things(thing: Thing, *abilities: Ability, **more: Any) -> Alike:
    """Return things in schema shop that the first role may do the first with, and so on."""
    return Alike(thing=thing, abilities=abilities, **{"schema": "shop", **more})


def look_of(*alike: Alike, **more: Any) -> Look:
    """Return a look that finds these, and as many roles as they tell of: a, b, c …"""
    count = max((len(each.abilities) for each in alike), default=1)
    names = "abcdef"[:count]
    return Look(
        **{
            "database": "orders",
            "server_version": 180000,
            "looked_at": NOW,
            "roles": tuple(RoleOnServer(name=each) for each in names),
            "alike": alike,
            **more,
        }
    )


def held(*alike: Alike, may_set_role: bool = False, **more: Any) -> Holdings:
    """Return what the first role has, which `more` says more about."""
    of_look = {name: more.pop(name) for name in list(more) if name in Look.__dataclass_fields__}
    look = look_of(*alike, **of_look)
    first = replace(look.roles[0], **more)
    look = replace(look, roles=(first, *look.roles[1:]))
    found = holdings_of(look, "a", may_set_role=may_set_role)
    assert found is not None
    return found
