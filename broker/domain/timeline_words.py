"""What each event of the audit trail is called in the timeline of a request, in plain words.

TOLD is the table of it, ABOUT_NO_REQUEST names the rest of the vocabulary. A sentence stands for
itself, as it may be read without the column of who did it. Texts of people are quoted on one line
and cut; in the details they are whole.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from broker.domain import events
from broker.domain.duration import format_duration, iso_duration, parse_duration
from broker.domain.grant import GrantEvent
from broker.domain.person import SYSTEM
from broker.domain.request import Cause
from broker.domain.size import format_size
from broker.domain.statement.held_commit import CommitDecision

_LONGEST_QUOTE = 160  # characters

DetailValue: TypeAlias = str | int | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event as the ledger has it. `extends`: it is about a request to extend a grant, not about
    the one that it came of."""

    at: datetime
    actor: str
    kind: str
    data: Mapping[str, Any]
    request_id: str | None = None
    grant_id: str | None = None
    session_id: str | None = None
    extends: bool = False

    @property
    def who(self) -> str:
        return "pgcurfew" if self.actor == SYSTEM else self.actor

    @property
    def what(self) -> str:
        return "the extension" if self.extends else "the request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How an event is told: its sentence, and which of its data are details. Those `inside` are for
    who looks after the request and not for who made it, and so is all of it if `is_inside`."""

    sentence: Callable[[Happening], str]
    details: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    is_inside: bool = False


def told(happening: Happening) -> Telling:
    """Return how to tell it. What we do not know is of a newer version: only its name is told, and
    not to everybody."""
    return TOLD.get(happening.kind, _UNKNOWN)


def is_for(kind: str, *, inside: bool) -> bool:
    """Say whether such events are for somebody: who looks after the request hears of all."""
    return inside or not TOLD.get(kind, _UNKNOWN).is_inside


def detail(happening: Happening, names: tuple[str, ...]) -> dict[str, DetailValue]:
    """Return those of its data, without what says nothing."""
    values = {name: _plain(happening.data.get(name)) for name in names}
    return {name: value for name, value in values.items() if value not in (None, "", (), 0, False)}


def lasting(duration: str | timedelta) -> str:
    """Return a duration, which may be ISO 8601, as people write it."""
    if isinstance(duration, timedelta):
        return format_duration(duration)
    if duration == iso_duration(timedelta()):
        return "0s"
    return format_duration(parse_duration(duration))


def moment(at: str | datetime) -> str:
    """Return a time, which may be ISO 8601, as people read it."""
    known = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{known.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def quoted(text: str | None) -> str:
    """Return `: text`, on one line and not too long, or nothing for nothing."""
    line = " ".join((text or "").split())
    if not line:
        return ""
    return f": {line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + '…'}"


def _plain(value: Any) -> DetailValue:
    match value:
        case list() | tuple():
            return tuple(str(each) for each in value)
        case None | str() | int():
            return value
        case _:
            return str(value)


def _made(it: Happening) -> str:
    data = it.data
    if data.get("extends"):
        return f"{it.who} asked for {_more(data)}{quoted(data['reason'])}"
    whom = f" for {data['person']}" if data["person"] != it.actor else ""
    asked = f"{it.who} asked{whom} for {data['role']} on {data['target']}"
    return f"{asked}, for {lasting(data['duration'])}{quoted(data['reason'])}"


def _more(data: Mapping[str, Any]) -> str:
    time = lasting(data["duration"])
    rows, size = data.get("more_rows", 0), data.get("more_bytes", 0)
    parts = (
        *((f"{time} more",) if time != "0s" else ()),
        *((f"{rows:,} rows more",) if rows else ()),
        *((f"{format_size(size)} more",) if size else ()),
    )
    return " and ".join(parts)


def _consented(it: Happening) -> str:
    data = it.data
    most = f", for at most {lasting(data['duration'])}" if data["duration"] else ""
    if data["break_glass"]:
        how = f"{it.who} broke the glass"
    elif data["allowance_id"]:
        how = f"{it.who} had agreed beforehand"
    else:
        how = f"{it.who} agreed to {it.what}"
    return f"{how}{most}{quoted(data['comment'])}"


def _paged(it: Happening) -> str:
    schedule = it.data["schedule"]
    if it.data["paged"]:
        return f"whoever is on call in {schedule} was paged"
    return f"nobody could be paged for {schedule}"


def _approved(it: Happening) -> str:
    data = it.data
    time = lasting(data["duration"])
    match data["cause"]:
        case Cause.POLICY:
            by = f"{it.what} needed nobody's consent any more"
        case Cause.OPERATOR:
            by = f"{it.who} gave it with a sealed ticket"
        case _:
            by = f"{it.what} was approved, with {it.who} agreeing last"
    lasts = f"the grant lasts {time} in all" if it.extends else f"it is given for {time}"
    cut = f", cut short to {'; to '.join(data['cuts'])}" if data["cuts"] else ""
    return f"{by}: {lasts}{cut}"


def _activated(it: Happening) -> str:
    cuts = it.data["cuts"]
    cut = f", cut short to {'; to '.join(cuts)}" if cuts else ""
    return f"{it.who} began to use it: its clock runs until {moment(it.data['until'])}{cut}"


def _extended(it: Happening) -> str:
    data = it.data
    if data["was_until"] == data["until"]:
        return "the grant may be used for more than before"
    return f"the curfew moved from {moment(data['was_until'])} to {moment(data['until'])}"


def _ending(it: Happening) -> str:
    why = quoted(it.data["comment"])
    match it.data["cause"]:
        case GrantEvent.RELINQUISHED:
            return f"{it.who} gave the access back"
        case GrantEvent.REVOKED:
            return f"{it.who} took the access away{why}"
        case GrantEvent.EXPIRED:
            return "the curfew came: nobody has access any more"
        case GrantEvent.REJECTED:
            return "the target no longer took the login's keys, so the access ends"
        case GrantEvent.VANISHED:
            return "somebody else dropped what was given, so the access ends"
        case _:
            return f"it could not be given{why}"


def _ended(it: Happening) -> str:
    number = it.data["receipt"]
    if it.data["proved"]:
        return f"nothing is left of it on the target: receipt {number} proves that"
    return f"it has ended, but receipt {number} does not prove all of that"


def _held(it: Happening) -> str:
    by = "an approver" if it.data["by_approver"] else it.who
    rows, until = it.data["rows"], moment(it.data["until"])
    return f"a transaction that changed {rows:,} rows waits at COMMIT for {by}, until {until}"


def _decided(it: Happening) -> str:
    match it.data["decision"]:
        case CommitDecision.CONFIRMED:
            return f"{it.who} let the held transaction commit"
        case CommitDecision.ROLLED_BACK:
            return f"{it.who} had the held transaction rolled back"
        case CommitDecision.TIMED_OUT:
            return "nobody confirmed the held transaction in time: it was rolled back"
        case _:
            return "the held transaction was lost with its session: it was rolled back"


def _cleared(it: Happening) -> str:
    return "an alarm was over" if it.actor == SYSTEM else f"{it.who} closed an alarm"


_UNKNOWN = Telling(sentence=lambda it: f"{it.who}: {it.kind}", is_inside=True)

TOLD: Mapping[str, Telling] = {
    events.RequestMade.kind: Telling(
        sentence=_made,
        details=(
            *("person", "target", "database", "role", "duration", "reason", "policy", "why"),
            *("source", "networks", "pin_address", "extends", "more_rows", "more_bytes"),
        ),
    ),
    events.RequestConsented.kind: Telling(
        sentence=_consented, details=("duration", "comment", "break_glass", "allowance_id")
    ),
    events.RequestCommented.kind: Telling(
        sentence=lambda it: f"{it.who} wrote{quoted(it.data['text'])}", details=("text",)
    ),
    events.RequestEscalated.kind: Telling(
        sentence=lambda it: f"{it.who} called in who is on call: {', '.join(it.data['schedules'])}",
        details=("schedules",),
    ),
    # What a pager says may name its rota and accounts.
    events.PeoplePaged.kind: Telling(
        sentence=_paged, details=("schedule", "paged"), inside=("said",)
    ),
    events.BrokenGlass.kind: Telling(
        sentence=lambda it: (
            f"the glass was broken to let {it.data['person']} in:"
            f" a review is due by {moment(it.data['review_due_at'])}"
        ),
        details=("person", "review_due_at"),
    ),
    events.ReviewWritten.kind: Telling(
        sentence=lambda it: f"{it.who} wrote the review{quoted(it.data['text'])}",
        details=("text",),
    ),
    events.RequestApproved.kind: Telling(
        sentence=_approved,
        details=("cause", "duration", "comment", "cuts", "networks", "pin_address"),
    ),
    events.RequestDenied.kind: Telling(
        sentence=lambda it: f"{it.who} denied {it.what}{quoted(it.data['reason'])}",
        details=("reason",),
    ),
    events.RequestCancelled.kind: Telling(sentence=lambda it: f"{it.who} withdrew {it.what}"),
    events.RequestLapsed.kind: Telling(
        sentence=lambda it: f"{it.what} lapsed: nobody decided about it in time"
    ),
    events.MembershipGiven.kind: Telling(
        sentence=lambda it: f"{it.data['member']} was made a member of {it.data['role']}",
        details=("member", "role"),
    ),
    events.AlarmRaised.kind: Telling(
        sentence=lambda it: f"alarm{quoted(it.data['message'])}",
        details=("alarm_id", "target", "message"),
        is_inside=True,
    ),
    events.AlarmCleared.kind: Telling(sentence=_cleared, details=("alarm_id",), is_inside=True),
    events.GrantActivated.kind: Telling(sentence=_activated, details=("until", "cuts")),
    events.LoginMade.kind: Telling(
        sentence=lambda it: f"the login {it.data['login']} was made", details=("login", "oid")
    ),
    events.CredentialHandedOut.kind: Telling(
        sentence=lambda it: f"{it.who} took a secret", details=("login", "source")
    ),
    events.GrantEnding.kind: Telling(sentence=_ending, details=("cause", "comment")),
    events.GrantExtended.kind: Telling(
        sentence=_extended, details=("was_until", "until", "reason", "conditions")
    ),
    events.GrantShortened.kind: Telling(
        sentence=lambda it: (
            f"the ticket's use ends the grant at {moment(it.data['until'])}"
            f" instead of {moment(it.data['was_until'])}"
        ),
        details=("was_until", "until"),
    ),
    events.TicketSealed.kind: Telling(
        sentence=lambda it: (
            f"{it.who} sealed a break-glass ticket for {it.data['person']}:"
            f" {it.data['role']} on {it.data['target']}, until {moment(it.data['expires_at'])}"
        ),
        details=("ticket_id", "person", "target", "database", "role", "networks", "access"),
        inside=("key_id",),
    ),
    events.TicketUsed.kind: Telling(
        sentence=lambda it: (
            f"{it.who} used the ticket from {it.data['client_address']}:"
            f" it lets them in until {moment(it.data['until'])}"
        ),
        details=("ticket_id", "client_address", "until"),
        inside=("worker",),
    ),
    # What PostgreSQL said about what holds the login is for those who see to it.
    events.GrantQuarantined.kind: Telling(
        sentence=lambda _it: (
            "nobody has access any more, but something holds the login: it is kept"
            " in quarantine until it can go"
        ),
        inside=("why",),
    ),
    events.GrantEnded.kind: Telling(sentence=_ended, details=("receipt", "hash", "proved")),
    events.LeftoverRemoved.kind: Telling(
        sentence=lambda it: f"the login {it.data['login']}, which was there once more, was removed",
        details=("target", "login", "oid"),
        is_inside=True,
    ),
    events.SessionRefused.kind: Telling(
        sentence=lambda it: (
            f"{it.who} had the secret and was not let in from {it.data['client_address']}"
            f"{quoted(it.data['reason'])}"
        ),
        details=("client_address", "reason"),
    ),
    events.SessionKilled.kind: Telling(sentence=lambda it: f"{it.who} ended a session"),
    events.CommitHeld.kind: Telling(
        sentence=_held, details=("held_id", "rows", "by_approver", "until")
    ),
    events.CommitDecided.kind: Telling(sentence=_decided, details=("held_id", "decision")),
    events.StatementsRead.kind: Telling(
        sentence=lambda it: f"{it.who} looked at the statements of a session", is_inside=True
    ),
}

# Told from the table of sessions, which knows more of them.
OF_SESSIONS = frozenset({events.SessionOpened.kind, events.SessionClosed.kind})

ABOUT_NO_REQUEST = frozenset(
    each.kind
    for each in (
        events.IdentityRefused,
        events.PersonVouchedFor,
        events.SignedIn,
        events.SignedOut,
        events.TokenCreated,
        events.TokenRevoked,
        events.RequestRefused,  # it did not become one
        events.AllowanceMade,
        events.AllowanceRevoked,
        events.AdminRotated,
        events.PoliciesChanged,
        events.SettingsChanged,
        events.PoliciesRefused,
        events.SettingsRefused,
        events.RecordRead,
        events.StatementsDayDropped,
        events.Banned,
        events.BanLifted,
    )
)
