"""What has to be written after somebody broke the glass."""

from broker.domain.errors import Conflict, NotApprover, NotFound
from broker.domain.events import ReviewWritten
from broker.domain.person import Person
from broker.ledger import audit, reviews
from broker.ledger.connection import transaction
from broker.ledger.reviews import Review
from broker.service.alarms import Alarms
from broker.service.approvals import glass_key
from broker.service.context import Context
from broker.service.visible import require_visible, visible_to


class Reviews:
    def __init__(self, context: Context, alarms: Alarms) -> None:
        self._context = context
        self._alarms = alarms

    async def get(self, grant_id: str, person: Person) -> Review:
        """Raises NotFound for a grant that needs none, or is not this person's to see."""
        visible = await visible_to(self._context, person)
        async with transaction(self._context.ledger) as db:
            await require_visible(db, visible, grant_id)
            review = await reviews.fetch(db, grant_id)
        if review is None:
            raise NotFound("review", grant_id)
        return review

    async def write(self, grant_id: str, person: Person, text: str) -> Review:
        """Write down, once and for all, what happened and why; its alarm is then over.

        Not for the person who had the grant. Raises NotFound, NotApprover or Conflict.
        """
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            grant, request = await require_visible(db, visible, grant_id)
            if await reviews.fetch(db, grant_id) is None:
                raise NotFound("review", grant_id)
            if person.id == grant.person.id or request.policy not in visible.policies:
                raise NotApprover("an approver writes the review, and not who had the grant")
            if not await reviews.write(db, grant_id, person, text, now):
                raise Conflict(f"the review of grant {grant_id} is written already")
            await self._alarms.clear(db, glass_key(grant_id))
            event = ReviewWritten(request_id=request.id, grant_id=grant_id, text=text)
            await audit.append(db, event, actor=person.email, now=now)
            review = await reviews.fetch(db, grant_id)
        assert review is not None
        return review
