"""What happened: the vocabulary of the audit trail.

Each event is one frozen dataclass. Its `kind` and its ids become columns of the audit table, the
other fields its JSON data; none of them may ever be a secret.
"""

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar

from broker.domain.duration import iso_duration
from broker.domain.network import Network

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
class IdentityRefused(Event):
    """Somebody showed what does not prove who they are. What begins with `unverified` is theirs to
    choose. `unrecorded` others were refused since the last such event and left out."""

    kind = "identity.refused"
    reason: str
    source: str | None
    unverified_issuer: str | None
    unverified_subject: str | None
    unverified_kid: str | None
    unrecorded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonVouchedFor(Event):
    """A provider says something new of somebody."""

    kind = "person.vouched_for"
    person: str
    provider: str
    groups: tuple[str, ...]
    manager: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn(Event):
    """A browser is somebody's from now on: their provider said so, or they showed a token."""

    kind = "sign_in.begun"
    sign_in_id: str
    person: str
    provider: str | None
    token_id: str | None
    source: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOut(Event):
    """Somebody signed out before their sign-ins were over; everywhere, if there are several."""

    kind = "sign_in.ended"
    sign_in_ids: tuple[str, ...]
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCreated(Event):
    """Without `scopes` the token is good for all that its holder may do."""

    kind = "token.created"
    token_id: str
    person: str
    token_kind: str
    scopes: tuple[str, ...] | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked(Event):
    kind = "token.revoked"
    token_id: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMade(Event):
    kind = "request.made"
    person: str
    target: str
    database: str
    role: str
    duration: timedelta
    reason: str
    policy: str
    why: tuple[str, ...]
    source: str | None
    networks: tuple[Network, ...]
    pin_address: bool
    extends: str | None
    more_rows: int = 0
    more_bytes: int = 0
    conversation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused(Event):
    """Somebody asked for what the policies do not let them have: it did not become a request."""

    kind = "request.refused"
    person: str
    target: str
    role: str
    duration: timedelta | None
    code: str
    why: str
    source: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestConsented(Event):
    """One approver agrees; others may still have to."""

    kind = "request.consented"
    duration: timedelta | None
    comment: str
    break_glass: bool
    allowance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCommented(Event):
    kind = "request.commented"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEscalated(Event):
    """The people on call may approve from here on, and are paged."""

    kind = "request.escalated"
    schedules: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplePaged(Event):
    """The people on call of a schedule were paged, or there is no pager behind it."""

    kind = "request.paged"
    schedule: str
    paged: bool
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenGlass(Event):
    """One approver alone, or a sealed ticket, let somebody in, in an emergency. A review has to be
    written."""

    kind = "request.broken_glass"
    person: str
    review_due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewWritten(Event):
    kind = "grant.reviewed"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowanceMade(Event):
    """An approver agrees beforehand to what a person may ask for, in a window of time."""

    kind = "allowance.made"
    allowance_id: str
    person: str
    target: str
    database: str
    role: str
    starts_at: datetime
    ends_at: datetime
    duration: timedelta
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowanceRevoked(Event):
    kind = "allowance.revoked"
    allowance_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestApproved(Event):
    kind = "request.approved"
    cause: str
    duration: timedelta
    comment: str
    cuts: tuple[str, ...]
    networks: tuple[Network, ...]
    pin_address: bool


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
class MembershipGiven(Event):
    kind = "grant.membership_given"
    role: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """Somebody has to look at something."""

    kind = "alarm.raised"
    alarm_id: str
    target: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCleared(Event):
    kind = "alarm.cleared"
    alarm_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRotated(Event):
    """The broker's own login on a target has a new password."""

    kind = "admin.rotated"
    target: str
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesChanged(Event):
    """A version of the policy file came into force. `diff` is against the version `before`, and
    `lines_left_out` of it are not here: the versions themselves are kept."""

    kind = "policies.changed"
    number: int
    before: int | None
    diff: str
    lines_left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged(Event):
    """The same for the settings. `waiting` names the sections of which the broker goes on with what
    it started with."""

    kind = "settings.changed"
    number: int
    before: int | None
    diff: str
    lines_left_out: int
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesRefused(Event):
    """The policy file on this host cannot be used; what was in force stays."""

    kind = "policies.refused"
    host: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRefused(Event):
    """The settings on this host cannot be used; what was in force stays."""

    kind = "settings.refused"
    host: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantActivated(Event):
    """Its secret is wanted for the first time, which starts its clock."""

    kind = "grant.activated"
    until: datetime
    cuts: tuple[str, ...]


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
class GrantExtended(Event):
    """`conditions` are what its sessions are held to from here on."""

    kind = "grant.extended"
    was_until: datetime
    until: datetime
    reason: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantShortened(Event):
    """A sealed ticket was used: its grant ends with that."""

    kind = "grant.shortened"
    was_until: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketSealed(Event):
    """Somebody may get in with it while everything else is down."""

    kind = "ticket.sealed"
    ticket_id: str
    person: str
    target: str
    database: str
    role: str
    networks: tuple[Network, ...]
    expires_at: datetime
    access: timedelta
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketUsed(Event):
    """The first session under a ticket. A proxy says so once it can: `at` may be long ago."""

    kind = "ticket.used"
    ticket_id: str
    client_address: str
    until: datetime
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantQuarantined(Event):
    """Nobody has access any more, but something holds what is to be removed."""

    kind = "grant.quarantined"
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantEnded(Event):
    """The receipt is written: its number, its hash, and whether every line of it is proved."""

    kind = "grant.ended"
    receipt: int
    hash: str
    proved: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKilled(Event):
    """Somebody wants the session to end, while its grant lives on."""

    kind = "session.killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitHeld(Event):
    """A transaction that changed many rows waits for somebody to confirm it."""

    kind = "commit.held"
    held_id: str
    rows: int
    by_approver: bool
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitDecided(Event):
    kind = "commit.decided"
    held_id: str
    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsRead(Event):
    """Somebody looked at statements of others: those of the session, or in a list what `sessions`
    were just running."""

    kind = "statements.read"
    sessions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRead(Event):
    """Somebody took part of the record with them: how, what of it, and which (`only`)."""

    kind = "record.read"
    how: str
    what: str
    only: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementsDayDropped(Event):
    """A day's statements were kept long enough: `rows` of its blocks up to number `through`."""

    kind = "statements.day_dropped"
    day: str
    rows: int
    through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Banned(Event):
    """Too many wrong secrets came from an address, or for a user name."""

    kind = "ban.begun"
    whom: str
    failures: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BanLifted(Event):
    kind = "ban.lifted"
    whom: str


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return iso_duration(value)
        case IPv4Network() | IPv6Network():
            return str(value)
        case tuple():
            return [_plain(each) for each in value]
        case _:
            return value
