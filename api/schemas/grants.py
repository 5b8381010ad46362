"""What was given, its secret, and its end."""

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, Field

from api.connecting import SYSTEM, Connection, psql, uri
from api.input.values import Amount, Duration, Networks, Text
from api.schemas.base import Body, View
from api.schemas.requests import RequestView
from broker.domain.grant import GrantKind, GrantState
from broker.domain.statement.conditions import describe

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.ledger.reviews import Review
    from broker.ledger.tickets import SealedTicket
    from broker.service.broker import Approved, Obtained
    from broker.service.grants import Credential, GrantDetails

_QUOTE = "'"


class NewReview(Body):
    text: Annotated[Text, Field(min_length=1)]


class Revocation(Body):
    reason: Text = ""


class Extension(Body):
    """How much longer, and how many rows and bytes more; something of it."""

    duration: Duration | None = None
    rows: Amount = 0
    bytes: Amount = 0
    reason: Text = ""


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
