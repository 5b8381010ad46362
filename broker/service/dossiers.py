"""Everything about one request and what came of it, for whoever may see it."""

import json
from dataclasses import dataclass

from broker.domain.authorization import Reach
from broker.domain.errors import NotFound
from broker.domain.grant import Grant, GrantState
from broker.domain.person import Person
from broker.domain.request import AccessRequest
from broker.domain.timeline import Timeline
from broker.ledger import (
    alarms,
    findings,
    grants,
    held_commits,
    receipts,
    requests,
    reviews,
    sessions,
)
from broker.ledger.alarms import Alarm
from broker.ledger.connection import Db, reading
from broker.ledger.findings import StoredFinding
from broker.ledger.held_commits import HeldCommitRow
from broker.ledger.reviews import Review
from broker.ledger.sight import Visible
from broker.service.alarms import audience_of
from broker.service.context import Context
from broker.service.grants import GrantDetails
from broker.service.receipts import Receipt
from broker.service.request_cards import RequestCard, RequestCards
from broker.service.timelines import Timelines
from broker.service.visible import decides, is_own, shows, ties, visible_to

_MOST_HELD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantLife:
    """What a request gave, for one reader, whose `ties` to it are as its holder or otherwise.
    `inside` are those who look after it. Who `oversees` it approves such requests, and neither
    holds it nor asked for it; who `reviews` it may write the `review`, where one is due."""

    details: GrantDetails
    ties: frozenset[Reach]
    open_sessions: int
    held: tuple[HeldCommitRow, ...]
    alarms: tuple[Alarm, ...]
    receipt: Receipt | None
    findings: tuple[StoredFinding, ...]
    review: Review | None
    inside: bool
    oversees: bool
    reviews: bool
    extensions: tuple[AccessRequest, ...]

    @property
    def grant(self) -> Grant:
        return self.details.grant

    @property
    def lives(self) -> bool:
        return self.grant.state in (
            GrantState.WAITING,
            GrantState.PROVISIONING,
            GrantState.ACTIVE,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """`life` is of the grant that the request gave, or extends, once there is one."""

    card: RequestCard
    life: GrantLife | None
    timeline: Timeline


class Dossiers:
    def __init__(self, context: Context, cards: RequestCards, timelines: Timelines) -> None:
        self._context = context
        self._cards = cards
        self._timelines = timelines

    async def of(self, request_id: str, person: Person) -> Dossier:
        """Raises NotFound for a request that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not shows(visible, request):
                raise NotFound("request", request_id)
            card = await self._cards.card(db, visible, request)
            life = await self._life(db, visible, request)
        timeline = await self._timelines.of(request_id, person)
        return Dossier(card=card, life=life, timeline=timeline)

    async def request_of(self, grant_id: str, person: Person) -> str:
        """Return the id of the request that gave a grant. Raises NotFound for a grant that is not
        there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            found = await self._original(db, visible, grant_id)
        if found is None:
            raise NotFound("grant", grant_id)
        return found.id

    async def _original(self, db: Db, visible: Visible, grant_id: str) -> AccessRequest | None:
        """Return the request that gave the grant, if the person may see it."""
        family = await requests.fetch_of_grant(db, grant_id)
        gave = next((each for each in family if each.extends is None), None)
        return gave if gave is not None and shows(visible, gave) else None

    async def _life(self, db: Db, visible: Visible, request: AccessRequest) -> GrantLife | None:
        if request.grant_id is None:
            return None
        family = await requests.fetch_of_grant(db, request.grant_id)
        gave = next((each for each in family if each.extends is None), None)
        found = await grants.fetch_with_login(db, request.grant_id)
        # Who was let in on an extension alone sees nothing of the grant.
        if found is None or gave is None or not shows(visible, gave):
            return None
        grant = found[0]
        holds = visible.person.id == grant.person.id
        audience = audience_of(self._context, visible)
        link = await receipts.fetch(db, grant.id)
        return GrantLife(
            details=GrantDetails(*found),
            ties=ties(visible, gave, own=holds),
            open_sessions=len(await sessions.fetch_open(db, grant.id)),
            held=tuple(await held_commits.fetch_of_grant(db, grant.id, _MOST_HELD)),
            alarms=tuple(await alarms.fetch_open_of_grant(db, audience, grant.id)),
            receipt=Receipt(json.loads(link.body), link) if link is not None else None,
            findings=tuple(await findings.fetch(db, grant.id)),
            review=await reviews.fetch(db, grant.id),
            inside=visible.everything or decides(visible, gave),
            oversees=decides(visible, gave) and not is_own(visible, gave),
            reviews=not holds and request.policy in visible.policies,
            extensions=tuple(
                each for each in family if each.extends is not None and shows(visible, each)
            ),
        )
