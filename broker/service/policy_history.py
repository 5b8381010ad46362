"""What was in force when, for those who may look into it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from broker.domain.errors import ApproversOnly, NotFound
from broker.domain.person import Person
from broker.domain.policy.summary import Summary, summary_of
from broker.domain.version import Change, Version, VersionKind, change
from broker.ledger import policy_versions
from broker.ledger.connection import reading
from broker.ledger.policy_versions import Listed
from broker.service.context import Context
from broker.service.insight import kinds_seen, sees_policies

_MOST_LINES = 10_000


@dataclass(frozen=True, slots=True)
class VersionDetails:
    """A version, and what differs from the one of its kind before it."""

    version: Version
    before: int | None
    change: Change


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy file in force, and its policies in words, but for so many that are `left_out`."""

    version: Version
    policies: tuple[Summary, ...]
    left_out: int


class PolicyHistory:
    def __init__(self, context: Context) -> None:
        self._context = context

    def in_force(self, person: Person, *, most: int | None = None) -> InForce:
        """Return the policies in force, or the first ones. Raises ApproversOnly, or NotFound if
        none is recorded."""
        if not sees_policies(self._context, person):
            raise ApproversOnly
        version = self._context.live.in_force.versions.get(VersionKind.POLICIES)
        if version is None:
            raise NotFound("version", "in force")
        every = self._context.policies.policies
        told = tuple(summary_of(each) for each in every[:most])
        return InForce(version, told, left_out=len(every) - len(told))

    async def list(
        self, person: Person, *, kind: VersionKind | None, before: int | None, limit: int
    ) -> Sequence[Listed]:
        """Return the versions that the person may see, newest first."""
        seen = kinds_seen(self._context, person)
        kinds = [each for each in seen if kind in (None, each)]
        async with reading(self._context.ledger) as db:
            return await policy_versions.fetch_page(db, kinds, before=before, limit=limit)

    async def get(self, number: int, person: Person) -> VersionDetails:
        """Raises NotFound for a version that is not there, or not this person's to see."""
        async with reading(self._context.ledger) as db:
            version = await policy_versions.fetch(db, number)
            if version is None or version.written.kind not in kinds_seen(self._context, person):
                raise NotFound("version", str(number))
            before = await policy_versions.fetch_before(db, version)
        was = before.written if before is not None else None
        found = await asyncio.to_thread(change, was, version.written, most_lines=_MOST_LINES)
        return VersionDetails(version, before.number if before is not None else None, found)
