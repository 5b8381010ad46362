"""The whole life of a request, and of the grant that came of it, as one list from its beginning on.

Most of it is what the audit trail says, in words (see timeline_words). Sessions, what was found on
the target afterwards and how the login was taken away are told from what the ledger knows of them.
Of what there may be very much, the newest is told, and how much was left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from broker.domain import events
from broker.domain.duration import format_duration
from broker.domain.person import SYSTEM
from broker.domain.receipt import Step
from broker.domain.timeline_words import DetailValue, Happening, detail, is_for, quoted, told

OPENED, RAN, CLOSED = events.SessionOpened.kind, "session.statements", events.SessionClosed.kind
DISABLED, REMOVED, FOUND = "grant.disabled", "grant.removed", "grant.finding"
_MOST_STEPS = 50  # statements of a removal that are spelled out
_A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line. `sentence` says it in plain words; `detail` has what else is known."""

    at: datetime
    kind: str
    actor: str
    sentence: str
    detail: Mapping[str, DetailValue] = field(default_factory=dict)
    request_id: str | None = None
    grant_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a session's statements came to. `rows` and `errors` are None where there are too many
    to add up, and so is what else that takes."""

    statements: int
    rows: int | None = None
    errors: int | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLife:
    """A session of the grant."""

    id: str
    grant_id: str
    person: str
    client_address: str
    client_application: str
    client_certificate: str | None
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    killed_by: str | None
    bytes_to_client: int | None
    ran: Ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What the receipt of a grant says, and what changed on its target: (how it stands, what)."""

    grant_id: str
    made_at: datetime
    proved: tuple[str, ...]
    unproved: tuple[str, ...]
    steps: tuple[Step, ...]
    findings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Entries, the oldest first, and of which kinds how many older ones were left out."""

    entries: tuple[Entry, ...]
    left_out: Mapping[str, int]


def assemble(
    happenings: Iterable[Happening],
    sessions: Iterable[SessionLife],
    aftermath: Aftermath | None,
    *,
    inside: bool,
) -> tuple[Entry, ...]:
    """Return the entries, oldest first. `inside`: for somebody who looks after the request, rather
    than for who has what it gave."""
    lives = [*_of_trail(happenings, inside=inside)]
    for session in sessions:
        lives += _of_session(session)
    if aftermath is not None:
        lives = [_with_proof(each, aftermath) for each in lives]
        lives += _of_aftermath(aftermath)
    # What happened at one moment stays in the order in which it was written down.
    return tuple(_harmless(each) for each in sorted(lives, key=lambda entry: entry.at))


def _harmless(entry: Entry) -> Entry:
    """Return the line without what a terminal could take for a command: clients name themselves."""
    if entry.sentence.isprintable():
        return entry
    seen = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in entry.sentence
    )
    return replace(entry, sentence=seen)


def entry_of(happening: Happening, *, inside: bool) -> Entry | None:
    """Return the line of one event; None for what is not for them."""
    if not is_for(happening.kind, inside=inside):
        return None
    telling = told(happening)
    names = telling.details + (telling.inside if inside else ())
    return Entry(
        at=happening.at,
        kind=happening.kind,
        actor=happening.actor,
        sentence=telling.sentence(happening),
        detail=detail(happening, names),
        request_id=happening.request_id,
        grant_id=happening.grant_id,
        session_id=happening.session_id,
    )


def _of_trail(happenings: Iterable[Happening], *, inside: bool) -> Iterator[Entry]:
    began: datetime | None = None
    for happening in happenings:
        entry = entry_of(happening, inside=inside)
        if entry is None:
            continue
        if happening.kind == events.LoginMade.kind and began is not None:
            entry = _with_wait(entry, happening.at - began)
        starts = (events.RequestApproved.kind, events.GrantActivated.kind, events.TicketSealed.kind)
        if happening.kind in starts and not happening.extends:
            began = happening.at
        yield entry


def _with_wait(entry: Entry, waited: timedelta) -> Entry:
    """Add how long the login took to be there, once it was to be made."""
    milliseconds = round(waited / timedelta(milliseconds=1))
    said = f"{milliseconds} ms" if waited < _A_SECOND else format_duration(waited)
    return replace(
        entry,
        sentence=f"{entry.sentence}, in {said}",
        detail={**entry.detail, "milliseconds": milliseconds},
    )


def _of_session(session: SessionLife) -> Iterator[Entry]:
    ids = {"grant_id": session.grant_id, "session_id": session.id}
    facts = {
        "client_address": session.client_address,
        "client_application": session.client_application,
        "client_certificate": session.client_certificate,
    }
    how = f" with {session.client_application}" if session.client_application else ""
    yield Entry(
        at=session.started_at,
        kind=OPENED,
        actor=session.person,
        sentence=f"{session.person} connected from {session.client_address}{how}",
        detail={name: value for name, value in facts.items() if value},
        **ids,
    )
    if session.ran.statements:
        yield Entry(
            at=session.ran.last_at or session.ended_at or session.started_at,
            kind=RAN,
            actor=session.person,
            sentence=_said_of(session.ran),
            detail=_sums(session.ran),
            **ids,
        )
    if session.ended_at is not None:
        lasted = session.ended_at - session.started_at
        by = f" by {session.killed_by}" if session.killed_by is not None else ""
        ending: dict[str, DetailValue] = {
            "reason": session.end_reason,
            "killed_by": session.killed_by,
            "bytes_to_client": session.bytes_to_client,
        }
        yield Entry(
            at=session.ended_at,
            kind=CLOSED,
            actor=session.killed_by or SYSTEM,
            sentence=f"the session ended after {format_duration(lasted)}"
            f"{quoted(session.end_reason)}{by}",
            detail={name: value for name, value in ending.items() if value is not None},
            **ids,
        )


def _said_of(ran: Ran) -> str:
    parts = [_counted(ran.statements, "statement")]
    if ran.rows is not None:
        parts.append(_counted(ran.rows, "row"))
    if ran.errors:
        parts.append(_counted(ran.errors, "error"))
    return f"the session ran {', '.join(parts)}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _sums(ran: Ran) -> dict[str, DetailValue]:
    sums: dict[str, DetailValue] = {
        "statements": ran.statements,
        "rows": ran.rows,
        "errors": ran.errors,
        "first_at": ran.first_at.isoformat() if ran.first_at is not None else None,
        "last_at": ran.last_at.isoformat() if ran.last_at is not None else None,
    }
    return {name: value for name, value in sums.items() if value is not None}


def _with_proof(entry: Entry, aftermath: Aftermath) -> Entry:
    """Add to the end of the grant what its receipt proves."""
    if entry.kind != events.GrantEnded.kind:
        return entry
    proof = {"proves": aftermath.proved, "does_not_prove": aftermath.unproved}
    detail = {**entry.detail, **{name: claims for name, claims in proof.items() if claims}}
    return replace(entry, detail=detail)


def _of_aftermath(after: Aftermath) -> Iterator[Entry]:
    disabling = next((each for each in after.steps if _disables(each)), None)
    if disabling is not None:
        yield Entry(
            at=disabling.at,
            kind=DISABLED,
            actor=SYSTEM,
            sentence="the login was disabled: nobody gets in with it any more",
            grant_id=after.grant_id,
        )
    if after.steps:
        yield Entry(
            at=after.steps[-1].at,
            kind=REMOVED,
            actor=SYSTEM,
            sentence=f"{_counted(len(after.steps), 'statement')} took away what was given",
            detail={"statements": _spelled_out(after.steps)},
            grant_id=after.grant_id,
        )
    for disposition, description in after.findings:
        yield Entry(
            at=after.made_at,
            kind=FOUND,
            actor=SYSTEM,
            sentence=f"changed on the target meanwhile: {description}",
            detail={"disposition": disposition},
            grant_id=after.grant_id,
        )


def _disables(step: Step) -> bool:
    return "NOLOGIN" in step.statement or "disable_login" in step.statement


def _spelled_out(steps: Sequence[Step]) -> tuple[str, ...]:
    shown = tuple(f"{each.database}: {each.statement}" for each in steps[:_MOST_STEPS])
    more = len(steps) - len(shown)
    return (*shown, f"and {more} more") if more > 0 else shown
