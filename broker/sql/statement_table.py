"""Every statement of PostgreSQL's grammar: what it is called, of what kinds it is, and where in it
other statements may be. Names are those of libpg_query's nodes.

Only a WITH of the statement itself may change data: PostgreSQL refuses it any deeper ("WITH clause
containing a data-modifying statement must be at the top level", parse_cte.c), so expressions and
subqueries are not gone through.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from postgast import pg_query_pb2 as pg

from broker.domain.statement.conditions import StatementKind as Kind

Kinds: TypeAlias = frozenset[Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`more` are kinds that hang on what the statement says. `inside` are fields with statements.
    `runs_inside`: whether those are run, and not only defined or explained."""

    label: str
    kinds: Kinds = frozenset()
    more: Callable[[Any], Kinds] | None = None
    inside: tuple[str, ...] = ()
    runs_inside: Callable[[Any], bool] | None = None


def _kinds(*kinds: Kind) -> Kinds:
    return frozenset(kinds)


def _select(node: Any) -> Kinds:
    return _kinds(Kind.WRITE) if node.HasField("into_clause") else _kinds()


def _bounded(node: Any) -> Kinds:
    return _kinds() if node.HasField("where_clause") else _kinds(Kind.UNBOUNDED_WRITE)


def _merge(node: Any) -> Kinds:
    deletes = any(
        each.merge_when_clause.command_type == pg.CMD_DELETE for each in node.merge_when_clauses
    )
    return _kinds(Kind.DELETE) if deletes else _kinds()


def _copy(node: Any) -> Kinds:
    kinds = {Kind.WRITE} if node.is_from else set()
    if node.is_program or node.filename:
        kinds.add(Kind.PROGRAM)
    return frozenset(kinds)


def _password(node: Any) -> Kinds:
    sets_one = any(each.def_elem.defname.lower() == "password" for each in node.options)
    return _kinds(Kind.PASSWORD) if sets_one else _kinds()


def _set(node: Any) -> Kinds:
    of_transaction = node.name in ("TRANSACTION", "TRANSACTION SNAPSHOT")
    return _kinds() if of_transaction else _kinds(Kind.SETTING)


def _discard(node: Any) -> Kinds:
    return _kinds(Kind.SETTING) if node.target == pg.DISCARD_ALL else _kinds()


def _rename(node: Any) -> Kinds:
    return _kinds(Kind.ROLE if node.rename_type == pg.OBJECT_ROLE else Kind.DDL)


def _transaction(node: Any) -> Kinds:
    prepared = node.kind in (
        pg.TRANS_STMT_PREPARE,
        pg.TRANS_STMT_COMMIT_PREPARED,
        pg.TRANS_STMT_ROLLBACK_PREPARED,
    )
    return _kinds(Kind.PREPARED_TRANSACTION) if prepared else _kinds()


def _analyzes(node: Any) -> bool:
    # Whatever its value: (ANALYZE off) is taken for on.
    return any(each.def_elem.defname.lower() == "analyze" for each in node.options)


def _never(_node: Any) -> bool:
    return False


def _ddl(label: str) -> Entry:
    return Entry(label=label, kinds=_kinds(Kind.DDL))


def _of(label: str, *kinds: Kind) -> Entry:
    return Entry(label=label, kinds=_kinds(*kinds))


_WITH = "with_clause"
_DROP_OWNED = (Kind.DDL, Kind.ROLE)

TABLE: dict[str, Entry] = {
    # reading and writing
    "select_stmt": Entry(label="SELECT", more=_select, inside=(_WITH, "larg", "rarg")),
    "insert_stmt": Entry(label="INSERT", kinds=_kinds(Kind.WRITE), inside=(_WITH, "select_stmt")),
    "update_stmt": Entry(label="UPDATE", kinds=_kinds(Kind.WRITE), more=_bounded, inside=(_WITH,)),
    "delete_stmt": Entry(
        label="DELETE", kinds=_kinds(Kind.WRITE, Kind.DELETE), more=_bounded, inside=(_WITH,)
    ),
    "merge_stmt": Entry(label="MERGE", kinds=_kinds(Kind.WRITE), more=_merge, inside=(_WITH,)),
    "truncate_stmt": _of("TRUNCATE", Kind.WRITE, Kind.DELETE, Kind.UNBOUNDED_WRITE),
    "copy_stmt": Entry(label="COPY", kinds=_kinds(Kind.COPY), more=_copy, inside=("query",)),
    "create_table_as_stmt": Entry(
        label="CREATE TABLE AS", kinds=_kinds(Kind.DDL, Kind.WRITE), inside=("query",)
    ),
    "refresh_mat_view_stmt": _of("REFRESH MATERIALIZED VIEW", Kind.MAINTENANCE, Kind.WRITE),
    "common_table_expr": Entry(label="WITH", inside=("ctequery",)),
    # around other statements
    "explain_stmt": Entry(label="EXPLAIN", inside=("query",), runs_inside=_analyzes),
    "prepare_stmt": Entry(label="PREPARE", inside=("query",)),
    "declare_cursor_stmt": Entry(label="DECLARE CURSOR", inside=("query",)),
    "create_schema_stmt": Entry(
        label="CREATE SCHEMA", kinds=_kinds(Kind.DDL), inside=("schema_elts",)
    ),
    "rule_stmt": Entry(
        label="CREATE RULE", kinds=_kinds(Kind.DDL), inside=("actions",), runs_inside=_never
    ),
    "view_stmt": Entry(
        label="CREATE VIEW", kinds=_kinds(Kind.DDL), inside=("query",), runs_inside=_never
    ),
    # of no kind
    "transaction_stmt": Entry(label="TRANSACTION", more=_transaction),
    "execute_stmt": Entry(label="EXECUTE"),  # of the kind that its PREPARE was
    "deallocate_stmt": Entry(label="DEALLOCATE"),
    "fetch_stmt": Entry(label="FETCH"),
    "close_portal_stmt": Entry(label="CLOSE"),
    "constraints_set_stmt": Entry(label="SET CONSTRAINTS"),
    "variable_show_stmt": Entry(label="SHOW"),
    # code, which may do anything
    "call_stmt": _of("CALL", Kind.PROCEDURE),
    "do_stmt": _of("DO", Kind.PROCEDURE),
    "load_stmt": _of("LOAD", Kind.PROGRAM),
    # of the session and the server
    "variable_set_stmt": Entry(label="SET", more=_set),
    "discard_stmt": Entry(label="DISCARD", more=_discard),
    "alter_system_stmt": _of("ALTER SYSTEM", Kind.SETTING),
    "listen_stmt": _of("LISTEN", Kind.LISTEN),
    "notify_stmt": _of("NOTIFY", Kind.LISTEN),
    "unlisten_stmt": _of("UNLISTEN", Kind.LISTEN),
    "lock_stmt": _of("LOCK TABLE", Kind.LOCK),
    "vacuum_stmt": _of("VACUUM", Kind.MAINTENANCE),  # and ANALYZE
    "cluster_stmt": _of("CLUSTER", Kind.MAINTENANCE),
    "reindex_stmt": _of("REINDEX", Kind.MAINTENANCE),
    "check_point_stmt": _of("CHECKPOINT", Kind.MAINTENANCE),
    # roles and privileges
    "create_role_stmt": Entry(label="CREATE ROLE", kinds=_kinds(Kind.ROLE), more=_password),
    "alter_role_stmt": Entry(label="ALTER ROLE", kinds=_kinds(Kind.ROLE), more=_password),
    "alter_role_set_stmt": _of("ALTER ROLE SET", Kind.ROLE, Kind.SETTING),
    "drop_role_stmt": _of("DROP ROLE", Kind.ROLE),
    "grant_role_stmt": _of("GRANT ROLE", Kind.ROLE),  # and REVOKE
    "grant_stmt": _of("GRANT", Kind.ROLE),  # and REVOKE
    "alter_default_privileges_stmt": _of("ALTER DEFAULT PRIVILEGES", Kind.ROLE),
    "drop_owned_stmt": _of("DROP OWNED", *_DROP_OWNED),
    "reassign_owned_stmt": _of("REASSIGN OWNED", *_DROP_OWNED),
    # everything else that there is, made, changed and dropped
    "create_user_mapping_stmt": Entry(
        label="CREATE USER MAPPING", kinds=_kinds(Kind.DDL), more=_password
    ),
    "alter_user_mapping_stmt": Entry(
        label="ALTER USER MAPPING", kinds=_kinds(Kind.DDL), more=_password
    ),
    "drop_user_mapping_stmt": _ddl("DROP USER MAPPING"),
    "rename_stmt": Entry(label="ALTER RENAME", more=_rename),
    "alter_database_set_stmt": _of("ALTER DATABASE SET", Kind.DDL, Kind.SETTING),
    "create_stmt": _ddl("CREATE TABLE"),
    "alter_table_stmt": _ddl("ALTER TABLE"),
    "drop_stmt": _ddl("DROP"),
    "index_stmt": _ddl("CREATE INDEX"),
    "create_seq_stmt": _ddl("CREATE SEQUENCE"),
    "alter_seq_stmt": _ddl("ALTER SEQUENCE"),
    "create_function_stmt": _ddl("CREATE FUNCTION"),
    "alter_function_stmt": _ddl("ALTER FUNCTION"),
    "create_trig_stmt": _ddl("CREATE TRIGGER"),
    "create_event_trig_stmt": _ddl("CREATE EVENT TRIGGER"),
    "alter_event_trig_stmt": _ddl("ALTER EVENT TRIGGER"),
    "create_policy_stmt": _ddl("CREATE POLICY"),
    "alter_policy_stmt": _ddl("ALTER POLICY"),
    "alter_object_depends_stmt": _ddl("ALTER DEPENDS ON EXTENSION"),
    "alter_object_schema_stmt": _ddl("ALTER SET SCHEMA"),
    "alter_owner_stmt": _ddl("ALTER OWNER"),
    "comment_stmt": _ddl("COMMENT"),
    "sec_label_stmt": _ddl("SECURITY LABEL"),
    "define_stmt": _ddl("CREATE"),  # aggregates, operators, types, text search, collations
    "composite_type_stmt": _ddl("CREATE TYPE"),
    "create_enum_stmt": _ddl("CREATE TYPE"),
    "create_range_stmt": _ddl("CREATE TYPE"),
    "alter_enum_stmt": _ddl("ALTER TYPE"),
    "alter_type_stmt": _ddl("ALTER TYPE"),
    "create_domain_stmt": _ddl("CREATE DOMAIN"),
    "alter_domain_stmt": _ddl("ALTER DOMAIN"),
    "create_cast_stmt": _ddl("CREATE CAST"),
    "create_conversion_stmt": _ddl("CREATE CONVERSION"),
    "create_transform_stmt": _ddl("CREATE TRANSFORM"),
    "create_am_stmt": _ddl("CREATE ACCESS METHOD"),
    "create_plang_stmt": _ddl("CREATE LANGUAGE"),
    "create_op_class_stmt": _ddl("CREATE OPERATOR CLASS"),
    "create_op_family_stmt": _ddl("CREATE OPERATOR FAMILY"),
    "alter_op_family_stmt": _ddl("ALTER OPERATOR FAMILY"),
    "alter_operator_stmt": _ddl("ALTER OPERATOR"),
    "alter_collation_stmt": _ddl("ALTER COLLATION"),
    "alter_tsdictionary_stmt": _ddl("ALTER TEXT SEARCH DICTIONARY"),
    "alter_tsconfiguration_stmt": _ddl("ALTER TEXT SEARCH CONFIGURATION"),
    "create_stats_stmt": _ddl("CREATE STATISTICS"),
    "alter_stats_stmt": _ddl("ALTER STATISTICS"),
    "create_extension_stmt": _ddl("CREATE EXTENSION"),
    "alter_extension_stmt": _ddl("ALTER EXTENSION"),
    "alter_extension_contents_stmt": _ddl("ALTER EXTENSION"),
    "create_fdw_stmt": _ddl("CREATE FOREIGN DATA WRAPPER"),
    "alter_fdw_stmt": _ddl("ALTER FOREIGN DATA WRAPPER"),
    "create_foreign_server_stmt": _ddl("CREATE SERVER"),
    "alter_foreign_server_stmt": _ddl("ALTER SERVER"),
    "create_foreign_table_stmt": _ddl("CREATE FOREIGN TABLE"),
    "import_foreign_schema_stmt": _ddl("IMPORT FOREIGN SCHEMA"),
    "create_publication_stmt": _ddl("CREATE PUBLICATION"),
    "alter_publication_stmt": _ddl("ALTER PUBLICATION"),
    "create_subscription_stmt": _ddl("CREATE SUBSCRIPTION"),
    "alter_subscription_stmt": _ddl("ALTER SUBSCRIPTION"),
    "drop_subscription_stmt": _ddl("DROP SUBSCRIPTION"),
    "createdb_stmt": _ddl("CREATE DATABASE"),
    "alter_database_stmt": _ddl("ALTER DATABASE"),
    "alter_database_refresh_coll_stmt": _ddl("ALTER DATABASE"),
    "dropdb_stmt": _ddl("DROP DATABASE"),
    "create_table_space_stmt": _ddl("CREATE TABLESPACE"),
    "alter_table_space_options_stmt": _ddl("ALTER TABLESPACE"),
    "alter_table_move_all_stmt": _ddl("ALTER ALL IN TABLESPACE"),
    "drop_table_space_stmt": _ddl("DROP TABLESPACE"),
}

NEVER_ALONE = frozenset(
    (
        "raw_stmt",  # around each statement
        "set_operation_stmt",  # made by parse analysis, which is the server's
        "return_stmt",  # in bodies of functions
        "plassign_stmt",  # PL/pgSQL's assignments
        "replica_identity_stmt",  # in ALTER TABLE
    )
)
"""Nodes that are called statements, but never are one by themselves."""
