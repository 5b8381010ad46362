"""The requests that there are: looking at them, and what becomes of one until it is decided."""

from dataclasses import dataclass

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.errors import (
    NotApprover,
    NotEscalatable,
    NotFound,
)
from broker.domain.events import (
    RequestCancelled,
    RequestCommented,
    RequestEscalated,
    RequestLapsed,
)
from broker.domain.ids import IdKind
from broker.domain.on_call import NOBODY_ON_CALL
from broker.domain.person import SYSTEM, Person
from broker.domain.policy.quorum import Progress, Vote, tally
from broker.domain.request import (
    AccessRequest,
    Cause,
    Comment,
    Decision,
    RequestEvent,
    RequestState,
)
from broker.domain.request_list import ALL, Place, Sort, Wanted
from broker.ledger import audit, request_lists, requests
from broker.ledger.connection import Db, reading, searching, transaction
from broker.service.approvals import Approvals
from broker.service.context import Context
from broker.service.request_pages import RequestPage, ask, fetch_page
from broker.service.visible import deciding_of, is_own, shows, ties, visible_to

_LAPSE_BATCH = 100


@dataclass(frozen=True, slots=True)
class RequestDetails:
    """A request with all that was said about it, and who has and may still say something."""

    request: AccessRequest
    decisions: tuple[Decision, ...]
    comments: tuple[Comment, ...]
    approvers: tuple[str, ...]
    progress: tuple[Progress, ...]


class Requests:
    def __init__(self, context: Context, approvals: Approvals) -> None:
        self._context = context
        self._approvals = approvals

    async def get(self, request_id: str, person: Person) -> RequestDetails:
        """Raises NotFound for a request that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not shows(visible, request):
                raise NotFound("request", request_id)
            return await self.details(db, request)

    async def list(
        self,
        person: Person,
        wanted: Wanted = ALL,
        *,
        sort: Sort = Sort.NEWEST,
        after: Place | None = None,
        limit: int,
    ) -> RequestPage:
        """Return those of the requests that the person may see that come after a place."""
        question = await ask(self._context, person, wanted, sort)
        return await fetch_page(self._context.ledger, question, after, limit)

    async def count_waiting_for(self, person: Person) -> int:
        """Return how many pending requests wait for the person's own decision."""
        deciding = deciding_of(self._context, await visible_to(self._context, person))
        async with searching(self._context.ledger) as db:
            return await request_lists.count_open_to(db, deciding, self._context.now())

    async def cancel(self, request_id: str, person: Person) -> RequestDetails:
        """Withdraw a pending request: who asked, or who it was asked for."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            request = await self._lock_own(db, request_id, person)
            cancelled = request.after(RequestEvent.CANCELLED, now, by=Cause.REQUESTER)
            await requests.save_state(db, cancelled)
            event = RequestCancelled(request_id=request.id)
            await audit.append(db, event, actor=person.email, now=now)
            return await self.details(db, cancelled)

    async def comment(
        self, request_id: str, person: Person, text: str, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> RequestDetails:
        """Say something about a request, decided or not, that everybody who sees it reads."""
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not shows(visible, request):
                raise NotFound("request", request_id)
            if not reach & ties(visible, request, own=is_own(visible, request)):
                raise NotApprover("only who has to do with a request comments on it")
            comment = Comment(
                id=self._context.new_id(IdKind.COMMENT),
                request_id=request.id,
                author=person,
                text=text,
                made_at=now,
            )
            await requests.insert_comment(db, comment)
            event = RequestCommented(request_id=request.id, text=text)
            await audit.append(db, event, actor=person.email, now=now)
            return await self.details(db, request)

    async def escalate(self, request_id: str, person: Person) -> RequestDetails:
        """Let the people on call approve a pending request, too, and have them paged."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            request = (await self._lock_own(db, request_id, person)).escalated(now)
            policy = self._context.policies.find(request.policy)
            schedules = policy.approval.escalation if policy and policy.approval else frozenset()
            if not schedules:
                raise NotEscalatable(request.policy)
            await requests.save_state(db, request)
            for schedule in sorted(schedules):
                await requests.insert_page(db, request.id, schedule, now)
            event = RequestEscalated(request_id=request.id, schedules=tuple(sorted(schedules)))
            await audit.append(db, event, actor=person.email, now=now)
            return await self.details(db, request)

    async def lapse_unanswered(self) -> None:
        """Close requests that nobody answered in time."""
        now = self._context.now()
        async with transaction(self._context.ledger) as db:
            for request in await requests.lock_lapsed(db, now, _LAPSE_BATCH):
                lapsed = request.after(RequestEvent.LAPSED, now, by=Cause.CLOCK)
                await requests.save_state(db, lapsed)
                event = RequestLapsed(request_id=request.id)
                await audit.append(db, event, actor=SYSTEM, now=now)

    async def details(self, db: Db, request: AccessRequest) -> RequestDetails:
        decisions = await requests.fetch_decisions(db, request.id)
        comments = await requests.fetch_comments(db, request.id)
        policy = self._context.policies.find(request.policy)
        if policy is None or policy.approval is None:
            return RequestDetails(request, tuple(decisions), tuple(comments), (), ())
        progress: tuple[Progress, ...] = ()
        if request.state is RequestState.PENDING:
            # Who is on call is left out: it has no part in what others still have to say.
            panel = await self._approvals.panel(db, policy, request, NOBODY_ON_CALL)
            consents = await self._approvals.still_counting(db, decisions)
            counted = tally(panel, [Vote(each.decider, each.break_glass) for each in consents])
            progress = counted.progress
        return RequestDetails(
            request,
            tuple(decisions),
            tuple(comments),
            policy.approval.describe(request.person),
            progress,
        )

    async def _lock_own(self, db: Db, request_id: str, person: Person) -> AccessRequest:
        request = await requests.lock(db, request_id)
        if request is None or person.id not in (request.person.id, request.requester.id):
            raise NotFound("request", request_id)
        return request
