"""The places of the site, and which of them lead somewhere for whom."""

from dataclasses import dataclass

from aiohttp import web

from api.access import ROUTES, Access
from api.keys import ACTOR, BROKER, SCOPES
from broker.domain.authorization import Actor, reach
from broker.domain.verdict import Deny


@dataclass(frozen=True, slots=True)
class Place:
    """`path` leads there, and everything below it belongs there too."""

    path: str
    label: str

    def has(self, path: str) -> bool:
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))


_APPROVALS = Place("/approvals", "Approvals")
PLACES = (
    Place("/", "Overview"),
    Place("/request", "Request access"),
    Place("/access", "My access"),
    _APPROVALS,
    Place("/requests", "Requests"),
    Place("/sessions", "Sessions"),
    Place("/targets", "Targets"),
    Place("/policies", "Policies"),
    Place("/audit", "Audit"),
)


def places_of(request: web.Request, waiting: int) -> tuple[Place, ...]:
    """Return where the visitor may go. Approvals are for who has, or may get, any to give."""
    actor = request.app[BROKER].context.authority.actor(request[ACTOR], request.get(SCOPES))
    approves = waiting or request.app[BROKER].context.policies.approvable_by(actor.person)
    return tuple(
        each
        for each in PLACES
        if (each != _APPROVALS or approves) and _leads_somewhere(actor, ROUTES[f"GET {each.path}"])
    )


def _leads_somewhere(actor: Actor, access: Access) -> bool:
    return access.is_open or not isinstance(reach(actor, access.through), Deny)
