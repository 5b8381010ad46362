"""What is wrong with a target, as far as the server, the settings and the ledger can tell."""

from dataclasses import dataclass

from broker.domain.doctor.diagnosis import diagnose, diagnose_refusal
from broker.domain.doctor.facts import Expectations, Refused, TargetFacts
from broker.domain.doctor.finding import Finding, Severity
from broker.domain.grant import GrantKind
from broker.ledger import grants
from broker.ledger.connection import reading
from broker.service.context import Context
from broker.target.doctor import examine


@dataclass(frozen=True, slots=True)
class Checkup:
    """`server_version` is None if the server could not be looked at."""

    target: str
    address: str
    server_version: int | None
    findings: tuple[Finding, ...]

    @property
    def is_usable(self) -> bool:
        return all(each.severity is not Severity.BLOCKS for each in self.findings)


class Doctor:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def check(self, name: str) -> Checkup:
        """Look at one target. Raises LedgerUnavailable; what the target refuses is a finding."""
        target, catalog = self._context.targets[name], self._context.catalog.targets[name]
        found = await examine(target, catalog, self._personal_roles(name), self._context.now)
        address = f"{target.address.host}:{target.address.port}"
        if isinstance(found, Refused):
            login, database = target.admin_login, target.address.database
            finding = diagnose_refusal(found, login=login.user, admin=login.role, database=database)
            return Checkup(name, address, None, (finding,))
        expected = await self._expectations(name, found)
        return Checkup(name, address, found.server_version, diagnose(found, expected))

    def _personal_roles(self, name: str) -> set[str]:
        """Return the roles of people on this target, if any catalog role is given to such."""
        roles = self._context.catalog.targets[name].roles.values()
        if not any(GrantKind.MEMBERSHIP in role.kinds for role in roles):
            return set()
        own = self._context.directory.personal_roles
        return {role for (_, target), role in own.items() if target == name}

    async def _expectations(self, name: str, facts: TargetFacts) -> Expectations:
        ids = [each.grant_id for each in facts.logins if each.grant_id is not None]
        async with reading(self._context.ledger) as db:
            living = await grants.fetch_living(db, name, ids)
        return Expectations(
            installation=self._context.installation,
            living=frozenset(living),
            egress=self._context.egress,
        )
