"""What may be asked for at all: targets and their catalog roles, as the operator lists them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.domain.errors import PolicyDenied, UnknownRole, UnknownTarget
from broker.domain.person import Person
from broker.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class CatalogRole:
    """A NOLOGIN role that may be requested."""

    name: str
    description: str
    connection_limit: int


@dataclass(frozen=True, slots=True)
class CatalogTarget:
    """A managed server: the database people get unless they name one, and its catalog roles."""

    name: str
    database: str
    roles: Mapping[str, CatalogRole]


@dataclass(frozen=True, slots=True)
class Catalog:
    targets: Mapping[str, CatalogTarget]

    def find(
        self, person: Person, policies: Iterable[Policy], *, target: str, role: str
    ) -> tuple[CatalogTarget, CatalogRole]:
        """Return the target and role of these names. Raises UnknownTarget, UnknownRole or
        PolicyDenied with what this person may ask for instead, and nothing about the rest."""
        allowed = self.allowed_to(person, policies)
        if not allowed:
            raise PolicyDenied("no policy lets you ask for anything; ask your administrator")
        if target not in allowed:
            raise UnknownTarget(target, sorted(allowed))
        if role not in allowed[target]:
            raise UnknownRole(role, target, allowed[target])
        found = self.targets[target]
        return found, found.roles[role]

    def allowed_to(self, person: Person, policies: Iterable[Policy]) -> dict[str, list[str]]:
        """Return the roles that some policy lets the person ask for, by target."""
        rules = tuple(policies)
        allowed = {
            target.name: [
                role
                for role in sorted(target.roles)
                if any(
                    resource_fits(policy, person, target=target.name, role=role) for policy in rules
                )
            ]
            for target in self.targets.values()
        }
        return {target: roles for target, roles in allowed.items() if roles}


def resource_fits(policy: Policy, person: Person, *, target: str, role: str) -> bool:
    """Say whether the policy covers this role for this person in some database."""
    return policy.requesters.includes(person) and any(
        resource.matches_somewhere(target, role) for resource in policy.resources
    )
