"""What one role has, of what a look found: counted, as approvers and people who ask see it."""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.domain.role.facts import (
    NOTHING,
    READS,
    STORED,
    WRITES_ANY,
    Ability,
    Above,
    Alike,
    Attribute,
    Look,
    RoleOnServer,
    Thing,
    held_by,
)

# From this version on a membership says itself whether its member may SET ROLE, and ours say no
# unless the settings do. Before, every member may.
_SET_IS_AN_OPTION = 160000
# A partition is counted with its table.
TABLES = (Thing.TABLE, Thing.MATERIALIZED_VIEW, Thing.FOREIGN_TABLE)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is: tables, and what they hold by PostgreSQL's estimates. Of `rows_unknown`
    tables and partitions nobody ever counted the rows, of `size_unknown` the bytes."""

    tables: int = 0
    rows: int = 0
    rows_unknown: int = 0
    size: int = 0
    size_unknown: int = 0


@dataclass(frozen=True, slots=True)
class SchemaHoldings:
    """What a role may do in one schema, or in all that are not told apart (None)."""

    schema: str | None
    held: tuple[tuple[Alike, Ability], ...]

    def count(self, any_of: Ability, things: Iterable[Thing] = TABLES) -> int:
        """Return with how many of the things it may do any of this."""
        return sum(each.count for each, may in self._of(things) if may & any_of)

    def privileges(self, any_of: Ability) -> tuple[str, ...]:
        """Return which of these it has on any table, by name."""
        found = NOTHING
        for _each, may in self._of(TABLES):
            found |= may & any_of
        return tuple(sorted(str(each.name) for each in found))

    def names(self, any_of: Ability, things: Iterable[Thing]) -> tuple[str, ...]:
        """Return the first names of what it may do any of this with."""
        return tuple(name for each, may in self._of(things) if may & any_of for name in each.names)

    def changed_only(self) -> int:
        """Return how many tables it may change, and not read."""
        return sum(
            each.count for each, may in self._of(TABLES) if may & WRITES_ANY and not may & READS
        )

    def _of(self, things: Iterable[Thing]) -> list[tuple[Alike, Ability]]:
        wanted = frozenset(things)
        return [(each, may) for each, may in self.held if each.thing in wanted]


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that a role of the server may do in the database of a look.

    With `becomes` its sessions may SET ROLE to it, and so have its attributes.
    """

    look: Look
    role: RoleOnServer
    number: int
    becomes: bool

    @property
    def held(self) -> list[tuple[Alike, Ability]]:
        return held_by(self.number, self.look.alike)

    @property
    def schemas(self) -> tuple[SchemaHoldings, ...]:
        """What it may do by schema, those with the most tables first, what is in none last."""
        places: dict[str | None, list[tuple[Alike, Ability]]] = {}
        for each, may in self.held:
            if each.thing not in _WITHOUT:
                places.setdefault(each.schema, []).append((each, may))
        found = [SchemaHoldings(place, tuple(held)) for place, held in places.items()]
        return tuple(sorted(found, key=_order))

    @property
    def without_schema(self) -> SchemaHoldings:
        """What it may do with schemas themselves, the database, and what is in none."""
        held = [(each, may) for each, may in self.held if each.thing in _WITHOUT]
        return SchemaHoldings(None, tuple(held))

    @property
    def attributes(self) -> frozenset[Attribute]:
        """The attributes that its sessions may use, its own and those of roles that they may
        become."""
        if not self.becomes:
            return frozenset()
        return self.role.attributes.union(
            *(each.attributes for each in self.role.above if each.sets)
        )

    @property
    def useful_above(self) -> tuple[Above, ...]:
        """The roles above that it gets something from."""
        return tuple(
            each
            for each in self.role.above
            if each.inherits or each.admin or (each.sets and self.becomes)
        )

    def extent(self, any_of: Ability) -> Extent:
        """Return how much it may do any of this with. Rows of a partition are its own, of a table
        of partitions theirs; partitions count as tables where there is nothing else."""
        found = [each for each, may in self.held if may & any_of]
        stored = [each for each in found if each.thing in STORED]
        tables = sum(each.count for each in found if each.thing in TABLES)
        return Extent(
            tables=tables or sum(each.count for each in found if each.thing is Thing.PARTITION),
            rows=sum(each.rows for each in stored),
            rows_unknown=sum(each.rows_unknown for each in stored),
            size=sum(each.size for each in stored),
            size_unknown=sum(each.size_unknown for each in stored),
        )

    def tables_by_privilege(self) -> dict[str, int]:
        """Return on how many tables it has each privilege, without those on none."""
        every = (*_ON_TABLES, Ability.OWN)
        counts = {
            str(ability.name): sum(
                each.count for each, may in self.held if each.thing in TABLES and may & ability
            )
            for ability in every
        }
        return {name: count for name, count in counts.items() if count}

    def restricted_tables(self) -> int:
        """Return how many tables show it only what row security lets it see."""
        return sum(
            each.count
            for each, may in self.held
            if each.thing in TABLES and each.row_security and not may & Ability.EVERY_ROW
        )


_WITHOUT = (Thing.SCHEMA, Thing.DATABASE, Thing.OTHER)
_ON_TABLES = (
    *(Ability.SELECT, Ability.INSERT, Ability.UPDATE, Ability.DELETE, Ability.TRUNCATE),
    *(Ability.REFERENCES, Ability.TRIGGER, Ability.MAINTAIN),
)


def holdings_of(look: Look, role: str, *, may_set_role: bool) -> Holdings | None:
    """Return what the role has, or None if the server has no such role. `may_set_role` is whether
    the settings let its logins SET ROLE to it."""
    number = look.number_of(role)
    if number is None:
        return None
    becomes = may_set_role or look.server_version < _SET_IS_AN_OPTION
    return Holdings(look, look.roles[number], number, becomes)


def _order(schema: SchemaHoldings) -> tuple[bool, int, str]:
    tables = sum(each.count for each, _ in schema.held if each.thing in TABLES)
    return schema.schema is None, -tables, schema.schema or ""
