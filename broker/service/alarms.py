"""What a human has to look at: raised once, kept until it is over."""

import logging
from dataclasses import replace

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.errors import NotFound
from broker.domain.events import AlarmCleared, AlarmRaised
from broker.domain.ids import IdKind
from broker.domain.person import SYSTEM, Person
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.rule import Policy
from broker.ledger import alarms, audit
from broker.ledger.alarms import Alarm, Audience
from broker.ledger.connection import Db, reading, transaction
from broker.ledger.sight import Visible
from broker.service.context import Context
from broker.service.visible import visible_to

_log = logging.getLogger(__name__)


class Alarms:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(
        self, person: Person, *, cleared_too: bool, before: str | None, limit: int
    ) -> list[Alarm]:
        """Return the alarms that are for this person, newest first."""
        audience = audience_of(self._context, await visible_to(self._context, person))
        async with reading(self._context.ledger) as db:
            return await alarms.fetch(
                db, audience, cleared_too=cleared_too, before=before, limit=limit
            )

    async def acknowledge(
        self, alarm_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> Alarm:
        """Close an alarm that somebody has looked at. If the trouble lasts, it is raised anew.

        Raises NotFound for one that is not there, is over, or is not for this person.
        """
        visible = await visible_to(self._context, person)
        operates = visible.operates and Reach.EVERYTHING in reach
        if not operates and Reach.APPROVED not in reach:
            raise NotFound("open alarm", alarm_id)
        audience = audience_of(self._context, replace(visible, everything=operates))
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            alarm = await alarms.clear_one(db, alarm_id, audience, now)
            if alarm is None:
                raise NotFound("open alarm", alarm_id)
            event = AlarmCleared(grant_id=alarm.grant_id, alarm_id=alarm.id)
            await audit.append(db, event, actor=person.email, now=now)
        return alarm

    async def raise_(
        self,
        db: Db,
        key: str,
        message: str,
        *,
        target: str | None = None,
        grant_id: str | None = None,
    ) -> None:
        """Raise the alarm, in the caller's transaction; an open one of the same key is updated."""
        now = self._context.now()
        alarm = Alarm(
            id=self._context.new_id(IdKind.ALARM),
            key=key,
            target=target,
            grant_id=grant_id,
            message=message,
            raised_at=now,
        )
        if await alarms.insert(db, alarm):
            _log.error("alarm %s: %s", alarm.id, message)
            event = AlarmRaised(
                grant_id=grant_id, alarm_id=alarm.id, target=target, message=message
            )
            await audit.append(db, event, actor=SYSTEM, now=now)

    async def clear(self, db: Db, key: str) -> None:
        """Close the alarm of this key, if there is one."""
        now = self._context.now()
        cleared = await alarms.clear(db, key, now)
        if cleared is not None:
            alarm_id, grant_id = cleared
            _log.info("alarm %s is over", alarm_id)
            event = AlarmCleared(grant_id=grant_id, alarm_id=alarm_id)
            await audit.append(db, event, actor=SYSTEM, now=now)


def work_key(grant_id: str) -> str:
    """Return the key of the alarm that a grant's login can be neither made nor removed."""
    return f"work:{grant_id}"


def audience_of(context: Context, visible: Visible) -> Audience:
    """Say which alarms are for a person: those about grants that they decide about, and if they
    approve anything, those that would otherwise be nobody's."""
    book = context.policies
    looked_after = [each.name for each in book.policies if _names_approvers(book, each)]
    return Audience(visible, general=bool(visible.policies), looked_after=looked_after)


def _names_approvers(book: PolicyBook, policy: Policy) -> bool:
    """Say whether the policy itself says who looks after its grants, whoever has them."""
    approval = policy.approval
    if approval is None or approval.is_standing:
        return not book.reviewers.is_nobody
    named = [each.people for each in approval.agreements]
    return not all(each.is_nobody for each in (*named, approval.break_glass))
