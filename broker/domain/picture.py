"""What a grant's life changed in a target's catalog: two pictures, their difference, a verdict.

A picture is a list of things, each with a readable identity and a text that changes when the thing
does. It cannot tell who did it. Whatever changed between two pictures is a finding, except what
pgcurfew itself makes and removes: the logins and memberships of all its grants, and what other
logins own while they live, which their own sweeps will see.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

_SHOWN_DIGEST = 8


class FindingKind(StrEnum):
    ROLE = "role"
    MEMBERSHIP = "membership"
    ADMIN_OPTION = "admin_option"
    PASSWORD = "password"  # noqa: S105  (a word)
    SETTING = "setting"
    PRIVILEGE = "privilege"
    DEFAULT_PRIVILEGE = "default_privilege"
    SECURITY_DEFINER_FUNCTION = "security_definer_function"
    TRIGGER = "trigger"
    EVENT_TRIGGER = "event_trigger"
    RULE = "rule"
    POLICY = "policy"
    # Defaults, checks and indexes that call functions of the database: they run as whoever writes.
    EXPRESSION = "expression"
    PUBLICATION = "publication"
    SUBSCRIPTION = "subscription"
    FOREIGN_SERVER = "foreign_server"
    USER_MAPPING = "user_mapping"
    EXTENSION = "extension"
    LARGE_OBJECT = "large_object"
    OBJECT = "object"


# Their details are a list of privileges, and `undo` the two halves of a statement around one.
_LISTS = (FindingKind.PRIVILEGE, FindingKind.DEFAULT_PRIVILEGE)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in a catalog. `identity` is unique in its database (None: in the whole server).

    `digest` stands for what would be too long to keep. `roles` are the ephemeral logins that the
    thing is about, and of a membership the role, the member and who granted it. `undo` is how to
    get rid of the thing; only a picture just taken knows it, it is not stored.
    """

    kind: FindingKind
    database: str | None
    identity: str
    owner: str | None = None
    details: str = ""
    digest: str = ""
    roles: tuple[str, ...] = ()
    undo: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Ours:
    """What pgcurfew made on the target, now or earlier: names of logins, and (role, member)."""

    logins: Container[str] = ()
    memberships: Container[tuple[str, str]] = ()

    def includes(self, item: Item) -> bool:
        return any(role in self.logins for role in item.roles) or (
            item.kind is FindingKind.MEMBERSHIP and item.roles[:2] in self.memberships
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """What there was at a moment, on the server and in these databases, in a stable order.

    Of kinds in `unseen` it says nothing, as we could not read them.
    """

    taken_at: datetime
    items: tuple[Item, ...]
    databases: frozenset[str] = frozenset()
    unseen: frozenset[FindingKind] = frozenset()

    def without(self, ours: Ours) -> "Picture":
        """Return the picture without our own logins, which come and go: to be stored, so that
        pictures of a catalog that did not change are equal."""
        return replace(self, items=tuple(item for item in self.items if not ours.includes(item)))

    def to_json(self) -> dict[str, Any]:
        """Return all but the moment and how to undo, for a jsonb column."""
        return {
            "databases": sorted(self.databases),
            "unseen": sorted(self.unseen),
            "items": [
                [database, kind, [_row(item) for item in items]]
                for (database, kind), items in groupby(self.items, lambda i: (i.database, i.kind))
            ],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], taken_at: datetime) -> "Picture":
        return cls(
            taken_at=taken_at,
            items=tuple(
                _item(FindingKind(kind), database, *row)
                for database, kind, rows in body["items"]
                for row in rows
            ),
            databases=frozenset(body["databases"]),
            unseen=frozenset(FindingKind(kind) for kind in body["unseen"]),
        )


def _row(item: Item) -> list[Any]:
    """Most things have neither a digest nor roles: leave out what is empty at the end."""
    row = [item.identity, item.owner, item.details, item.digest, list(item.roles)]
    while not row[-1]:
        row.pop()
    return row


def _item(kind: FindingKind, database: str | None, *row: Any) -> Item:
    absent: tuple[Any, ...] = ("", None, "", "", ())
    identity, owner, details, digest, roles = (*row, *absent[len(row) :])
    return Item(kind, database, identity, owner, details, digest, tuple(roles))


def merge(*pictures: Picture) -> Picture:
    """Return one picture of all that these show, as old as the oldest."""
    return Picture(
        taken_at=min(picture.taken_at for picture in pictures),
        items=tuple(sorted((i for picture in pictures for i in picture.items), key=place)),
        databases=frozenset().union(*(picture.databases for picture in pictures)),
        unseen=frozenset().union(*(picture.unseen for picture in pictures)),
    )


class Action(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `before` and `after` are details; None where there was, or is, nothing.

    `undo` are statements that the login may try as itself; empty where a human must look.
    """

    action: Action
    kind: FindingKind
    database: str | None
    identity: str
    owner: str | None
    before: str | None
    after: str | None
    undo: tuple[str, ...] = field(default=(), compare=False)


def diff(
    before: Picture, after: Picture, *, ours: Ours | None = None, login: str | None = None
) -> tuple[Change, ...]:
    """Return what changed, by database, kind and identity.

    `login` is the grant's own: what it owns counts, unlike what our other logins own. Only what
    both pictures could see is compared.
    """
    ours = ours or Ours()
    unseen = before.unseen | after.unseen
    databases = {None} | (before.databases & after.databases)

    def counted(picture: Picture) -> dict[tuple[str | None, str], Item]:
        return {
            (item.database, item.identity): item
            for item in picture.items
            if item.database in databases and item.kind not in unseen
        }

    def is_anothers(item: Item | None) -> bool:
        return item is not None and (
            ours.includes(item)
            or (item.owner is not None and item.owner != login and item.owner in ours.logins)
        )

    old, new = counted(before), counted(after)
    pairs = [(old.get(key), new.get(key)) for key in old.keys() | new.keys()]
    changes = [
        change
        for was, now in pairs
        if not is_anothers(was) and not is_anothers(now)
        if (change := _change(was, now)) is not None
    ]
    return tuple(sorted(changes, key=place))


def place(thing: Item | Change) -> tuple[str, str, str]:
    """Return what items and changes are sorted by: the server's first, then by database."""
    return thing.database or "", thing.kind, thing.identity


def _change(was: Item | None, now: Item | None) -> Change | None:
    if was == now:
        return None
    subject = now or was
    assert subject is not None
    before, after = _texts(was, now)
    return Change(
        action=Action.REMOVED if now is None else Action.ADDED if was is None else Action.CHANGED,
        kind=subject.kind,
        database=subject.database,
        identity=subject.identity,
        owner=subject.owner,
        before=before,
        after=after,
        undo=_undo(was, now),
    )


def _texts(was: Item | None, now: Item | None) -> tuple[str | None, str | None]:
    """Return the details, with as much more as tells the two apart."""
    if was is None or now is None:
        return (was.details if was else None), (now.details if now else None)

    def text(item: Item) -> str:
        parts = [item.details]
        if was.owner != now.owner:
            parts.append(f"owner {item.owner}")
        if was.digest != now.digest:
            parts.append(f"content {item.digest[:_SHOWN_DIGEST]}")
        return ", ".join(part for part in parts if part)

    return text(was), text(now)


def _undo(was: Item | None, now: Item | None) -> tuple[str, ...]:
    if now is None or not now.undo:
        return ()
    if now.kind not in _LISTS:
        return now.undo if was is None else ()
    held = was.details.split(", ") if was else []
    holds = now.details.split(", ")
    if set(held) - set(holds):
        return ()  # something was taken away too, and giving is for humans
    first, last = now.undo
    return tuple(f"{first}{privilege}{last}" for privilege in holds if privilege not in held)


class Disposition(StrEnum):
    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    UNDONE = "undone"
    UNDO_FAILED = "undo_failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """A change, and what became of it."""

    change: Change
    disposition: Disposition
    note: str = ""

    def to_json(self) -> dict[str, str | None]:
        return {
            "action": self.change.action,
            "kind": self.change.kind,
            "database": self.change.database,
            "identity": self.change.identity,
            "owner": self.change.owner,
            "before": self.change.before,
            "after": self.change.after,
            "disposition": self.disposition,
            "note": self.note,
        }


def describe(finding: Finding) -> str:
    """Return one line: `added trigger audit on shop.orders (calls shop.f(), owner bob): flagged`.

    Names may hold anything, so what would not show, or would start a new line, is escaped.
    """
    change = finding.change
    if change.action is Action.CHANGED:
        facts = f"was: {change.before or '-'}; is: {change.after or '-'}"
    else:
        owner = f"owner {change.owner}" if change.owner is not None else ""
        facts = ", ".join(part for part in (change.after or change.before, owner) if part)
    line = f"{change.action} {change.identity}" + (f" ({facts})" if facts else "")
    line += f": {finding.disposition.replace('_', ' ')}"
    line += f" ({finding.note})" if finding.note else ""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
