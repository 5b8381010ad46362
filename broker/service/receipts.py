"""Writes the receipt of a grant that has ended, and checks the chain that they form."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from broker.domain.errors import NotReady
from broker.domain.events import GrantEnded
from broker.domain.grant import Grant, GrantEvent
from broker.domain.person import SYSTEM
from broker.domain.picture import Disposition, Finding, FindingKind, describe
from broker.domain.receipt import (
    GENESIS,
    BrokenLink,
    Line,
    Link,
    Step,
    canonical,
    check_link,
    unproved,
)
from broker.ledger import audit, grants, receipts, sessions
from broker.ledger.connection import Db, transaction
from broker.service.alarms import Alarms, work_key
from broker.service.context import Context


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt's facts, and its place in the chain."""

    facts: dict[str, Any]
    link: Link


@dataclass(frozen=True, slots=True)
class Chain:
    """What checking all receipts found. `broken` is the first fault, None if there is none."""

    receipts: int
    broken: BrokenLink | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the end of a grant left to say, beside what the ledger knows of it."""

    lines: list[Line]
    steps: list[Step]
    sessions_ended: int
    subject: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    unseen: tuple[str, ...] = ()


class Receipts:
    def __init__(self, context: Context, alarms: Alarms) -> None:
        self._context = context
        self._alarms = alarms

    async def get(self, grant: Grant) -> Receipt:
        """Raises NotReady before there is one."""
        async with transaction(self._context.ledger) as db:
            link = await receipts.fetch(db, grant.id)
        if link is None:
            raise NotReady(
                f"grant {grant.id} is {grant.state}: its receipt comes when it has ended"
            )
        return Receipt(json.loads(link.body), link)

    async def check_chain(self) -> Chain:
        """Check every receipt against its hash and the one before it, and the newest against the
        audit trail, which also knows its hash: so that none can be cut off the end."""
        number, previous = 0, GENESIS
        async with transaction(self._context.ledger) as db:
            await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")  # one moment
            async for link in receipts.read_chain(db):
                number += 1
                broken = check_link(link, number, previous)
                if broken is not None:
                    return Chain(number, broken)
                previous = link.hash
            newest = await audit.fetch_newest(db, GrantEnded.kind)
        if newest is not None and newest["hash"] != previous.hex():
            missing = BrokenLink(number + 1, f"the trail knows a receipt {newest['receipt']}")
            return Chain(number, missing)
        return Chain(number, None)

    async def write(self, db: Db, grant: Grant, evidence: Evidence) -> None:
        """End the grant with its receipt, in the caller's transaction."""
        now = self._context.now()
        ended = grant.after(GrantEvent.REMOVED, now)
        proxied = await sessions.count(db, grant.id)
        lines = [*evidence.lines, _proxies_line(proxied, now)]
        missing = unproved(lines)
        await self._call_for_help(db, grant, evidence, missing)
        await grants.save(db, ended, was=grant.state)
        await self._alarms.clear(db, work_key(grant.id))
        facts = {
            **_facts_of(ended),
            **evidence.subject,
            "lines": [line.to_json() for line in lines],
            "proved": not missing,
            "steps": [step.to_json() for step in evidence.steps],
            "sessions_ended": evidence.sessions_ended,
            "proxy_sessions": proxied.total,
            "findings": [describe(finding) for finding in evidence.findings],
            "unseen": list(evidence.unseen),
        }
        link = await receipts.append(db, grant.id, canonical(facts), proved=not missing, now=now)
        event = GrantEnded(
            request_id=grant.request_id,
            grant_id=grant.id,
            receipt=link.number,
            hash=link.hash.hex(),
            proved=not missing,
        )
        await audit.append(db, event, actor=SYSTEM, now=now)

    async def _call_for_help(
        self, db: Db, grant: Grant, evidence: Evidence, missing: list[str]
    ) -> None:
        """Raise alarms for what is not as it should be, although the grant has ended."""
        stays = [
            describe(finding)
            for finding in evidence.findings
            if finding.disposition is Disposition.UNDO_FAILED
        ]
        blind = set(evidence.unseen) >= {kind.value for kind in FindingKind}
        for key, trouble in (
            ("receipt", f"its receipt cannot prove: {'; '.join(missing)}" if missing else ""),
            ("sweep", f"what was to be undone stays: {'; '.join(stays)}" if stays else ""),
            ("blind", "nothing on the target could be looked at afterwards" if blind else ""),
        ):
            if trouble:
                await self._alarms.raise_(
                    db,
                    f"{key}:{grant.id}",
                    f"grant {grant.id} of {grant.person.email} ended, but {trouble}",
                    target=grant.target,
                    grant_id=grant.id,
                )


def _proxies_line(counted: sessions.Counted, now: datetime) -> Line:
    return Line(
        claim="no proxy has a session of it",
        count=counted.open,
        question=sessions.COUNT,
        read_at=now,
        note="asked of the ledger, where proxies write what they open and close",
    )


def _facts_of(grant: Grant) -> dict[str, Any]:
    assert grant.ended_at is not None
    return {
        "grant": grant.id,
        "request": grant.request_id,
        "person": grant.person.email,
        "kind": grant.kind.value,
        "target": grant.target,
        "database": grant.database,
        "role": grant.role,
        "granted_at": grant.granted_at.isoformat(),
        "expires_at": grant.expires_at.isoformat(),
        "ended_at": grant.ended_at.isoformat(),
        "end_reason": grant.end_reason,
        "ended_by": grant.ended_by,
        "end_comment": grant.end_comment,
    }
