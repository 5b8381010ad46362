"""What follows from the use of a ticket, once a proxy could report it."""

import logging
from datetime import datetime

from broker.domain.duration import format_duration
from broker.domain.errors import BrokerError
from broker.domain.events import BrokenGlass, GrantShortened
from broker.domain.grant import Grant, GrantState
from broker.domain.person import SYSTEM
from broker.ledger import audit, grants, logins, requests, reviews, tickets
from broker.ledger.channel import notify_grant
from broker.ledger.connection import Db, transaction
from broker.ledger.serial import turn
from broker.ledger.tickets import ReportedUse
from broker.service.alarms import Alarms
from broker.service.approvals import glass_key
from broker.service.context import Context
from broker.target.login import move_curfew

_BATCH = 20

_log = logging.getLogger(__name__)


class TicketUses:
    def __init__(self, context: Context, alarms: Alarms) -> None:
        self._context = context
        self._alarms = alarms

    async def follow(self) -> None:
        """Let the grants of tickets that were used end when that access does, and call for somebody
        to look at it."""
        now = self._context.now()
        moved: list[Grant] = []
        async with transaction(self._context.ledger) as db:
            for use in await tickets.lock_unfollowed(db, _BATCH):
                grant = await grants.lock(db, use.grant_id)
                assert grant is not None
                if grant.state in (GrantState.PROVISIONING, GrantState.ACTIVE):
                    moved.append(await self._shorten(db, grant, use, now))
                await self._call_for_review(db, grant, use, now)
                await tickets.save_followed(db, use, now)
        for grant in moved:
            if grant.expires_at > now:  # else the reaper takes the login away at once
                await self._move_curfew(grant)

    async def _shorten(self, db: Db, grant: Grant, use: ReportedUse, now: datetime) -> Grant:
        shorter = grant.used_until(use.until)
        await grants.save_curfew(db, shorter)
        await notify_grant(db, grant.id)
        event = GrantShortened(
            request_id=grant.request_id,
            grant_id=grant.id,
            was_until=grant.expires_at,
            until=shorter.expires_at,
        )
        await audit.append(db, event, actor=SYSTEM, now=now)
        return shorter

    async def _call_for_review(self, db: Db, grant: Grant, use: ReportedUse, now: datetime) -> None:
        """Raise the alarm that is open until the review is written, if there is anybody whose
        business that is; else, or if it is written already, until somebody acknowledges it."""
        message = (
            f"ticket {use.ticket_id} was used by {grant.person.email} from {use.client_address} at "
            f"{use.used_at:%Y-%m-%d %H:%M:%S} UTC, for {grant.role} on {grant.target}: look at the "
            f"sessions of grant {grant.id}, {await self._ask_for_review(db, grant, now)}"
        )
        if use.uses > 1:
            message += (
                f". It was used {use.uses} times, which a ticket cannot be on one proxy machine: "
                "see who has a copy, and which proxies accept tickets"
            )
        await self._alarms.raise_(
            db, glass_key(grant.id), message, target=grant.target, grant_id=grant.id
        )

    async def _ask_for_review(self, db: Db, grant: Grant, now: datetime) -> str:
        """Return what is to be done."""
        request = await requests.fetch(db, grant.request_id)
        assert request is not None
        if self._context.policies.find(request.policy) is None:
            return "which no policy covers, and acknowledge this"
        review = await reviews.fetch(db, grant.id)
        if review is not None and review.written_at is not None:
            return "whose review was written before that, and acknowledge this"
        if review is None:
            due_at = now + self._context.review_within
            await reviews.insert(db, grant.id, due_at)
            event = BrokenGlass(
                request_id=grant.request_id,
                grant_id=grant.id,
                person=grant.person.email,
                review_due_at=due_at,
            )
            await audit.append(db, event, actor=grant.person.email, now=now)
        within = format_duration(self._context.review_within)
        return f"and write the review within {within}: pgcurfew review {grant.id}"

    async def _move_curfew(self, grant: Grant) -> None:
        """Let the target's own curfew of the login be the nearer one as well, if it can be asked:
        the proxy's and ours hold without it."""
        try:
            async with transaction(self._context.ledger) as db:
                login = await logins.lock(db, grant.id)
                if login is not None and login.oid is not None:
                    target = self._context.target(grant.target, grant.role)
                    async with turn(db, target.name):
                        await move_curfew(target, login.oid, grant.expires_at)
        except BrokerError as error:
            _log.warning("grant %s: VALID UNTIL stays as it is: %s", grant.id, error)
