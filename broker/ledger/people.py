"""Every statement on table people."""

from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg

from broker.domain.identity.directory import Recorded
from broker.domain.person import Person, PersonKind
from broker.ledger.connection import Db

COLUMNS = "p.id, p.email, p.name, p.kind, p.groups, p.manager, p.provider, p.seen_at"

_FETCH = f"SELECT {COLUMNS} FROM curfew.people p WHERE p.id = $1 OR p.email = $1"  # noqa: S608
# Rows that refer to the person may be written meanwhile.
_LOCK = "SELECT FROM curfew.people WHERE id = $1 FOR NO KEY UPDATE"
_RENAME = f"UPDATE curfew.people p SET name = $2 WHERE email = $1 RETURNING {COLUMNS}"  # noqa: S608
_INSERT = f"""
    INSERT INTO curfew.people AS p (id, email, name, kind, created_at, handle)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING RETURNING {COLUMNS}
"""  # noqa: S608
_VOUCH = f"""
    UPDATE curfew.people p SET groups = $2, manager = $3, provider = $4, seen_at = $5
     WHERE id = $1 RETURNING {COLUMNS}
"""  # noqa: S608
# What has not changed is not written each time that it is said.
_SEEN_EVERY = timedelta(minutes=1)


async def fetch(db: Db, id_or_email: str) -> Recorded | None:
    row = await db.fetchrow(_FETCH, id_or_email)
    return recorded(row) if row else None


async def lock(db: Db, person_id: str) -> None:
    """Let nobody else count what the person has until the caller's transaction ends."""
    await db.execute(_LOCK, person_id)


async def upsert(db: Db, person: Person, now: datetime) -> Person:
    """Make the person known, or bring their name up to date. Returns who the ledger knows, without
    groups: those of today are for `broker.service.people` to say.

    Their handle is the local part of their address, or all of it if that is taken.
    """
    found = await fetch(db, person.email)
    if found is not None and found.person.name == person.name:
        return _bare(found)
    row = await db.fetchrow(_RENAME, person.email, person.name) if found else None
    for handle in (person.email.partition("@")[0], person.email):
        if row is None:
            values = (person.id, person.email, person.name, person.kind, now, handle)
            row = await db.fetchrow(_INSERT, *values)
    if row is None:  # somebody else has just made them known
        row = await db.fetchrow(_RENAME, person.email, person.name)
    assert row is not None
    return _bare(recorded(row))


def is_said_already(found: Recorded, person: Person, provider: str, now: datetime) -> bool:
    """Say whether the ledger knows all of this, and has lately been told."""
    return (
        says_the_same(found, person, provider)
        and found.person.name == person.name
        and found.seen_at is not None
        and now < found.seen_at + _SEEN_EVERY
    )


def says_the_same(found: Recorded, person: Person, provider: str) -> bool:
    return (found.person.groups, found.person.manager, found.provider) == (
        person.groups,
        person.manager,
        provider,
    )


async def vouch(db: Db, person: Person, provider: str, now: datetime) -> Recorded:
    """Write down what the provider says of somebody now. Their `id` is the ledger's."""
    groups = sorted(person.groups)
    row = await db.fetchrow(_VOUCH, person.id, groups, person.manager, provider, now)
    assert row is not None
    return recorded(row)


def _bare(found: Recorded) -> Person:
    return replace(found.person, groups=frozenset(), manager=None)


def recorded(row: asyncpg.Record) -> Recorded:
    """Return somebody from a row with COLUMNS."""
    person = Person(
        row["id"],
        row["email"],
        row["name"],
        frozenset(row["groups"]),
        row["manager"],
        PersonKind(row["kind"]),
    )
    return Recorded(person=person, provider=row["provider"], seen_at=row["seen_at"])
