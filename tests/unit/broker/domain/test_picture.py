"""Two pictures of a catalog, what differs between them, and the line that tells of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.picture import (
    Action,
    Change,
    Disposition,
    Finding,
    FindingKind,
    Item,
    Ours,
    Picture,
    describe,
    diff,
    merge,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOGIN = "jit_dev_orders_owner_06eajh8a00000000"
OTHER = "jit_other_orders_owner_06eajh8a00000001"
OURS = Ours(logins={LOGIN, OTHER}, memberships={("orders_reader", "alice")})
TRIGGER = Item(
    FindingKind.TRIGGER,
    "orders",
    "trigger audit_copy on shop.orders",
    "orders_owner",
    "calls shop.evil()",
    undo=("DROP TRIGGER IF EXISTS audit_copy ON shop.orders",),
)
TABLE = Item(FindingKind.OBJECT, "orders", "table shop.orders", "orders_owner")
PRIVILEGE = Item(
    FindingKind.PRIVILEGE,
    "orders",
    "privileges of alice on table shop.orders",
    "orders_owner",
    "SELECT",
    undo=("REVOKE ", " ON TABLE shop.orders FROM alice"),
)
MEMBERSHIP = Item(
    FindingKind.MEMBERSHIP,
    None,
    "membership of alice in orders_reader",
    roles=("orders_reader", "alice"),
    undo=("REVOKE orders_reader FROM alice",),
)
PASSWORD = Item(FindingKind.PASSWORD, None, "password of alice", None, "scram", "1" * 64)

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
items = st.builds(
    Item,
    st.sampled_from(FindingKind),
    st.none() | names.filter(bool),
    names.filter(bool),
    st.none() | names.filter(bool),
    names,
    names,
    st.lists(names, max_size=2).map(tuple),
)
pictures = st.builds(
    Picture,
    st.just(NOON),
    st.lists(items, unique_by=lambda i: (i.database, i.identity)).map(tuple),
    st.frozensets(names),
    st.frozensets(st.sampled_from(FindingKind)),
).map(merge)


def picture(*shown: Item, unseen: frozenset[FindingKind] = frozenset()) -> Picture:
    return merge(Picture(NOON, shown, frozenset({"orders"}), unseen))


def changes(before: tuple[Item, ...], after: tuple[Item, ...]) -> tuple[Change, ...]:
    return diff(picture(*before), picture(*after), ours=OURS, login=LOGIN)


def line(change: Change, disposition: Disposition = Disposition.FLAGGED, note: str = "") -> str:
    return describe(Finding(change, disposition, note))


def test_what_was_added_is_named_and_can_be_undone() -> None:
    [change] = changes((TABLE,), (TABLE, TRIGGER))
    assert change.action is Action.ADDED
    assert change.undo == ("DROP TRIGGER IF EXISTS audit_copy ON shop.orders",)
    assert line(change) == (
        "added trigger audit_copy on shop.orders (calls shop.evil(), owner orders_owner): flagged"
    )


def test_what_was_removed_is_named_and_only_a_human_can_bring_it_back() -> None:
    [change] = changes((TABLE, TRIGGER), (TABLE,))
    assert change.undo == ()
    assert line(change) == (
        "removed trigger audit_copy on shop.orders (calls shop.evil(), owner orders_owner): flagged"
    )


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (
            TRIGGER,
            replace(TRIGGER, details="calls shop.other()"),
            "changed trigger audit_copy on shop.orders "
            "(was: calls shop.evil(); is: calls shop.other()): flagged",
        ),
        (
            TABLE,
            replace(TABLE, owner="bob"),
            "changed table shop.orders (was: owner orders_owner; is: owner bob): flagged",
        ),
        (
            replace(TRIGGER, digest="0123456789"),
            replace(TRIGGER, digest="9876543210"),
            "changed trigger audit_copy on shop.orders (was: calls shop.evil(), content 01234567; "
            "is: calls shop.evil(), content 98765432): flagged",
        ),
        (
            TABLE,
            replace(TABLE, details="row security"),
            "changed table shop.orders (was: -; is: row security): flagged",
        ),
        (
            replace(TABLE, identity="function shop.f()"),
            replace(
                TABLE,
                identity="function shop.f()",
                kind=FindingKind.SECURITY_DEFINER_FUNCTION,
                details="SECURITY DEFINER",
            ),
            "changed function shop.f() (was: -; is: SECURITY DEFINER): flagged",
        ),
    ],
)
def test_what_changed_says_what_it_was_and_what_it_is(was: Item, now: Item, told: str) -> None:
    [change] = changes((was,), (now,))
    assert line(change) == told
    assert change.kind is now.kind
    assert change.undo == ()


@pytest.mark.parametrize(
    ("was", "now", "undo"),
    [
        (None, "SELECT", ("SELECT",)),
        (
            None,
            "SELECT, GRANT OPTION FOR SELECT",
            ("SELECT", "GRANT OPTION FOR SELECT"),
        ),
        ("SELECT", "INSERT, SELECT", ("INSERT",)),
        ("SELECT", "SELECT, GRANT OPTION FOR SELECT", ("GRANT OPTION FOR SELECT",)),
        ("INSERT, SELECT", "SELECT, UPDATE", ()),
        ("INSERT, SELECT", "SELECT", ()),
    ],
)
def test_of_privileges_only_what_was_added_is_taken_back(
    was: str | None, now: str, undo: tuple[str, ...]
) -> None:
    before = (replace(PRIVILEGE, details=was),) if was is not None else ()
    [change] = changes(before, (replace(PRIVILEGE, details=now),))
    assert change.undo == tuple(f"REVOKE {each} ON TABLE shop.orders FROM alice" for each in undo)


def test_what_nobody_knows_how_to_undo_is_not_undone() -> None:
    [change] = changes((), (replace(PRIVILEGE, undo=()),))
    assert change.undo == ()


def test_changes_come_in_an_order_that_does_not_depend_on_anything_else() -> None:
    found = changes((), (TRIGGER, TABLE, PASSWORD, replace(MEMBERSHIP, roles=())))
    assert [change.kind.value for change in found] == [
        "membership",
        "password",
        "object",
        "trigger",
    ]


@pytest.mark.parametrize(
    "item",
    [
        Item(FindingKind.ROLE, None, f"role {OTHER}", roles=(OTHER,)),
        Item(FindingKind.ROLE, None, f"role {LOGIN}", roles=(LOGIN,)),
        Item(FindingKind.MEMBERSHIP, None, "m", roles=("orders_owner", LOGIN)),
        MEMBERSHIP,
        replace(TABLE, owner=OTHER),
    ],
)
def test_what_pgcurfew_makes_for_grants_is_no_finding(item: Item) -> None:
    assert changes((), (item,)) == ()
    assert changes((item,), ()) == ()
    assert changes((item,), (replace(item, details="other"),)) == ()


def test_what_another_login_owned_and_gave_to_its_group_is_for_its_own_sweep() -> None:
    assert changes((replace(TABLE, owner=OTHER),), (TABLE,)) == ()


def test_what_the_login_itself_owns_is_a_finding() -> None:
    [change] = changes((), (replace(TABLE, owner=LOGIN),))
    assert change.owner == LOGIN


def test_an_admin_option_is_a_finding_where_the_membership_is_ours() -> None:
    option = replace(MEMBERSHIP, kind=FindingKind.ADMIN_OPTION, identity="ADMIN option")
    [change] = changes((), (MEMBERSHIP, option))
    assert change.kind is FindingKind.ADMIN_OPTION


def test_somebody_elses_jit_role_is_a_finding() -> None:
    theirs = Item(FindingKind.ROLE, None, "role jit_theirs", roles=("jit_theirs",))
    [change] = changes((), (theirs,))
    assert change.identity == "role jit_theirs"


@pytest.mark.parametrize("before_sees", [True, False])
def test_what_one_picture_could_not_see_did_not_change(*, before_sees: bool) -> None:
    seeing, blind = picture(PASSWORD), picture(unseen=frozenset({FindingKind.PASSWORD}))
    pair = (seeing, blind) if before_sees else (blind, seeing)
    assert diff(*pair) == ()


def test_a_database_that_only_one_picture_shows_did_not_change() -> None:
    elsewhere = Picture(NOON, (replace(TABLE, database="other"),), frozenset({"other"}))
    assert diff(picture(), merge(picture(), elsewhere)) == ()


def test_a_picture_is_as_old_as_its_oldest_part_and_shows_all_of_them() -> None:
    later = Picture(NOON + timedelta(seconds=1), (TRIGGER,), frozenset({"orders"}))
    server = Picture(NOON, (PASSWORD,), unseen=frozenset({FindingKind.LARGE_OBJECT}))
    assert merge(later, server) == Picture(
        NOON, (PASSWORD, TRIGGER), frozenset({"orders"}), frozenset({FindingKind.LARGE_OBJECT})
    )


def test_a_stored_picture_is_small() -> None:
    assert picture(TABLE, TRIGGER, replace(TABLE, identity="table shop.b"), PASSWORD).to_json() == {
        "databases": ["orders"],
        "unseen": [],
        "items": [
            [None, "password", [["password of alice", None, "scram", "1" * 64]]],
            [
                "orders",
                "object",
                [["table shop.b", "orders_owner"], ["table shop.orders", "orders_owner"]],
            ],
            ["orders", "trigger", [[TRIGGER.identity, "orders_owner", "calls shop.evil()"]]],
        ],
    }


@given(pictures)
def test_a_stored_picture_comes_back_as_it_was(shown: Picture) -> None:
    stored = json.loads(json.dumps(shown.to_json()))
    assert Picture.from_json(stored, NOON) == shown
    assert diff(shown, Picture.from_json(stored, NOON)) == ()


@given(pictures)
def test_the_same_catalog_is_stored_alike_whatever_logins_live(shown: Picture) -> None:
    login = Item(FindingKind.ROLE, None, f"role {LOGIN}", roles=(LOGIN,))
    busy = merge(replace(shown, items=(*shown.items, login)))
    assert busy.without(OURS).to_json() == shown.without(OURS).to_json()


@given(pictures, pictures)
def test_what_is_added_one_way_is_removed_the_other_way(first: Picture, second: Picture) -> None:
    def subjects(found: tuple[Change, ...], action: Action) -> list[tuple[str | None, str]]:
        return [(each.database, each.identity) for each in found if each.action is action]

    there, back = diff(first, second), diff(second, first)
    for one, other in (
        (Action.ADDED, Action.REMOVED),
        (Action.REMOVED, Action.ADDED),
        (Action.CHANGED, Action.CHANGED),
    ):
        assert sorted(subjects(there, one), key=str) == sorted(subjects(back, other), key=str)


@pytest.mark.parametrize(
    ("disposition", "note", "end"),
    [
        (Disposition.ACCEPTED, "", ": accepted"),
        (Disposition.FLAGGED, "cannot be undone", ": flagged (cannot be undone)"),
        (Disposition.UNDONE, "", ": undone"),
        (Disposition.UNDO_FAILED, "must be owner", ": undo failed (must be owner)"),
    ],
)
def test_a_line_ends_with_what_became_of_it(disposition: Disposition, note: str, end: str) -> None:
    [change] = changes((), (replace(TABLE, owner=None),))
    assert line(change, disposition, note) == f"added table shop.orders{end}"


def test_a_hostile_name_stays_on_its_line_and_sends_a_terminal_nothing() -> None:
    [change] = changes((), (replace(TABLE, identity='table "a\nb\x1b[2Jé\u202e"'),))
    assert line(change) == (r'added table "a\nb\x1b[2Jé\u202e" (owner orders_owner): flagged')


def test_a_finding_as_json_says_all_that_the_line_says() -> None:
    [change] = changes((TRIGGER,), (replace(TRIGGER, details="disabled"),))
    assert json.loads(json.dumps(Finding(change, Disposition.FLAGGED, "why").to_json())) == {
        "action": "changed",
        "kind": "trigger",
        "database": "orders",
        "identity": "trigger audit_copy on shop.orders",
        "owner": "orders_owner",
        "before": "calls shop.evil()",
        "after": "disabled",
        "disposition": "flagged",
        "note": "why",
    }
