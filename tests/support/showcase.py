"""A running service with something to see on every page: for pictures, and for who works on one.

`python -m tests.support.showcase [PORT]` serves it until it is interrupted.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import yaml

from api.client import Client
from api.schemas import GrantView
from tests.support.people import HOUR
from tests.support.servers import Server, find_sources
from tests.support.service import Access, Service, run_service
from tests.support.showcase_past import fill_past
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
POLICIES: dict[str, Any] = {
    "approvers": {"groups": ["dba"]},
    "policies": [
        {
            "name": "readers",
            "requesters": {"anyone": True},
            "resources": [{"target": "orders", "role": "orders_reader"}],
            "max_duration": "8h",
            "default_duration": "1h",
            "session": {"read_only": True, "statement_timeout": "10m"},
            "statements": {"budget": {"rows": 500_000, "bytes": "1GB"}},
        },
        {
            "name": "writers",
            "requesters": {"groups": ["developers"]},
            "resources": [{"target": "orders", "role": "orders_writer"}],
            "max_duration": "1h",
            "require": ["reason"],
            "statements": {"commit_gate": {"rows": 1_000, "by": "approver"}, "refuse": ["copy"]},
        },
        {
            "name": "owners",
            "requesters": {"groups": ["developers"]},
            "resources": [{"target": "orders", "role": "orders_owner"}],
            "approval": {
                "from": [{"groups": ["dba"], "count": 2}],
                "break_glass": {"groups": ["dba"]},
            },
            "max_duration": "1h",
            "require": ["reason"],
        },
    ],
}
_DATABASES = ("pgcurfew", "shop")
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


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Where there is something to see: ids."""

    ended_grant: str
    ended_request: str
    ended_session: str
    pending_request: str
    active_request: str
    open_session: str
    urgent_request: str
    """Granted by one person who broke the glass, and not reviewed yet."""


@dataclass(frozen=True, slots=True)
class Showcase:
    service: Service
    landmarks: Landmarks


@contextmanager
def run_showcase(server: Server, folder: Path, **changes: Any) -> Iterator[Showcase]:
    """Run it; `changes` are of whole sections of the settings."""
    with ExitStack() as stack:
        stage = stack.enter_context(set_up_apart(server, folder, databases=_DATABASES))
        asyncio.run(_prepare(stage))
        (stage.folder / "showcase.yaml").write_text(yaml.safe_dump(POLICIES))
        settings = {"identity": IDENTITY, "policies": {"file": "showcase.yaml"}, **changes}
        service = stack.enter_context(run_service(stage, PEOPLE, **settings))
        landmarks, sessions = asyncio.run(_fill(service))
        asyncio.run(fill_past(stage))
        for each in sessions:
            stack.callback(each.close)
        yield Showcase(service, landmarks)


async def _prepare(stage: Stage) -> None:
    connection = await stage.server.connect(stage.target_database)
    try:
        await connection.execute(_MORE_APPLICATION)
    finally:
        await connection.close()


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
        access = await service.get_access(
            duration=timedelta(hours=4), reason="How much is unpaid since August?"
        )
        writer = await service.get_access(
            "orders_writer",
            duration=timedelta(minutes=45),
            email=OTHER_DEV,
            reason="Invoices of January are one cent short",
        )
        sessions = [_working(access), _working(writer)]
        _leave_running(sessions[0], "SELECT pg_sleep(3600), 'until the end' AS waits")
        sessions[1].execute("BEGIN")
        sessions[1].execute("UPDATE shop.invoices SET total = total + 1 WHERE id <= 2000")
        _leave_running(sessions[1], "COMMIT")
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
        urgent = await other.request(
            "orders", "orders_owner", reason="Nobody can order: a lock that nobody holds"
        )
        await second.approve(
            urgent.id, break_glass=True, comment="Nobody else is awake", duration=HOUR / 2
        )
        withdrawn = await other.request("orders", "orders_reader", duration=timedelta(hours=8))
        await other.cancel(withdrawn.id)
        (session,) = (await dev.list_sessions(grant_id=ended.id)).items
        (open_one,) = (await dev.list_sessions(grant_id=access.grant.id)).items
    landmarks = Landmarks(
        ended_grant=ended.id,
        ended_request=ended.request_id,
        ended_session=session.id,
        pending_request=pending.id,
        active_request=access.grant.request_id,
        open_session=open_one.id,
        urgent_request=urgent.id,
    )
    return landmarks, sessions


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
        with session.transaction():
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


def _leave_running(session: "psycopg.Connection[tuple[Any, ...]]", statement: str) -> None:
    """Send it, and wait for nothing."""
    session.pgconn.send_query(statement.encode())


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
