"""The catalog query of a picture of the server, and what it shares with the one of a database.

Both run unchanged on PostgreSQL 13 to 18, and as nobody in particular: they read only catalogs and
columns that everyone may read.

Each row is (kind, identity, owner, details, digest, roles, undo), as `broker.domain.picture.Item`
has them. The first row of a query is no item: it names the database and the moment.

- Names come from quote_ident, %I, or PostgreSQL's own identity of an object, and are qualified,
  since the session's search_path is pg_catalog. Undoing takes no names from anywhere else.
- Nothing here opens a relation, as pg_get_viewdef, pg_get_expr and pg_get_triggerdef do: whoever
  holds a table locked would hold up the picture. Definitions are hashed as the catalog has them,
  and cryptographically, so that nobody can prepare two with one digest.
- OIDs below 16384 are initdb's (FirstNormalObjectId in access/transam.h).
- What belongs to an extension is not listed, but the extension's digest says which things do:
  nothing hides behind ALTER EXTENSION … ADD.
"""


def digest(text: str) -> str:
    """Return SQL for 132 bits of a SHA-256 of the SQL expression `text`."""
    return f"left(encode(sha256(convert_to({text}, getdatabaseencoding())), 'base64'), 22)"


HEADER = """
    SELECT 'picture' AS kind, current_database()::text AS identity, NULL::text AS owner,
           to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
               AS details, '' AS digest, '{}'::text[] AS roles, '{}'::text[] AS undo
"""

# Predefined roles cannot be changed; the bootstrap superuser (OID 10) can.
_ROLES = """
    SELECT 'role', 'role ' || quote_ident(rolname), NULL,
           concat_ws(', ',
               CASE WHEN rolcanlogin THEN 'LOGIN' END,
               CASE WHEN rolsuper THEN 'SUPERUSER' END,
               CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN rolcreatedb THEN 'CREATEDB' END,
               CASE WHEN rolreplication THEN 'REPLICATION' END,
               CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
               CASE WHEN NOT rolinherit THEN 'NOINHERIT' END,
               'connection limit ' || nullif(rolconnlimit, -1),
               'valid until ' || CASE WHEN isfinite(rolvaliduntil)
                   THEN to_char(rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   ELSE rolvaliduntil::text END),
           '', ARRAY[rolname::text], ARRAY['DROP ROLE IF EXISTS ' || quote_ident(rolname)]
      FROM pg_roles WHERE oid = 10 OR oid >= 16384
"""

# From 16 on there may be one membership per grantor, with its own options. Before, the grantor
# means nothing, and may be a login that is gone: what it gave stays all the same.
_MEMBERSHIPS = """
    , membership AS (
        SELECT quote_ident(pg_get_userbyid(m.roleid)) AS role,
               quote_ident(pg_get_userbyid(m.member)) AS member,
               quote_ident(pg_get_userbyid(m.grantor)) AS grantor,
               ARRAY[pg_get_userbyid(m.roleid), pg_get_userbyid(m.member)]::text[] AS roles,
               to_jsonb(m) ? 'inherit_option' AS per_grantor,
               (to_jsonb(m) ->> 'inherit_option')::boolean AS inherits,
               (to_jsonb(m) ->> 'set_option')::boolean AS sets,
               m.admin_option
          FROM pg_auth_members m
    )
"""
_MEMBERSHIP_ROWS = """
    SELECT 'membership',
           format('membership of %s in %s', member, role)
               || CASE WHEN per_grantor THEN ' granted by ' || grantor ELSE '' END,
           NULL,
           concat_ws(', ', CASE WHEN inherits THEN 'INHERIT' END, CASE WHEN sets THEN 'SET' END),
           '', roles,
           ARRAY[format('REVOKE %s FROM %s', role, member)
               || CASE WHEN per_grantor THEN ' GRANTED BY ' || grantor ELSE '' END]
      FROM membership
    UNION ALL
    SELECT 'admin_option',
           format('ADMIN option of %s on %s', member, role)
               || CASE WHEN per_grantor THEN ' granted by ' || grantor ELSE '' END,
           NULL, '', '', roles,
           ARRAY[format('REVOKE ADMIN OPTION FOR %s FROM %s', role, member)
               || CASE WHEN per_grantor THEN ' GRANTED BY ' || grantor ELSE '' END]
      FROM membership WHERE admin_option
"""

_SETTINGS = """
    SELECT 'setting',
           format('setting %I of %s', s.name, s.place), NULL,
           s.value, '', array_remove(ARRAY[s.role], NULL),
           ARRAY[format('ALTER %s RESET %I', s.altered, s.name)]
      FROM (
        SELECT c.option_name AS name, c.option_value AS value,
               pg_get_userbyid(nullif(s.setrole, 0))::text AS role,
               CASE WHEN s.setrole <> 0
                    THEN 'role ' || quote_ident(pg_get_userbyid(s.setrole))
                         || coalesce(' in database ' || quote_ident(d.datname), '')
                    ELSE coalesce('database ' || quote_ident(d.datname), 'all roles') END AS place,
               CASE WHEN s.setrole <> 0
                    THEN 'ROLE ' || quote_ident(pg_get_userbyid(s.setrole))
                         || coalesce(' IN DATABASE ' || quote_ident(d.datname), '')
                    ELSE coalesce('DATABASE ' || quote_ident(d.datname), 'ROLE ALL') END AS altered
          FROM pg_db_role_setting s
          LEFT JOIN pg_database d ON d.oid = s.setdatabase
         CROSS JOIN LATERAL pg_options_to_table(s.setconfig) AS c) AS s
"""

# Neither can be dropped inside a transaction, so neither can be undone.
_DATABASES = """
    SELECT 'object', 'database ' || quote_ident(datname), pg_get_userbyid(datdba)::text,
           concat_ws(', ',
               CASE WHEN NOT datallowconn THEN 'no connections' END,
               CASE WHEN datistemplate THEN 'template' END,
               'connection limit ' || nullif(datconnlimit, -1)),
           '', '{}', '{}'
      FROM pg_database
    UNION ALL
    SELECT 'object', 'tablespace ' || quote_ident(spcname), pg_get_userbyid(spcowner)::text,
           array_to_string(spcoptions, ', '), '', '{}', '{}'
      FROM pg_tablespace WHERE oid >= 16384
"""

# One item for everything that a grantee holds on a thing. `undo` are the halves of a REVOKE,
# around one privilege. What PUBLIC may do with every function and type says nothing, and is left
# out; where it matters, with SECURITY DEFINER, the function itself tells.
PRIVILEGES = """
    SELECT 'privilege',
           format('privileges of %s on %s', x.grantee, a.identity)
               || CASE WHEN x.grantor_oid <> a.owner_oid
                       THEN ' granted by ' || quote_ident(x.grantor) ELSE '' END,
           pg_get_userbyid(a.owner_oid)::text, x.privileges, '', ARRAY[x.raw_grantee],
           ARRAY['REVOKE ', format('%s ON %s FROM %s', a.columns, a.sql, x.grantee)]
      FROM acl a
     CROSS JOIN LATERAL (
        SELECT CASE WHEN e.grantee = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(e.grantee)) END AS grantee,
               CASE WHEN e.grantee = 0 THEN ''
                    ELSE pg_get_userbyid(e.grantee)::text END AS raw_grantee,
               pg_get_userbyid(e.grantor)::text AS grantor, e.grantor AS grantor_oid,
               string_agg(e.privilege_type, ', ' ORDER BY e.privilege_type)
                   || coalesce(', ' || string_agg('GRANT OPTION FOR ' || e.privilege_type, ', '
                                                  ORDER BY e.privilege_type)
                                       FILTER (WHERE e.is_grantable), '') AS privileges
          FROM aclexplode(a.acl) e
         WHERE e.grantee <> a.owner_oid AND NOT (e.grantee = 0 AND a.public_has_it)
         GROUP BY e.grantee, e.grantor) AS x
"""
_SERVER_ACLS = """
    WITH acl AS (
        SELECT 'database ' || quote_ident(datname) AS identity,
               'DATABASE ' || quote_ident(datname) AS sql, '' AS columns, datdba AS owner_oid,
               coalesce(datacl, acldefault('d', datdba)) AS acl, false AS public_has_it
          FROM pg_database
        UNION ALL
        SELECT 'tablespace ' || quote_ident(spcname), 'TABLESPACE ' || quote_ident(spcname), '',
               spcowner, spcacl, false
          FROM pg_tablespace
    )
"""

_PARTS = (HEADER, _ROLES, _MEMBERSHIP_ROWS, _SETTINGS, _DATABASES, PRIVILEGES)
SERVER = _SERVER_ACLS + _MEMBERSHIPS + " UNION ALL ".join(_PARTS)
