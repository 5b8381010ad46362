"""What somebody may ask for, with what each role may do: all that a form for it can offer."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.catalog import CatalogRole
from broker.domain.person import Person
from broker.domain.role.comparison import smaller_roles
from broker.domain.role.facts import Unseen
from broker.service.context import Context
from broker.service.health import Health
from broker.service.role_insights import Assessment, RoleInsight, RoleInsights

_DOWN = "the server does not answer at the moment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A role that some policy lets the person ask for, for at most `longest`. `problem` says why it
    cannot be given at the moment; `database` is the one that they mean if they name none."""

    target: str
    database: str
    role: CatalogRole
    longest: timedelta
    problem: str | None
    assessed: Assessment | Unseen


@dataclass(frozen=True, slots=True)
class TargetOffers:
    """`offers` are none where only the names were asked for, of which there are `count`."""

    target: str
    count: int
    offers: tuple[Offer, ...] = ()


class Offers:
    def __init__(self, context: Context, insights: RoleInsights, health: Health) -> None:
        self._context = context
        self._insights = insights
        self._health = health

    def names(self, person: Person) -> Mapping[str, Sequence[str]]:
        """Return the roles that the person may ask for, by target."""
        return self._context.catalog.allowed_to(person, self._context.policies)

    async def on_each(self, targets: Sequence[str], person: Person) -> tuple[TargetOffers, ...]:
        """Return what these targets have for the person, looked at side by side."""
        async with asyncio.TaskGroup() as group:
            looks = [group.create_task(self.on(target, person)) for target in targets]
        return tuple(
            TargetOffers(target, len(look.result()), look.result())
            for target, look in zip(targets, looks, strict=True)
            if look.result()
        )

    async def on(self, target: str, person: Person) -> tuple[Offer, ...]:
        """Return what the target has for the person, what can do least at the top; nothing if they
        may ask for nothing there."""
        if target not in self.names(person):
            return ()
        insights = () if self._is_down(target) else await self._insights.roles(target, person)
        found = {each.role.name: each for each in insights}
        roles = self._context.catalog.targets[target].roles
        offers = (
            self._offer(target, roles[name], found.get(name), person)
            for name in self.names(person)[target]
        )
        return tuple(sorted((each for each in offers if each is not None), key=_by_risk))

    async def smaller(self, offer: Offer, person: Person) -> tuple[str, ...]:
        """Return roles that can do less, and that the person may ask for, the nearest first."""
        if isinstance(offer.assessed, Unseen):
            return ()
        names = await asyncio.to_thread(smaller_roles, offer.assessed.holdings)
        offered = self.names(person).get(offer.target, ())
        return tuple(each for each in names or () if each in offered)

    def _is_down(self, target: str) -> bool:
        (last,) = (each for each in self._health.targets() if each.target == target)
        return last.checked_at is not None and not last.reachable

    def _offer(
        self, target: str, role: CatalogRole, insight: RoleInsight | None, person: Person
    ) -> Offer | None:
        longest = self._insights.longest(target, role.name, person)
        if longest is None:  # it is denied at all times
            return None
        return Offer(
            target=target,
            database=self._context.catalog.targets[target].database,
            role=role,
            longest=longest,
            problem=insight.problem if insight is not None else None,
            assessed=insight.assessed if insight is not None else Unseen(_DOWN),
        )


def _by_risk(offer: Offer) -> tuple[int, int, int, str]:
    if isinstance(offer.assessed, Unseen):
        return 0, 0, 0, offer.role.name
    risk, meaning = offer.assessed.risk, offer.assessed.meaning
    return risk.level, risk.changes.tables, len(meaning.lines), offer.role.name
