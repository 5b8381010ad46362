"""What may be asked for at all: targets and their catalog roles, as the operator lists them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from broker.domain.errors import PolicyDenied, UnknownRole, UnknownTarget
from broker.domain.grant import GrantKind
from broker.domain.parameter import Parameter
from broker.domain.person import Person
from broker.domain.policy.book import PolicyBook


@dataclass(frozen=True, slots=True)
class CatalogRole:
    """A NOLOGIN role that may be requested, and what a login that gets it is like.

    With `set_role` every session of the login begins as the role itself, which then owns what it
    makes. Without `inherit` the person uses SET ROLE when they want its privileges. `parameters`
    are set on the login; they are defaults that its sessions can change, never a protection.
    With `pin_address` all sessions of a grant come from the address of its first.
    """

    name: str
    description: str
    connection_limit: int
    kinds: frozenset[GrantKind] = frozenset({GrantKind.LOGIN})
    inherit: bool = True
    set_role: bool = False
    parameters: tuple[Parameter, ...] = ()
    pin_address: bool = False

    @property
    def may_set_role(self) -> bool:
        """Whether a login that gets the role may SET ROLE to it.

        Otherwise it only inherits: then a REVOKE bites at once, on 16 and later.
        """
        return self.set_role or not self.inherit

    def with_parameters(self, parameters: tuple[Parameter, ...]) -> "CatalogRole":
        """Return the role with these instead of its own of the same name."""
        merged = {each.name: each for each in (*self.parameters, *parameters)}
        return replace(self, parameters=tuple(merged.values()))


@dataclass(frozen=True, slots=True)
class CatalogTarget:
    """A managed server: the database people get unless they name one, and its catalog roles.

    `sensitive_columns` are tags, as broker.domain.role.sensitive reads them.
    """

    name: str
    database: str
    roles: Mapping[str, CatalogRole]
    sensitive_columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    targets: Mapping[str, CatalogTarget]

    def roles(self) -> Iterator[tuple[str, str]]:
        """Yield every target and role, by name."""
        for target in sorted(self.targets):
            for role in sorted(self.targets[target].roles):
                yield target, role

    def only(self, target: str, role: str) -> "Catalog":
        """Return a catalog of this role alone."""
        found = self.targets[target]
        return Catalog({target: replace(found, roles={role: found.roles[role]})})

    def find(
        self, person: Person, policies: PolicyBook, *, target: str, role: str
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

    def allowed_to(self, person: Person, policies: PolicyBook) -> dict[str, list[str]]:
        """Return the roles that some policy lets the person ask for, by target."""
        allowed = {
            target.name: [
                role
                for role in sorted(target.roles)
                if policies.candidates(person, target.name, role)
            ]
            for target in self.targets.values()
        }
        return {target: roles for target, roles in allowed.items() if roles}
