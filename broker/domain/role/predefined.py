"""PostgreSQL's predefined roles, in plain words.

https://www.postgresql.org/docs/current/predefined-roles.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Danger(StrEnum):
    """`all`: as good as superuser; `wide`: reaches over everything; `none`: neither."""

    ALL = "all"
    WIDE = "wide"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Predefined:
    """`since` is the first major that has the role. What its members do stands in the third
    person: "reads every table"."""

    since: int
    does: str
    danger: Danger = Danger.NONE


PREDEFINED: Mapping[str, Predefined] = {
    "pg_read_all_data": Predefined(
        14, "reads every table, view and sequence of every schema", Danger.WIDE
    ),
    "pg_write_all_data": Predefined(
        14, "inserts, updates and deletes in every table of every schema", Danger.WIDE
    ),
    "pg_monitor": Predefined(10, "reads settings, statistics and what every session runs"),
    "pg_read_all_settings": Predefined(
        10, "reads every setting of the server, also those that only superusers see"
    ),
    "pg_read_all_stats": Predefined(
        10, "reads all statistics, and the statements that others run, literals included"
    ),
    "pg_stat_scan_tables": Predefined(
        10, "runs monitoring functions that hold tables locked while they scan them"
    ),
    "pg_signal_backend": Predefined(
        9, "cancels statements and ends sessions of everybody but superusers", Danger.WIDE
    ),
    "pg_signal_autovacuum_worker": Predefined(18, "cancels autovacuum on any table"),
    "pg_read_server_files": Predefined(
        11, "reads any file of the server that PostgreSQL can read", Danger.ALL
    ),
    "pg_write_server_files": Predefined(
        11, "writes any file of the server that PostgreSQL can write", Danger.ALL
    ),
    "pg_execute_server_program": Predefined(
        11, "runs programs on the server as its operating-system user", Danger.ALL
    ),
    "pg_checkpoint": Predefined(15, "runs CHECKPOINT"),
    "pg_maintain": Predefined(
        17,
        "runs VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH and LOCK TABLE on every table: "
        "it can hold up everybody",
        Danger.WIDE,
    ),
    "pg_use_reserved_connections": Predefined(
        16, "gets in when all connections but the reserved ones are taken"
    ),
    "pg_create_subscription": Predefined(
        16, "makes subscriptions, which connect to other servers and write what comes from them"
    ),
    "pg_database_owner": Predefined(
        14, "is the owner of the database, whoever that is, and of what it owns", Danger.WIDE
    ),
}


def explained(name: str) -> Predefined:
    """Return what the role is; of one that came after us, that we do not know it."""
    return PREDEFINED.get(name) or Predefined(0, "is a predefined role that pgcurfew does not know")
