"""Asks PostgreSQL what broker.domain.role_check judges: a catalog role, as the admin role sees it.

The same statements run on every supported major; they read nothing that only a superuser may.
"""

from broker.domain.catalog import CatalogRole
from broker.domain.role_check import ParameterFacts, RoleFacts, role_faults
from broker.target.connect import AdminDb

UNUSABLE_ROLE = "0LP01"  # invalid_grant_operation: our SQLSTATE for a role with faults
PARAMETER_PRIVILEGES = 15  # the major from which GRANT SET ON PARAMETER exists

# Membership in any form counts, ADMIN alone too: whoever holds that can grant itself the rest.
_ROLE = """
    WITH RECURSIVE asked AS (
        SELECT oid FROM pg_roles WHERE rolname = $1
    ), above AS (
        SELECT oid FROM asked
        UNION SELECT m.roleid FROM above JOIN pg_auth_members m ON m.member = above.oid
    ), below AS (
        SELECT oid FROM asked
        UNION SELECT m.member FROM below JOIN pg_auth_members m ON m.roleid = below.oid
    ), powers AS (
        SELECT r.rolname, concat_ws(', ',
                   CASE WHEN r.rolsuper AND r.rolname <> $1 THEN 'a superuser' END,
                   CASE WHEN r.rolreplication AND r.rolname <> $1 THEN 'REPLICATION' END,
                   CASE WHEN r.rolbypassrls AND r.rolname <> $1 THEN 'BYPASSRLS' END,
                   CASE WHEN r.rolcreaterole AND r.rolname <> $1
                             AND current_setting('server_version_num')::int < 160000
                        THEN 'CREATEROLE, as good as superuser before PostgreSQL 16' END,
                   CASE WHEN r.rolname = current_user THEN 'the admin role of pgcurfew' END,
                   CASE r.rolname
                        WHEN 'pg_execute_server_program' THEN 'runs programs on the server'
                        WHEN 'pg_write_server_files' THEN 'writes files on the server'
                        WHEN 'pg_read_server_files' THEN 'reads files on the server' END) AS why
          FROM above JOIN pg_roles r ON r.oid = above.oid
    )
    SELECT r.oid, r.rolcanlogin, r.rolsuper, r.rolreplication, r.rolbypassrls, r.rolcreaterole,
           r.rolcreatedb, current_user::text AS admin,
           current_setting('server_version_num')::int AS version,
           ARRAY(SELECT rolname || ' (' || why || ')' FROM powers WHERE why <> '' ORDER BY 1)
               AS powers,
           ARRAY(SELECT m.rolname::text FROM below JOIN pg_roles m ON m.oid = below.oid
                  WHERE m.rolsuper AND m.rolname <> $1 ORDER BY 1) AS superuser_members,
           pg_has_role(a.oid, r.oid, 'USAGE WITH ADMIN OPTION')
               OR (a.rolcreaterole AND NOT r.rolsuper
                   AND current_setting('server_version_num')::int < 160000) AS grantable,
           EXISTS (SELECT FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
                    WHERE n.nspname = 'curfew' AND f.proname = 'catalog_roles'
                      AND has_schema_privilege(n.oid, 'USAGE')
                      AND has_function_privilege(f.oid, 'EXECUTE')) AS restricted,
           coalesce((SELECT has_database_privilege(r.oid, d.oid, 'CONNECT')
                       FROM pg_database d WHERE d.datname = $2), false) AS can_connect,
           coalesce((SELECT has_database_privilege('public', d.oid, 'CONNECT')
                       FROM pg_database d WHERE d.datname = $2), false) AS public_can_connect,
           ARRAY(SELECT (p.name, s.context IS NOT NULL OR p.name LIKE '%.%',
                         coalesce(s.context = 'user', false)
                         OR (a.rolcreaterole AND coalesce(s.context, 'superuser') = 'superuser'
                             AND {parameter_privilege}))
                   FROM unnest($3::text[]) AS p (name)
                   LEFT JOIN pg_settings s ON lower(s.name) = p.name) AS parameters
      FROM pg_roles a LEFT JOIN pg_roles r ON r.rolname = $1
     WHERE a.rolname = current_user
"""
_PARAMETER_PRIVILEGE = "has_parameter_privilege(p.name, 'SET')"
# Without CREATEROLE the functions of `bootstrap --restricted` grant, and only what they list.
_RESTRICTED = "SELECT $1 IN (SELECT curfew.catalog_roles())"


async def fetch_role_facts(
    db: AdminDb, role: CatalogRole, database: str
) -> tuple[RoleFacts, tuple[ParameterFacts, ...]]:
    """Return what there is to know about the role and its parameters, for logins to `database`."""
    major = db.get_server_version().major
    privilege = _PARAMETER_PRIVILEGE if major >= PARAMETER_PRIVILEGES else "false"
    names = [each.name for each in role.parameters]
    row = await db.fetchrow(_ROLE.format(parameter_privilege=privilege), role.name, database, names)
    assert row is not None
    grantable = bool(row["grantable"])
    if not grantable and row["restricted"]:
        grantable = bool(await db.fetchval(_RESTRICTED, role.name))
    facts = RoleFacts(
        name=role.name,
        oid=row["oid"],
        can_login=bool(row["rolcanlogin"]),
        superuser=bool(row["rolsuper"]),
        replication=bool(row["rolreplication"]),
        bypass_rls=bool(row["rolbypassrls"]),
        create_role=bool(row["rolcreaterole"]),
        create_db=bool(row["rolcreatedb"]),
        powers=tuple(row["powers"]),
        superuser_members=tuple(row["superuser_members"]),
        grantable=grantable,
        can_connect=row["can_connect"],
        public_can_connect=row["public_can_connect"],
        database=database,
        admin=row["admin"],
        server_version=row["version"],
    )
    return facts, tuple(ParameterFacts(*each) for each in row["parameters"])


async def fetch_role_faults(db: AdminDb, role: CatalogRole, database: str) -> tuple[str, ...]:
    """Return what is wrong with the role, each with what to do; empty if it may be given."""
    facts, parameters = await fetch_role_facts(db, role, database)
    return role_faults(facts, role, parameters)


async def fetch_version(db: AdminDb) -> str:
    """Return the server's version, such as 15.18."""
    return str(await db.fetchval("SELECT current_setting('server_version')"))
