"""Pages the people on call about escalated requests: what the ledger says is still to be done."""

import logging
from dataclasses import replace
from datetime import timedelta

from broker.domain.errors import PageFailed
from broker.domain.events import PeoplePaged
from broker.domain.on_call import Page, Paged
from broker.domain.person import SYSTEM
from broker.domain.request import AccessRequest, RequestState
from broker.ledger import audit, requests
from broker.ledger.connection import Db, transaction
from broker.ledger.requests import DuePage
from broker.service.context import Context

_AT_ONCE = 10
_FIRST_RETRY = timedelta(seconds=10)
_LONGEST_RETRY = timedelta(minutes=5)

_log = logging.getLogger(__name__)


class Paging:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def page_due(self) -> None:
        """Send what is due, each page in a transaction of its own. A second page about the same
        request is the same page to whoever sends it, so a crash in between does no harm."""
        for _ in range(_AT_ONCE):
            async with transaction(self._context.ledger) as db:
                due = await requests.lock_due_page(db, self._context.now())
                if due is None:
                    return
                await requests.save_page(db, await self._page(db, due))

    async def _page(self, db: Db, due: DuePage) -> DuePage:
        request = await requests.fetch(db, due.request_id)
        assert request is not None
        now = self._context.now()
        if request.state is not RequestState.PENDING:
            return replace(due, paged_at=now, last_error=f"the request is {request.state}")
        try:
            answer = await self._context.pager.page(due.schedule, self._words(request))
        except PageFailed as failure:
            _log.warning("%s: %s; trying again", request.id, failure)
            later = max(_delay(due.attempts), failure.retry_after or timedelta())
            return replace(
                due,
                attempts=due.attempts + 1,
                next_attempt_at=now + later,
                last_error=str(failure),
            )
        paged = isinstance(answer, Paged)
        said = answer.how if isinstance(answer, Paged) else answer.why
        event = PeoplePaged(request_id=request.id, schedule=due.schedule, paged=paged, said=said)
        await audit.append(db, event, actor=SYSTEM, now=now)
        return replace(due, paged_at=now, last_error=None if paged else said)

    def _words(self, request: AccessRequest) -> Page:
        own = self._context.public_url
        return Page(
            request_id=request.id,
            person=request.person.email,
            requester=request.requester.email,
            target=request.target,
            database=request.database,
            role=request.role,
            duration=request.duration,
            reason=request.reason,
            link=f"{own}/requests/{request.id}" if own is not None else None,
        )


def _delay(attempts: int) -> timedelta:
    delay: timedelta = _FIRST_RETRY * 2 ** min(attempts, 16)
    return min(delay, _LONGEST_RETRY)
