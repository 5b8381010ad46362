"""A request as whoever decides about it needs it: what was asked, what was said, what they may say,
for how long it can be given, and what the person asked for before."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.authorization import Reach
from broker.domain.errors import NotFound
from broker.domain.expiries import longest_of
from broker.domain.network import Network, has_address, in_common
from broker.domain.on_call import NOBODY_ON_CALL, OnCallNow
from broker.domain.outcome import agreed_before, told
from broker.domain.person import Person
from broker.domain.policy.quorum import Vote
from broker.domain.policy.rule import Policy, Start
from broker.domain.policy.say import Say, say_of
from broker.domain.request import AccessRequest, RequestState
from broker.ledger import approver_lists, requests
from broker.ledger.approver_lists import History
from broker.ledger.connection import Db, reading
from broker.ledger.sight import Visible
from broker.service.approvals import Approvals
from broker.service.context import Context
from broker.service.requests import RequestDetails, Requests
from broker.service.visible import decides, is_own, shows, ties, visible_to

_MOST_WAITING = 25
_MOST_DECIDED = 6
_MOST_UNANSWERED = 5
_LATELY = timedelta(days=7)
# How long one that somebody decided stays where others see it and may be about to decide.
_JUST_NOW = timedelta(minutes=2)
_DECISIONS = (RequestState.APPROVED, RequestState.DENIED, RequestState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCard:
    """A request, for one reader. `ties` are the ways in which they have to do with it, `say` what
    they may say. It can be given for `longest`, and `counts_from_use` says whether from its first
    use on. `bounds` are the networks that its sessions would come from, and `source_fits` says
    whether the address that it was asked from lies in them, None if that means nothing. `outcome`
    is a sentence about a request that is decided, `yours` one about the reader's own part."""

    details: RequestDetails
    ties: frozenset[Reach]
    say: Say
    longest: timedelta
    counts_from_use: bool
    bounds: tuple[Network, ...]
    source_fits: bool | None
    history: History
    escalates: bool
    outcome: str
    yours: str

    @property
    def request(self) -> AccessRequest:
        return self.details.request


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What an approver has before them: requests that wait for them with what was decided just now
    among them, those that wait for others, what they decided and what nobody did. `more` is whether
    there are others that wait, further down."""

    waiting: tuple[RequestCard, ...]
    with_others: tuple[RequestCard, ...]
    just_decided: tuple[RequestCard, ...]
    decided: tuple[RequestCard, ...]
    unanswered: tuple[AccessRequest, ...]
    more: bool


class RequestCards:
    def __init__(self, context: Context, approvals: Approvals, requests_: Requests) -> None:
        self._context = context
        self._approvals = approvals
        self._requests = requests_

    async def of(self, request_id: str, person: Person) -> RequestCard:
        """Raises NotFound for a request that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not shows(visible, request):
                raise NotFound("request", request_id)
            return await self.card(db, visible, request)

    async def find(self, request_id: str, person: Person) -> RequestCard | None:
        """Return the request, or None for one that is not there or not this person's to see."""
        with suppress(NotFound):
            return await self.of(request_id, person)
        return None

    async def desk_of(self, person: Person) -> Desk:
        """Return what is on the person's desk, as an approver."""
        visible = await visible_to(self._context, person)
        now = self._context.now()
        async with reading(self._context.ledger) as db:
            waiting = await approver_lists.fetch_waiting(db, visible, now, _MOST_WAITING + 1)
            cards = await self._cards(db, visible, waiting[:_MOST_WAITING])
            just = await approver_lists.fetch_closed(
                db, visible, _DECISIONS, since=now - _JUST_NOW, limit=_MOST_DECIDED
            )
            mine = await approver_lists.fetch_decided_by(db, person.id, _MOST_DECIDED)
            lapsed = await approver_lists.fetch_closed(
                db,
                visible,
                (RequestState.LAPSED,),
                since=now - _LATELY,
                limit=_MOST_UNANSWERED,
            )
            return Desk(
                waiting=tuple(each for each in cards if _waits_for(each)),
                with_others=tuple(each for each in cards if not _waits_for(each)),
                just_decided=await self._cards(db, visible, [i for i in just if i not in mine]),
                decided=await self._cards(db, visible, mine),
                unanswered=tuple(await requests.fetch_each(db, lapsed)),
                more=len(waiting) > _MOST_WAITING,
            )

    async def card(self, db: Db, visible: Visible, request: AccessRequest) -> RequestCard:
        """Return a request that the person may see, as they see it."""
        details = await self._requests.details(db, request)
        now, reader = self._context.now(), visible.person.email
        policy = self._context.policies.find(request.policy)
        limit = policy.max_duration if policy is not None else timedelta()
        within = policy.networks if policy is not None else ()
        bounds = in_common(request.networks, within) or request.networks
        said = details.decisions
        return RequestCard(
            details=details,
            ties=ties(visible, request, own=is_own(visible, request)),
            say=await self._say(db, visible, details, policy),
            longest=longest_of(request.duration, limit),
            counts_from_use=policy is not None and policy.starts is Start.FIRST_USE,
            bounds=bounds,
            source_fits=has_address(request.source or "", bounds),
            history=await approver_lists.fetch_history(db, request),
            escalates=_escalates(policy, request),
            outcome=told(request, said, reader, now),
            yours=agreed_before(said, reader),
        )

    async def _cards(self, db: Db, visible: Visible, ids: Sequence[str]) -> tuple[RequestCard, ...]:
        found = await requests.fetch_each(db, list(ids))
        shown = [each for each in found if shows(visible, each)]
        return tuple([await self.card(db, visible, each) for each in shown])

    async def _say(
        self, db: Db, visible: Visible, details: RequestDetails, policy: Policy | None
    ) -> Say:
        request = details.request
        is_over = self._context.now() >= request.lapses_at
        if request.state is not RequestState.PENDING or is_over or policy is None:
            return Say()
        if not decides(visible, request):
            return Say(why_not=f"you are no approver under policy {policy.name!r}")
        panel = await self._approvals.panel(db, policy, request, _on_call(policy, visible))
        consents = await self._approvals.still_counting(db, details.decisions)
        votes = [Vote(each.decider, each.break_glass) for each in consents]
        return say_of(panel, visible.person, votes)


def _waits_for(card: RequestCard) -> bool:
    return card.say.agree and not card.say.agreed


def _escalates(policy: Policy | None, request: AccessRequest) -> bool:
    """Say whether somebody on call can still be called in about the request."""
    if policy is None or policy.approval is None or request.state is not RequestState.PENDING:
        return False
    return bool(policy.approval.escalation) and request.escalated_at is None


def _on_call(policy: Policy, visible: Visible) -> OnCallNow:
    """Return who is on call, as far as it is the person themselves: they have been asked about."""
    if policy.approval is None or policy.name not in visible.on_call:
        return NOBODY_ON_CALL
    me = frozenset({visible.person.email})
    return OnCallNow(dict.fromkeys(policy.approval.escalation, me))
