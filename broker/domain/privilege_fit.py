"""How a grant fitted what was done with it: what its statements used of the privileges that its
role has on tables and views, and the smallest catalog role that would have done."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


class Privilege(StrEnum):
    """Of tables and views: https://www.postgresql.org/docs/current/ddl-priv.html"""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"
    REFERENCES = "REFERENCES"
    TRIGGER = "TRIGGER"


@dataclass(frozen=True, slots=True)
class Use:
    """A privilege that a statement needs, on what it calls `name`; `schema` if it says one."""

    privilege: Privilege
    schema: str | None
    name: str


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A privilege on a relation."""

    relation: Relation
    privilege: Privilege


Abilities: TypeAlias = Mapping[str, Collection[Held]]
"""What each catalog role may do, through memberships and PUBLIC, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What statements needed, with how many of them did. `unread` could not be parsed, `not_looked`
    were more than are looked at; `beyond` take more than privileges on tables, by what they are
    called."""

    uses: Mapping[Use, int] = field(default_factory=dict)
    beyond: Mapping[str, int] = field(default_factory=dict)
    read: int = 0
    unread: int = 0
    not_looked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """`not_held` was used, though the role does not have it now; `unresolved` are names of nothing
    that is there now, such as temporary tables. `smallest` is the catalog role with the fewest
    privileges among those that have all that was used, and None for `reasons`."""

    role: str
    used: tuple[tuple[Held, int], ...]
    unused: tuple[Held, ...]
    not_held: tuple[Held, ...]
    unresolved: tuple[Use, ...]
    smallest: str | None
    reasons: tuple[str, ...]
    done: Done


_OF_THE_SYSTEM = ("pg_catalog", "information_schema")


def judge(role: str, done: Done, abilities: Abilities, search_path: Sequence[str]) -> Fit:
    """Compare what was done with what the role, and every other in `abilities`, may do.

    Uses of the system's catalogs are left out: nearly all are for everybody.
    """
    known = _Names({held.relation for held_by in abilities.values() for held in held_by})
    used: Counter[Held] = Counter()
    unresolved: set[Use] = set()
    for use, count in done.uses.items():
        if _is_of_the_system(use):
            continue
        relation = known.find(use, search_path)
        if relation is None:
            unresolved.add(use)
        else:
            used[Held(relation, use.privilege)] += count
    held = frozenset(abilities.get(role, ()))
    smallest, reasons = _smallest(frozenset(used), done, abilities)
    return Fit(
        role=role,
        used=tuple(sorted(used.items())),
        unused=tuple(sorted(held - used.keys())),
        not_held=tuple(sorted(used.keys() - held)),
        unresolved=tuple(sorted(unresolved, key=lambda use: (use.schema or "", use.name))),
        smallest=smallest,
        reasons=reasons,
        done=done,
    )


def _is_of_the_system(use: Use) -> bool:
    return use.schema in _OF_THE_SYSTEM or (use.schema is None and use.name.startswith("pg_"))


class _Names:
    """Which relation a name means. What is on no search path, and in one schema only, is meant all
    the same: the session may have set its own."""

    def __init__(self, relations: Collection[Relation]) -> None:
        self._relations = relations
        self._schemas: dict[str, list[str]] = {}
        for relation in relations:
            self._schemas.setdefault(relation.name, []).append(relation.schema)

    def find(self, use: Use, search_path: Sequence[str]) -> Relation | None:
        if use.schema is not None:
            relation = Relation(use.schema, use.name)
            return relation if relation in self._relations else None
        schemas = self._schemas.get(use.name, [])
        for schema in search_path:
            if schema in schemas:
                return Relation(schema, use.name)
        return Relation(schemas[0], use.name) if len(schemas) == 1 else None


def _smallest(
    used: frozenset[Held], done: Done, abilities: Abilities
) -> tuple[str | None, tuple[str, ...]]:
    if done.beyond:
        what = ", ".join(f"{label} ({count})" for label, count in sorted(done.beyond.items()))
        return None, (f"some statements take more than privileges on tables: {what}",)
    if not used:
        return None, ("no statement that could be read used a table or view that is there now",)
    enough = [name for name, held in abilities.items() if used <= frozenset(held)]
    if not enough:
        return None, _lacking(used, abilities)
    return min(enough, key=lambda name: (len(abilities[name]), name)), _doubts(done)


def _lacking(used: frozenset[Held], abilities: Abilities) -> tuple[str, ...]:
    """Say what the nearest roles lack."""
    lacks = {name: sorted(used - frozenset(held)) for name, held in abilities.items()}
    nearest = sorted(lacks, key=lambda name: (len(lacks[name]), name))[:3]
    return tuple(f"{name} lacks {_listed(lacks[name])}" for name in nearest)


def _listed(held: Iterable[Held]) -> str:
    listed = [f"{each.privilege} on {each.relation}" for each in held]
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def _doubts(done: Done) -> tuple[str, ...]:
    doubts = []
    if done.unread:
        doubts.append(f"statements that could not be read: {done.unread}")
    if done.not_looked:
        doubts.append(f"statements that were too many to look at: {done.not_looked}")
    return tuple(doubts)
