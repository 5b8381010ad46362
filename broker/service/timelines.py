"""The whole life of a request and of the grant that came of it, for whoever may see the request.

Somebody who only has what it gave sees what they see elsewhere: alarms, who looked at their
statements, and what a target said about what holds a login are for those who look after it.
"""

import json
from datetime import datetime
from typing import Any

from broker.domain.errors import NotFound
from broker.domain.person import Person
from broker.domain.receipt import Step
from broker.domain.request import AccessRequest
from broker.domain.timeline import FOUND, OPENED, Aftermath, Ran, SessionLife, Timeline, assemble
from broker.domain.timeline_words import OF_SESSIONS, Happening, is_for
from broker.ledger import audit, findings, receipts, requests, sessions, statements
from broker.ledger.audit import Life
from broker.ledger.connection import Db, reading
from broker.ledger.sessions import SessionRow
from broker.ledger.sight import Visible
from broker.ledger.statements import Sums
from broker.service.context import Context
from broker.service.statements import lifetime_of, quickly_summed
from broker.service.visible import decides, shows, visible_to

_MOST_OF_A_KIND = 200
_MOST_SESSIONS = 200
_MOST_FINDINGS = 200


class Timelines:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def of(self, request_id: str, person: Person) -> Timeline:
        """Raises NotFound for a request that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not shows(visible, request):
                raise NotFound("request", request_id)
            return await self._of(db, visible, request)

    async def of_grant(self, grant_id: str, person: Person) -> Timeline:
        """Raises NotFound for a grant that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            family = await requests.fetch_of_grant(db, grant_id)
            gave = next((each for each in family if each.extends is None), None)
            if gave is None or not shows(visible, gave):
                raise NotFound("grant", grant_id)
            return await self._of(db, visible, gave)

    async def _of(self, db: Db, visible: Visible, request: AccessRequest) -> Timeline:
        inside = visible.everything or decides(visible, request)
        family = await _family(db, visible, request)
        # Who was let in on an extension alone sees nothing of the grant.
        sees_grant = any(each.extends is None for each in family)
        grant_id = request.grant_id if sees_grant else None
        life = await audit.fetch_life(
            db,
            [each.id for each in family],
            grant_id,
            without=OF_SESSIONS,
            most_of_a_kind=_MOST_OF_A_KIND,
        )
        happenings = _happenings(life, {each.id for each in family if each.extends is not None})
        left_out = {kind: n for kind, n in life.left_out.items() if is_for(kind, inside=inside)}
        if grant_id is None:
            return Timeline(assemble(happenings, (), None, inside=inside), left_out)
        lives, more = await self._sessions(db, grant_id)
        if more:
            left_out[OPENED] = more
        after, more = await _aftermath(db, grant_id)
        if more:
            left_out[FOUND] = more
        return Timeline(assemble(happenings, lives, after, inside=inside), left_out)

    async def _sessions(self, db: Db, grant_id: str) -> tuple[list[SessionLife], int]:
        """Return the newest sessions, and how many older ones there are."""
        now = self._context.now()
        rows = await sessions.fetch_newest_of_grant(db, grant_id, _MOST_SESSIONS)
        older = 0
        if len(rows) == _MOST_SESSIONS:
            older = (await sessions.count(db, grant_id)).total - _MOST_SESSIONS
        lives = {row.id: lifetime_of(row) for row in rows}
        counts = await statements.fetch_counts(db, list(lives.values()), now=now)
        cheap = [lives[each] for each in quickly_summed(rows, counts)]
        sums = await statements.fetch_sums(db, cheap, now=now)
        found = [_life(row, counts.get(row.id, 0), sums.get(row.id)) for row in reversed(rows)]
        return found, older


async def _family(db: Db, visible: Visible, request: AccessRequest) -> list[AccessRequest]:
    """Return the request that led to the grant and those to extend it, as far as the person may see
    them; the request alone while there is no grant."""
    if request.grant_id is None:
        return [request]
    found = await requests.fetch_of_grant(db, request.grant_id)
    return [each for each in found if shows(visible, each)]


def _happenings(life: Life, extensions: set[str]) -> list[Happening]:
    return [
        Happening(
            at=row.at,
            actor=row.actor,
            kind=row.kind,
            data=row.data,
            request_id=row.request_id,
            grant_id=row.grant_id,
            session_id=row.session_id,
            extends=row.request_id in extensions,
        )
        for row in life.rows
    ]


def _life(row: SessionRow, count: int, sums: Sums | None) -> SessionLife:
    ran = Ran(statements=count)
    if sums is not None:
        ran = Ran(
            statements=count,
            rows=sums.rows,
            errors=sums.errors,
            first_at=sums.first_at,
            last_at=sums.last_at,
        )
    return SessionLife(
        id=row.id,
        grant_id=row.grant_id,
        person=row.person,
        client_address=row.client_address,
        client_application=row.client_application,
        client_certificate=row.client_certificate,
        started_at=row.started_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
        killed_by=row.killed_by,
        bytes_to_client=row.bytes_to_client,
        ran=ran,
    )


async def _aftermath(db: Db, grant_id: str) -> tuple[Aftermath | None, int]:
    """Return what there is to say once the grant has ended, and how many findings are not in it."""
    link = await receipts.fetch(db, grant_id)
    if link is None:
        return None, 0
    facts: dict[str, Any] = json.loads(link.body)
    changed = await findings.fetch(db, grant_id)
    after = Aftermath(
        grant_id=grant_id,
        made_at=datetime.fromisoformat(facts["ended_at"]),
        proved=tuple(each["claim"] for each in facts["lines"] if each["proved"]),
        unproved=tuple(each["claim"] for each in facts["lines"] if not each["proved"]),
        steps=tuple(
            Step(datetime.fromisoformat(each["at"]), each["database"], each["statement"])
            for each in facts["steps"]
        ),
        findings=tuple((each.disposition, each.description) for each in changed[:_MOST_FINDINGS]),
    )
    return after, max(0, len(changed) - _MOST_FINDINGS)
