"""What a look at a server and one of its databases finds about roles.

Nothing here has one entry a table: what all the roles may do the same with is counted together, so
that a database of 50,000 tables is a few lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag, StrEnum


class Ability(IntFlag):
    """What somebody may do with a thing. The SQL of broker.target.role_sql knows these numbers."""

    SELECT = 1
    INSERT = 2
    UPDATE = 4
    DELETE = 8
    TRUNCATE = 16
    REFERENCES = 32
    TRIGGER = 64
    MAINTAIN = 128
    USAGE = 256
    CREATE = 512
    EXECUTE = 1024
    CONNECT = 2048
    TEMPORARY = 4096
    OWN = 8192
    # No row security holds it back. Not itself a right: it says how far the others go.
    EVERY_ROW = 16384
    # Of some columns, where the table as a whole may not be.
    SELECT_COLUMNS = 32768
    INSERT_COLUMNS = 65536
    UPDATE_COLUMNS = 131072


NOTHING = Ability(0)
READS = Ability.SELECT | Ability.SELECT_COLUMNS
WRITES = Ability.INSERT | Ability.UPDATE | Ability.DELETE | Ability.TRUNCATE
WRITES_ANY = WRITES | Ability.INSERT_COLUMNS | Ability.UPDATE_COLUMNS


class Thing(StrEnum):
    """Kinds of things that there are privileges on. A partition is no table of its own, and
    `definer` is a function that runs as its owner; `other` is all the rest."""

    TABLE = "table"
    PARTITION = "partition"
    VIEW = "view"
    MATERIALIZED_VIEW = "materialized view"
    FOREIGN_TABLE = "foreign table"
    COLUMN = "column"
    SEQUENCE = "sequence"
    FUNCTION = "function"
    DEFINER = "definer"
    SUPERUSER_DEFINER = "superuser definer"
    SCHEMA = "schema"
    DATABASE = "database"
    OTHER = "other"


# What has rows of its own; of a foreign table they are elsewhere.
STORED = (Thing.TABLE, Thing.PARTITION, Thing.MATERIALIZED_VIEW)


class Attribute(StrEnum):
    """Attributes of roles that let them do more than hold privileges."""

    SUPERUSER = "SUPERUSER"
    CREATEROLE = "CREATEROLE"
    CREATEDB = "CREATEDB"
    REPLICATION = "REPLICATION"
    BYPASSRLS = "BYPASSRLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Things of one kind, in one schema, that each of the roles may do the same with.

    `abilities` are in the order of the look's roles. `schema` is None in those that are too many to
    be told apart. `rows` and `size` (bytes) are estimates; of `rows_unknown` and `size_unknown`
    things there are none. `names` are the first few. With `row_security` the table has it.
    """

    thing: Thing
    schema: str | None
    abilities: tuple[Ability, ...]
    count: int = 1
    rows: int = 0
    rows_unknown: int = 0
    size: int = 0
    size_unknown: int = 0
    names: tuple[str, ...] = ()
    row_security: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitiveAlike:
    """Columns that are said to be sensitive and that each role may do the same with. `names` are
    the first few: a column, or a table of which each column is. `why` says who says so."""

    abilities: tuple[Ability, ...]
    count: int
    names: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Above:
    """A role that another is a member of, directly or not. `inherits`: it has its privileges at
    all times; `sets`: it may become it; with neither, it may at most give it to others (`admin`).
    """

    name: str
    direct: bool
    inherits: bool
    sets: bool
    admin: bool
    attributes: frozenset[Attribute] = frozenset()
    predefined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Future:
    """What a role will have on the things that `maker` makes, by default privileges. Without a
    schema, in all of them."""

    maker: str
    schema: str | None
    things: str
    privileges: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingMember:
    """A login that has a role all the time, directly or not, and not by a grant of ours."""

    name: str
    direct: bool
    superuser: bool = False
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleOnServer:
    """`members` are the first of the `member_count` logins that have it all the time."""

    name: str
    attributes: frozenset[Attribute] = frozenset()
    above: tuple[Above, ...] = ()
    members: tuple[StandingMember, ...] = ()
    member_count: int = 0
    futures: tuple[Future, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a database. What is not `complete` had more different things than are looked at.

    `server_version` is as server_version_num has it.
    """

    database: str
    server_version: int
    looked_at: datetime
    roles: tuple[RoleOnServer, ...]
    alike: tuple[Alike, ...] = ()
    sensitive: tuple[SensitiveAlike, ...] = ()
    complete: bool = True

    def number_of(self, role: str) -> int | None:
        """Return the role's place in `abilities`, or None if the server has no such role."""
        names = [each.name for each in self.roles]
        return names.index(role) if role in names else None


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something on a target that could not be looked at, and why, for people."""

    why: str


def held_by(number: int, alike: Sequence[Alike]) -> list[tuple[Alike, Ability]]:
    """Return what one role may do anything with."""
    return [(each, each.abilities[number]) for each in alike if each.abilities[number]]
