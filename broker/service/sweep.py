"""What did they leave? A picture of the target's catalog before a grant lives and one after, what
differs, and what the policy wants done about it.

A picture cannot tell who did something: what others changed meanwhile is found too. It is taken at
most a few seconds before the login is made, so it may also show what was done just before; it never
misses anything.
"""

from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.domain.grant import Grant
from broker.domain.login_plan import quarantine_name
from broker.domain.picture import Change, Finding, FindingKind, Ours, diff
from broker.domain.undo import SweepRules, settle, undo_plan
from broker.ledger import findings, grants, logins, memberships, pictures, requests
from broker.ledger.connection import Db
from broker.ledger.pictures import Place
from broker.service.context import Context
from broker.target.connect import Target
from broker.target.picture import take_picture
from broker.target.removal import RunAsLogin

# Grants that are given at the same moment share a picture.
_FRESH = timedelta(seconds=5)
_NO_PICTURE = "everything: there is no picture from before"
_MOST_ROUNDS = 5  # of undoing: what depends on something else may need it gone first


@dataclass(frozen=True, slots=True)
class Found:
    """The findings of a grant, and what could not be looked at."""

    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]


@dataclass(slots=True)
class Undoing:
    """Undoes what the policy wants undone while the login still exists, and keeps the answers."""

    sweep: "Sweep"
    grant: Grant
    tried: dict[Change, str] = field(default_factory=dict)

    async def run(self, db: Db, run_as_login: RunAsLogin) -> None:
        rules = await self.sweep.rules_of(db, self.grant)
        if not rules.undo:
            return
        if await grants.overlaps(db, self.grant):
            return  # it may be theirs: that is for a human to say
        changes = await self.sweep.changes(db, self.grant)
        waiting = list(undo_plan(changes, rules))
        for _ in range(_MOST_ROUNDS):
            before = len(waiting)
            for step in tuple(waiting):
                database = step.change.database or self.grant.database
                answer = await run_as_login(database, step.statements)
                self.tried[step.change] = answer
                if not answer:
                    waiting.remove(step)
            if not waiting or len(waiting) == before:
                return


class Sweep:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def picture_before(self, db: Db, grant: Grant) -> None:
        """Keep a picture of the target as it is before the grant can change anything."""
        place = Place(grant.target, grant.database)
        if await pictures.use_newest(db, grant.id, place, self._context.now() - _FRESH):
            return
        picture = await take_picture(self._target(grant), grant.database)
        ours = await self._ours(db, grant.target, picture.taken_at)
        picture_id = await pictures.insert(db, place, picture.without(ours))
        await pictures.save_of_grant(db, grant.id, picture_id)

    def undoing(self, grant: Grant) -> Undoing:
        return Undoing(self, grant)

    async def findings(self, db: Db, grant: Grant, undone: Undoing | None = None) -> Found:
        """Look again, and store what the grant's life changed."""
        compared = await self._compare(db, grant, login=None)
        if compared is None:
            return Found((), (_NO_PICTURE,))
        left, unseen = compared
        rules = await self.rules_of(db, grant)
        found = settle(undone.tried if undone is not None else {}, left, rules)
        await findings.insert(db, grant.id, found)
        return Found(found, tuple(sorted(kind.value for kind in unseen)))

    async def changes(self, db: Db, grant: Grant) -> tuple[Change, ...]:
        """Return what has changed so far, while the login is there and what it owns is its own."""
        login = await logins.fetch(db, grant.id)
        compared = await self._compare(db, grant, login=login.name if login else None)
        return compared[0] if compared is not None else ()

    async def _compare(
        self, db: Db, grant: Grant, *, login: str | None
    ) -> tuple[tuple[Change, ...], frozenset[FindingKind]] | None:
        """Return what differs now from before the grant, and what one of the two pictures could
        not see; None if there is no picture from before."""
        before = await pictures.fetch_of_grant(db, grant.id)
        if before is None:
            return None
        after = await take_picture(self._target(grant), grant.database)
        ours = await self._ours(db, grant.target, before.taken_at)
        return diff(before, after, ours=ours, login=login), before.unseen | after.unseen

    async def rules_of(self, db: Db, grant: Grant) -> SweepRules:
        if grant.sealed:
            # Its picture is as old as the ticket: most of what changed since is other people's.
            return SweepRules()
        request = await requests.fetch(db, grant.request_id)
        assert request is not None
        policy = self._context.policies.find(request.policy)
        return policy.sweep if policy is not None else SweepRules()

    async def _ours(self, db: Db, target: str, since: datetime) -> Ours:
        """Return what we made on the target that was there at any time `since` then."""
        made = await logins.fetch_made(db, target, since)
        names: Container[str] = {
            name for login in made for name in (login.name, quarantine_name(login.grant_id))
        }
        return Ours(names, await memberships.fetch_given(db, target, since))

    def _target(self, grant: Grant) -> Target:
        return self._context.target(grant.target, grant.role)
