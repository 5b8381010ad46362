"""Pages of what came of requests: grants and sessions, newest first, of which a person sees those
whose requests they see.

As with requests (`broker.ledger.request_lists`), what is common is found on a walk along an index,
and what is rare is gathered. Which it is follows from how many requests somebody sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.ledger.connection import Db
from broker.ledger.sight import Visible
from broker.ledger.ways import GATHERING, WALKING, Arguments, all_of, lanes_seen, seen

_FEW = 5_000
_SHORT_STRETCH, _STRETCH = 1_000, 10_000
_MOST_LANES = 16


@dataclass(frozen=True, slots=True)
class Outcome:
    """A table, and how its rows `x` come to their requests `r`."""

    table: str
    joins: str


GRANTS = Outcome("grants", "JOIN curfew.requests r ON r.id = x.request_id")
SESSIONS = Outcome(
    "sessions",
    "JOIN curfew.grants g ON g.id = x.grant_id JOIN curfew.requests r ON r.id = g.request_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which rows `x` are wanted: their columns equal these values, `condition` holds, and they come
    after the one with the id `before`. `few`: there are, and an index finds them."""

    equal: Mapping[str, str] = field(default_factory=dict)
    condition: str = "true"
    before: str | None = None
    few: bool = False


async def fetch_ids(
    db: Db, outcome: Outcome, visible: Visible, part: Part, limit: int
) -> list[str]:
    """Return at most `limit` ids of what a person may see, the newest first."""
    if visible.everything:
        return await _fetch(db, _all(outcome, part, limit))
    for stretch in () if part.few else (_SHORT_STRETCH, _STRETCH):
        await db.execute(WALKING)
        found = await _fetch(db, _walking(outcome, visible, part, stretch, limit))
        await db.execute(GATHERING)
        if len(found) == limit:
            return found
        if await _sees_few(db, visible):
            break
    return await _fetch(db, _gathering(outcome, visible, part, limit))


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    arguments: Arguments


async def _fetch(db: Db, statement: _Statement) -> list[str]:
    rows = await db.fetch(statement.text, *statement.arguments.values)
    return [row["id"] for row in rows]


async def _sees_few(db: Db, visible: Visible) -> bool:
    if len(visible.policies) + len(visible.on_call) > _MOST_LANES:
        return False
    arguments = Arguments()
    lanes = " UNION ALL ".join(
        f"(SELECT FROM curfew.requests r WHERE {all_of(lane)} LIMIT {_FEW + 1})"
        for lane in lanes_seen(arguments, visible)
    )
    query = f"SELECT count(*) FROM ({lanes}) AS r"  # noqa: S608
    return int(await db.fetchval(query, *arguments.values)) <= _FEW


def _all(outcome: Outcome, part: Part, limit: int) -> _Statement:
    arguments = Arguments()
    text = f"""
        SELECT x.id FROM curfew.{outcome.table} x WHERE {_wanted(arguments, part)}
         ORDER BY x.id DESC LIMIT {limit}
    """  # noqa: S608
    return _Statement(text, arguments)


def _walking(
    outcome: Outcome, visible: Visible, part: Part, stretch: int, limit: int
) -> _Statement:
    arguments = Arguments()
    text = f"""
        SELECT x.id
          FROM (SELECT x.* FROM curfew.{outcome.table} x WHERE {_wanted(arguments, part)}
                 ORDER BY x.id DESC LIMIT {stretch}) AS x {outcome.joins}
         WHERE {all_of(seen(arguments, visible))} ORDER BY x.id DESC LIMIT {limit}
    """  # noqa: S608
    return _Statement(text, arguments)


def _gathering(outcome: Outcome, visible: Visible, part: Part, limit: int) -> _Statement:
    arguments = Arguments()
    text = f"""
        SELECT x.id
          FROM (SELECT x.id FROM curfew.{outcome.table} x {outcome.joins}
                 WHERE {all_of([_wanted(arguments, part), *seen(arguments, visible)])} OFFSET 0)
                   AS x
         ORDER BY x.id DESC LIMIT {limit}
    """  # noqa: S608
    return _Statement(text, arguments)


def _wanted(arguments: Arguments, part: Part) -> str:
    equal = [f"x.{column} = {arguments.put(value)}" for column, value in part.equal.items()]
    before = [] if part.before is None else [f"x.id < {arguments.put(part.before)}"]
    return all_of([*equal, part.condition, *before])
