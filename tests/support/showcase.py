"""A running service with something to see on every page: for pictures, and for who works on one.

`python -m tests.support.showcase [PORT]` serves it until it is interrupted.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import psycopg

from api.client import Client
from api.schemas import GrantView
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from tests.support.servers import Server, find_sources
from tests.support.service import Access, Service, run_service
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage, set_up_apart

OPERATOR, AUDITOR = "operator@example.com", "auditor@example.com"
PEOPLE = (DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, OPERATOR, AUDITOR)

IDENTITY = {
    "people": [
        {"email": DEV, "name": "Dana Developer", "groups": ["developers"]},
        {"email": OTHER_DEV, "groups": ["developers"]},
        {"email": REVIEWER, "name": "Robin Reviewer", "groups": ["dba"]},
        {"email": SECOND_REVIEWER, "groups": ["dba"]},
        {"email": OPERATOR, "groups": ["platform"]},
        {"email": AUDITOR, "groups": []},
    ],
    "operators": {"groups": ["platform"]},
    "auditors": {"people": [AUDITOR]},
}
_MORE_APPLICATION = """
    SET ROLE orders_owner;
    CREATE TABLE shop.customers (id int PRIMARY KEY, name text, email text, card_number text);
    COMMENT ON COLUMN shop.customers.email IS 'personal: for the newsletter, with consent';
    CREATE TABLE shop.invoices (id int PRIMARY KEY, customer_id int, total numeric, paid_at date);
    INSERT INTO shop.customers
        SELECT n, 'Customer ' || n, 'c' || n || '@example.com', '4111' || n
          FROM generate_series(1, 20000) AS n;
    INSERT INTO shop.invoices
        SELECT n, 1 + n % 20000, n % 997, date '2026-01-01' + n % 300
          FROM generate_series(1, 60000) AS n;
    GRANT SELECT ON shop.customers, shop.invoices TO orders_reader;
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop.customers, shop.invoices TO orders_writer;
    RESET ROLE;
    ANALYZE shop.customers, shop.invoices, shop.orders;
"""
_ASKED = """
    INSERT INTO curfew.requests (id, person_id, requester_id, person_groups, target, database, role,
                                 duration, reason, source, policy, why, state, created_at,
                                 lapses_at, closed_at)
    SELECT $1, p.id, p.id, ARRAY['developers'], 'orders', $3, $4, interval '1 hour', $5, $6, $7,
           ARRAY['as the policy says'], $8, $9, $9::timestamptz + interval '1 day', $10
      FROM curfew.people p WHERE p.email = $2
"""
_DECIDED = """
    INSERT INTO curfew.decisions (id, request_id, decider_id, verdict, comment, decided_at)
    SELECT $1, $2, p.id, $3, '', $4 FROM curfew.people p WHERE p.email = $5
"""
_GIVEN = """
    INSERT INTO curfew.grants (id, request_id, person_id, target, database, role, state, granted_at,
                               expires_at, end_reason, ended_at, duration)
    SELECT $1, r.id, r.person_id, r.target, r.database, r.role, 'ended', r.closed_at,
           r.closed_at + r.duration, 'expired', r.closed_at + r.duration, r.duration
      FROM curfew.requests r WHERE r.id = $2
"""
_REASONS = ("a customer's order", "the nightly report", "an invoice is wrong", "a slow query")
_STATES = ("approved", "approved", "denied", "approved", "cancelled", "approved", "lapsed")


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Where there is something to see."""

    ended_request: str
    ended_session: str
    pending_request: str


@dataclass(frozen=True, slots=True)
class Showcase:
    service: Service
    landmarks: Landmarks


@contextmanager
def run_showcase(server: Server, folder: Path, **changes: Any) -> Iterator[Showcase]:
    """Run it; `changes` are of whole sections of the settings."""
    with ExitStack() as stack:
        stage = stack.enter_context(set_up_apart(server, folder))
        asyncio.run(_prepare(stage))
        service = stack.enter_context(run_service(stage, PEOPLE, identity=IDENTITY, **changes))
        landmarks, sessions = asyncio.run(_fill(service))
        asyncio.run(_fill_past(stage))
        for each in sessions:
            stack.callback(each.close)
        yield Showcase(service, landmarks)


async def _prepare(stage: Stage) -> None:
    connection = await stage.server.connect(stage.target_database)
    try:
        await connection.execute(_MORE_APPLICATION)
    finally:
        await connection.close()


async def _fill_past(stage: Stage) -> None:
    """Some weeks of other days, so that there is something to draw."""
    today = datetime.now(UTC).replace(microsecond=0)
    connection = await stage.server.connect(stage.ledger_database)
    try:
        for day in range(40, 0, -1):
            for number in range(0 if day % 7 in (0, 6) else 3 + day * 7 % 9):
                at = today - timedelta(days=day, minutes=37 * number)
                await _put(connection, stage.target_database, at, day + number)
    finally:
        await connection.close()


async def _put(
    connection: "asyncpg.Connection[asyncpg.Record]", database: str, at: datetime, number: int
) -> None:
    request_id, state = _id(IdKind.REQUEST, at), _STATES[number % len(_STATES)]
    writes = number % 3 == 0
    closed_at = at + timedelta(minutes=2 + number * 13 % 75)
    await connection.execute(
        _ASKED,
        request_id,
        (DEV, OTHER_DEV)[number % 2],
        database,
        "orders_writer" if writes else "orders_reader",
        _REASONS[number % len(_REASONS)],
        f"192.0.2.{1 + number % 9}",
        "writers" if writes else "readers",
        state,
        at,
        closed_at,
    )
    if state in ("approved", "denied"):
        verdict = "approval" if state == "approved" else "denial"
        decision_id = _id(IdKind.DECISION, closed_at)
        await connection.execute(_DECIDED, decision_id, request_id, verdict, closed_at, REVIEWER)
    if state == "approved":
        await connection.execute(_GIVEN, _id(IdKind.GRANT, closed_at), request_id)


def _id(kind: IdKind, at: datetime) -> str:
    return new_id(kind, at, token_bytes(RANDOM_BYTES))


async def _fill(
    service: Service,
) -> "tuple[Landmarks, list[psycopg.Connection[tuple[Any, ...]]]]":
    async with (
        service.client(DEV) as dev,
        service.client(OTHER_DEV) as other,
        service.client(REVIEWER) as reviewer,
        service.client(SECOND_REVIEWER) as second,
    ):
        ended = await _ended_access(service, dev, reviewer)
        access = await service.get_access(duration=timedelta(hours=4))
        writer = await service.get_access(
            "orders_writer", duration=timedelta(minutes=45), email=OTHER_DEV
        )
        sessions = [_working(access), _working(writer)]
        denied = await other.request("orders", "orders_owner", reason="to look around")
        await reviewer.deny(denied.id, reason="orders_reader is enough for that")
        pending = await dev.request(
            "orders",
            "orders_writer",
            duration=timedelta(minutes=30),
            reason="Customer 4711 was billed twice: invoices 1180 and 1181",
        )
        await dev.comment(pending.id, "The ticket has the details.")
        await second.comment(pending.id, "Which invoice is the right one?")
        await other.request(
            "orders",
            "orders_owner",
            duration=timedelta(hours=1),
            reason="Migration 0042: a column for the tax rate",
        )
        withdrawn = await other.request("orders", "orders_reader", duration=timedelta(hours=8))
        await other.cancel(withdrawn.id)
        (session,) = (await dev.list_sessions(grant_id=ended.id)).items
    return Landmarks(ended.request_id, session.id, pending.id), sessions


async def _ended_access(service: Service, dev: Client, reviewer: Client) -> GrantView:
    """A grant with a whole life: asked, talked over, used, given back, with a receipt."""
    asked = await dev.request(
        "orders", "orders_writer", duration=timedelta(hours=1), reason="Order 17 has the wrong item"
    )
    await reviewer.comment(asked.id, "Only that one order, please.")
    grant = (
        await reviewer.approve(asked.id, comment="go ahead", duration=timedelta(minutes=30))
    ).given
    access = service.access_of(grant, await dev.hand_out(grant.id))
    with access.connect() as session:
        session.execute("SELECT id, item FROM shop.orders WHERE id = 17")
        session.execute("UPDATE shop.orders SET item = 'item 18' WHERE id = 17")
        for wrong in ("DROP TABLE shop.orders", "SELECT * FROM shop.nothing"):
            with suppress(psycopg.Error):
                session.execute(wrong)
    return await dev.relinquish(grant.id)


def _working(access: Access) -> "psycopg.Connection[tuple[Any, ...]]":
    session = access.connect(application_name="psql")
    session.execute("SELECT count(*) FROM shop.orders")
    session.execute(
        "SELECT id, total FROM shop.invoices WHERE paid_at > '2026-08-01' ORDER BY total DESC"
    )
    return session


def _main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7580
    source = find_sources()[-1]
    with (
        TemporaryDirectory(prefix="pgcurfew-showcase-") as folder,
        source.run() as server,
        run_showcase(server, Path(folder), api={"listen": f"127.0.0.1:{port}"}) as showcase,
    ):
        service = showcase.service
        print(json.dumps({"url": service.api_url, "tokens": service.tokens}, indent=2))
        print("ready", flush=True)
        with suppress(KeyboardInterrupt):
            showcase.service.process.wait()


if __name__ == "__main__":
    _main()
