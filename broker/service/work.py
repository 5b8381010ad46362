"""Carries out on targets what the ledger intends: makes and removes what grants give.

Whoever works on a grant holds the ledger row of its login or membership locked; a broker that dies
frees it. So any number of brokers share the work, and DDL on one login never runs twice at once.
"""

import logging
from typing import Protocol

from broker.domain.errors import BrokerError, TargetRefused
from broker.domain.events import GrantQuarantined
from broker.domain.grant import ENDING_STATES, Grant, GrantEvent, GrantState
from broker.domain.person import SYSTEM
from broker.ledger import audit, grants
from broker.ledger.connection import Db, transaction
from broker.service.alarms import Alarms, work_key
from broker.service.context import Context
from broker.service.grants import end_grant
from broker.target.blocked import RemovalBlocked

_BATCH = 50
# A target that restarts is back before this; then somebody should know that access lives on.
_ALARM_AFTER_ATTEMPTS = 5

# What may look different a moment later: resources, locks, shut-downs, connections, races.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58", "XX")

_log = logging.getLogger(__name__)


class Given(Protocol):
    """What one grant gives, locked for whoever works on it. Failures are raised, and written down
    here."""

    async def provision(self, db: Db, grant: Grant) -> bool:
        """Return True to be called again once what was written down so far is committed."""

    async def remove(self, db: Db, grant: Grant) -> None: ...


class GrantKindWork(Protocol):
    """How one kind of grant is made and removed."""

    async def lock(self, db: Db, grant_id: str) -> Given | None:
        """Lock what the grant gives. Returns None at once while somebody else works on it, or if
        it is of another kind."""


class Work:
    def __init__(
        self, context: Context, alarms: Alarms, logins: GrantKindWork, memberships: GrantKindWork
    ) -> None:
        self._context = context
        self._alarms = alarms
        self._kinds = (logins, memberships)

    async def end_overdue(self) -> None:
        """Write down the end of grants whose curfew has come or whose login was tampered with."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            for grant in await grants.lock_overdue(db, now, _BATCH):
                overdue = grant.expires_at <= now
                event = GrantEvent.EXPIRED if overdue else GrantEvent.REJECTED
                comment = None if overdue else "the target no longer accepts the login's keys"
                await end_grant(db, grant, event, actor=SYSTEM, comment=comment, now=now)
                if not overdue:
                    message = f"grant {grant.id}: {comment}; somebody may have changed its password"
                    await self._alarms.raise_(
                        db,
                        f"rejected:{grant.id}",
                        message,
                        target=grant.target,
                        grant_id=grant.id,
                    )

    async def fetch_due(self) -> list[str]:
        """Return the ids of grants that something is to be done about now."""
        async with transaction(self._context.ledger) as db:
            return await grants.fetch_due(db, self._context.now(), _BATCH)

    async def work_on(self, grant_id: str) -> None:
        """Make or remove what one grant gives, unless somebody else is at it.

        A failure is written down with the time of the next try, and never raised.
        """
        while await self._work_once(grant_id):
            pass

    async def _work_once(self, grant_id: str) -> bool:
        async with transaction(self._context.ledger) as db:
            given = await self._lock(db, grant_id)
            if given is None:
                return False
            grant = await grants.fetch(db, grant_id)
            assert grant is not None
            try:
                if grant.state is GrantState.PROVISIONING:
                    more = await given.provision(db, grant)
                    if grant.attempts:
                        await self._alarms.clear(db, work_key(grant.id))
                    return more
                if grant.state in ENDING_STATES:
                    await given.remove(db, grant)
            except BrokerError as error:
                await self._write_down(db, grant, error)
        return False

    async def _lock(self, db: Db, grant_id: str) -> Given | None:
        for kind in self._kinds:
            given = await kind.lock(db, grant_id)
            if given is not None:
                return given
        return None

    async def _write_down(self, db: Db, grant: Grant, error: BrokerError) -> None:
        why = error.__cause__ or error
        _log.warning("grant %s stays %s: %s (%s)", grant.id, grant.state, error, why)
        if (
            grant.state is GrantState.PROVISIONING
            and isinstance(error, TargetRefused)
            and error.sqlstate[:2] not in _TRANSIENT_CLASSES
        ):
            await self._fail(db, grant, error)
            return
        now = self._context.now()
        failed = grant.after_failed_attempt(str(error), now)
        quarantined = isinstance(error, RemovalBlocked) and error.quarantined
        if quarantined and grant.state is GrantState.REVOKING:
            failed = failed.after(GrantEvent.BLOCKED, now)
            event = GrantQuarantined(request_id=grant.request_id, grant_id=grant.id, why=str(error))
            await audit.append(db, event, actor=SYSTEM, now=now)
        await grants.save(db, failed, was=grant.state)
        if isinstance(error, RemovalBlocked) or failed.attempts >= _ALARM_AFTER_ATTEMPTS:
            await self._alarms.raise_(
                db,
                work_key(grant.id),
                f"grant {grant.id} of {grant.person.email} stays {failed.state}: {error}",
                target=grant.target,
                grant_id=grant.id,
            )

    async def _fail(self, db: Db, grant: Grant, error: TargetRefused) -> None:
        current = await grants.lock(db, grant.id)
        if current is not None and current.state is GrantState.PROVISIONING:
            now = self._context.now()
            await end_grant(
                db, current, GrantEvent.FAILED, actor=SYSTEM, comment=str(error), now=now
            )
