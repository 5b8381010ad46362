"""Every statement on tables pictures and picture_bodies: what a target's catalog held, and when."""

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from broker.domain.picture import Picture
from broker.ledger.connection import Db

_USE_NEWEST = """
    UPDATE curfew.grants g SET picture_id = p.id
      FROM (SELECT id FROM curfew.pictures
             WHERE target = $2 AND database = $3 AND taken_at >= $4
             ORDER BY taken_at DESC LIMIT 1) AS p
     WHERE g.id = $1
"""
_INSERT_BODY = """
    INSERT INTO curfew.picture_bodies (digest, body) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
_INSERT = """
    INSERT INTO curfew.pictures (target, database, taken_at, digest) VALUES ($1, $2, $3, $4)
    RETURNING id
"""
# By a subquery, not a join: should many grants share few pictures, that is planned as if pictures
# were read in their order until the one of the grant has come.
_OF_GRANT = """
    SELECT p.taken_at, b.body
      FROM curfew.pictures p
      JOIN curfew.picture_bodies b ON b.digest = p.digest
     WHERE p.id = (SELECT picture_id FROM curfew.grants WHERE id = $1)
"""
_SAVE_OF_GRANT = "UPDATE curfew.grants SET picture_id = $2 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture is taken: on the whole server and in one of its databases."""

    target: str
    database: str


async def use_newest(db: Db, grant_id: str, place: Place, since: datetime) -> bool:
    """Let the newest picture of this place be the grant's, if it is from `since` or later."""
    status = await db.execute(_USE_NEWEST, grant_id, place.target, place.database, since)
    return bool(status == "UPDATE 1")


async def insert(db: Db, place: Place, picture: Picture) -> int:
    """Store the picture; those that show the same share their body."""
    body = picture.to_json()
    digest = sha256(json.dumps(body, sort_keys=True).encode()).digest()
    await db.execute(_INSERT_BODY, digest, body)
    return int(await db.fetchval(_INSERT, place.target, place.database, picture.taken_at, digest))


async def save_of_grant(db: Db, grant_id: str, picture_id: int) -> None:
    await db.execute(_SAVE_OF_GRANT, grant_id, picture_id)


async def fetch_of_grant(db: Db, grant_id: str) -> Picture | None:
    """Return the picture that was taken before the grant began to live, if one was."""
    row = await db.fetchrow(_OF_GRANT, grant_id)
    return Picture.from_json(row["body"], row["taken_at"]) if row else None
