"""Who is in what on a server: group roles with their members, however they got in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.domain.login_plan import LoginMark
from broker.domain.role.facts import Attribute

MOST_GROUPS = 500
MOST_MEMBERS = 200  # of one group


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRole:
    """A role of the server. Of a login of pgcurfew `mark` says whose it is."""

    name: str
    can_login: bool = False
    attributes: frozenset[Attribute] = frozenset()
    valid_until: datetime | None = None
    predefined: bool = False
    mark: LoginMark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One membership. From 16 on there may be several between the same two, by grantor."""

    group: str
    member: str
    grantor: str
    inherits: bool
    sets: bool
    admin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """What a server says of its roles. What is not `complete` has more than is looked at."""

    roles: Mapping[str, KnownRole]
    links: Sequence[Link]
    looked_at: datetime
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody who has a role. `through` leads to it, role by role, and is empty for a direct
    member. With neither `inherits` nor `sets` they may at most give it to others (`admin`).

    `grant_id` is of the grant that it is the login of, if it is one of ours; `stranger` says that
    it only looks like one.
    """

    role: KnownRole
    through: tuple[str, ...]
    inherits: bool
    sets: bool
    admin: bool
    grantors: tuple[str, ...]
    grant_id: str | None
    stranger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A role with those who are in it: the first of `member_count`."""

    role: KnownRole
    in_catalog: bool
    members: tuple[Member, ...]
    member_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoIsInWhat:
    """Catalog roles first, then others that have members."""

    groups: tuple[Group, ...]
    superusers: tuple[KnownRole, ...]
    looked_at: datetime
    complete: bool


@dataclass(frozen=True, slots=True)
class _Way:
    """A way into a group: the best of several counts."""

    through: tuple[str, ...]
    inherits: bool
    sets: bool
    admin: bool
    grantors: tuple[str, ...]

    def beside(self, other: "_Way") -> "_Way":
        """Return one way for two: the shorter, with what either gives."""
        first, second = sorted((self, other), key=lambda way: (len(way.through), way.through))
        return _Way(
            first.through,
            first.inherits or second.inherits,
            first.sets or second.sets,
            first.admin or second.admin,
            tuple(sorted({*first.grantors, *second.grantors})),
        )


def who_is_in_what(
    roster: Roster, catalog: Iterable[str], *, installation: str, prefix: str
) -> WhoIsInWhat:
    """Put together who is in which role. `prefix` begins the names of logins, `installation` tells
    ours from another pgcurfew's."""
    below: dict[str, list[Link]] = defaultdict(list)
    for link in roster.links:
        below[link.group].append(link)
    listed = [name for name in sorted(catalog) if name in roster.roles]
    # The admin role is in each of our logins, to be able to remove it: those are no groups.
    logins = {each.name for each in roster.roles.values() if _is_ours(each, installation)}
    others = sorted(set(below) & set(roster.roles) - set(listed) - logins)
    names = [*listed, *others][:MOST_GROUPS]

    def member_of(name: str, way: _Way) -> Member:
        role = roster.roles[name]
        ours = _is_ours(role, installation)
        return Member(
            role=role,
            through=way.through,
            inherits=way.inherits,
            sets=way.sets,
            admin=way.admin,
            grantors=way.grantors,
            grant_id=role.mark.grant_id if role.mark is not None and ours else None,
            stranger=name.startswith(prefix) and not ours,
        )

    def group_of(name: str) -> Group:
        ways = _ways_into(name, below)
        found = [member_of(each, way) for each, way in ways.items() if each in roster.roles]
        found.sort(key=lambda member: (len(member.through), member.role.name))
        return Group(
            role=roster.roles[name],
            in_catalog=name in listed,
            members=tuple(found[:MOST_MEMBERS]),
            member_count=len(found),
        )

    return WhoIsInWhat(
        groups=tuple(group_of(name) for name in names),
        superusers=tuple(
            role
            for _, role in sorted(roster.roles.items())
            if Attribute.SUPERUSER in role.attributes
        ),
        looked_at=roster.looked_at,
        complete=roster.complete and len(names) == len(listed) + len(others),
    )


def _is_ours(role: KnownRole, installation: str) -> bool:
    return role.mark is not None and role.mark.installation == installation


def _ways_into(group: str, below: Mapping[str, Sequence[Link]]) -> Mapping[str, _Way]:
    """Return everybody who is in a group, each by one way. A role that may only be given on leads
    nowhere further: who is in it has nothing of the group."""
    found: dict[str, _Way] = {}
    at_hand = {group: _Way((), inherits=True, sets=True, admin=False, grantors=())}
    while at_hand:
        reached: dict[str, _Way] = {}
        for name, way in at_hand.items():
            for link in below.get(name, ()):
                step = _step(way, link, direct=name == group)
                known = reached.get(link.member)
                reached[link.member] = step.beside(known) if known is not None else step
        at_hand = {}
        for name, way in reached.items():
            better = way.beside(found[name]) if name in found else way
            grown = name not in found or _gives(better) > _gives(found[name])
            found[name] = better
            if grown and name != group and (better.inherits or better.sets):
                at_hand[name] = better
    found.pop(group, None)
    return found


def _step(way: _Way, link: Link, *, direct: bool) -> _Way:
    return _Way(
        () if direct else (link.group, *way.through),
        inherits=way.inherits and link.inherits,
        sets=way.sets and link.sets,
        admin=link.admin if direct else False,
        grantors=(link.grantor,),
    )


def _gives(way: _Way) -> int:
    return way.inherits + way.sets
