"""Makes and removes logins on targets: the intent is in the ledger, this carries it out.

Whoever works on a login holds its ledger row locked; a broker that dies frees it. So any number of
brokers share the work, and DDL on one login never runs twice at once.
"""

import asyncio
import logging

from broker.domain.errors import BrokerError, TargetRefused
from broker.domain.events import GrantEnded, LeftoverRemoved, LoginMade
from broker.domain.grant import Grant, GrantEvent, GrantState
from broker.domain.login_plan import LoginPlan
from broker.domain.person import SYSTEM
from broker.ledger import audit, grants, logins, receipts, sessions
from broker.ledger.connection import Db, reading, transaction
from broker.ledger.logins import Login
from broker.service.context import Context
from broker.service.grants import end_grant
from broker.target.connect import Target
from broker.target.leftovers import FoundLogin, find_logins
from broker.target.login import make_login
from broker.target.removal import Doomed, remove_login

_BATCH = 50
# Proxies close the sessions of an ended grant within milliseconds, and say why. Only what they
# have not closed by then is ended by the target, which cannot say it as well.
_GOODBYE_S = 0.5
_GOODBYE_POLL_S = 0.02

# What may look different a moment later: resources, locks, shut-downs, connections, races.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_TRANSIENT_CLASSES = ("08", "40", "53", "55", "57", "58", "XX")

_log = logging.getLogger(__name__)


class Logins:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def end_overdue(self) -> None:
        """Write down the end of grants whose curfew has come or whose login was tampered with."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            for grant in await grants.lock_overdue(db, now, _BATCH):
                overdue = grant.expires_at <= now
                event = GrantEvent.EXPIRED if overdue else GrantEvent.REJECTED
                comment = None if overdue else "the target no longer accepts the login's keys"
                await end_grant(db, grant, event, actor=SYSTEM, comment=comment, now=now)

    async def fetch_due(self) -> list[str]:
        """Return the ids of grants whose login is to be made or removed now."""
        async with transaction(self._context.ledger) as db:
            return await grants.fetch_due(db, self._context.now(), _BATCH)

    async def work_on(self, grant_id: str) -> None:
        """Make or remove the login of one grant, unless somebody else is at it.

        A failure is written down with the time of the next try, and never raised.
        """
        async with transaction(self._context.ledger) as db:
            login = await logins.lock_if_free(db, grant_id)
            if login is None:
                return
            grant = await grants.fetch(db, grant_id)
            assert grant is not None
            try:
                if grant.state is GrantState.PROVISIONING:
                    await self._provision(db, grant, login)
                elif grant.state is GrantState.REVOKING:
                    await self._remove(db, grant, login)
            except BrokerError as error:
                why = error.__cause__ or error
                _log.warning("grant %s stays %s: %s (%s)", grant.id, grant.state, error, why)
                failed = grant.after_failed_attempt(str(error), self._context.now())
                await grants.save(db, failed, was=grant.state)

    async def remove_leftovers(self, target: Target) -> None:
        """Remove logins of ours that should not exist: their grant has ended or was never ours.

        A crash cannot leave one, as the intent is always written first. A ledger restored from a
        backup, or a broker that was cut off from it in the middle of a statement, can.
        """
        found = await find_logins(target, self._context.installation)
        async with reading(self._context.ledger) as db:
            living = await grants.fetch_living(db, target.name, [login.grant_id for login in found])
        for login in found:
            if login.grant_id not in living:
                async with transaction(self._context.ledger) as db:
                    await self._remove_leftover(db, target, login)

    async def _provision(self, db: Db, grant: Grant, login: Login) -> None:
        plan = LoginPlan(
            name=login.name,
            catalog_role=grant.role,
            valid_until=grant.expires_at,
            connection_limit=login.connection_limit,
            installation=self._context.installation,
            grant_id=grant.id,
            person=grant.person.email,
        )
        try:
            oid = await make_login(self._context.target(grant.target, grant.role), plan)
        except TargetRefused as error:
            if error.sqlstate[:2] in _TRANSIENT_CLASSES:
                raise
            _log.error("grant %s cannot be provisioned: %s", grant.id, error)
            await self._fail(db, grant, error)
            return
        now = self._context.now()
        await logins.save_oid(db, grant.id, oid)
        # False when the grant was ended meanwhile: then the login is removed next.
        if await grants.save(db, grant.after(GrantEvent.PROVISIONED, now), was=grant.state):
            event = LoginMade(
                request_id=grant.request_id, grant_id=grant.id, login=login.name, oid=oid
            )
            await audit.append(db, event, actor=SYSTEM, now=now)

    async def _fail(self, db: Db, grant: Grant, error: TargetRefused) -> None:
        current = await grants.lock(db, grant.id)
        if current is not None and current.state is GrantState.PROVISIONING:
            now = self._context.now()
            await end_grant(
                db, current, GrantEvent.FAILED, actor=SYSTEM, comment=str(error), now=now
            )

    async def _remove(self, db: Db, grant: Grant, login: Login) -> None:
        doomed = Doomed(login.name, login.oid, grant.role, self._context.installation, grant.id)

        async def wait_for_goodbyes() -> None:
            await _wait_until_closed(db, grant.id)

        target = self._context.target(grant.target, grant.role)
        facts = await remove_login(target, doomed, before_kill=wait_for_goodbyes)
        now = self._context.now()
        await grants.save(db, grant.after(GrantEvent.REMOVED, now), was=grant.state)
        await receipts.insert(db, grant.id, facts, now)
        await sessions.close_all_of_grant(db, grant.id, reason="ended with its grant", now=now)
        event = GrantEnded(
            request_id=grant.request_id,
            grant_id=grant.id,
            login=login.name,
            oid=facts["oid"],
            receipt=facts,
        )
        await audit.append(db, event, actor=SYSTEM, now=now)

    async def _remove_leftover(self, db: Db, target: Target, found: FoundLogin) -> None:
        await logins.lock(db, found.grant_id)
        grant = await grants.fetch(db, found.grant_id)
        doomed = Doomed(
            found.name,
            found.oid,
            # The group is known only for a login that the ledger has; a copy of another target's
            # login, as in a restored server, was a member of the same role there.
            grant.role if grant is not None else None,
            self._context.installation,
            found.grant_id,
        )
        await remove_login(target, doomed, before_kill=_nothing)
        event = LeftoverRemoved(
            grant_id=found.grant_id, target=target.name, login=found.name, oid=found.oid
        )
        _log.warning("removed a leftover login %s from target %s", found.name, target.name)
        await audit.append(db, event, actor=SYSTEM, now=self._context.now())


async def _wait_until_closed(db: Db, grant_id: str) -> None:
    for _ in range(round(_GOODBYE_S / _GOODBYE_POLL_S)):
        if not await sessions.count_open(db, grant_id):
            return
        await asyncio.sleep(_GOODBYE_POLL_S)


async def _nothing() -> None:
    return None
