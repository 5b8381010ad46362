"""What a role may do, in plain words: "reads 12 tables in schema shop, changes 3 of them".

Each line is a predicate of the role, and says how dangerous it is. The worst comes first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from broker.domain.role.facts import (
    WRITES_ANY,
    Ability,
    Above,
    Attribute,
    Future,
    Thing,
)
from broker.domain.role.holdings import TABLES, Extent, Holdings, SchemaHoldings
from broker.domain.role.predefined import Danger, explained
from broker.domain.size import rough_size

_SCHEMAS_TOLD = 8
_NAMES_TOLD = 5
_FUTURES_TOLD = 10
_CREATEROLE_IS_LIMITED = 160000
_ATTRIBUTES = {
    Attribute.SUPERUSER: ("is a superuser: it may do anything on the server", Danger.ALL),
    Attribute.REPLICATION: ("may copy the whole server (REPLICATION)", Danger.ALL),
    Attribute.BYPASSRLS: ("sees every row, whatever row security says (BYPASSRLS)", Danger.WIDE),
    Attribute.CREATEDB: ("may create databases (CREATEDB)", Danger.NONE),
}
_OTHER_NAMES = {"foreign_server": "foreign server", "largeobject": "large object"}


@dataclass(frozen=True, slots=True)
class Line:
    text: str
    danger: Danger = Danger.NONE


@dataclass(frozen=True, slots=True)
class Meaning:
    """`summary` is one line for lists; `lines` say it all, the dangerous ones first."""

    summary: str
    lines: tuple[Line, ...]

    @property
    def dangers(self) -> tuple[Line, ...]:
        return tuple(each for each in self.lines if each.danger is not Danger.NONE)


def meaning_of(holdings: Holdings) -> Meaning:
    """Say what the role may do."""
    lines = [
        *_attributes(holdings),
        *_memberships(holdings),
        *_in_schemas(holdings.schemas),
        *_beyond_schemas(holdings),
        *_row_security(holdings),
        *_futures(holdings.role.futures),
    ]
    if not holdings.look.complete:
        text = "may do more: there are too many different privileges here to tell them all apart"
        lines.append(Line(text))
    if not lines:
        lines.append(Line(f"may do nothing in database {holdings.look.database}"))
    return Meaning(_summary(holdings), tuple(sorted(lines, key=lambda line: _ORDER[line.danger])))


_ORDER = {Danger.ALL: 0, Danger.WIDE: 1, Danger.NONE: 2}


def counted(number: int, thing: str) -> str:
    """Return `1 table`, `2 tables`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {_plural(thing)}"


def how_much(extent: Extent) -> str:
    """Return about how much the tables hold, such as `about 1,200 rows, 1.4MB`; or that nobody
    counted it."""
    rows = f"about {extent.rows:,} rows"
    if extent.rows_unknown:
        uncounted = "an unknown number of rows"
        more = f"and those of {counted(extent.rows_unknown, 'table')} never analyzed"
        rows = f"{rows} {more}" if extent.rows else uncounted
    size = rough_size(extent.size)
    if extent.size_unknown:
        return f"{rows}, at least {size}" if extent.size else rows
    return f"{rows}, {size}"


def _plural(thing: str) -> str:
    return f"{thing.removesuffix('y')}ies" if thing.endswith("y") else f"{thing}s"


def _summary(holdings: Holdings) -> str:
    reads = holdings.extent(Ability.SELECT | Ability.SELECT_COLUMNS).tables
    changes = holdings.extent(WRITES_ANY).tables
    match reads, changes:
        case 0, 0:
            return f"reads and changes no table of database {holdings.look.database}"
        case _, 0:
            return f"reads {counted(reads, 'table')}, changes none"
        case 0, _:
            return f"changes {counted(changes, 'table')}, reads none"
        case _:
            return f"reads {counted(reads, 'table')}, changes {counted(changes, 'table')}"


def _attributes(holdings: Holdings) -> Iterator[Line]:
    for attribute in sorted(holdings.attributes):
        if attribute is Attribute.CREATEROLE:
            unlimited = holdings.look.server_version < _CREATEROLE_IS_LIMITED
            why = ", which is as good as superuser before PostgreSQL 16" if unlimited else ""
            danger = Danger.ALL if unlimited else Danger.WIDE
            yield Line(f"may create roles (CREATEROLE){why}", danger)
        else:
            yield Line(*_ATTRIBUTES[attribute])


def _memberships(holdings: Holdings) -> Iterator[Line]:
    for above in holdings.useful_above:
        how = _how(above, becomes=holdings.becomes)
        if Attribute.SUPERUSER in above.attributes:
            yield Line(f"{how} {above.name}, a superuser", Danger.ALL)
        elif above.predefined:
            role = explained(above.name)
            yield Line(f"{role.does} ({how} {above.name})", role.danger)
        elif not above.inherits:
            yield Line(f"{how} {above.name}")


def _how(above: Above, *, becomes: bool) -> str:
    if above.inherits:
        return "is a member of"
    return "may become" if above.sets and becomes else "may give to anybody"


def _in_schemas(schemas: tuple[SchemaHoldings, ...]) -> Iterator[Line]:
    for schema in schemas[:_SCHEMAS_TOLD]:
        yield from _in_schema(schema)
    rest = schemas[_SCHEMAS_TOLD:]
    if rest:
        tables = sum(each.count(Ability.SELECT | WRITES_ANY) for each in rest)
        yield Line(
            f"reads or changes {counted(tables, 'table')} in {counted(len(rest), 'other schema')}"
        )


def _in_schema(schema: SchemaHoldings) -> Iterator[Line]:
    place = f"in schema {schema.schema}" if schema.schema is not None else "in other schemas"
    yield from _tables(schema, place)
    yield from _columns(schema, place)
    views = schema.count(Ability.SELECT | WRITES_ANY, [Thing.VIEW])
    if views:
        shown = "which shows what its owner" if views == 1 else "which show what their owners"
        yield Line(f"uses {counted(views, 'view')} {place}, {shown} may read")
    owned = schema.count(Ability.OWN, (*TABLES, Thing.VIEW))
    if owned:
        them = "it" if owned == 1 else "them"
        yield Line(f"owns {counted(owned, 'table')} {place}: it may alter and drop {them}")
    sequences = schema.count(_ANYTHING, [Thing.SEQUENCE])
    if sequences:
        yield Line(f"uses {counted(sequences, 'sequence')} {place}")
    yield from _functions(schema, place)


# What can be done with any thing, ownership included.
_ANYTHING = Ability.USAGE | Ability.SELECT | Ability.UPDATE | Ability.EXECUTE | Ability.OWN


def _tables(schema: SchemaHoldings, place: str) -> Iterator[Line]:
    reads = schema.count(Ability.SELECT)
    changes, changed_only = schema.count(WRITES_ANY), schema.changed_only()
    how = ", ".join(schema.privileges(WRITES_ANY))
    if reads:
        both = changes - changed_only
        also = f", changes {_of_them(both, reads)} ({how})" if both else ""
        yield Line(f"reads {counted(reads, 'table')} {place}{also}")
    elif changes > changed_only:  # it may read some columns of them
        yield Line(f"changes {counted(changes - changed_only, 'table')} {place} ({how})")
    if changed_only:
        them = "it" if changed_only == 1 else "they"
        yield Line(
            f"changes {counted(changed_only, 'table')} {place} ({how}), "
            f"though {them} may not be read"
        )
    partitions = schema.count(Ability.SELECT | WRITES_ANY, [Thing.PARTITION])
    if partitions and not reads and not changes:
        yield Line(f"reads or changes {counted(partitions, 'partition')} {place}")
    triggers = schema.count(Ability.TRIGGER)
    if triggers:
        yield Line(
            f"may put triggers on {counted(triggers, 'table')} {place}, "
            "which then act as whoever changes rows there"
        )


def _of_them(some: int, every: int) -> str:
    if some < every:
        return f"{some:,} of them"
    return "it" if every == 1 else "all of them"


def _columns(schema: SchemaHoldings, place: str) -> Iterator[Line]:
    tables = schema.count(Ability.SELECT_COLUMNS)
    if tables:
        names = some(schema.names(Ability.SELECT, [Thing.COLUMN]))
        yield Line(f"reads some columns of {counted(tables, 'table')} {place}: {names}")


def _functions(schema: SchemaHoldings, place: str) -> Iterator[Line]:
    for thing, manner, danger in (
        (Thing.SUPERUSER_DEFINER, " as a superuser", Danger.WIDE),
        (Thing.DEFINER, " as their owner", Danger.NONE),
        (Thing.FUNCTION, "", Danger.NONE),
    ):
        count = schema.count(Ability.EXECUTE, [thing])
        if count:
            names = some(schema.names(Ability.EXECUTE, [thing]))
            whose = manner or ", not for everybody"
            yield Line(f"runs {counted(count, 'function')}{whose} {place}: {names}", danger)


def _beyond_schemas(holdings: Holdings) -> Iterator[Line]:
    beyond = holdings.without_schema
    schemas = beyond.count(Ability.CREATE | Ability.OWN, [Thing.SCHEMA])
    if schemas:
        names = some(beyond.names(Ability.CREATE | Ability.OWN, [Thing.SCHEMA]))
        yield Line(f"may create tables and functions in {counted(schemas, 'schema')}: {names}")
    database = holdings.look.database
    if beyond.count(Ability.OWN, [Thing.DATABASE]):
        yield Line(f"owns database {database}: it may drop it", Danger.WIDE)
    elif beyond.count(Ability.CREATE, [Thing.DATABASE]):
        yield Line(f"may create schemas in database {database}")
    for each, may in beyond.held:
        if each.thing is Thing.OTHER:
            verb = "owns" if may & Ability.OWN else "has privileges on"
            name = _OTHER_NAMES.get(each.names[0], each.names[0])
            yield Line(f"{verb} {counted(each.count, name)}")


def _row_security(holdings: Holdings) -> Iterator[Line]:
    tables = holdings.restricted_tables()
    if tables:
        yield Line(f"sees only some rows of {counted(tables, 'table')}: row security holds there")


def _futures(futures: Iterable[Future]) -> Iterator[Line]:
    every = list(futures)
    for each in every[:_FUTURES_TOLD]:
        where = f" in schema {each.schema}" if each.schema is not None else ""
        how = ", ".join(each.privileges)
        yield Line(f"will have {how} on {each.things} that {each.maker} makes{where}")
    if len(every) > _FUTURES_TOLD:
        more = len(every) - _FUTURES_TOLD
        yield Line(f"will have privileges on what others make, by {more} more default privileges")


def some(names: tuple[str, ...]) -> str:
    """Return the first few names."""
    return ", ".join(names[:_NAMES_TOLD]) + (" …" if len(names) > _NAMES_TOLD else "")
