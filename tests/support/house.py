"""A real app over a real ledger, in this process, with one of each kind of person in it."""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.app import make_app
from api.client import Client, open_client
from api.guards.terms import Guards
from broker.domain.person import Person
from broker.ledger import bans, reviews
from broker.ledger.bans import ThrottleRules
from broker.ledger.connection import reading, transaction
from broker.service.allowances import Foresight
from broker.service.approvals import Consent
from broker.service.broker import Broker
from tests.integration.test_sessions import close, opened
from tests.support.people import HOUR, wish
from tests.support.stage import DEV, OTHER_DEV, SECOND_REVIEWER, Stage

OPERATOR, AUDITOR = "operator@example.com", "auditor@example.com"
EVERYTHING_AT_ONCE = "everything@example.com"
"""An operator, a reviewer and an auditor."""
JOB = "deploy-orders@service.machine"
NOBODY = "nobody"
_HOLD = """
    INSERT INTO curfew.held_commits (id, session_id, grant_id, rows, by_approver, held_at, ends_at)
    VALUES ($1, $2, $3, 1000, false, now(), now() + interval '5 minutes')
"""
_BAN = ThrottleRules(failures=1, window=timedelta(minutes=10), ban=timedelta(minutes=15))


@dataclass(frozen=True, slots=True)
class Holding:
    """Somebody's request, with its grant and a session of it."""

    email: str
    request: str
    grant: str
    session: str


@dataclass(frozen=True, slots=True)
class House:
    """The app and the tokens of who calls it."""

    broker: Broker
    client: "TestClient[web.Request, web.Application]"
    tokens: dict[tuple[str, str | None], str] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def token(self, email: str, scopes: str | None = None) -> str:
        if (email, scopes) not in self.tokens:
            good_for = None if scopes is None else frozenset(scopes.split())
            new = await self.broker.tokens.create(
                email, label="", lifetime=None, actor="test", scopes=good_for
            )
            self.tokens[email, scopes] = new.secret
        return self.tokens[email, scopes]

    async def person(self, email: str) -> Person:
        return await self.broker.tokens.authenticate(await self.token(email))

    @asynccontextmanager
    async def client_of(self, who: str) -> AsyncIterator[Client]:
        url = str(self.client.make_url("")).rstrip("/")
        async with open_client(url, await self.token(who)) as client:
            yield client

    async def call(
        self,
        who: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        scopes: str | None = None,
    ) -> tuple[int, Any]:
        bearer = "" if who == NOBODY else await self.token(who, scopes)
        headers = {"Authorization": f"Bearer {bearer}"}
        # Programs send JSON, and pages their forms.
        sent: dict[str, Any] = {"json" if path.startswith("/v1/") else "data": body or {}}
        async with self.client.request(method, path, headers=headers, **sent) as response:
            is_json = response.content_type.endswith(("/json", "+json"))
            if is_json:
                return response.status, await response.json()
            return response.status, await response.text(errors="replace")

    async def listed(self, who: str, path: str) -> set[str]:
        """Return the ids of what the person's list has."""
        status, page = await self.call(who, "GET", path)
        assert status == 200, page
        return {each["id"] for each in page["items"]}

    async def holding_of(self, email: str) -> Holding:
        """Ask as this person, approve, let them in once."""
        ledger, reviewer = self.broker.context.ledger, await self.person(SECOND_REVIEWER)
        asked = await self.broker.ask(wish(), await self.person(email))
        given = (await self.broker.approve(asked.request.id, reviewer, Consent())).given
        session = await opened(ledger, given)
        await close(ledger, session, "client closed")
        return Holding(email, asked.request.id, given.grant.id, session)

    async def held_commit(self, holding: Holding) -> str:
        """Hold a commit of the person's session, for whoever holds the grant."""
        held_id = f"hld_{next(self.numbers):016}"
        async with transaction(self.broker.context.ledger) as db:
            await db.execute(_HOLD, held_id, holding.session, holding.grant)
        return held_id

    async def alarm(self, grant_id: str | None) -> str:
        key = f"trouble {next(self.numbers)}"
        async with transaction(self.broker.context.ledger) as db:
            await self.broker.alarms.raise_(db, key, "look at this", grant_id=grant_id)
            return str(await db.fetchval("SELECT id FROM curfew.alarms WHERE key = $1", key))

    async def allowance(self, email: str) -> str:
        """Agree beforehand to what this person will ask for."""
        foresight = Foresight(
            person=email,
            target="orders",
            role="orders_reader",
            database=None,
            duration=HOUR,
            starts_at=None,
            ends_at=datetime.now(UTC) + HOUR,
            reason="",
        )
        reviewer = await self.person(SECOND_REVIEWER)
        return (await self.broker.allowances.make(foresight, reviewer)).id

    async def spare_token(self, email: str) -> str:
        new = await self.broker.tokens.create(email, label="", lifetime=None, actor="test")
        return new.token.id

    async def review_due(self, grant_id: str) -> None:
        """Let the grant be one for which somebody broke the glass."""
        async with transaction(self.broker.context.ledger) as db:
            await reviews.insert(db, grant_id, datetime.now(UTC) + HOUR)

    async def ban(self) -> str:
        key = f"address 2001:db8:{next(self.numbers):x}::/64"
        async with reading(self.broker.context.ledger) as db:
            await bans.count_failure(db, [key], _BAN, datetime.now(UTC))
        return key


@asynccontextmanager
async def house_on(
    stage: Stage, approvers: Mapping[str, Any] | None = None, guards: Guards | None = None
) -> AsyncIterator[House]:
    """Yield the house; `approvers` are of policies by name, instead of the stage's."""
    identity = {
        "people": [
            {"email": DEV, "groups": ["developers"], "manager": OTHER_DEV},
            *stage.settings()["identity"]["people"][1:],
            {"email": OPERATOR, "groups": ["platform"]},
            {"email": AUDITOR},
            {"email": EVERYTHING_AT_ONCE, "groups": ["platform", "dba"]},
        ],
        "machines": [{"name": "deploy-orders"}],
        "operators": {"groups": ["platform"]},
        "auditors": {"people": [AUDITOR, EVERYTHING_AT_ONCE]},
    }
    stage.write_settings(identity=identity)
    _set_policies(stage.folder / "policies.yaml", approvers or {})
    async with stage.broker() as broker:
        await broker.policies.begin()
        await broker.health.check("orders")
        app = make_app(broker, guards=guards)
        app.router.add_get("/v1/unlisted", _unlisted)
        async with TestClient(TestServer(app)) as client:
            yield House(broker, client)


def _set_policies(file: Path, approvers: Mapping[str, Any]) -> None:
    text = yaml.safe_load(file.read_text())
    for policy in text["policies"]:
        if policy["name"] in approvers:
            policy["approval"] = {"from": [approvers[policy["name"]]]}
        if policy["name"] == "readers":
            policy["requesters"] = {"anyone": True, "machines": [JOB]}
    file.write_text(yaml.safe_dump(text))


async def _unlisted(request: web.Request) -> web.Response:
    return web.Response(text="anybody's")
