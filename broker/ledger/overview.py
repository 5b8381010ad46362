"""Sums over requests, grants and the record, and what waits for somebody: for the overview.

Ids sort by the time at which they were made, so that a stretch of time is a stretch of the primary
key. Whose things are summed up is the one rule of `sight`; of who sees everything, grants are not
joined with their requests to find that out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.overview import ENDING_SOON, SOON, Pile, Window
from broker.ledger.connection import Db
from broker.ledger.sight import DECIDED, VISIBLE, Visible

_MOST_TOP = 10
# Of years with very many requests. What is asked often is kept, see broker.service.overview.
_PATIENCE_S = 30.0


def _bucket(at: str, first: int) -> str:
    """Return the number of the bucket of a time, if parameter `first` says when the first begins
    and the next one when each does. Epochs would be numeric, and ten times slower."""
    return f"width_bucket({at}, ${first + 1}::timestamptz[]) - 1"


# $1 to $6 are whose they are, $9 is the first id that can be of the window.
_ASKED = f"""
    SELECT {_bucket("r.created_at", 7)} AS bucket, r.state, r.target, r.role, count(*) AS requests
      FROM curfew.requests r
     WHERE {VISIBLE} AND r.id >= $9 AND r.created_at >= $7
     GROUP BY GROUPING SETS ((1, 2), (3, 4))
"""  # noqa: S608  (constant text, as below)
# Whom a policy or somebody beforehand had agreed with, nobody let wait. A decision comes after its
# request, so that those of the window are a stretch, too. By a join: what is not in memory at once
# can be joined all the same.
_WAITS = f"""
    SELECT bucket, count(*) FILTER (WHERE by_people) AS by_people,
           count(*) FILTER (WHERE NOT by_people) AS by_itself,
           percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY waited)
               FILTER (WHERE by_people) AS waited
      FROM (SELECT {_bucket("r.created_at", 7)} AS bucket,
                   extract(epoch FROM r.closed_at - r.created_at)::float8 AS waited,
                   d.request_id IS NOT NULL AS by_people
              FROM curfew.requests r
              LEFT JOIN (SELECT DISTINCT request_id FROM curfew.decisions
                          WHERE id >= $10 AND verdict = 'approval' AND allowance_id IS NULL) AS d
                ON d.request_id = r.id
             WHERE {VISIBLE} AND r.id >= $9 AND r.created_at >= $7
               AND r.state = 'approved') AS approved
     GROUP BY GROUPING SETS ((bucket), ())
"""  # noqa: S608
_LIVES = f"""
    SELECT began, over, state, count(*) AS grants
      FROM (SELECT {_bucket("g.granted_at", 1)} AS began, {_bucket("g.ended_at", 1)} AS over,
                   g.state
              FROM curfew.grants g
             WHERE g.id >= $3 OR g.ended_at >= $1 OR g.state <> 'ended') AS lived
     GROUP BY 1, 2, 3
"""  # noqa: S608
# Grants of requests of the window are as many as those; of older ones they are few, whatever the
# planner thinks: their requests are looked up one by one.
_LIVES_SEEN = f"""
    SELECT began, over, state, count(*) AS grants
      FROM (SELECT {_bucket("g.granted_at", 7)} AS began, {_bucket("g.ended_at", 7)} AS over,
                   g.state
              FROM curfew.grants g JOIN curfew.requests r ON r.id = g.request_id
             WHERE {VISIBLE} AND g.request_id >= $9 AND r.id >= $9
            UNION ALL
            SELECT {_bucket("g.granted_at", 7)}, {_bucket("g.ended_at", 7)}, g.state
              FROM curfew.grants g
             WHERE g.request_id < $9 AND (g.ended_at >= $7 OR g.state <> 'ended')
               AND (SELECT {VISIBLE} FROM curfew.requests r WHERE r.id = g.request_id)) AS lived
     GROUP BY 1, 2, 3
"""  # noqa: S608
# $1 to $4 are what they decide, $5 who they are, $6 whether they see everything.
_PILES = f"""
    WITH piled AS (
        SELECT 'undecided' AS pile, r.id, r.lapses_at AS at, r.lapses_at <= $8 AS presses
          FROM curfew.requests r
         WHERE r.state = 'pending' AND r.lapses_at > $7 AND {DECIDED}
           AND $5 NOT IN (r.person_id, r.requester_id)
           AND NOT EXISTS (SELECT FROM curfew.decisions d
                            WHERE d.request_id = r.id AND d.decider_id = $5)
        UNION ALL
        SELECT 'asked', r.id, r.lapses_at, r.lapses_at <= $8
          FROM curfew.requests r
         WHERE r.state = 'pending' AND r.lapses_at > $7 AND $5 IN (r.person_id, r.requester_id)
        UNION ALL
        SELECT 'reviews', r.id, v.due_at, v.due_at <= $7
          FROM curfew.reviews v
          JOIN curfew.grants g ON g.id = v.grant_id
          JOIN curfew.requests r ON r.id = g.request_id
         WHERE v.written_at IS NULL AND ($6 OR {DECIDED})
        UNION ALL
        SELECT 'quarantined', r.id, g.expires_at, true
          FROM curfew.grants g JOIN curfew.requests r ON r.id = g.request_id
         WHERE g.state = 'quarantined' AND g.state <> 'ended' AND ($6 OR {DECIDED})
        UNION ALL
        SELECT 'held', h.id, h.ends_at, true
          FROM curfew.held_commits h
          JOIN curfew.grants g ON g.id = h.grant_id
          JOIN curfew.requests r ON r.id = g.request_id
         WHERE h.decision IS NULL
           AND CASE WHEN h.by_approver
                    THEN {DECIDED} AND $5 NOT IN (r.person_id, r.requester_id)
                    ELSE g.person_id = $5 END
        UNION ALL
        SELECT 'ending', g.id, g.expires_at, true
          FROM curfew.grants g
         WHERE g.person_id = $5 AND g.state = 'active' AND g.state <> 'ended'
           AND g.expires_at BETWEEN $7 AND $9
        UNION ALL
        SELECT 'bans', key, banned_until, false
          FROM curfew.bans WHERE $6 AND banned_until > $7
    )
    SELECT pile, count(*) AS count, (array_agg(id ORDER BY at, id))[1] AS first_id,
           min(at) AS first_at, count(*) FILTER (WHERE presses) AS press
      FROM piled GROUP BY pile
"""  # noqa: S608
# Read from the index alone: blocks carry the hashes of their rows with them.
_RECORDED = """
    SELECT date_trunc('hour', sealed_at, 'UTC') AS hour, sum(rows)::bigint AS statements,
           max(number) AS last
      FROM curfew.statement_blocks
     WHERE number > $1 GROUP BY 1
"""
_BEFORE = """
    SELECT coalesce((SELECT min(number) - 1 FROM curfew.statement_blocks WHERE day >= $1),
                    (SELECT max(number) FROM curfew.statement_blocks), 0)
"""


class Waits(NamedTuple):
    """How many requests were approved by people, how many by themselves; and how long those of
    people took, in seconds: half of them at most `median_s`, nine in ten at most `p90_s`."""

    by_people: int
    by_itself: int
    median_s: float | None
    p90_s: float | None


class Top(NamedTuple):
    """How often a role was asked for."""

    target: str
    role: str
    requests: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests by bucket and the state in which they are now, and the roles asked for most."""

    outcomes: dict[tuple[int, str], int]
    top: list[Top]


@dataclass(frozen=True, slots=True)
class Lives:
    """Grants that started and that ended, by bucket; those that live, by state."""

    started: dict[int, int]
    ended: dict[int, int]
    living: dict[str, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Rows of statements by the hour in which they were put on record, up to block `last`."""

    hours: dict[datetime, int]
    last: int


async def fetch_asked(db: Db, visible: Visible, window: Window) -> Asked:
    rows = await db.fetch(
        _ASKED,
        *visible.arguments,
        window.since,
        window.starts,
        _first(IdKind.REQUEST, window),
        timeout=_PATIENCE_S,
    )
    top = [
        Top(row["target"], row["role"], row["requests"])
        for row in rows
        if row["target"] is not None
    ]
    return Asked(
        {
            (row["bucket"], row["state"]): row["requests"]
            for row in rows
            if row["bucket"] is not None
        },
        sorted(top, key=lambda each: (-each.requests, each.target, each.role))[:_MOST_TOP],
    )


async def fetch_waits(db: Db, visible: Visible, window: Window) -> dict[int | None, Waits]:
    """Return how long approvals took, by bucket of their request, and of all under None."""
    rows = await db.fetch(
        _WAITS,
        *visible.arguments,
        window.since,
        window.starts,
        _first(IdKind.REQUEST, window),
        _first(IdKind.DECISION, window),
        timeout=_PATIENCE_S,
    )
    return {
        row["bucket"]: Waits(row["by_people"], row["by_itself"], *(row["waited"] or (None, None)))
        for row in rows
    }


async def fetch_lives(db: Db, visible: Visible, window: Window) -> Lives:
    if visible.everything:
        within = window.since, window.starts, _first(IdKind.GRANT, window)
        rows = await db.fetch(_LIVES, *within, timeout=_PATIENCE_S)
    else:
        within = window.since, window.starts, _first(IdKind.REQUEST, window)
        rows = await db.fetch(_LIVES_SEEN, *visible.arguments, *within, timeout=_PATIENCE_S)
    started, ended, living = Counter[int](), Counter[int](), Counter[str]()
    for row in rows:
        started[row["began"]] += row["grants"]
        if row["over"] is None:
            living[row["state"]] += row["grants"]
        else:
            ended[row["over"]] += row["grants"]
    return Lives(_within(started), _within(ended), dict(living))


async def fetch_piles(db: Db, visible: Visible, now: datetime) -> dict[str, Pile]:
    """Return what waits for the person, and what is not as it should be with what they look after;
    by the name that broker.domain.overview.Situation has for it."""
    arguments: tuple[Any, ...] = (*visible.deciding, visible.person.id, visible.everything)
    rows = await db.fetch(_PILES, *arguments, now, now + SOON, now + ENDING_SOON)
    return {
        row["pile"]: Pile(row["count"], row["first_id"], row["first_at"], row["press"])
        for row in rows
    }


async def fetch_last_block_before(db: Db, at: datetime) -> int:
    """Return the number of a block of statements with everything that came before this day below
    it."""
    return int(await db.fetchval(_BEFORE, at.date()))


async def fetch_recorded(db: Db, after: int) -> Recorded:
    """Count the statements of blocks that come after number `after`. Blocks become visible in the
    order of their numbers, so nothing is missed by going on from the last."""
    rows = await db.fetch(_RECORDED, after, timeout=_PATIENCE_S)
    return Recorded(
        {row["hour"]: row["statements"] for row in rows},
        max((row["last"] for row in rows), default=after),
    )


def _within(counts: Mapping[int, int]) -> dict[int, int]:
    """Return the counts without those of before the window."""
    return {number: count for number, count in counts.items() if number >= 0}


def _first(kind: IdKind, window: Window) -> str:
    # An id is made a moment before, or after, the time that its row has.
    return new_id(kind, window.since - timedelta(seconds=1), bytes(RANDOM_BYTES))
