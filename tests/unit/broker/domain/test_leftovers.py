"""What should not be on a target, and what to do about it."""

from dataclasses import replace
from datetime import UTC, datetime

from broker.domain.grant import GrantState
from broker.domain.leftovers import (
    Leftover,
    LeftoverKind,
    SeenLogin,
    TargetState,
    UnfinishedGrant,
    leftovers_of,
)
from broker.domain.login_plan import LoginMark

NOW = datetime(2026, 8, 1, tzinfo=UTC)
EMPTY = TargetState(
    target="orders",
    installation="ours",
    removes_unknown=False,
    seen=(),
    living={"grt_live"},
    missing={},
    unfinished=(),
    alarms={},
)


def the_one(state: TargetState) -> Leftover:
    (found,) = leftovers_of(state)
    return found


def seen(name: str, installation: str | None, grant: str = "grt_old") -> TargetState:
    mark = LoginMark(installation, grant, "dev@example.com") if installation else None
    return replace(EMPTY, seen=(SeenLogin(name, 7, mark),))


def test_a_target_with_nothing_left_has_nothing_to_show() -> None:
    assert leftovers_of(EMPTY) == ()
    assert leftovers_of(replace(EMPTY, seen=None)) == ()
    assert leftovers_of(seen("jit_a", "ours", "grt_live")) == ()


def test_what_somebody_made_by_hand_comes_with_what_ends_it() -> None:
    found = the_one(replace(seen("jit_o'b", None), alarms={"unknown:orders:7": "alm_1"}))
    assert (found.kind, found.alarm_id) == (LeftoverKind.BY_HAND, "alm_1")
    assert found.sql == (
        'ALTER ROLE "jit_o\'b" NOLOGIN',
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'jit_o''b'",
    )
    assert "unknown_logins: remove" in found.sentence


def test_anothers_login_is_told_from_ours() -> None:
    found = the_one(replace(seen("jit_a", "theirs"), removes_unknown=True))
    assert (found.kind, found.person, found.sql) == (LeftoverKind.ANOTHERS, "dev@example.com", ())
    assert "pgcurfew removes it within a minute" in found.sentence
    ours = the_one(seen("jit_a", "ours"))
    assert (ours.kind, ours.grant_id) == (LeftoverKind.OURS, "grt_old")


def test_grants_that_should_be_over_are_told_with_what_holds_them() -> None:
    grant = UnfinishedGrant(
        id="grt_live",
        person="dev@example.com",
        state=GrantState.QUARANTINED,
        login="jit_dev",
        oid=7,
        expires_at=NOW,
        last_error="a lock",
    )
    state = replace(
        seen("jit_quarantined_1", "ours", "grt_live"),
        unfinished=(grant,),
        alarms={"other:x": "alm_0", "work:grt_live": "alm_2"},
    )
    found = the_one(state)
    assert (found.kind, found.name, found.since) == (
        LeftoverKind.QUARANTINED,
        "jit_quarantined_1",
        NOW,
    )
    assert found.alarm_id == "alm_2"
    assert found.sentence.endswith("cannot be removed yet: a lock")
    late = replace(grant, state=GrantState.REVOKING, oid=None, last_error=None)
    overdue = the_one(replace(EMPTY, seen=None, unfinished=(late,)))
    assert (overdue.kind, overdue.name) == (LeftoverKind.OVERDUE, "jit_dev")
    assert overdue.sentence == "its curfew has come, and it is still revoking"


def test_a_grant_whose_login_is_gone_is_told() -> None:
    found = the_one(replace(EMPTY, missing={"grt_live": 9}))
    assert (found.kind, found.grant_id, found.alarm_id) == (
        LeftoverKind.VANISHED,
        "grt_live",
        None,
    )
