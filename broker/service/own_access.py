"""What one person holds and waits for themselves, whatever else they may see."""

from dataclasses import dataclass

from broker.domain.grant import GrantState
from broker.domain.person import Person
from broker.domain.policy.approvers import who_approves
from broker.domain.policy.rule import Policy
from broker.domain.request import AccessRequest
from broker.ledger import grants, requests
from broker.ledger.connection import reading
from broker.ledger.grants import Held
from broker.service.context import Context
from broker.service.grants import GrantDetails

_MOST_LIVING = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnGrant:
    """A grant of one's own. `policy` is the one that gave it, as it is now; None once it is gone:
    then nothing extends the grant. `stable_user` leads to the newest grant of the same role."""

    details: GrantDetails
    stable_user: str | None
    open_sessions: int
    policy: Policy | None

    @property
    def approvers(self) -> tuple[str, ...]:
        """Each of those who must agree before the grant is extended."""
        return () if self.policy is None else who_approves(self.policy, self.details.grant.person)

    @property
    def may_be_extended(self) -> bool:
        grant = self.details.grant
        return (
            grant.state is GrantState.ACTIVE
            and not grant.sealed
            and self.policy is not None
            and self.policy.enabled
            and not self.policy.denies
        )


@dataclass(frozen=True, slots=True)
class Awaited:
    """A pending request of one's own, and those who must each agree."""

    request: AccessRequest
    approvers: tuple[str, ...]


class OwnAccess:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def living(self, person: Person) -> list[OwnGrant]:
        """Return what the person holds, what ends first at the top."""
        async with reading(self._context.ledger) as db:
            found = await grants.fetch_living_of(db, person.id, _MOST_LIVING)
        return [self._own(each) for each in found]

    async def ended(self, person: Person, *, before: str | None, limit: int) -> list[OwnGrant]:
        """Return what the person held, newest first."""
        async with reading(self._context.ledger) as db:
            found = await grants.fetch_ended_of(db, person.id, before=before, limit=limit)
        return [self._own(each) for each in found]

    async def awaited(self, person: Person) -> list[Awaited]:
        """Return what the person has asked for, or others for them, and nobody has decided."""
        async with reading(self._context.ledger) as db:
            found = await requests.fetch_pending_of(db, person.id)
        return [Awaited(each, self._approvers(each)) for each in found]

    def _own(self, held: Held) -> OwnGrant:
        return OwnGrant(
            details=GrantDetails(held.grant, held.login, held.used),
            stable_user=held.stable_name,
            open_sessions=held.open_sessions,
            policy=self._context.policies.find(held.policy),
        )

    def _approvers(self, request: AccessRequest) -> tuple[str, ...]:
        policy = self._context.policies.find(request.policy)
        return () if policy is None else who_approves(policy, request.person)
