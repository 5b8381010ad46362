"""Lists of grants and sessions: page by page, exactly what came of requests that one may see."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from broker.domain.grant import Grant, GrantEvent, GrantState
from broker.domain.request import AccessRequest, RequestState
from broker.ledger import grants, outcome_lists, sessions
from broker.ledger.connection import searching, transaction
from broker.ledger.sight import Visible
from broker.service.visible import shows
from tests.integration.test_request_lists import Past, past_on, sights
from tests.support.servers import Server
from tests.support.stage import prepare, set_up

pytestmark = pytest.mark.newest

_SESSION = """
    INSERT INTO curfew.sessions (id, grant_id, worker_id, client_address, client_application,
                                 started_at, ended_at, end_reason)
    VALUES ($1, $2, 'wrk_1', '127.0.0.1', 'psql', now(), CASE WHEN $3 THEN now() END,
            CASE WHEN $3 THEN 'client left' END)
"""


@dataclass(frozen=True, slots=True)
class Outcomes:
    past: Past
    grants: dict[str, tuple[Grant, AccessRequest]]
    sessions: dict[str, tuple[bool, str]]  # whether it is open, and of which grant

    async def pages_of_grants(
        self, visible: Visible, state: GrantState | None, limit: int
    ) -> list[str]:
        ids: list[str] = []
        while True:
            before = ids[-1] if ids else None
            async with searching(self.past.pool) as db:
                page = await grants.fetch_page(db, visible, state=state, before=before, limit=limit)
            ids += [grant.id for grant, _login, _used in page]
            if len(page) < limit:
                return ids

    async def pages_of_sessions(
        self, visible: Visible, grant_id: str | None, *, is_open: bool | None, limit: int
    ) -> list[str]:
        ids: list[str] = []
        while True:
            before = ids[-1] if ids else None
            async with searching(self.past.pool) as db:
                page = await sessions.fetch_page(
                    db, visible, grant_id=grant_id, is_open=is_open, before=before, limit=limit
                )
            ids += [each.id for each in page]
            if len(page) < limit:
                return ids


def _grant(chance: random.Random, request: AccessRequest) -> Grant:
    state = chance.choice([GrantState.ACTIVE, GrantState.ENDED, GrantState.ENDED])
    return Grant(
        id=request.id.replace("req", "grt"),
        request_id=request.id,
        person=request.person,
        target=request.target,
        database=request.database,
        role=request.role,
        state=state,
        granted_at=request.created_at,
        expires_at=request.created_at + timedelta(hours=1),
        duration=timedelta(hours=1),
    )


@pytest.fixture
async def outcomes(server: Server, tmp_path: Path) -> AsyncIterator[Outcomes]:
    await prepare(server)
    chance = random.Random(2)  # noqa: S311
    async with set_up(server, tmp_path) as stage, past_on(stage, 200) as past:
        made = {}
        opened = {}
        async with transaction(past.pool) as db:
            for request in past.requests:
                if request.state is not RequestState.APPROVED:
                    continue
                grant = _grant(chance, request)
                made[grant.id] = (grant, request)
                ended = replace(grant, end_reason=GrantEvent.EXPIRED, ended_at=grant.expires_at)
                await grants.insert(db, replace(grant, state=GrantState.ACTIVE))
                if grant.state is GrantState.ENDED:
                    await grants.save(db, ended, was=GrantState.ACTIVE)
                for number in range(chance.randrange(3)):
                    session_id = grant.id.replace("grt", "ses")[:-1] + str(number)
                    opened[session_id] = (chance.random() < 0.3, grant.id)
                    await db.execute(_SESSION, session_id, grant.id, not opened[session_id][0])
        yield Outcomes(past, made, opened)


@pytest.mark.parametrize(("stretch", "few"), [(10_000, 5_000), (5, 0)])
async def test_pages_have_what_came_of_requests_that_one_may_see(
    outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch, stretch: int, few: int
) -> None:
    """Also when a walk gives up early, as it does with very many of them."""
    monkeypatch.setattr(outcome_lists, "_SHORT_STRETCH", 2)
    monkeypatch.setattr(outcome_lists, "_STRETCH", stretch)
    monkeypatch.setattr(outcome_lists, "_FEW", few)
    chance = random.Random(stretch)  # noqa: S311
    for _ in range(40):
        visible = sights(chance)
        seen = {each: grant for each, (grant, of) in outcomes.grants.items() if shows(visible, of)}
        state = chance.choice([None, GrantState.ACTIVE, GrantState.ENDED])
        found = await outcomes.pages_of_grants(visible, state, chance.choice([3, 50]))
        expected = [each for each in seen if state in {None, seen[each].state}]
        assert found == sorted(expected, reverse=True)
        of_grant = chance.choice([None, None, *list(outcomes.grants)[:2]])
        is_open = chance.choice([None, True, False])
        found = await outcomes.pages_of_sessions(visible, of_grant, is_open=is_open, limit=7)
        assert found == sorted(
            (
                each
                for each, (is_on, grant_id) in outcomes.sessions.items()
                if grant_id in seen and of_grant in {None, grant_id} and is_open in {None, is_on}
            ),
            reverse=True,
        )
