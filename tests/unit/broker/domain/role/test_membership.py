"""Who is in what, by every way there is."""

from datetime import UTC, datetime
from typing import Any

from broker.domain.login_plan import LoginMark
from broker.domain.role.facts import Attribute
from broker.domain.role.membership import (
    MOST_GROUPS,
    MOST_MEMBERS,
    Group,
    KnownRole,
    Link,
    Roster,
    WhoIsInWhat,
    who_is_in_what,
)

NOW = datetime(2026, 8, 1, tzinfo=UTC)


def link(member: str, group: str, **more: Any) -> Link:
    return Link(
        **{
            "group": group,
            "member": member,
            "grantor": "dba",
            "inherits": True,
            "sets": True,
            "admin": False,
            **more,
        }
    )


def roster(*links: Link, roles: dict[str, KnownRole] | None = None, **more: Any) -> WhoIsInWhat:
    names = {name for each in links for name in (each.group, each.member)} - {"gone"}
    known = {name: KnownRole(name=name, can_login=True) for name in names} | (roles or {})
    found = Roster(roles=known, links=links, looked_at=NOW, **more)
    return who_is_in_what(found, ["reader", "nowhere"], installation="ours", prefix="jit_")


def group(found: WhoIsInWhat, name: str = "reader") -> Group:
    (one,) = (each for each in found.groups if each.role.name == name)
    return one


def ways(found: WhoIsInWhat, name: str = "reader") -> dict[str, tuple[tuple[str, ...], bool, bool]]:
    return {
        each.role.name: (each.through, each.inherits, each.sets)
        for each in group(found, name).members
    }


def test_members_are_found_through_other_roles() -> None:
    found = roster(
        link("team", "reader"),
        link("dev", "team", sets=False),
        link("intern", "dev", inherits=False),
        link("gone", "reader"),
    )
    assert ways(found) == {
        "team": ((), True, True),
        "dev": (("team",), True, False),
        "intern": (("dev", "team"), False, False),
    }
    assert [(each.role.name, each.in_catalog) for each in found.groups] == [
        ("reader", True),
        ("dev", False),
        ("team", False),
    ]
    assert found.complete


def test_of_two_ways_the_shorter_is_told_with_what_both_give() -> None:
    found = roster(
        link("dev", "reader", inherits=False, grantor="boss"),
        link("dev", "reader", sets=False, inherits=False, admin=True),
        link("team", "reader", sets=False),
        link("dev", "team"),
        link("pal", "dev"),
    )
    assert ways(found)["dev"] == ((), True, True)
    (dev,) = (each for each in group(found).members if each.role.name == "dev")
    assert (dev.admin, dev.grantors) == (True, ("boss", "dba"))
    assert ways(found)["pal"] == (("dev",), True, True)


def test_who_may_only_give_a_role_on_has_nothing_of_it_to_share() -> None:
    found = roster(
        link("admin", "reader", inherits=False, sets=False, admin=True), link("broker", "admin")
    )
    assert ways(found) == {"admin": ((), False, False)}
    assert ways(found, "admin") == {"broker": ((), True, True)}


def test_a_circle_comes_to_an_end() -> None:
    found = roster(link("a", "reader"), link("b", "a"), link("a", "b"), link("reader", "b"))
    assert ways(found) == {"a": ((), True, True), "b": (("a",), True, True)}


def test_our_logins_are_known_and_others_that_look_so_are_strangers() -> None:
    marks = {"jit_1": LoginMark("ours", "grt_1", "dev@example.com"), "jit_2": LoginMark("x", "g")}
    names = ("jit_1", "jit_2", "jit_3")
    roles = {name: KnownRole(name=name, mark=marks.get(name)) for name in names}
    found = group(roster(*[link(name, "reader") for name in names], roles=roles))
    assert [(each.grant_id, each.stranger) for each in found.members] == [
        ("grt_1", False),
        (None, True),
        (None, True),
    ]


def test_a_login_of_ours_is_no_group_though_the_admin_role_is_in_it() -> None:
    login = KnownRole(name="jit_1", mark=LoginMark("ours", "grt_1", "dev@example.com"))
    found = roster(link("admin", "jit_1"), link("jit_1", "reader"), roles={"jit_1": login})
    assert [each.role.name for each in found.groups] == ["reader"]


def test_superusers_are_told_and_what_is_too_much_is_counted() -> None:
    boss = KnownRole(name="boss", attributes=frozenset({Attribute.SUPERUSER}))
    many = [link(f"m{n}", "reader") for n in range(MOST_MEMBERS + 5)]
    found = roster(*many, roles={"boss": boss})
    assert found.superusers == (boss,)
    assert len(group(found).members) == MOST_MEMBERS
    assert group(found).member_count == MOST_MEMBERS + 5
    assert not roster(*[link("m", f"g{n}") for n in range(MOST_GROUPS + 1)]).complete
    assert not roster(complete=False).complete
