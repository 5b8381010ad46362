"""Grants of the other kind: a role that the person already has becomes a member of the catalog
role for a time. They go on logging in as they always do; the proxy plays no part."""

from functools import partial

from broker.domain.events import MembershipGiven
from broker.domain.grant import Grant, GrantEvent
from broker.domain.person import SYSTEM
from broker.ledger import audit, grants, memberships
from broker.ledger.connection import Db
from broker.ledger.memberships import Membership
from broker.ledger.serial import turn
from broker.service.means import Means
from broker.service.receipts import Evidence
from broker.target.blocked import RemovalBlocked
from broker.target.membership import Given, give, read_lines, require_absent, take_back


class Memberships:
    def __init__(self, means: Means) -> None:
        self._means = means

    async def lock(self, db: Db, grant_id: str) -> "GivenMembership | None":
        membership = await memberships.lock_if_free(db, grant_id)
        return GivenMembership(self._means, membership) if membership is not None else None


class GivenMembership:
    """The membership of one grant, locked."""

    def __init__(self, means: Means, membership: Membership) -> None:
        self._means = means
        self._context = means.context
        self._membership = membership

    async def provision(self, db: Db, grant: Grant) -> bool:
        membership = self._membership
        given = self._given(grant, membership)
        target = self._context.target(grant.target, grant.role)
        if membership.absent_at is None:
            await self._means.role_checks.require_usable(grant)
            await require_absent(target, given)
            # Committed before we give anything, so that after a crash what is there is ours.
            await memberships.save_absent(db, grant.id, self._context.now())
            return True
        await self._means.sweep.picture_before(db, grant)
        await give(target, given, partial(turn, db, target.name))
        now = self._context.now()
        if await grants.save(db, grant.after(GrantEvent.PROVISIONED, now), was=grant.state):
            event = MembershipGiven(
                request_id=grant.request_id,
                grant_id=grant.id,
                role=grant.role,
                member=membership.member,
            )
            await audit.append(db, event, actor=SYSTEM, now=now)
        return False

    async def remove(self, db: Db, grant: Grant) -> None:
        membership = self._membership
        given = self._given(grant, membership)
        target = self._context.target(grant.target, grant.role)
        subject = {"member": membership.member}
        if membership.absent_at is None:  # nothing was given, so nothing is taken
            evidence = Evidence(lines=[], steps=[], sessions_ended=0, subject=subject)
        else:
            taken = await take_back(target, given, partial(turn, db, target.name))
            lines = await read_lines(target, given)
            if lines[0].count:
                raise RemovalBlocked(
                    target.name, f"{given.member} is still a member of {given.role}"
                )
            found = await self._means.sweep.findings(db, grant)
            evidence = Evidence(
                lines=lines,
                steps=taken.steps,
                sessions_ended=taken.sessions_ended,
                subject=subject,
                findings=found.findings,
                unseen=found.unseen,
            )
        await memberships.save_over(db, grant.id)
        await self._means.receipts.write(db, grant, evidence)

    def _given(self, grant: Grant, membership: Membership) -> Given:
        role = self._context.catalog_role(grant.target, grant.role)
        return Given(grant.role, membership.member, inherit=role is None or role.inherit)
