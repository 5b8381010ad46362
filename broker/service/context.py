"""What every use case needs, put together once by the entry point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from broker.domain.catalog import Catalog
from broker.domain.credential import ProxyKey
from broker.domain.errors import TargetGone
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.person import Person
from broker.domain.policy import Policy
from broker.ledger.connection import Pool
from broker.target.connect import Target


@dataclass(frozen=True, slots=True)
class Directory:
    """Who there is: the operator's list of people. Nobody else is let in."""

    people: Mapping[str, Person]

    def find(self, email: str) -> Person | None:
        return self.people.get(email.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """Where people connect: the proxy as seen from outside.

    `root_certificate` is a PEM file that vouches for it, or "system" for the client's own trust.
    """

    host: str
    port: int
    sslmode: Literal["verify-full", "prefer"]
    root_certificate: Path | Literal["system"]

    def read_root_certificate(self) -> str:
        """Return the PEM text, "system", or "" while the proxy has not made its certificate."""
        if not isinstance(self.root_certificate, Path):
            return self.root_certificate
        try:
            return self.root_certificate.read_text()
        except OSError:
            return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    ledger: Pool
    targets: Mapping[str, Target]
    catalog: Catalog
    policies: tuple[Policy, ...]
    directory: Directory
    entrance: Entrance
    proxy_key: ProxyKey
    installation: str
    request_lapses_after: timedelta
    now: Callable[[], datetime]
    random: Callable[[int], bytes]

    def new_id(self, kind: IdKind) -> str:
        return new_id(kind, self.now(), self.random(RANDOM_BYTES))

    def target(self, name: str, role: str) -> Target:
        """Raises TargetGone if the operator has taken it out of the settings since."""
        if name not in self.targets:
            raise TargetGone(name, role)
        return self.targets[name]

    def approvable_by(self, person: Person) -> list[str]:
        """Return the names of the policies under which `person` approves."""
        return [policy.name for policy in self.policies if policy.approvers.includes(person)]
