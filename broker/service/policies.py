"""What is in force: taken up at the start, and again whenever the operator's files change.

A file that cannot be used is refused whole: the one before stays in force, and an alarm is open
until it is mended. What comes into force is a version in the ledger, committed with its audit event
before anybody is decided about by it. While the ledger is away nothing changes.
"""

import asyncio
import logging
from dataclasses import replace

from broker.domain.events import (
    Event,
    PoliciesChanged,
    PoliciesRefused,
    SettingsChanged,
    SettingsRefused,
)
from broker.domain.person import SYSTEM
from broker.domain.version import Change, Version, VersionKind, Written, change
from broker.ledger import alarms as alarm_rows
from broker.ledger import audit, policy_versions
from broker.ledger.connection import Db, reading, transaction
from broker.service.alarms import Alarms
from broker.service.context import Context
from broker.service.in_force import Broken, InForce, PoliciesRead, Reading, SettingsRead

_REFUSED = {VersionKind.POLICIES: PoliciesRefused, VersionKind.SETTINGS: SettingsRefused}
_KEYS = "files:"  # no machine in it: the alarm of one that is gone would stay for ever
_MOST_FAULTS = 20  # lines that an alarm or an event repeats

_log = logging.getLogger(__name__)


class Policies:
    def __init__(self, context: Context, alarms: Alarms) -> None:
        self._context = context
        self._alarms = alarms
        self._one_at_a_time = asyncio.Lock()
        self._seen = b""
        self._judged = b""
        self._complaints: dict[str, str] = {}

    async def begin(self) -> None:
        """Record what is in force, before anybody is served. Raises LedgerUnavailable."""
        await self.look(told=True)

    async def look(self, *, told: bool = False) -> None:
        """Take up what the operator has changed, if they have. Raises LedgerUnavailable.

        Unless `told` that the files are ready, they must look the same twice: one may be half
        written, and half of a policy file can be a policy file that allows more.
        """
        async with self._one_at_a_time:
            seen = await asyncio.to_thread(self._context.files.look)
            settled, self._seen = seen == self._seen, seen
            if not told and (seen == self._judged or not settled):
                await self._remind()
                return
            found = await asyncio.to_thread(self._context.files.read)
            if found is not None and (told or found.seen == seen):
                await self._judge(found)
                self._judged = found.seen

    async def _judge(self, found: Reading) -> None:
        now = self._context.live.in_force
        complaints = self._complaints_about(found)
        async with transaction(self._context.ledger) as db:
            await self._complain(db, complaints)
            now = await self._with_settings(db, now, found.settings)
            now = await self._with_policies(db, now, found.policies)
        # Only now: what did not commit was never in force.
        self._complaints = complaints
        self._context.live.in_force = now

    async def _with_settings(self, db: Db, now: InForce, read: SettingsRead | Broken) -> InForce:
        if isinstance(read, Broken):
            return await self._refuse(db, now, VersionKind.SETTINGS, read)
        version = await self._record(db, read.written, read.waiting)
        return replace(
            now,
            directory=read.directory,
            authority=read.authority,
            terms=read.terms,
            versions={**now.versions, VersionKind.SETTINGS: version},
        )

    async def _with_policies(self, db: Db, now: InForce, read: PoliciesRead | Broken) -> InForce:
        if isinstance(read, Broken):
            return await self._refuse(db, now, VersionKind.POLICIES, read)
        version = await self._record(db, read.written)
        return replace(
            now,
            policies=read.policies,
            versions={**now.versions, VersionKind.POLICIES: version},
        )

    async def _refuse(self, db: Db, now: InForce, kind: VersionKind, broken: Broken) -> InForce:
        why = _briefly(broken.why)
        _log.error("the %s in force stay: %s", kind, why)
        if self._complaints.get(_key(kind)) != self._message(why):
            event = _REFUSED[kind](host=self._context.host, why=why)
            await audit.append(db, event, actor=SYSTEM, now=self._context.now())
        return now

    async def _record(self, db: Db, written: Written, waiting: tuple[str, ...] = ()) -> Version:
        """Return the version that says what is written, which another broker may have made."""
        kind = written.kind
        current = self._context.live.in_force.versions.get(kind)
        if current is not None and current.written == written:
            return current
        await policy_versions.lock_to_append(db)
        before = await policy_versions.fetch_newest(db, kind)
        if before is not None and before.written == written:
            version = before
        else:
            now = self._context.now()
            version = await policy_versions.insert(
                db, written, now=now, loaded_by=self._context.host
            )
            changed = await asyncio.to_thread(change, before.written if before else None, written)
            await audit.append(db, _event(version, before, changed, waiting), actor=SYSTEM, now=now)
        _log.info("%s: version %d is in force", kind, version.number)
        if waiting:
            _log.warning("settings: %s wait for a restart of the broker", ", ".join(waiting))
        return version

    def _complaints_about(self, found: Reading) -> dict[str, str]:
        """Return what is wrong, by the keys of alarms."""
        complaints = {}
        for kind, part in (
            (VersionKind.SETTINGS, found.settings),
            (VersionKind.POLICIES, found.policies),
        ):
            if isinstance(part, Broken):
                complaints[_key(kind)] = self._message(_briefly(part.why))
            elif part.spills:
                complaints[_key(kind)] = self._message(_briefly("\n".join(part.spills)))
        return complaints

    def _message(self, why: str) -> str:
        return f"on {self._context.host}: {why}"

    async def _complain(self, db: Db, complaints: dict[str, str]) -> None:
        for kind in VersionKind:
            if (message := complaints.get(_key(kind))) is not None:
                await self._alarms.raise_(db, _key(kind), message)
            else:
                await self._alarms.clear(db, _key(kind))

    async def _remind(self) -> None:
        """Raise anew what is not mended: somebody has closed it, or a broker whose files are good
        has."""
        if not self._complaints:
            return
        async with reading(self._context.ledger) as db:
            still_open = await alarm_rows.fetch_open_keys(db, _KEYS)
        if self._complaints.keys() - still_open:
            async with transaction(self._context.ledger) as db:
                await self._complain(db, self._complaints)


def _key(kind: VersionKind) -> str:
    return f"{_KEYS}{kind}"


def _event(
    version: Version, before: Version | None, changed: Change, waiting: tuple[str, ...]
) -> Event:
    number, was = version.number, before.number if before else None
    diff, left_out = changed.diff, changed.left_out
    if version.written.kind is VersionKind.POLICIES:
        return PoliciesChanged(number=number, before=was, diff=diff, lines_left_out=left_out)
    return SettingsChanged(
        number=number, before=was, diff=diff, lines_left_out=left_out, waiting=waiting
    )


def _briefly(text: str) -> str:
    lines = text.splitlines()
    more = len(lines) - _MOST_FAULTS
    return "\n".join(lines[:_MOST_FAULTS] + ([f"… and {more} more"] if more > 0 else []))
