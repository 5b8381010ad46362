"""Which privileges on tables and views a statement needs, as far as its text says so.

Names of WITH are no tables, and follow PostgreSQL's scopes. What views, rules, triggers and
functions need is not seen; nor are columns: a privilege is of the whole table. Bodies of functions
and rules need nothing when they are made.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from postgast import pg_query_pb2 as pg

from broker.domain.privilege_fit import Privilege, Use
from broker.sql.parsing import Unparsable, trees_of

__all__ = ("Unparsable", "uses_of")

_Names: TypeAlias = frozenset[str]
_Work: TypeAlias = tuple[Any, _Names]


def uses_of(text: str) -> frozenset[Use]:
    """Return what the statements in the text need.

    Raises Unparsable: the caller counts these.
    """
    uses: set[Use] = set()
    waiting: list[_Work] = [(tree, frozenset()) for tree in trees_of(text)]
    while waiting:  # not by recursion: each of a thousand UNIONs nests
        node, names = waiting.pop()
        read = _READERS.get(node.DESCRIPTOR.name)
        if read is None:
            waiting += ((child, names) for child in _children(node))
            continue
        found, inner = read(node, names)
        uses |= found
        waiting += inner
    return frozenset(uses)


_Read: TypeAlias = tuple[set[Use], list[_Work]]


def _children(node: Any, *without: str) -> Iterator[Any]:
    for field, value in node.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE or field.name in without:
            continue
        if field.is_repeated:
            yield from value
        else:
            yield value


def _relation(node: Any, names: _Names) -> _Read:
    if not node.schemaname and node.relname in names:
        return set(), []
    return {_use(Privilege.SELECT, node)}, []


def _use(privilege: Privilege, relation: Any) -> Use:
    return Use(privilege, relation.schemaname or None, relation.relname)


def _with(node: Any, names: _Names) -> tuple[_Names, list[_Work]]:
    """Return which names there are beside the WITH, and its own queries with what each may see."""
    work: list[_Work] = []
    clause = node.with_clause
    ctes = [each.common_table_expr for each in clause.ctes]
    if clause.recursive:
        names |= {each.ctename for each in ctes}
    for each in ctes:
        work.append((each.ctequery, names))
        names |= {each.ctename}
    return names, work


def _select(node: Any, names: _Names) -> _Read:
    names, work = _with(node, names)
    work += ((child, names) for child in _children(node, "with_clause", "into_clause"))
    locked: set[Use] = set()
    if node.locking_clause:  # FOR UPDATE and its like want UPDATE, too
        locked = {
            _use(Privilege.UPDATE, each.range_var)
            for each in node.from_clause
            if each.HasField("range_var")
            and not (each.range_var.relname in names and not each.range_var.schemaname)
        }
    return locked, work


def _changing(privilege: Privilege) -> Callable[[Any, _Names], _Read]:
    def read(node: Any, names: _Names) -> _Read:
        names, work = _with(node, names)
        work += ((child, names) for child in _children(node, "with_clause", "relation"))
        uses = {_use(privilege, node.relation)}
        if _reads_columns(_children(node, "with_clause", "relation", "select_stmt", "from_clause")):
            uses.add(_use(Privilege.SELECT, node.relation))
        return uses, work

    return read


def _insert(node: Any, names: _Names) -> _Read:
    uses, work = _INSERT(node, names)
    if node.on_conflict_clause.action == pg.ONCONFLICT_UPDATE:
        uses |= {_use(each, node.relation) for each in (Privilege.UPDATE, Privilege.SELECT)}
    return uses, work


def _merge(node: Any, names: _Names) -> _Read:
    names, work = _with(node, names)
    work += ((child, names) for child in _children(node, "with_clause", "relation"))
    privileges = {
        _OF_COMMANDS.get(each.merge_when_clause.command_type) for each in node.merge_when_clauses
    } - {None}
    return {
        _use(privilege, node.relation)
        for privilege in (*privileges, Privilege.SELECT)
        if privilege is not None
    }, work


def _copy(node: Any, names: _Names) -> _Read:
    if not node.HasField("relation"):
        return set(), [(node.query, names)]
    privilege = Privilege.INSERT if node.is_from else Privilege.SELECT
    return {_use(privilege, node.relation)}, []


def _truncate(node: Any, _names: _Names) -> _Read:
    return {_use(Privilege.TRUNCATE, each.range_var) for each in node.relations}, []


def _only_query(node: Any, names: _Names) -> _Read:
    return set(), [(node.query, names)]


def _create_table(node: Any, _names: _Names) -> _Read:
    referenced = {
        _use(Privilege.REFERENCES, constraint.pktable)
        for constraint in _constraints(node.table_elts)
        if constraint.HasField("pktable")
    }
    return referenced, []


def _constraints(elements: Iterable[Any]) -> Iterator[Any]:
    for element in elements:
        if element.HasField("constraint"):
            yield element.constraint
        elif element.HasField("column_def"):
            yield from (each.constraint for each in element.column_def.constraints)


def _create_trigger(node: Any, _names: _Names) -> _Read:
    return {_use(Privilege.TRIGGER, node.relation)}, []


def _schema(node: Any, names: _Names) -> _Read:
    return set(), [(each, names) for each in node.schema_elts]


def _nothing(_node: Any, _names: _Names) -> _Read:
    return set(), []


def _reads_columns(nodes: Iterable[Any]) -> bool:
    """Say whether a column is named that is read. Subqueries' own count, too: rather too much."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.DESCRIPTOR.name == "ColumnRef":
            return True
        waiting += _children(node)
    return False


_INSERT = _changing(Privilege.INSERT)
_OF_COMMANDS = {
    pg.CMD_INSERT: Privilege.INSERT,
    pg.CMD_UPDATE: Privilege.UPDATE,
    pg.CMD_DELETE: Privilege.DELETE,
}
# What is not here needs what is in it. Of what is made or changed itself one has to be the owner,
# which no privilege stands for.
_READERS: dict[str, Callable[[Any, _Names], _Read]] = {
    "RangeVar": _relation,
    "SelectStmt": _select,
    "InsertStmt": _insert,
    "UpdateStmt": _changing(Privilege.UPDATE),
    "DeleteStmt": _changing(Privilege.DELETE),
    "MergeStmt": _merge,
    "CopyStmt": _copy,
    "TruncateStmt": _truncate,
    "CreateTableAsStmt": _only_query,
    "ViewStmt": _only_query,
    "CreateStmt": _create_table,
    "CreateSchemaStmt": _schema,
    "CreateTrigStmt": _create_trigger,
    "ExplainStmt": _only_query,
    **dict.fromkeys(
        (
            "AlterDefaultPrivilegesStmt",
            "AlterObjectDependsStmt",
            "AlterObjectSchemaStmt",
            "AlterOwnerStmt",
            "AlterPolicyStmt",
            "AlterPublicationStmt",
            "AlterSeqStmt",
            "AlterStatsStmt",
            "AlterTableStmt",
            "ClusterStmt",
            "CommentStmt",
            "CompositeTypeStmt",
            "ConstraintsSetStmt",
            "CreateForeignTableStmt",
            "CreateFunctionStmt",
            "CreatePolicyStmt",
            "CreatePublicationStmt",
            "CreateSeqStmt",
            "CreateStatsStmt",
            "DropStmt",
            "GrantStmt",
            "ImportForeignSchemaStmt",
            "IndexStmt",
            "LockStmt",
            "RefreshMatViewStmt",
            "ReindexStmt",
            "RenameStmt",
            "RuleStmt",
            "SecLabelStmt",
            "VacuumStmt",
        ),
        _nothing,
    ),
}
