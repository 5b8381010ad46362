"""One target, as far as a person may see it."""

from dataclasses import dataclass

from broker.domain.catalog import CatalogTarget
from broker.domain.errors import NotFound
from broker.domain.person import Person
from broker.service.context import Context
from broker.service.health import Health, TargetHealth
from broker.service.visible import visible_roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """What only who sees everything sees: where the server is, and as whom we are there."""

    address: str
    standbys: tuple[str, ...]
    login: str
    admin: str
    restricted: bool
    removes_unknown_logins: bool
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDetails:
    """`roles` are those that the person may ask for, or all for who sees everything."""

    catalog: CatalogTarget
    health: TargetHealth
    roles: tuple[str, ...]
    operating: Operating | None


class Targets:
    def __init__(self, context: Context, health: Health) -> None:
        self._context = context
        self._health = health

    def get(self, name: str, person: Person) -> TargetDetails:
        """Raises NotFound for a target that is not there, or of which the person sees nothing."""
        visible = visible_roles(self._context, person).get(name)
        if visible is None:
            raise NotFound("target", name)
        health = self._health.of(name)
        sees_everything = self._context.authority.sees_everything(person)
        return TargetDetails(
            catalog=self._context.catalog.targets[name],
            health=health,
            roles=tuple(visible),
            operating=self._operating(health) if sees_everything else None,
        )

    def _operating(self, health: TargetHealth) -> Operating:
        target, terms = self._context.targets[health.target], self._context.terms[health.target]
        login = target.admin_login
        return Operating(
            address=f"{target.address.host}:{target.address.port}",
            standbys=tuple(f"{each.host}:{each.port}" for each in target.standbys),
            login=login.user,
            admin=login.role,
            restricted=login.restricted,
            removes_unknown_logins=terms.removes_unknown_logins,
            error=health.error,
        )
