"""Grants of the usual kind: a login of their own, made and removed."""

import asyncio
from functools import partial

from broker.domain.events import LoginMade
from broker.domain.grant import Grant, GrantEvent
from broker.domain.login_plan import LoginMark, LoginPlan
from broker.domain.person import SYSTEM
from broker.ledger import audit, grants, logins, sessions
from broker.ledger.connection import Db
from broker.ledger.logins import Login
from broker.ledger.serial import turn
from broker.service.means import Means
from broker.service.receipts import Evidence
from broker.service.sweep import Undoing
from broker.target.blocked import RemovalBlocked
from broker.target.connect import Target
from broker.target.login import make_login
from broker.target.receipt import read_lines
from broker.target.removal import Doomed, Hooks, Removed, RunAsLogin, remove_login

# Proxies close the sessions of an ended grant within milliseconds, and say why. Only what they
# have not closed by then is ended by the target, which cannot say it as well.
_GOODBYE_S = 0.5
# What the target has ended, proxies write down soon after.
_WRITTEN_S = 1.0
_POLL_S = 0.02


class Logins:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def lock(self, db: Db, grant_id: str) -> "GivenLogin | None":
        login = await logins.lock_if_free(db, grant_id)
        return GivenLogin(self._means, login) if login is not None else None


class GivenLogin:
    """The login of one grant, locked."""

    def __init__(self, means: Means, login: Login) -> None:
        self._means = means
        self._context = means.context
        self._login = login

    async def provision(self, db: Db, grant: Grant) -> bool:
        login = self._login
        target = self._context.target(grant.target, grant.role)
        catalog_role = await self._means.role_checks.require_usable(grant)
        plan = LoginPlan(
            name=login.name,
            role=catalog_role.with_parameters(grant.parameters),
            valid_until=grant.expires_at,
            mark=self._mark(grant),
        )
        await self._means.sweep.picture_before(db, grant)
        oid = await make_login(target, plan, partial(turn, db, target.name))
        now = self._context.now()
        await logins.save_oid(db, grant.id, oid)
        # False when the grant was ended meanwhile: then the login is removed next.
        if await grants.save(db, grant.after(GrantEvent.PROVISIONED, now), was=grant.state):
            event = LoginMade(
                request_id=grant.request_id, grant_id=grant.id, login=login.name, oid=oid
            )
            await audit.append(db, event, actor=SYSTEM, now=now)
        return False

    async def remove(self, db: Db, grant: Grant) -> None:
        login = self._login
        target = self._context.target(grant.target, grant.role)
        doomed = Doomed(login.name, login.oid, grant.role, self._mark(grant))
        undone = self._means.sweep.undoing(grant)

        async def before_kill() -> None:
            await _wait_until_closed(db, grant.id, _GOODBYE_S)

        async def before_cleaning(run: RunAsLogin) -> None:
            await undone.run(db, run)

        hooks = Hooks(partial(turn, db, target.name), before_kill, before_cleaning)
        removed = await remove_login(target, doomed, hooks)
        evidence = await self._gather(db, grant, target, removed, undone)
        await self._means.receipts.write(db, grant, evidence)

    def _mark(self, grant: Grant) -> LoginMark:
        return LoginMark(self._context.installation, grant.id, grant.person.email)

    async def _gather(
        self, db: Db, grant: Grant, target: Target, removed: Removed, undone: Undoing
    ) -> Evidence:
        lines = await read_lines(target, removed.oid, removed.name)
        # These two are never left to the receipt: as long as they do not hold, it is not over.
        if any(line.count for line in lines[:2]):
            raise RemovalBlocked(target.name, f"somebody made {removed.name} anew; trying again")
        await _wait_until_closed(db, grant.id, _WRITTEN_S)
        found = await self._means.sweep.findings(db, grant, undone)
        return Evidence(
            lines=lines,
            steps=removed.steps,
            sessions_ended=removed.sessions_ended,
            subject={
                "login": removed.name,
                "oid": removed.oid,
                "databases_cleaned": removed.databases_cleaned,
            },
            findings=found.findings,
            unseen=found.unseen,
        )


async def _wait_until_closed(db: Db, grant_id: str, seconds: float) -> None:
    """Wait until proxies have written down the ends of the grant's sessions, but not for ever."""
    for _ in range(round(seconds / _POLL_S)):
        if not (await sessions.count(db, grant_id)).open:
            return
        await asyncio.sleep(_POLL_S)
