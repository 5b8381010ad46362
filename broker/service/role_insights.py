"""What the roles of a target may do, in plain words, and who is in them."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.catalog import CatalogRole
from broker.domain.errors import NotFound
from broker.domain.login_plan import PREFIX
from broker.domain.person import Person
from broker.domain.policy.access import access_of
from broker.domain.policy.ask import Facts
from broker.domain.role.facts import Look, Unseen
from broker.domain.role.holdings import Holdings, holdings_of
from broker.domain.role.meaning import Meaning, meaning_of
from broker.domain.role.membership import WhoIsInWhat, who_is_in_what
from broker.domain.role.risk import Risk, risk_of
from broker.ledger import standing_grants
from broker.ledger.connection import reading
from broker.service.context import Context
from broker.service.health import Health
from broker.service.looks import Looks
from broker.service.visible import visible_roles

NOT_THERE = "the server has no such role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What a role may do, as far as it could be looked at."""

    look: Look
    holdings: Holdings
    meaning: Meaning
    risk: Risk


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleInsight:
    """A catalog role for a person who sees it. `longest` is what some policy lets them ask for, and
    None if none does. `living` are grants of it that have not ended, anybody's."""

    role: CatalogRole
    assessed: Assessment | Unseen
    problem: str | None
    longest: timedelta | None
    living: int


class RoleInsights:
    def __init__(self, context: Context, looks: Looks, health: Health) -> None:
        self._context = context
        self._looks = looks
        self._health = health

    async def roles(self, target: str, person: Person) -> tuple[RoleInsight, ...]:
        """Return the roles of a target that the person may see. Raises NotFound for a target that
        is not there, or of which they see nothing."""
        visible = visible_roles(self._context, person).get(target)
        if visible is None:
            raise NotFound("target", target)
        catalog = self._context.catalog.targets[target]
        look = await self._looks.roles(target, catalog.database)
        async with reading(self._context.ledger) as db:
            living = await standing_grants.count_by_role(db, target)
        return tuple(
            RoleInsight(
                role=catalog.roles[name],
                assessed=assess(look, catalog.roles[name]),
                problem=self._problem(target, name),
                longest=self.longest(target, name, person),
                living=living.get(name, 0),
            )
            for name in visible
        )

    async def members(self, target: str) -> WhoIsInWhat | Unseen:
        """Return who is in what on the target's server, for who sees everything. Raises
        NotFound."""
        if target not in self._context.targets:
            raise NotFound("target", target)
        roster = await self._looks.roster(target)
        if isinstance(roster, Unseen):
            return roster
        catalog = self._context.catalog.targets[target].roles
        return await asyncio.to_thread(
            who_is_in_what,
            roster,
            catalog,
            installation=self._context.installation,
            prefix=PREFIX,
        )

    def longest(self, target: str, role: str, person: Person) -> timedelta | None:
        """Return for how long the person may have the role at most; None if they may not ask."""
        only, facts = self._context.catalog.only(target, role), Facts(now=self._context.now())
        ways = access_of(self._context.policies, only, person, facts)
        return max((each.longest for each in ways), default=None)

    def _problem(self, target: str, role: str) -> str | None:
        return "; ".join(self._health.of(target).role_faults.get(role, ())) or None


def assess(look: Look | Unseen, role: CatalogRole) -> Assessment | Unseen:
    """Say what the role may do, if that could be looked at."""
    if isinstance(look, Unseen):
        return look
    holdings = holdings_of(look, role.name, may_set_role=role.may_set_role)
    if holdings is None:
        return Unseen(NOT_THERE)
    meaning = meaning_of(holdings)
    return Assessment(
        look=look, holdings=holdings, meaning=meaning, risk=risk_of(holdings, meaning)
    )
