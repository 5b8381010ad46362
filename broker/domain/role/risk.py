"""What an approver risks by saying yes: a level, and the reasons for it.

| level | when |
|---|---|
| critical | as good as superuser: a superuser, programs or files of the server, REPLICATION, CREATEROLE before 16 |
| high | reaches over everything (`pg_read_all_data` and its like, functions that act as a superuser), reads or changes sensitive columns, owns tables, or changes a lot |
| medium | changes anything, creates things in schemas, or reads a lot |
| low | reads a little |

A lot is 10,000,000 rows, 10 GB or 100 tables; what nobody has counted is not little. The table above
is in docs/targets.md, too.
"""  # noqa: E501

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from broker.domain.role.facts import READS, WRITES_ANY, Ability, SensitiveAlike, Thing
from broker.domain.role.holdings import Extent, Holdings
from broker.domain.role.meaning import Meaning, counted, how_much
from broker.domain.role.predefined import Danger

MANY_ROWS = 10_000_000
MANY_BYTES = 10 * 1024**3
MANY_TABLES = 100
_SENSITIVE_TOLD = 50


class Level(IntEnum):
    """Ordered, so that the worst of several is their maximum."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class SensitiveColumn:
    """`name` is schema.table.column, or a table of which every column is. `why` names who
    says so."""

    name: str
    why: str
    reads: bool
    changes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """`reasons` are what makes the level what it is. `sensitive` are the first of the
    `sensitive_count` columns that the role reads or changes."""

    level: Level
    reasons: tuple[str, ...]
    reads: Extent
    changes: Extent
    tables_by_privilege: dict[str, int]
    sensitive: tuple[SensitiveColumn, ...]
    sensitive_count: int


def risk_of(holdings: Holdings, meaning: Meaning) -> Risk:
    """Weigh what the role may do."""
    reads, changes = holdings.extent(READS), holdings.extent(WRITES_ANY)
    sensitive = [each for each in holdings.look.sensitive if each.abilities[holdings.number]]
    weighed = [
        *_dangers(meaning),
        *_sensitivity(sensitive, holdings.number),
        *_ownership(holdings),
        *_changing(changes),
        *_reading(reads),
    ]
    level = max((level for level, _ in weighed), default=Level.LOW)
    return Risk(
        level=level,
        reasons=tuple(why for each, why in weighed if each == level),
        reads=reads,
        changes=changes,
        tables_by_privilege=holdings.tables_by_privilege(),
        sensitive=_columns(sensitive, holdings.number)[:_SENSITIVE_TOLD],
        sensitive_count=sum(each.count for each in sensitive),
    )


def _dangers(meaning: Meaning) -> Iterator[tuple[Level, str]]:
    for line in meaning.dangers:
        yield Level.CRITICAL if line.danger is Danger.ALL else Level.HIGH, line.text


def _sensitivity(sensitive: list[SensitiveAlike], number: int) -> Iterator[tuple[Level, str]]:
    for verb, ability in (("reads", Ability.SELECT), ("changes", Ability.UPDATE)):
        count = sum(each.count for each in sensitive if each.abilities[number] & ability)
        if count:
            yield Level.HIGH, f"{verb} {counted(count, 'column')} that are said to be sensitive"


def _ownership(holdings: Holdings) -> Iterator[tuple[Level, str]]:
    owned = holdings.extent(Ability.OWN).tables
    if owned:
        yield Level.HIGH, f"owns {counted(owned, 'table')}, and may drop what it owns"
    schemas = holdings.without_schema.count(Ability.CREATE | Ability.OWN, [Thing.SCHEMA])
    if schemas:
        yield Level.MEDIUM, f"may create tables and functions in {counted(schemas, 'schema')}"


def _changing(changes: Extent) -> Iterator[tuple[Level, str]]:
    if changes.tables:
        level = Level.HIGH if _is_a_lot(changes) else Level.MEDIUM
        yield level, f"changes {counted(changes.tables, 'table')} with {how_much(changes)}"


def _reading(reads: Extent) -> Iterator[tuple[Level, str]]:
    if reads.tables:
        little = not _is_a_lot(reads) and not reads.rows_unknown
        level = Level.LOW if little else Level.MEDIUM
        yield level, f"reads {counted(reads.tables, 'table')} with {how_much(reads)}"


def _is_a_lot(extent: Extent) -> bool:
    return extent.rows >= MANY_ROWS or extent.size >= MANY_BYTES or extent.tables >= MANY_TABLES


def _columns(sensitive: list[SensitiveAlike], number: int) -> tuple[SensitiveColumn, ...]:
    found = [
        SensitiveColumn(
            name,
            each.why,
            reads=bool(each.abilities[number] & Ability.SELECT),
            changes=bool(each.abilities[number] & Ability.UPDATE),
        )
        for each in sensitive
        for name in each.names
    ]
    return tuple(sorted(found, key=lambda column: column.name))
