"""What should not be on a target, or no longer: a list for people, with what to do about each."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from broker.domain.grant import GrantState
from broker.domain.login_plan import LoginMark
from broker.domain.sqltext import ident, literal


class LeftoverKind(StrEnum):
    """`by_hand` and `anothers` are roles that look like logins of ours; `ours` is one whose grant
    is over; `quarantined` and `overdue` are grants that should have ended; `vanished` is a grant
    whose login is gone."""

    BY_HAND = "by_hand"
    ANOTHERS = "anothers"
    OURS = "ours"
    QUARANTINED = "quarantined"
    OVERDUE = "overdue"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class SeenLogin:
    """A role on the target whose name begins as our logins' do."""

    name: str
    oid: int
    mark: LoginMark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedGrant:
    """A grant of the ledger that should be over, or is being ended."""

    id: str
    person: str
    state: GrantState
    login: str | None
    oid: int | None
    expires_at: datetime
    last_error: str | None = None
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetState:
    """What the target and the ledger say. `living` are grants that have not ended, `active_logins`
    the OIDs of those that are active by grant, `alarms` the ids of open ones by key.

    `seen` is None, and `missing` empty, if the target could not be looked at.
    """

    target: str
    installation: str
    removes_unknown: bool
    seen: tuple[SeenLogin, ...] | None
    living: Collection[str]
    missing: Mapping[str, int]
    unfinished: tuple[UnfinishedGrant, ...]
    alarms: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """`sql` ends what it may do, for somebody to run; empty where pgcurfew does it. `since` is when
    it should have been over, where that is known."""

    kind: LeftoverKind
    name: str | None
    sentence: str
    grant_id: str | None = None
    person: str | None = None
    since: datetime | None = None
    sql: tuple[str, ...] = ()
    alarm_id: str | None = None


def leftovers_of(state: TargetState) -> tuple[Leftover, ...]:
    """Return what should not be there, strangers first."""
    unfinished = list(_unfinished(state))
    named = {each.name for each in unfinished}
    strangers = [each for each in _strangers(state) if each.name not in named]
    return (*strangers, *unfinished, *_vanished(state))


def _strangers(state: TargetState) -> Iterator[Leftover]:
    for login in state.seen or ():
        ours = login.mark is not None and login.mark.installation == state.installation
        if login.mark is not None and ours:
            if login.mark.grant_id not in state.living:
                yield _of_ours(state, login, login.mark)
        else:
            yield _stranger(state, login)


def _of_ours(state: TargetState, login: SeenLogin, mark: LoginMark) -> Leftover:
    return Leftover(
        kind=LeftoverKind.OURS,
        name=login.name,
        sentence=f"grant {mark.grant_id} is over, as after restoring a backup; pgcurfew removes "
        "the login within a minute, or says in an alarm what holds it",
        grant_id=mark.grant_id,
        person=mark.person or None,
        alarm_id=state.alarms.get(f"leftover:{state.target}:{login.oid}"),
    )


def _stranger(state: TargetState, login: SeenLogin) -> Leftover:
    mark = login.mark
    whose = (
        "carries no mark of pgcurfew: somebody made it by hand"
        if mark is None
        else f"was made by another pgcurfew ({mark.installation})"
    )
    what = (
        "pgcurfew removes it within a minute"
        if state.removes_unknown
        else f"drop it, or set targets.{state.target}.unknown_logins: remove"
    )
    return Leftover(
        kind=LeftoverKind.BY_HAND if mark is None else LeftoverKind.ANOTHERS,
        name=login.name,
        sentence=f"it looks like a login, and {whose}; {what}",
        person=(mark.person or None) if mark is not None else None,
        sql=() if state.removes_unknown else _ending(login.name),
        alarm_id=state.alarms.get(f"unknown:{state.target}:{login.oid}"),
    )


def _ending(name: str) -> tuple[str, ...]:
    """Return statements that end what a role may do, and leave what it owns."""
    whose = f"WHERE usename = {literal(name)}"
    return (
        f"ALTER ROLE {ident(name)} NOLOGIN",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity {whose}",  # noqa: S608  (quoted)
    )


def _unfinished(state: TargetState) -> Iterator[Leftover]:
    for grant in state.unfinished:
        quarantined = grant.state is GrantState.QUARANTINED
        what = (
            "it gives nobody access any more, but its login cannot be removed yet"
            if quarantined
            else f"its curfew has come, and it is still {grant.state}"
        )
        why = f": {grant.last_error}" if grant.last_error else ""
        yield Leftover(
            kind=LeftoverKind.QUARANTINED if quarantined else LeftoverKind.OVERDUE,
            name=_name_now(state, grant),
            sentence=f"{what}{why}",
            grant_id=grant.id,
            person=grant.person,
            since=grant.expires_at,
            alarm_id=_alarm_about(state.alarms, grant.id),
        )


def _name_now(state: TargetState, grant: UnfinishedGrant) -> str | None:
    """Return what the login is called on the target: quarantine renames it."""
    names = {login.oid: login.name for login in state.seen or ()}
    return names.get(grant.oid or 0, grant.login)


def _vanished(state: TargetState) -> Iterator[Leftover]:
    for grant_id in sorted(state.missing):
        yield Leftover(
            kind=LeftoverKind.VANISHED,
            name=None,
            sentence="its login is gone from the target, and not by us; it ends within a minute",
            grant_id=grant_id,
            alarm_id=_alarm_about(state.alarms, grant_id),
        )


def _alarm_about(alarms: Mapping[str, str], grant_id: str) -> str | None:
    found: Iterable[str] = (alarm for key, alarm in alarms.items() if key.endswith(f":{grant_id}"))
    return next(iter(found), None)
