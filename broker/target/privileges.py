"""Asks what roles may do with the tables and views of a database. Runs on 13 to 18, as anybody."""

import re
from collections.abc import Mapping, Sequence

from broker.domain.privilege_fit import Held, Privilege, Relation
from broker.target.connect import AdminDb

# has_table_privilege follows memberships that are inherited, and PUBLIC. One that is dropped
# meanwhile is NULL.
_ABILITIES = """
    SELECT r.rolname::text AS role, n.nspname::text AS schema, c.relname::text AS name,
           held.privileges
      FROM pg_roles r
     CROSS JOIN pg_namespace n
      JOIN pg_class c ON c.relnamespace = n.oid
     CROSS JOIN LATERAL (
        SELECT array_agg(p ORDER BY p) FILTER (WHERE has_table_privilege(r.oid, c.oid, p))
                   AS privileges
          FROM unnest($2::text[]) AS p) AS held
     WHERE r.rolname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
       AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'
       AND has_schema_privilege(r.oid, n.oid, 'USAGE')
       AND held.privileges IS NOT NULL
"""
# What is set for the role in this database, for the role, for the database: the first counts.
_SEARCH_PATH = """
    SELECT o.option_value
      FROM pg_db_role_setting s
      LEFT JOIN pg_roles r ON r.oid = s.setrole
      LEFT JOIN pg_database d ON d.oid = s.setdatabase
     CROSS JOIN LATERAL pg_options_to_table(s.setconfig) AS o
     WHERE o.option_name = 'search_path'
       AND (s.setrole = 0 OR r.rolname = $1)
       AND (s.setdatabase = 0 OR d.datname = current_database())
     ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1
"""
_DEFAULT_PATH = '"$user", public'
_ON_PATH = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


async def fetch_abilities(db: AdminDb, roles: Sequence[str]) -> Mapping[str, frozenset[Held]]:
    """Return what each of the roles may do with what is in this database. Roles that are not there
    are left out, and so is the system's own."""
    held: dict[str, set[Held]] = {}
    for row in await db.fetch(_ABILITIES, list(roles), [each.value for each in Privilege]):
        relation = Relation(row["schema"], row["name"])
        mine = held.setdefault(row["role"], set())
        mine |= {Held(relation, Privilege(each)) for each in row["privileges"]}
    found = await db.fetch("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)", roles)
    return {row["rolname"]: frozenset(held.get(row["rolname"], ())) for row in found}


async def fetch_search_path(db: AdminDb, role: str) -> tuple[str, ...]:
    """Return the schemas in which sessions of the role look for a table, unless they set their own.
    A path in postgresql.conf cannot be seen from here."""
    path = await db.fetchval(_SEARCH_PATH, role) or _DEFAULT_PATH
    return tuple(
        quoted.replace('""', '"') if quoted else plain.lower()
        for quoted, plain in _ON_PATH.findall(path)
    )
