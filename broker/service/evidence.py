"""All that there is about one grant, in one zip that proves itself, for who has nothing of ours."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from broker.domain.errors import NotApprover
from broker.domain.events import RecordRead
from broker.domain.grant import Grant
from broker.domain.person import Person
from broker.domain.plain import plain
from broker.domain.statement.statement import timestamp
from broker.domain.version import Version, VersionKind
from broker.ledger import audit, findings, policy_versions, receipts, requests, reviews, sessions
from broker.ledger.connection import Db, transaction
from broker.ledger.statements import StatementFilter
from broker.service.checkpoints import Checkpoints
from broker.service.context import Context
from broker.service.exports import ExportFormat, Exports, What
from broker.service.insight import sees_policies
from broker.service.standalone import verifier
from broker.service.trail_sealing import TrailSealing
from broker.service.visible import decides, require_visible, visible_to

_CHUNK = 1_000_000  # characters that are compressed at once, in a thread

_README = """\
Evidence about grant {grant_id}

Who                 {person}
What                {role} on {target}, database {database}
From, until         {granted_at}, {ended_at}
Packed              {packed_at}, by {packer}, at installation {installation}

To check that nothing of it was changed since, with Python 3.11 or newer and nothing else:

    python -I verify.py

It says what is wrong, row by row, and ends with 0 if nothing is. It trusts the keys in audit.pub.
To trust nothing of this file, compare those with the operator's own copy of state_dir/audit.pub,
and verify.py with one that you have from elsewhere.

record.jsonl     the record: every statement of its sessions, the audit events about it, its
                 receipt, and what proves them: hashes, and signed checkpoints
statements.csv   the same statements, for reading
events.csv       the same events, for reading
requests.json    what was asked for and why, who decided what and said what; extensions too
grant.json       what was given
policies.yaml    the policies in force when it was given{policies}
sessions.json    who connected, from where, with what, and for how long
findings.json    what it changed on its target, and what was undone
receipt.json     what PostgreSQL said was left of it at its end{receipt}

Only record.jsonl is proved. The other files are copies for reading of what was in the ledger when
this was packed; what they say can be held against the events in record.jsonl. Statements of days
that were dropped by then are not here; record.jsonl names such days. A statement that ran
when this was packed has no outcome yet. In the .csv files an apostrophe before = + - or @ is ours.
"""


@dataclass(frozen=True, slots=True)
class _Story:
    """What is not in the chains, as it was at one moment."""

    grant: Grant
    files: dict[str, str]
    readme: str


class Evidence:
    def __init__(
        self, context: Context, exports: Exports, sealing: TrailSealing, checkpoints: Checkpoints
    ) -> None:
        self._context = context
        self._exports = exports
        self._sealing = sealing
        self._checkpoints = checkpoints

    async def pack(self, grant_id: str, person: Person, into: IO[bytes]) -> None:
        """Write the zip, piece by piece. Raises NotFound, or NotApprover for who holds the grant
        and does not decide about it: it says what only approvers see."""
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            grant, request = await require_visible(db, visible, grant_id)
            if not (visible.everything or decides(visible, request)):
                raise NotApprover(
                    "only who approves a grant, or sees everything, packs its evidence"
                )
            story = await self._story(db, grant, person, now)
            event = RecordRead(how="evidence", what="all", only=(f"grant_id={grant.id}",))
            await audit.append(db, event, actor=person.email, now=now)
        await self._sealing.seal()
        await self._checkpoints.make()  # so that all of it is signed
        with ZipFile(into, "w", ZIP_DEFLATED) as pack:
            _add(pack, "README.txt", story.readme, now)
            await self._stream(pack, "record.jsonl", self._record(grant.id), now)
            for what, name in ((What.STATEMENTS, "statements.csv"), (What.EVENTS, "events.csv")):
                await self._stream(pack, name, self._table(what, grant.id), now)
            for name, text in story.files.items():
                _add(pack, name, text, now)
            _add(pack, "verify.py", verifier(), now)

    def _record(self, grant_id: str) -> AsyncGenerator[str, None]:
        return self._exports.json_lines(What.ALL, StatementFilter(grant_id=grant_id))

    def _table(self, what: What, grant_id: str) -> AsyncGenerator[str, None]:
        wanted = StatementFilter(grant_id=grant_id)
        return self._exports.table(ExportFormat.CSV, what, wanted)

    async def _story(self, db: Db, grant: Grant, person: Person, now: datetime) -> _Story:
        asked = [
            {
                **plain(each),
                "decisions": plain(await requests.fetch_decisions(db, each.id)),
                "comments": plain(await requests.fetch_comments(db, each.id)),
            }
            for each in await requests.fetch_of_grant(db, grant.id)
        ]
        version = await policy_versions.fetch_at(db, VersionKind.POLICIES, grant.granted_at)
        shown = version if sees_policies(self._context, person) else None
        link = await receipts.fetch(db, grant.id)
        files = {
            "requests.json": _json(asked),
            "grant.json": _json(
                {
                    **plain(grant),
                    "policy_version": version.number if version is not None else None,
                    "review": plain(await reviews.fetch(db, grant.id)),
                }
            ),
            "sessions.json": _json(plain(await sessions.fetch_of_grant(db, grant.id))),
            "findings.json": _json(plain(await findings.fetch(db, grant.id))),
            "audit.pub": self._context.record.signing.public_pem(),
        }
        if shown is not None:
            files["policies.yaml"] = shown.written.text
        if link is not None:
            receipt = {
                "number": link.number,
                "previous": link.previous.hex(),
                "hash": link.hash.hex(),
                "receipt": json.loads(link.body),
            }
            files["receipt.json"] = _json(receipt)
        readme = _README.format(
            grant_id=grant.id,
            person=grant.person.email,
            role=grant.role,
            target=grant.target,
            database=grant.database,
            granted_at=timestamp(grant.granted_at),
            ended_at=timestamp(grant.ended_at) if grant.ended_at else "not ended yet",
            packed_at=timestamp(now),
            packer=person.email,
            installation=self._context.installation,
            policies=_policies_note(version, shown),
            receipt="" if link is not None else " (not here: it has not ended)",
        )
        return _Story(grant, files, readme)

    async def _stream(
        self, pack: ZipFile, name: str, lines: AsyncGenerator[str, None], now: datetime
    ) -> None:
        with pack.open(_info(name, now), "w", force_zip64=True) as file:
            waiting: list[str] = []
            size = 0
            async with aclosing(lines):
                async for line in lines:
                    waiting.append(line)
                    size += len(line)
                    if size >= _CHUNK:
                        await asyncio.to_thread(file.write, "".join(waiting).encode())
                        waiting, size = [], 0
            await asyncio.to_thread(file.write, "".join(waiting).encode())


def _policies_note(version: Version | None, shown: Version | None) -> str:
    if shown is not None:
        return f": version {shown.number}, since {timestamp(shown.loaded_at)}"
    if version is None:
        return " (not here: none is on record)"
    return f" (not here: version {version.number}, which who packed this may not see)"


def _add(pack: ZipFile, name: str, text: str, now: datetime) -> None:
    pack.writestr(_info(name, now), text)


def _info(name: str, now: datetime) -> ZipInfo:
    info = ZipInfo(name, now.timetuple()[:6])
    info.compress_type = ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
