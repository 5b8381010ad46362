"""Bodies in and views out, as pydantic knows them. Domain objects never serialise themselves."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from broker.domain.duration import iso_duration, parse_duration
from broker.domain.errors import InvalidDuration
from broker.domain.grant import GrantState
from broker.domain.request import AccessRequest, Decision, RequestState
from broker.ledger.people import Token
from broker.ledger.sessions import SessionRow
from broker.service.grants import Credential, GrantDetails
from broker.service.health import TargetHealth
from broker.service.requests import RequestDetails

_QUOTE = "'"

Item = TypeVar("Item", bound=BaseModel)


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a duration is text, for example PT1H or 1h")  # noqa: TRY004
    try:
        return parse_duration(value)
    except InvalidDuration as fault:
        raise ValueError(str(fault)) from None


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(iso_duration, return_type=str),
]
# Others read these at their terminals, so no control characters but line ends and tabs.
Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$")]
Identifier = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    model_config = ConfigDict(frozen=True)


class NewRequest(Body):
    target: Identifier
    role: Identifier
    duration: Duration
    database: Identifier | None = None
    reason: Text = ""


class Approval(Body):
    duration: Duration | None = None
    comment: Text = ""


class Denial(Body):
    reason: Text = ""


class Revocation(Body):
    reason: Text = ""


class DecisionView(View):
    by: str
    verdict: str
    duration: Duration | None
    comment: str
    at: AwareDatetime

    @classmethod
    def of(cls, decision: Decision) -> "DecisionView":
        return cls.model_construct(
            by=decision.decider.email,
            verdict=decision.verdict.value,
            duration=decision.duration,
            comment=decision.comment,
            at=decision.decided_at,
        )


class RequestView(View):
    """A request. `approvers` and `decisions` come with a single one, not in lists."""

    id: str
    state: RequestState
    requester: str
    target: str
    database: str
    role: str
    duration: Duration
    reason: str
    source: str | None
    policy: str
    created_at: AwareDatetime
    lapses_at: AwareDatetime
    closed_at: AwareDatetime | None
    grant_id: str | None
    approvers: tuple[str, ...] | None = None
    decisions: tuple[DecisionView, ...] | None = None

    @classmethod
    def of(cls, request: AccessRequest) -> "RequestView":
        return cls.model_construct(
            id=request.id,
            state=request.state,
            requester=request.requester.email,
            target=request.target,
            database=request.database,
            role=request.role,
            duration=request.duration,
            reason=request.reason,
            source=request.source,
            policy=request.policy,
            created_at=request.created_at,
            lapses_at=request.lapses_at,
            closed_at=request.closed_at,
            grant_id=request.grant_id,
        )

    @classmethod
    def with_details(cls, details: RequestDetails) -> "RequestView":
        return cls.of(details.request).model_copy(
            update={
                "approvers": details.approvers,
                "decisions": tuple(DecisionView.of(each) for each in details.decisions),
            }
        )


class GrantView(View):
    id: str
    state: GrantState
    request_id: str
    person: str
    target: str
    database: str
    role: str
    login: str
    granted_at: AwareDatetime
    expires_at: AwareDatetime
    end_reason: str | None
    ended_by: str | None
    end_comment: str | None
    ended_at: AwareDatetime | None
    last_error: str | None

    @classmethod
    def of(cls, details: GrantDetails) -> "GrantView":
        grant = details.grant
        return cls.model_construct(
            id=grant.id,
            state=grant.state,
            request_id=grant.request_id,
            person=grant.person.email,
            target=grant.target,
            database=grant.database,
            role=grant.role,
            login=details.login,
            granted_at=grant.granted_at,
            expires_at=grant.expires_at,
            end_reason=grant.end_reason.value if grant.end_reason else None,
            ended_by=grant.ended_by,
            end_comment=grant.end_comment,
            ended_at=grant.ended_at,
            last_error=grant.last_error,
        )


class CredentialView(View):
    """Shown once. `dsn` and `psql` are ready to paste.

    `root_certificate` is the PEM text that vouches for the proxy, "system" for the client's own
    trust store, or empty: then the client finds its own.
    """

    host: str
    port: int
    user: str
    password: str
    dbname: str
    sslmode: str
    root_certificate: str
    expires_at: AwareDatetime
    dsn: str
    psql: str

    @classmethod
    def of(cls, credential: Credential) -> "CredentialView":
        entrance = credential.entrance
        root = entrance.read_root_certificate()
        options = f"sslmode={entrance.sslmode}"
        if root == "system":
            options += "&sslrootcert=system"
        host = f"[{entrance.host}]" if ":" in entrance.host else entrance.host
        # Nothing here needs quoting: names and secrets are made of letters, digits and "_".
        where = f"{host}:{entrance.port}/{credential.database}?{options}"
        return cls.model_construct(
            host=entrance.host,
            port=entrance.port,
            user=credential.user,
            password=credential.password,
            dbname=credential.database,
            sslmode=entrance.sslmode,
            root_certificate=root,
            expires_at=credential.expires_at,
            dsn=f"postgresql://{credential.user}:{credential.password}@{where}",
            psql=f"PGPASSWORD={credential.password} psql 'postgresql://{credential.user}@{where}'",
        )

    def psql_trusting(self, root: str) -> str:
        """Return the psql line for a client that keeps the root certificate in file `root`."""
        return f"{self.psql.removesuffix(_QUOTE)}&sslrootcert={root}{_QUOTE}" if root else self.psql


class SessionView(View):
    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    client_address: str
    client_application: str
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    end_reason: str | None
    bytes_from_client: int | None
    bytes_to_client: int | None

    @classmethod
    def of(cls, row: SessionRow) -> "SessionView":
        return cls.model_construct(**{name: getattr(row, name) for name in cls.model_fields})


class TargetView(View):
    """A target that this person may ask for, and whether it answers."""

    name: str
    roles: tuple["RoleView", ...]
    reachable: bool
    checked_at: AwareDatetime | None
    server_version: str | None

    @classmethod
    def of(cls, health: TargetHealth, roles: "tuple[RoleView, ...]") -> "TargetView":
        return cls.model_construct(
            name=health.target,
            roles=roles,
            reachable=health.reachable,
            checked_at=health.checked_at,
            server_version=health.version,
        )


class RoleView(View):
    name: str
    description: str


class TokenView(View):
    id: str
    person: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    token: str | None = None

    @classmethod
    def of(cls, token: Token, secret: str | None = None) -> "TokenView":
        return cls.model_construct(
            id=token.id,
            person=token.email,
            label=token.label,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
            token=secret,
        )


class Page(View, Generic[Item]):
    """`next` is the value of `after` that continues the list, or null at its end."""

    items: tuple[Item, ...]
    next: str | None
