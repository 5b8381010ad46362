"""What an approver risks by saying yes to a request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from broker.domain.errors import NotFound
from broker.domain.person import Person
from broker.domain.request import AccessRequest
from broker.domain.role.comparison import smaller_roles
from broker.domain.role.facts import READS, WRITES_ANY, RoleOnServer, Unseen
from broker.domain.role.holdings import Extent, Holdings, holdings_of
from broker.ledger import requests, standing_grants
from broker.ledger.connection import reading
from broker.ledger.standing_grants import Holder
from broker.service.context import Context
from broker.service.looks import Looks
from broker.service.role_insights import Assessment, assess
from broker.service.visible import decides, shows, visible_to

_HOLDERS_TOLD = 50
_SMALLER_TOLD = 5


@dataclass(frozen=True, slots=True)
class SmallerRole:
    """A role that can do less. `may_ask`: some policy lets the person ask for it."""

    name: str
    description: str
    reads: Extent
    changes: Extent
    may_ask: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """`holders` have the role now, by other requests, and `members` are logins of the server that
    have it all the time: both None for who does not decide about the request, and then only
    counted. `smaller` is None if that cannot be told."""

    request: AccessRequest
    assessed: Assessment | Unseen
    holders: tuple[Holder, ...] | None
    holder_count: int
    role: RoleOnServer | None
    names_members: bool
    smaller: tuple[SmallerRole, ...] | None


class BlastRadii:
    def __init__(self, context: Context, looks: Looks) -> None:
        self._context = context
        self._looks = looks

    async def of(self, request_id: str, person: Person) -> BlastRadius:
        """Raises NotFound for a request that is not there or not this person's to see."""
        visible = await visible_to(self._context, person)
        async with reading(self._context.ledger) as db:
            request = await requests.fetch(db, request_id)
            if request is None or not shows(visible, request):
                raise NotFound("request", request_id)
            holders, count = await standing_grants.fetch_holders(
                db, request.target, request.role, but_by=request.id, limit=_HOLDERS_TOLD
            )
        assessed = await self._assess(request)
        sees_people = visible.everything or decides(visible, request)
        return BlastRadius(
            request=request,
            assessed=assessed,
            holders=tuple(holders) if sees_people else None,
            holder_count=count,
            role=assessed.holdings.role if isinstance(assessed, Assessment) else None,
            names_members=sees_people,
            smaller=await self._smaller(request, assessed, every=sees_people),
        )

    async def _assess(self, request: AccessRequest) -> Assessment | Unseen:
        role = self._context.catalog_role(request.target, request.role)
        if role is None:
            return Unseen("the settings no longer have this role")
        look = await self._looks.roles(request.target, request.database)
        return assess(look, role)

    async def _smaller(
        self, request: AccessRequest, assessed: Assessment | Unseen, *, every: bool
    ) -> tuple[SmallerRole, ...] | None:
        """Return smaller roles: who does not decide hears only of those they may ask for."""
        if isinstance(assessed, Unseen):
            return None
        names = await asyncio.to_thread(smaller_roles, assessed.holdings)
        if names is None:
            return None
        found = [self._smaller_role(request, assessed.holdings, name) for name in names]
        return tuple(each for each in found if every or each.may_ask)[:_SMALLER_TOLD]

    def _smaller_role(self, request: AccessRequest, of: Holdings, name: str) -> SmallerRole:
        role = self._context.require_role(request.target, name)
        held = holdings_of(of.look, name, may_set_role=role.may_set_role)
        assert held is not None
        candidates: Sequence[object] = self._context.policies.candidates(
            request.person, request.target, name
        )
        return SmallerRole(
            name=name,
            description=role.description,
            reads=held.extent(READS),
            changes=held.extent(WRITES_ANY),
            may_ask=bool(candidates),
        )
