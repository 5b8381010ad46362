"""Bodies in and views out, as pydantic knows them. Domain objects never serialise themselves."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from api.connecting import SYSTEM, Connection, psql, uri
from api.values import Email, Identifier, Moment, Text
from broker.domain.allowance import Allowance
from broker.domain.authorization import Action, Standing
from broker.domain.duration import iso_duration, parse_duration
from broker.domain.errors import InvalidDuration, InvalidNetwork
from broker.domain.grant import GrantKind, GrantState
from broker.domain.network import Network, parse_network
from broker.domain.person import PersonKind
from broker.domain.request import AccessRequest, Comment, Decision, RequestState
from broker.domain.statement.conditions import describe
from broker.domain.token import Token, TokenKind

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.domain.identity.relying import Relying
    from broker.domain.policy.quorum import Progress
    from broker.ledger.alarms import Alarm
    from broker.ledger.bans import Ban
    from broker.ledger.findings import StoredFinding
    from broker.ledger.held_commits import HeldCommitRow
    from broker.ledger.reviews import Review
    from broker.ledger.sessions import SessionRow
    from broker.ledger.tickets import SealedTicket
    from broker.service.broker import Approved, Obtained
    from broker.service.grants import Credential, GrantDetails
    from broker.service.health import TargetHealth
    from broker.service.requests import RequestDetails
    from broker.service.statements import Watched
    from broker.service.tokens import Authenticated, NewToken

_QUOTE = "'"
_MOST_NETWORKS = 100
_MOST = 10**15  # rows, or bytes
_LONGEST_JWT = 20_000

Item = TypeVar("Item", bound=BaseModel)


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a duration is text, for example PT1H or 1h")  # noqa: TRY004
    try:
        return parse_duration(value)
    except InvalidDuration as fault:
        raise ValueError(str(fault)) from None


def _duration_or_none(value: Any) -> Any:
    return timedelta() if value == iso_duration(timedelta()) else _duration(value)


def _network(value: Any) -> Any:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError("a network is text, for example 10.0.0.0/8")  # noqa: TRY004
    try:
        return parse_network(value)
    except InvalidNetwork as fault:
        raise ValueError(str(fault)) from None


def _each_once(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    return tuple(dict.fromkeys(networks))


_ISO_DURATION = {"type": "string", "format": "duration", "examples": ["PT1H"]}
_ANY_DURATION = {
    "type": "string",
    "description": "ISO 8601, or a number of seconds, minutes, hours or days: 90s, 30m, 8h, 2d.",
    "pattern": (
        "^(?=.*[1-9])(?:[0-9]{1,9}[smhd]|P(?:[0-9]{1,6}W)?(?:[0-9]{1,6}D)?"
        "(?:T(?=[0-9])(?:[0-9]{1,6}H)?(?:[0-9]{1,7}M)?(?:[0-9]{1,9}S)?)?)$"
    ),
    "examples": ["PT1H", "30m"],
}
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(iso_duration, return_type=str),
    WithJsonSchema(_ANY_DURATION, mode="validation"),
    WithJsonSchema(_ISO_DURATION, mode="serialization"),
]
# The same, or none at all.
Stretch = Annotated[
    timedelta,
    BeforeValidator(_duration_or_none),
    PlainSerializer(iso_duration, return_type=str),
    WithJsonSchema(_ISO_DURATION, mode="serialization"),
]
# Written like "10.0.0.0/8" both ways.
Networks = Annotated[
    tuple[
        Annotated[
            Network,
            PlainValidator(_network),
            PlainSerializer(str, return_type=str),
            WithJsonSchema(
                {
                    "type": "string",
                    "description": "A network, or a single address.",
                    "pattern": "^[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?$",
                    "examples": ["10.0.0.0/8", "2001:db8::/32"],
                }
            ),
        ],
        ...,
    ],
    Field(max_length=_MOST_NETWORKS),
    AfterValidator(_each_once),
]
Amount = Annotated[int, Field(ge=0, le=_MOST, strict=True)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class View(BaseModel):
    """Whatever has a default is said all the same."""

    model_config = ConfigDict(
        frozen=True, defer_build=True, json_schema_serialization_defaults_required=True
    )


class NewRequest(Body):
    target: Identifier
    role: Identifier
    kind: GrantKind = GrantKind.LOGIN
    duration: Duration | None = None
    database: Identifier | None = None
    reason: Text = ""
    networks: Networks = ()
    pin_address: bool = False
    person: Email | None = None


class Approval(Body):
    """Without `networks` the request's stay; an empty list means anywhere."""

    duration: Duration | None = None
    comment: Text = ""
    networks: Networks | None = None
    pin_address: bool = False
    break_glass: bool = False


class NewComment(Body):
    text: Annotated[Text, Field(min_length=1)]


class NewReview(Body):
    text: Annotated[Text, Field(min_length=1)]


class NewAllowance(Body):
    """From `starts_at` (now) to `ends_at` each request that fits has its maker's consent."""

    person: Email
    target: Identifier
    role: Identifier
    database: Identifier | None = None
    duration: Duration
    starts_at: Moment | None = None
    ends_at: Moment
    reason: Text = ""


class Denial(Body):
    reason: Text = ""


class Revocation(Body):
    reason: Text = ""


class Extension(Body):
    """How much longer, and how many rows and bytes more; something of it."""

    duration: Duration | None = None
    rows: Amount = 0
    bytes: Amount = 0
    reason: Text = ""


class NewTokenBody(Body):
    """Without a duration the token lives as long as usual, without scopes it is good for as much as
    what it is made with. The holder is a machine, for operators; otherwise it is oneself."""

    label: Annotated[Text, Field(max_length=200)] = ""
    duration: Duration | None = None
    scopes: Annotated[frozenset[Action], Field(min_length=1)] | None = None
    holder: Annotated[Text, Field(max_length=320)] | None = None


class DecisionView(View):
    by: str
    verdict: str
    duration: Duration | None
    comment: str
    at: AwareDatetime
    networks: Networks | None
    pin_address: bool
    break_glass: bool
    allowance_id: str | None

    @classmethod
    def of(cls, decision: Decision) -> "DecisionView":
        return cls.model_construct(
            by=decision.decider.email,
            verdict=decision.verdict.value,
            duration=decision.duration,
            comment=decision.comment,
            at=decision.decided_at,
            networks=decision.networks,
            pin_address=decision.pin_address,
            break_glass=decision.break_glass,
            allowance_id=decision.allowance_id,
        )


class CommentView(View):
    by: str
    text: str
    at: AwareDatetime

    @classmethod
    def of(cls, comment: Comment) -> "CommentView":
        return cls.model_construct(by=comment.author.email, text=comment.text, at=comment.made_at)


class ProgressView(View):
    """One of those that must each agree: how many have, of how many that are needed."""

    label: str
    have: int
    need: int

    @classmethod
    def of(cls, progress: "Progress") -> "ProgressView":
        return cls.model_construct(label=progress.label, have=progress.have, need=progress.need)


class RequestView(View):
    """A request by `requester`, that `person` get something; `why` are the policy's reasons.

    One that `extends` a grant wants it to end that much later, or more rows and bytes of its
    budgets. `approvers`, `progress`, `decisions`
    and `comments` come with a single request, not in lists.
    """

    id: str
    state: RequestState
    person: str
    requester: str
    kind: GrantKind
    target: str
    database: str
    role: str
    duration: Stretch
    reason: str
    source: str | None
    networks: Networks
    pin_address: bool
    policy: str
    why: tuple[str, ...]
    created_at: AwareDatetime
    lapses_at: AwareDatetime
    escalated_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    extends: str | None
    more_rows: int
    more_bytes: int
    grant_id: str | None
    approvers: tuple[str, ...] | None = None
    progress: tuple[ProgressView, ...] | None = None
    decisions: tuple[DecisionView, ...] | None = None
    comments: tuple[CommentView, ...] | None = None

    @classmethod
    def of(cls, request: AccessRequest) -> "RequestView":
        return cls.model_construct(
            id=request.id,
            state=request.state,
            person=request.person.email,
            requester=request.requester.email,
            kind=request.kind,
            target=request.target,
            database=request.database,
            role=request.role,
            duration=request.duration,
            reason=request.reason,
            source=request.source,
            networks=request.networks,
            pin_address=request.pin_address,
            policy=request.policy,
            why=request.why,
            created_at=request.created_at,
            lapses_at=request.lapses_at,
            escalated_at=request.escalated_at,
            closed_at=request.closed_at,
            extends=request.extends,
            more_rows=request.more.rows,
            more_bytes=request.more.bytes,
            grant_id=request.grant_id,
        )

    @classmethod
    def with_details(cls, details: "RequestDetails") -> "RequestView":
        return cls.of(details.request).model_copy(
            update={
                "approvers": details.approvers,
                "progress": tuple(ProgressView.of(each) for each in details.progress),
                "decisions": tuple(DecisionView.of(each) for each in details.decisions),
                "comments": tuple(CommentView.of(each) for each in details.comments),
            }
        )


class GrantView(View):
    """A grant. `login` is the ephemeral role of a login grant, `member` the person's own role of a
    membership grant. Sessions come from `networks`, or from anywhere if there are none; with
    `pin_address` all from the address of the first, which is then `pinned_to`. A waiting one starts
    when its secret is first taken, which has to be before `expires_at`, and then lasts `duration`.
    A `sealed` one is used with its break-glass ticket only. `conditions` say what its sessions are
    held to; they were sent `rows_sent` and `bytes_sent` so far, of at most `max_rows` and
    `max_bytes`.
    """

    id: str
    state: GrantState
    kind: GrantKind
    request_id: str
    person: str
    target: str
    database: str
    role: str
    login: str | None
    member: str | None
    networks: Networks
    pin_address: bool
    pinned_to: IPv4Address | IPv6Address | None
    granted_at: AwareDatetime
    expires_at: AwareDatetime
    duration: Duration
    break_glass: bool
    end_reason: str | None
    ended_by: str | None
    end_comment: str | None
    ended_at: AwareDatetime | None
    last_error: str | None
    sealed: bool
    conditions: tuple[str, ...]
    rows_sent: int
    bytes_sent: int
    max_rows: int | None
    max_bytes: int | None

    @classmethod
    def of(cls, details: "GrantDetails") -> "GrantView":
        grant = details.grant
        return cls.model_construct(
            id=grant.id,
            state=grant.state,
            kind=grant.kind,
            request_id=grant.request_id,
            person=grant.person.email,
            target=grant.target,
            database=grant.database,
            role=grant.role,
            login=details.login,
            member=grant.member,
            networks=grant.networks,
            pin_address=grant.pin_address,
            pinned_to=grant.pinned_to,
            granted_at=grant.granted_at,
            expires_at=grant.expires_at,
            duration=grant.duration,
            break_glass=grant.break_glass,
            end_reason=grant.end_reason.value if grant.end_reason else None,
            ended_by=grant.ended_by,
            end_comment=grant.end_comment,
            ended_at=grant.ended_at,
            last_error=grant.last_error,
            sealed=grant.sealed,
            conditions=describe(grant.conditions),
            rows_sent=details.used.rows,
            bytes_sent=details.used.bytes,
            max_rows=grant.conditions.max_rows,
            max_bytes=grant.conditions.max_bytes,
        )


class ApprovalView(View):
    """A request after a consent, and the grant that it gave; null while others have to agree."""

    request: RequestView
    grant: GrantView | None

    @property
    def given(self) -> GrantView:
        """The grant. Raises LookupError while others have to agree."""
        if self.grant is None:
            raise LookupError(f"others still have to agree to request {self.request.id}")
        return self.grant

    @classmethod
    def of(cls, approved: "Approved") -> "ApprovalView":
        grant = GrantView.of(approved.grant) if approved.grant is not None else None
        return cls.model_construct(request=RequestView.with_details(approved.request), grant=grant)


class AllowanceView(View):
    """Between `starts_at` and `ends_at` a request by `person` for this has `approver`'s consent."""

    id: str
    person: str
    approver: str
    target: str
    database: str
    role: str
    policy: str
    duration: Duration
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    reason: str
    made_at: AwareDatetime
    revoked_at: AwareDatetime | None
    revoked_by: str | None

    @classmethod
    def of(cls, allowance: Allowance) -> "AllowanceView":
        values = {name: getattr(allowance, name) for name in cls.model_fields}
        return cls.model_construct(
            **{
                **values,
                "person": allowance.person.email,
                "approver": allowance.approver.email,
            }
        )


class ReviewView(View):
    """What was written after the glass was broken; until then only when it is due."""

    grant_id: str
    due_at: AwareDatetime
    writer: str | None
    text: str | None
    written_at: AwareDatetime | None

    @classmethod
    def of(cls, review: "Review") -> "ReviewView":
        return cls.model_construct(**{name: getattr(review, name) for name in cls.model_fields})


class CredentialView(View):
    """Shown once. `dsn` and `psql` are ready to paste. `stable_user` has the same password, and in
    the person's next grant of the same role the next one: for saved connections.

    `root_certificate` is the PEM text that vouches for the proxy, "system" for the client's own
    trust store, or empty: then the client finds its own.
    """

    host: str
    port: int
    user: str
    stable_user: str
    password: str
    dbname: str
    sslmode: str
    root_certificate: str
    expires_at: AwareDatetime
    dsn: str
    psql: str

    @classmethod
    def of(cls, credential: "Credential") -> "CredentialView":
        entrance = credential.entrance
        root = entrance.read_root_certificate()
        to = Connection(
            host=entrance.host,
            port=entrance.port,
            dbname=credential.database,
            user=credential.user,
            stable_user=credential.stable_user,
            sslmode=entrance.sslmode,
            root=SYSTEM if root == SYSTEM else "",
            password=credential.password,
        )
        return cls.model_construct(
            host=to.host,
            port=to.port,
            user=to.user,
            stable_user=to.stable_user,
            password=credential.password,
            dbname=to.dbname,
            sslmode=to.sslmode,
            root_certificate=root,
            expires_at=credential.expires_at,
            dsn=uri(to),
            psql=psql(to),
        )

    def psql_trusting(self, root: str) -> str:
        """Return the psql line for a client that keeps the root certificate in file `root`."""
        return f"{self.psql.removesuffix(_QUOTE)}&sslrootcert={root}{_QUOTE}" if root else self.psql


class ObtainedView(View):
    """A grant with its secret. `token` gives it back, and does nothing else: a job's own token may
    be over by then."""

    grant: GrantView
    credential: CredentialView
    token: str

    @classmethod
    def of(cls, obtained: "Obtained") -> "ObtainedView":
        return cls.model_construct(
            grant=GrantView.of(obtained.grant),
            credential=CredentialView.of(obtained.credential),
            token=obtained.token,
        )


class LineView(View):
    """One claim of a receipt. `count` is what the question found, null if it could not be asked."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    claim: str
    proved: bool
    count: int | None
    question: str
    read_at: AwareDatetime | None
    note: str = ""


class StepView(View):
    at: AwareDatetime
    database: str
    statement: str


class ReceiptFacts(View):
    """What was read from the target after the end of a grant, and what was done to end it."""

    model_config = ConfigDict(extra="allow")

    grant: str
    target: str
    ended_at: AwareDatetime
    proved: bool
    lines: tuple[LineView, ...]
    steps: tuple[StepView, ...]
    findings: tuple[str, ...]
    unseen: tuple[str, ...]


class ReceiptView(View):
    """A receipt in its chain: `hash` is SHA-256 over `previous` (32 bytes), `number` (8 bytes, big
    end first), and `receipt` as JSON with sorted keys and no spaces."""

    number: int
    previous: str
    hash: str
    receipt: ReceiptFacts


class FindingView(View):
    """One thing that changed on the target during a grant's life."""

    kind: str
    disposition: str
    description: str
    action: str
    database: str | None
    identity: str
    owner: str | None
    before: str | None
    after: str | None
    note: str

    @classmethod
    def of(cls, finding: "StoredFinding") -> "FindingView":
        return cls.model_validate({**finding.data, "description": finding.description})


class AlarmView(View):
    id: str
    target: str | None
    grant_id: str | None
    message: str
    raised_at: AwareDatetime
    cleared_at: AwareDatetime | None

    @classmethod
    def of(cls, alarm: "Alarm") -> "AlarmView":
        return cls.model_construct(**{name: getattr(alarm, name) for name in cls.model_fields})


class CurrentStatementView(View):
    """What a session is just running, for so many seconds now. `text` is its beginning."""

    seq: int
    text: str
    started_at: AwareDatetime
    for_s: float


class SessionView(View):
    """A client connection. `client_certificate` is the subject of the one that the client showed;
    `killed_by` is who wanted the session to end while its grant lived on.

    `statements` and `rows` are what it came to so far, and so are the bytes of an open one. What is
    null was not asked for, or would have taken too long to add up in a list."""

    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    client_address: str
    client_application: str
    client_certificate: str | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None
    end_reason: str | None
    killed_by: str | None
    bytes_from_client: int | None
    bytes_to_client: int | None
    statements: int | None = None
    rows: int | None = None
    current_statement: CurrentStatementView | None = None

    @classmethod
    def of(cls, row: "SessionRow") -> "SessionView":
        facts = set(cls.model_fields) - {"statements", "rows", "current_statement"}
        return cls.model_construct(**{name: getattr(row, name) for name in facts})

    @classmethod
    def of_watched(cls, watched: "Watched", now: datetime) -> "SessionView":
        row, sums, running = watched.row, watched.sums, watched.running
        found: dict[str, Any] = {"statements": watched.statements}
        if sums is not None:
            found["rows"] = sums.rows
        if sums is not None and row.ended_at is None:
            found["bytes_from_client"] = sums.bytes_from_client
            found["bytes_to_client"] = sums.bytes_to_client
        if running is not None:
            found["current_statement"] = CurrentStatementView(
                seq=running.seq,
                text=running.text,
                started_at=running.started_at,
                for_s=max(0.0, (now - running.started_at).total_seconds()),
            )
        return cls.of(row).model_copy(update=found)


class HeldCommitView(View):
    """A transaction that changed `rows` and waits at COMMIT until `ends_at`: for its person, or if
    `by_approver` for somebody else who may approve the grant. `decision` is confirmed, rolled back,
    timed out, or lost with its session."""

    id: str
    session_id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    rows: int
    by_approver: bool
    held_at: AwareDatetime
    ends_at: AwareDatetime
    decision: str | None
    decided_by: str | None
    decided_at: AwareDatetime | None

    @classmethod
    def of(cls, row: "HeldCommitRow") -> "HeldCommitView":
        held, settled = row.held, row.held.settled
        return cls.model_construct(
            id=held.id,
            session_id=held.session_id,
            grant_id=held.grant_id,
            person=row.person,
            target=row.target,
            database=row.database,
            role=row.role,
            rows=held.rows,
            by_approver=held.by_approver,
            held_at=held.held_at,
            ends_at=held.ends_at,
            decision=settled.decision.value if settled else None,
            decided_by=settled.by if settled else None,
            decided_at=settled.at if settled else None,
        )


class BanView(View):
    """Nobody gets in by this key, an address or a user name, until then."""

    key: str
    failures: int
    until: AwareDatetime

    @classmethod
    def of(cls, ban: "Ban") -> "BanView":
        return cls.model_construct(key=ban.key, failures=ban.failures, until=ban.until)


class TicketView(View):
    """A sealed ticket, without its secret, which only the ticket has. `state` is its grant's;
    `used_at`, `until` and `used_from` say when it was used, if a proxy has reported that."""

    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    state: GrantState
    key_id: str
    access: Duration
    expires_at: AwareDatetime
    sealed_at: AwareDatetime
    sealed_by: str
    used_at: AwareDatetime | None
    until: AwareDatetime | None
    used_from: str | None

    @classmethod
    def of(cls, ticket: "SealedTicket") -> "TicketView":
        return cls.model_construct(**{name: getattr(ticket, name) for name in cls.model_fields})


class TargetView(View):
    """A target that this person may ask for, and whether it answers."""

    name: str
    roles: tuple["RoleView", ...]
    reachable: bool
    checked_at: AwareDatetime | None
    server_version: str | None

    @classmethod
    def of(cls, health: "TargetHealth", roles: "tuple[RoleView, ...]") -> "TargetView":
        return cls.model_construct(
            name=health.target,
            roles=roles,
            reachable=health.reachable,
            checked_at=health.checked_at,
            server_version=health.version,
        )


class RoleView(View):
    """A role that may be asked for. `problem` says why it cannot be given at the moment."""

    name: str
    description: str
    kinds: tuple[GrantKind, ...]
    problem: str | None


class TokenView(View):
    """A token. `token` is its secret, which only whoever makes it ever sees. Without `scopes` it is
    good for all that its holder may do."""

    id: str
    person: str
    kind: TokenKind
    label: str
    scopes: tuple[str, ...] | None
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None
    last_used_at: AwareDatetime | None
    token: str | None = None

    @classmethod
    def of(cls, token: "Token", secret: str | None = None) -> "TokenView":
        return cls.model_construct(
            id=token.id,
            person=token.email,
            kind=token.kind,
            label=token.label,
            scopes=None if token.scopes is None else tuple(sorted(token.scopes)),
            created_by=token.created_by,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
            last_used_at=token.last_used_at,
            token=secret,
        )


class SignIn(Body):
    """`id_token` is one that the provider has just made for our command line. `access_token` lets
    us ask the provider for what it keeps out of its ID tokens."""

    provider: Identifier
    id_token: Annotated[str, Field(min_length=1, max_length=_LONGEST_JWT)]
    access_token: Annotated[str, Field(min_length=1, max_length=_LONGEST_JWT)] | None = None


class ProviderView(View):
    """What a command line needs to know of a provider to sign somebody in."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,63}$")]
    issuer: Annotated[str, Field(pattern=r"^[!-~]{1,2000}$")]
    client_id: str
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, us: "Relying") -> "ProviderView":
        return cls.model_construct(
            name=us.provider, issuer=us.issuer, client_id=us.client_id, scopes=us.scopes
        )


class SignInWays(View):
    providers: tuple[ProviderView, ...]


class SignedInView(View):
    """A token that lives as long as the sign-in. Shown once."""

    person: str
    token: str = Field(repr=False)
    expires_at: AwareDatetime

    @classmethod
    def of(cls, made: "NewToken") -> "SignedInView":
        return cls.model_construct(
            person=made.token.email, token=made.secret, expires_at=made.token.expires_at
        )


class MeView(View):
    """Who the caller is today, and what they came with: without `scopes` it is good for all that
    they may do. They stand as a reviewer where a policy names them; being somebody's manager, or on
    call, does not show here."""

    id: str
    email: str
    name: str
    kind: PersonKind
    groups: tuple[str, ...]
    manager: str | None
    standings: tuple[Standing, ...]
    scopes: tuple[str, ...] | None
    token_id: str | None
    expires_at: AwareDatetime | None

    @classmethod
    def of(cls, caller: "Authenticated", standings: Iterable[Standing]) -> "MeView":
        person = caller.person
        return cls.model_construct(
            id=person.id,
            email=person.email,
            name=person.name,
            kind=person.kind,
            groups=tuple(sorted(person.groups)),
            manager=person.manager,
            standings=tuple(sorted(standings)),
            scopes=None if caller.scopes is None else tuple(sorted(caller.scopes)),
            token_id=caller.token_id,
            expires_at=caller.expires_at,
        )


class Page(View, Generic[Item]):
    """`next` is the value of `after` that continues the list, or null at its end."""

    items: tuple[Item, ...]
    next: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """As programs that are generated from the OpenAPI description call it: RequestPage."""
        (item,) = params
        return f"{item.__name__.removesuffix('View')}Page"
