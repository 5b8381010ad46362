"""What happened: the vocabulary of the audit trail.

Each event is one frozen dataclass. Its `kind` and its ids become columns of the audit table, the
other fields its JSON data; none of them may ever be a secret.
"""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, ClassVar

from broker.domain.duration import iso_duration

_ID_COLUMNS = ("request_id", "grant_id", "session_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    kind: ClassVar[str]
    request_id: str | None = None
    grant_id: str | None = None
    session_id: str | None = None

    def data(self) -> dict[str, Any]:
        """Return the fields that are not ids, as JSON knows them."""
        return {
            field.name: _plain(getattr(self, field.name))
            for field in fields(self)
            if field.name not in _ID_COLUMNS
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCreated(Event):
    kind = "token.created"
    token_id: str
    person: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked(Event):
    kind = "token.revoked"
    token_id: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMade(Event):
    kind = "request.made"
    target: str
    database: str
    role: str
    duration: timedelta
    reason: str
    policy: str
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestApproved(Event):
    kind = "request.approved"
    duration: timedelta
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDenied(Event):
    kind = "request.denied"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancelled(Event):
    kind = "request.cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLapsed(Event):
    kind = "request.lapsed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginMade(Event):
    kind = "grant.provisioned"
    login: str
    oid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialHandedOut(Event):
    kind = "grant.credential_handed_out"
    login: str
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantEnding(Event):
    """The intent: from here on the login is to go."""

    kind = "grant.ending"
    cause: str
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantEnded(Event):
    """The proof: the login is gone."""

    kind = "grant.ended"
    login: str
    oid: int | None
    receipt: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverRemoved(Event):
    """A login of ours that the ledger did not expect to exist any more."""

    kind = "login.leftover_removed"
    target: str
    login: str
    oid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    kind = "session.opened"
    client_address: str
    client_application: str
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    kind = "session.closed"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRefused(Event):
    """Somebody proved that they hold a secret, and was still not let in."""

    kind = "session.refused"
    client_address: str
    reason: str


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return iso_duration(value)
        case _:
            return value
