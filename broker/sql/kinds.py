"""Of what kinds a statement is, for policies that refuse some, and what it does to its transaction.

Looked into are WITH, EXPLAIN, PREPARE, DECLARE CURSOR, COPY (query), CREATE … AS, the elements of
CREATE SCHEMA and the actions of rules. Not looked into are the bodies of DO and of functions, and
what functions do that a query calls: kinds bound what people do by mistake, privileges what they
can do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from postgast import pg_query_pb2 as pg

from broker.domain.statement.conditions import StatementKind
from broker.sql.parsing import Unparsable, trees_of
from broker.sql.statement_table import TABLE

__all__ = ("Parsed", "TransactionVerb", "Unparsable", "statements_of")

# Those whose command tag has the number of rows that they changed; EXECUTE has that of what was
# prepared.
_COUNTED = frozenset(
    ("insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "execute_stmt")
)
_CHANGING = frozenset((StatementKind.WRITE, StatementKind.PROCEDURE))


class TransactionVerb(StrEnum):
    BEGIN = "BEGIN"  # START TRANSACTION, too
    COMMIT = "COMMIT"  # END, too
    ROLLBACK = "ROLLBACK"  # ABORT, too
    SAVEPOINT = "SAVEPOINT"
    RELEASE = "RELEASE"
    ROLLBACK_TO = "ROLLBACK TO"
    PREPARE = "PREPARE TRANSACTION"
    COMMIT_PREPARED = "COMMIT PREPARED"
    ROLLBACK_PREPARED = "ROLLBACK PREPARED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """One statement. `changes_rows`: it may change rows, as far as can be told without a catalog;
    `is_counted`: its command tag then says how many. `chain`: COMMIT or ROLLBACK AND CHAIN. `label`
    is what people call it."""

    kinds: frozenset[StatementKind]
    verb: TransactionVerb | None
    changes_rows: bool
    label: str
    chain: bool = False
    is_counted: bool = True


def statements_of(text: str) -> tuple[Parsed, ...]:
    """Return the statements in the text, in order; none if it is empty.

    Where a server may read the text in more than one way, there are the statements of each. A
    short text takes 40 us, one of LONGEST bytes up to 3 s, mostly without the interpreter's lock:
    long ones are for a thread.

    Raises Unparsable.
    """
    readings = [tuple(_parsed(raw.stmt) for raw in tree.stmts) for tree in trees_of(text)]
    first = readings[0]
    return first + tuple(parsed for other in readings[1:] if other != first for parsed in other)


def _parsed(statement: Any) -> Parsed:
    name = statement.WhichOneof("node")
    if name not in TABLE:
        raise Unparsable(f"{name} is no statement that we know")
    kinds: set[StatementKind] = set()
    changing: list[str] = []
    for each, node, runs in _with_inner(name, getattr(statement, name)):
        own = _kinds_of(each, node)
        kinds |= own
        if runs and (not own.isdisjoint(_CHANGING) or each == "execute_stmt"):
            changing.append(each)
    node = getattr(statement, name)
    of_transaction = name == "transaction_stmt"
    verb = _VERBS[node.kind] if of_transaction else None
    return Parsed(
        kinds=frozenset(kinds),
        verb=verb,
        changes_rows=bool(changing),
        label=verb.value if verb else TABLE[name].label,
        chain=of_transaction and node.chain,
        is_counted=not changing or (changing == [name] and name in _COUNTED),
    )


def _kinds_of(name: str, node: Any) -> frozenset[StatementKind]:
    entry = TABLE[name]
    return entry.kinds if entry.more is None else entry.kinds | entry.more(node)


def _with_inner(name: str, node: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield the statement and all in it, and whether they are run."""
    waiting = [(name, node, True)]
    while waiting:  # not by recursion: each of a thousand UNIONs nests
        each, message, runs = waiting.pop()
        yield each, message, runs
        entry = TABLE[each]
        runs_inside = runs and (entry.runs_inside is None or entry.runs_inside(message))
        for field in entry.inside:
            if field in _REPEATED or message.HasField(field):
                waiting += [
                    (inner, found, runs_inside)
                    for inner, found in _unwrapped(field, getattr(message, field))
                    if inner in TABLE
                ]


_REPEATED = frozenset(("schema_elts", "actions"))


def _unwrapped(field: str, value: Any) -> Iterable[tuple[str, Any]]:
    if field in ("larg", "rarg"):
        return (("select_stmt", value),)
    if field == "with_clause":
        return ((_name(node), _content(node)) for node in value.ctes)
    nodes = value if field in _REPEATED else (value,)
    return ((_name(node), _content(node)) for node in nodes)


def _name(node: Any) -> str:
    return str(node.WhichOneof("node"))


def _content(node: Any) -> Any:
    return getattr(node, _name(node))


_VERBS = {
    pg.TRANS_STMT_BEGIN: TransactionVerb.BEGIN,
    pg.TRANS_STMT_START: TransactionVerb.BEGIN,
    pg.TRANS_STMT_COMMIT: TransactionVerb.COMMIT,
    pg.TRANS_STMT_ROLLBACK: TransactionVerb.ROLLBACK,
    pg.TRANS_STMT_SAVEPOINT: TransactionVerb.SAVEPOINT,
    pg.TRANS_STMT_RELEASE: TransactionVerb.RELEASE,
    pg.TRANS_STMT_ROLLBACK_TO: TransactionVerb.ROLLBACK_TO,
    pg.TRANS_STMT_PREPARE: TransactionVerb.PREPARE,
    pg.TRANS_STMT_COMMIT_PREPARED: TransactionVerb.COMMIT_PREPARED,
    pg.TRANS_STMT_ROLLBACK_PREPARED: TransactionVerb.ROLLBACK_PREPARED,
}
