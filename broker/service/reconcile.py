"""Compares a target with the ledger: logins that should not be there, and logins that should.

A crash cannot leave one, as the intent is always written first. A restored backup of either side
can, or a broker that was cut off in the middle of a statement, or a pair of hands.
"""

import logging
from functools import partial

from broker.domain.errors import BrokerError
from broker.domain.events import LeftoverRemoved
from broker.domain.grant import GrantEvent, GrantState
from broker.domain.person import SYSTEM
from broker.ledger import alarms, audit, grants, logins
from broker.ledger.connection import Db, reading, transaction
from broker.ledger.serial import turn
from broker.service.alarms import Alarms
from broker.service.context import Context
from broker.service.grants import end_grant
from broker.target.connect import Target
from broker.target.leftovers import FoundLogin, find_logins, find_missing
from broker.target.removal import Doomed, Hooks, RunAsLogin, remove_login

_log = logging.getLogger(__name__)


class Reconciliation:
    def __init__(self, context: Context, alarms_: Alarms) -> None:
        self._context = context
        self._alarms = alarms_

    async def reconcile(self, target: Target) -> None:
        """Remove our leftovers, deal with strangers, end grants whose login is gone."""
        await self._end_vanished(target)
        found = await find_logins(target)
        ours = [
            login
            for login in found
            if login.mark is not None and login.mark.installation == self._context.installation
        ]
        strangers = [login for login in found if login not in ours]
        grant_ids = [login.mark.grant_id for login in ours if login.mark is not None]
        async with reading(self._context.ledger) as db:
            living = await grants.fetch_living(db, target.name, grant_ids)
        for login in ours:
            if login.mark is not None and login.mark.grant_id not in living:
                await self._remove(target, login, known_grant=login.mark.grant_id)
        await self._deal_with(target, strangers)

    async def _end_vanished(self, target: Target) -> None:
        async with reading(self._context.ledger) as db:
            oids = await grants.fetch_active_logins(db, target.name)
        missing = await find_missing(target, oids.values()) if oids else set()
        for grant_id, oid in oids.items():
            if oid in missing:
                await self._end(grant_id)

    async def _end(self, grant_id: str) -> None:
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            grant = await grants.lock(db, grant_id)
            if grant is None or grant.state is not GrantState.ACTIVE:
                return  # it was ended while we looked
            comment = "its login is gone from the target, and not by us"
            await end_grant(db, grant, GrantEvent.VANISHED, actor=SYSTEM, comment=comment, now=now)
            await self._alarms.raise_(
                db,
                f"vanished:{grant.id}",
                f"grant {grant.id} of {grant.person.email}: {comment}",
                target=grant.target,
                grant_id=grant.id,
            )

    async def _deal_with(self, target: Target, strangers: list[FoundLogin]) -> None:
        """Report roles that only look like logins of ours, or remove them where settings allow."""
        prefix = f"unknown:{target.name}:"
        keys = {f"{prefix}{login.oid}" for login in strangers}
        remove = self._context.terms[target.name].removes_unknown_logins
        for login in strangers:
            if remove:
                await self._remove(target, login, known_grant=None)
            else:
                await self._report(target, login, f"{prefix}{login.oid}")
        async with transaction(self._context.ledger) as db:
            for key in await alarms.fetch_open_keys(db, prefix):
                if remove or key not in keys:
                    await self._alarms.clear(db, key)

    async def _report(self, target: Target, login: FoundLogin, key: str) -> None:
        whose = (
            f"was made by another pgcurfew ({login.mark.installation})"
            if login.mark is not None
            else "carries no mark of pgcurfew: it was made by hand"
        )
        message = (
            f"role {login.name} on target {target.name} looks like a login and {whose}; drop it, "
            f"or set targets.{target.name}.unknown_logins: remove"
        )
        async with transaction(self._context.ledger) as db:
            await self._alarms.raise_(db, key, message, target=target.name)

    async def _remove(self, target: Target, login: FoundLogin, *, known_grant: str | None) -> None:
        key = f"leftover:{target.name}:{login.oid}"
        try:
            async with transaction(self._context.ledger) as db:
                await self._remove_one(db, target, login, known_grant)
                await self._alarms.clear(db, key)
        except BrokerError as error:
            message = f"role {login.name} on target {target.name} should be gone: {error}"
            async with transaction(self._context.ledger) as db:
                await self._alarms.raise_(db, key, message, target=target.name)

    async def _remove_one(
        self, db: Db, target: Target, login: FoundLogin, known_grant: str | None
    ) -> None:
        role = None
        if known_grant is not None:
            await logins.lock(db, known_grant)
            # A copy of another target's login, as on a restored server, had the same role there.
            grant = await grants.fetch(db, known_grant)
            role = grant.role if grant is not None else None
        mark = login.mark if known_grant is not None else None
        doomed = Doomed(login.name, login.oid, role, mark)
        hooks = Hooks(partial(turn, db, target.name), _nothing, _nothing_as_login)
        await remove_login(target, doomed, hooks)
        event = LeftoverRemoved(
            grant_id=known_grant, target=target.name, login=login.name, oid=login.oid
        )
        _log.warning("removed a leftover login %s from target %s", login.name, target.name)
        await audit.append(db, event, actor=SYSTEM, now=self._context.now())


async def _nothing() -> None:
    return None


async def _nothing_as_login(_run: RunAsLogin) -> None:
    return None
