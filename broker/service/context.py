"""What every use case needs, put together once by the entry point."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from broker.domain.authorization import Authority
from broker.domain.catalog import Catalog, CatalogRole
from broker.domain.credential import ProxyKey
from broker.domain.errors import TargetGone
from broker.domain.identity.code_flow import Transaction
from broker.domain.identity.directory import Directory
from broker.domain.identity.identified import Identified
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Answered, Relying, SignInTerms
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.network import Network
from broker.domain.on_call import NotPaged, OnCallNow, Page, Paged
from broker.domain.policy.book import PolicyBook
from broker.domain.statement.checkpoint import Checkpoint
from broker.domain.version import VersionKind
from broker.ledger.connection import Pool
from broker.service.in_force import Live, OperatorFiles
from broker.target.connect import Target


class IdentityVerifier(Protocol):
    """Asks outside issuers. Every method raises NotIdentified for what proves nothing, and
    ProviderUnreachable."""

    async def metadata(self, provider_name: str) -> Metadata:
        """Return the addresses of a provider's flows."""

    async def verified_claims(
        self, provider_name: str, token: str, *, nonce: str | None, audience: str
    ) -> dict[str, Any]:
        """Return the claims of an ID token, which the provider made for the client of ours that is
        the `audience`. More of them may be elsewhere."""

    def identify(self, provider_name: str, claims: Mapping[str, Any]) -> Identified:
        """Return whom verified claims of the provider mean."""

    async def verify_bearer(self, token: str) -> Identified:
        """Return the machine that a workload's token stands for."""


class ProviderFlows(Protocol):
    """Talks to providers about somebody who signs in. Every method raises ProviderUnreachable."""

    def authorization_url(self, us: Relying, metadata: Metadata, transaction: Transaction) -> str:
        """Return where to send a browser."""

    async def exchange(
        self, us: Relying, metadata: Metadata, code: str, transaction: Transaction
    ) -> Answered:
        """Return what the code stands for. Raises SignInFailed."""

    async def fetch_more_claims(
        self, us: Relying, metadata: Metadata, claims: Mapping[str, Any], access_token: str
    ) -> dict[str, Any]:
        """Return the verified claims with those that the provider keeps out of its ID tokens."""


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


class StoredPassword(Protocol):
    """The password of the broker's own login on a target, where it lies."""

    @property
    def changed_at(self) -> datetime | None:
        """When it was last replaced, or None if the broker cannot replace it."""

    @property
    def waiting(self) -> str | None:
        """The next password, if a crash came before it could take the current one's place."""

    def put_beside(self, password: str) -> None:
        """Store the next password, durably."""

    def put_in_place(self) -> None:
        """Let the next password be the current one."""


class OnCall(Protocol):
    """Who is on call."""

    async def who(self, schedules: Iterable[str]) -> OnCallNow: ...


class Pager(Protocol):
    async def page(self, schedule: str, page: Page) -> Paged | NotPaged:
        """Page whoever is on call in the schedule. Raises PageFailed: try again later."""


class Signing(Protocol):
    """Signs checkpoints, and tells ours from others."""

    def sign(self, body: str) -> tuple[str, bytes]:
        """Return the key's id and the signature."""

    def is_genuine(self, checkpoint: Checkpoint) -> bool: ...

    def public_pem(self) -> str:
        """Return every public key that was ever used here, as PEM, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTerms:
    """How the record is kept. Statements are for ever, unless `keep_statements` says how long."""

    signing: Signing
    checkpoint_every: timedelta
    keep_statements: timedelta | None = None


class RecordSink(Protocol):
    """Whoever else wants a copy of the record."""

    async def send(self, lines: Sequence[dict[str, Any]]) -> None:
        """Send each as a line of JSON, in order. Returns once they are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTerms:
    """How a target is to be treated."""

    password: StoredPassword
    rotate_every: timedelta | None = None
    removes_unknown_logins: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`egress` is where the proxies connect to targets from, as the operator says, and `public_url`
    where people reach the API with a browser, if they do."""

    ledger: Pool
    targets: Mapping[str, Target]
    terms: Mapping[str, TargetTerms]
    catalog: Catalog
    live: Live
    files: OperatorFiles
    verifier: IdentityVerifier
    flows: ProviderFlows
    sign_in: SignInTerms
    egress: tuple[Network, ...]
    entrance: Entrance
    public_url: str | None
    proxy_key: ProxyKey
    installation: str
    host: str
    on_call: OnCall
    pager: Pager
    record: RecordTerms
    sink: RecordSink | None
    now: Callable[[], datetime]
    random: Callable[[int], bytes]

    @property
    def policies(self) -> PolicyBook:
        """The policies of this moment: ask again after waiting for anything."""
        return self.live.in_force.policies

    @property
    def policy_version(self) -> int | None:
        """The number of those policies; None in a process that serves nobody."""
        version = self.live.in_force.versions.get(VersionKind.POLICIES)
        return version.number if version is not None else None

    @property
    def directory(self) -> Directory:
        """The people of this moment."""
        return self.live.in_force.directory

    @property
    def authority(self) -> Authority:
        """Who operates and who audits at this moment."""
        return self.live.in_force.authority

    @property
    def longest_token(self) -> timedelta:
        return self.live.in_force.terms.longest_token

    @property
    def request_lapses_after(self) -> timedelta:
        return self.live.in_force.terms.request_lapses_after

    @property
    def review_within(self) -> timedelta:
        return self.live.in_force.terms.review_within

    def new_id(self, kind: IdKind) -> str:
        return new_id(kind, self.now(), self.random(RANDOM_BYTES))

    def target(self, name: str, role: str) -> Target:
        """Raises TargetGone if the operator has taken it out of the settings since."""
        if name not in self.targets:
            raise TargetGone(name, role)
        return self.targets[name]

    def catalog_role(self, target: str, role: str) -> CatalogRole | None:
        """Return the role as the settings have it now, if they do."""
        found = self.catalog.targets.get(target)
        return found.roles.get(role) if found is not None else None

    def require_role(self, target: str, role: str) -> CatalogRole:
        """Raises TargetGone if the operator has taken it out of the settings since."""
        found = self.catalog_role(target, role)
        if found is None:
            raise TargetGone(target, role)
        return found
