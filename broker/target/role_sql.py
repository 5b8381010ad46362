# ruff: noqa: S608  (constant text)
"""Questions to a managed server about what roles may do, which broker.target.role_look asks.

They run unchanged on 13 to 18, as anybody, and read catalogs alone: nobody's lock on a table holds
them up, except for sizes that are measured. $1 are always the OIDs of the roles, in their order.

What has the same owner, the same privileges and the same schema, PostgreSQL treats alike. So one of
each kind is asked about, for each role (`has_table_privilege` and its like follow memberships that
are inherited, PUBLIC, and the predefined roles), and things are counted by the answers.
"""

from broker.domain.role.facts import Ability

_SHOWN = 10  # names, of things that are alike
_SCHEMAS = 200  # that are told apart, those with the most tables
MOST_KINDS = 5000  # rows of one answer

_ASKED = """
    asked AS MATERIALIZED (
        SELECT r.oid, r.rolsuper, r.rolbypassrls, o.n::int AS n
          FROM unnest($1::oid[]) WITH ORDINALITY AS o (oid, n) JOIN pg_roles r ON r.oid = o.oid
    )
"""
_USER_SCHEMA = """
    n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_)'
"""
# What each role may do there; of something that is dropped meanwhile, nothing.
_OPEN = """
    ARRAY(SELECT has_schema_privilege(a.oid, n.oid, 'USAGE') FROM asked a ORDER BY a.n)
"""


def _bits(function: str, thing: str, *abilities: Ability) -> str:
    """Return SQL for those of the abilities that role `a` has. Most roles have none of them on most
    things, which is one question."""
    each = " + ".join(
        f"CASE WHEN {function}(a.oid, {thing}, '{one.name}') THEN {one.value} ELSE 0 END"
        for one in abilities
    )
    any_of = ", ".join(str(one.name) for one in abilities)
    return f"CASE WHEN {function}(a.oid, {thing}, '{any_of}') THEN {each} ELSE 0 END"


def _owns(owner: str) -> str:
    return f"CASE WHEN pg_has_role(a.oid, {owner}, 'USAGE') THEN {Ability.OWN.value} ELSE 0 END"


_TABLE = (
    *(Ability.SELECT, Ability.INSERT, Ability.UPDATE, Ability.DELETE, Ability.TRUNCATE),
    *(Ability.REFERENCES, Ability.TRIGGER),
)
_OF_COLUMNS = {
    Ability.SELECT: Ability.SELECT_COLUMNS,
    Ability.INSERT: Ability.INSERT_COLUMNS,
    Ability.UPDATE: Ability.UPDATE_COLUMNS,
}
_SOME_COLUMNS = " + ".join(
    f"""CASE WHEN k.by_column AND NOT has_table_privilege(a.oid, k.sample, '{whole.name}')
             AND has_any_column_privilege(a.oid, k.sample, '{whole.name}')
        THEN {some.value} ELSE 0 END"""
    for whole, some in _OF_COLUMNS.items()
)
# Of a sequence USAGE, SELECT and UPDATE; row security is no matter of it.
_ON_RELATION = f"""
    CASE WHEN k.is_sequence
         THEN {_bits("has_sequence_privilege", "k.sample", Ability.USAGE, Ability.SELECT, Ability.UPDATE)}
         ELSE {_bits("has_table_privilege", "k.sample", *_TABLE)} + {_SOME_COLUMNS} + {{maintains}}
    END + {_owns("k.relowner")}
"""  # noqa: E501
_MAINTAINS = _bits("has_table_privilege", "k.sample", Ability.MAINTAIN)
_EVERY_ROW = f"""
    CASE WHEN h.held > 0 AND NOT k.is_sequence
              AND (NOT k.relrowsecurity OR a.rolsuper OR a.rolbypassrls
                   OR (h.held & {Ability.OWN.value} > 0 AND NOT k.relforcerowsecurity))
         THEN {Ability.EVERY_ROW.value} ELSE 0 END
"""
# What is part of another, as a partition is, can be got at through that, too: then only what holds
# for the other counts. Rows that were never counted are -1, up to 13 zero on no pages.
_RELATIONS = f"""
    WITH RECURSIVE {_ASKED}, schema AS MATERIALIZED (
        SELECT n.oid, n.nspname::text AS name, {_OPEN} AS open
          FROM pg_namespace n WHERE {_USER_SCHEMA}
    ), by_column AS MATERIALIZED (
        SELECT DISTINCT attrelid AS oid FROM pg_attribute WHERE attacl IS NOT NULL
    ), relation AS MATERIALIZED (
        SELECT c.oid, c.relnamespace, c.relname, c.relkind, c.relispartition, c.relowner,
               c.relrowsecurity, c.relforcerowsecurity, c.reltoastrelid, c.reltuples, c.relpages,
               b.oid IS NOT NULL AS by_column,
               min(c.oid) OVER (PARTITION BY c.relnamespace, c.relowner,
                   coalesce(c.relacl::text, ''), c.relrowsecurity, c.relforcerowsecurity,
                   c.relkind = 'S', b.oid) AS sample
          FROM pg_class c
          JOIN schema s ON s.oid = c.relnamespace
          LEFT JOIN by_column b ON b.oid = c.oid
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    ), judged AS MATERIALIZED (
        SELECT k.sample, ARRAY(
                SELECT CASE WHEN s.open[a.n] THEN coalesce(h.held + {_EVERY_ROW}, 0) ELSE 0 END
                  FROM asked a CROSS JOIN LATERAL (SELECT {_ON_RELATION} AS held) AS h
                 ORDER BY a.n) AS abilities
          FROM (SELECT DISTINCT sample, relnamespace, relowner, relrowsecurity,
                       relforcerowsecurity, by_column, relkind = 'S' AS is_sequence
                  FROM relation) AS k
          JOIN schema s ON s.oid = k.relnamespace
    ), whole (part, oid) AS (
        SELECT inhrelid, inhparent FROM pg_inherits
        UNION SELECT w.part, i.inhparent FROM whole w JOIN pg_inherits i ON i.inhrelid = w.oid
    ), ways AS MATERIALIZED (
        SELECT w.part, array_agg(DISTINCT r.sample ORDER BY r.sample) AS samples
          FROM (SELECT part, oid FROM whole UNION SELECT part, part FROM whole) AS w
          JOIN relation r ON r.oid = w.oid
         GROUP BY w.part
    ), combined AS MATERIALIZED (
        SELECT k.samples, ARRAY(
                SELECT coalesce(bit_or(j.abilities[a.n]), 0)
                  FROM asked a CROSS JOIN judged j
                 WHERE j.sample = ANY (k.samples)
                 GROUP BY a.n ORDER BY a.n) AS abilities
          FROM (SELECT DISTINCT samples FROM ways) AS k
    ), named AS MATERIALIZED (
        SELECT oid, CASE WHEN rank <= {_SCHEMAS} THEN name END AS name
          FROM (SELECT s.oid, s.name,
                       row_number() OVER (ORDER BY count(r.oid) DESC, s.name) AS rank
                  FROM schema s LEFT JOIN relation r ON r.relnamespace = s.oid
                 GROUP BY s.oid, s.name) AS s
    )
    {{sizes}}
    SELECT n.name AS schema,
           CASE WHEN r.relispartition THEN 'partition' ELSE CASE r.relkind
               WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
               WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'table' END END AS thing,
           r.relrowsecurity AS row_security, coalesce(c.abilities, j.abilities) AS abilities,
           count(*) AS count,
           coalesce(sum(r.reltuples::float8)
               FILTER (WHERE r.reltuples > 0 AND r.relkind IN ('r', 'm')), 0)::bigint AS rows,
           count(*) FILTER (WHERE r.relkind IN ('r', 'm') AND (r.reltuples < 0
               OR (r.reltuples = 0 AND r.relpages = 0
                   AND current_setting('server_version_num')::int < 140000))) AS rows_unknown,
           coalesce(sum({{size}}) FILTER (WHERE r.relkind IN ('r', 'm')), 0)::bigint AS size,
           count(*) FILTER (WHERE r.relkind IN ('r', 'm') AND ({{size}}) IS NULL) AS size_unknown,
           (array_agg(r.relname::text ORDER BY r.relname))[:{_SHOWN}] AS names
      FROM relation r
      JOIN judged j USING (sample)
      JOIN named n ON n.oid = r.relnamespace
      LEFT JOIN ways w ON w.part = r.oid
      LEFT JOIN combined c ON c.samples = w.samples
      {{join_sizes}}
     WHERE 0 < ANY (coalesce(c.abilities, j.abilities))
     GROUP BY 1, 2, 3, 4
     ORDER BY count(*) DESC, 1, 2 LIMIT {MOST_KINDS + 1}
"""
# By the pages that VACUUM counted last, of the table with its indexes and its TOAST table.
_COUNTED_SIZES = """
    , indexed AS MATERIALIZED (
        SELECT i.indrelid AS oid, sum(c.relpages)::bigint AS pages
          FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid GROUP BY 1
    )
"""
_JOIN_COUNTED = """
      LEFT JOIN indexed i ON i.oid = r.oid
      LEFT JOIN pg_class t ON t.oid = r.reltoastrelid
"""
_COUNTED = """
    CASE WHEN r.relpages > 0 THEN current_setting('block_size')::bigint
         * (r.relpages + coalesce(i.pages, 0) + coalesce(t.relpages, 0)) END
"""
_MEASURED = "pg_total_relation_size(r.oid)"

COUNT_TABLES = "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384"


def relations(major: int, *, measured: bool) -> str:
    """Return the question about tables, views and sequences. Measured sizes are those of now, and
    want a look at every file; others are as old as the last VACUUM."""
    text = _RELATIONS.replace("{maintains}", _MAINTAINS if major >= 17 else "0")
    if measured:
        return text.format(sizes="", size=_MEASURED, join_sizes="")
    return text.format(sizes=_COUNTED_SIZES, size=_COUNTED, join_sizes=_JOIN_COUNTED)


_ON_COLUMN = " + ".join(
    f"""CASE WHEN s.open[a.n] AND has_column_privilege(a.oid, c.oid, t.attnum, '{each.name}')
             AND NOT has_table_privilege(a.oid, c.oid, '{each.name}')
        THEN {each.value} ELSE 0 END"""
    for each in (Ability.SELECT, Ability.INSERT, Ability.UPDATE, Ability.REFERENCES)
)
COLUMNS = f"""
    WITH {_ASKED}, schema AS MATERIALIZED (
        SELECT n.oid, n.nspname::text AS name, {_OPEN} AS open
          FROM pg_namespace n WHERE {_USER_SCHEMA}
    ), judged AS MATERIALIZED (
        SELECT s.name AS schema, c.relname::text || '.' || t.attname AS name,
               ARRAY(SELECT coalesce({_ON_COLUMN}, 0) FROM asked a ORDER BY a.n) AS abilities
          FROM pg_attribute t
          JOIN pg_class c ON c.oid = t.attrelid
          JOIN schema s ON s.oid = c.relnamespace
         WHERE t.attacl IS NOT NULL AND NOT t.attisdropped
    )
    SELECT schema, 'column' AS thing, abilities, count(*) AS count,
           (array_agg(name ORDER BY name))[:{_SHOWN}] AS names
      FROM judged WHERE 0 < ANY (abilities)
     GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1 LIMIT {MOST_KINDS + 1}
"""
# What everybody may call says nothing of a role, unless it runs as somebody else.
_PUBLIC_CALLS = "has_function_privilege('public', k.sample, 'EXECUTE')"
FUNCTIONS = f"""
    WITH {_ASKED}, schema AS MATERIALIZED (
        SELECT n.oid, n.nspname::text AS name, {_OPEN} AS open
          FROM pg_namespace n WHERE {_USER_SCHEMA} OR n.nspname = 'pg_catalog'
    ), routine AS MATERIALIZED (
        SELECT p.oid, p.pronamespace, p.proname, p.prosecdef, p.proowner,
               min(p.oid) OVER (PARTITION BY p.pronamespace, p.proowner,
                   coalesce(p.proacl::text, ''), p.prosecdef) AS sample
          FROM pg_proc p JOIN schema s ON s.oid = p.pronamespace
         WHERE (p.oid >= 16384 OR p.proacl IS NOT NULL)
           AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
    ), judged AS MATERIALIZED (
        SELECT k.sample, s.name AS schema,
               CASE WHEN NOT k.prosecdef THEN 'function'
                    WHEN o.rolsuper THEN 'superuser definer' ELSE 'definer' END AS thing,
               ARRAY(SELECT coalesce(CASE WHEN s.open[a.n]
                            AND (k.prosecdef OR NOT {_PUBLIC_CALLS}
                                 OR pg_has_role(a.oid, k.proowner, 'USAGE'))
                       THEN {_bits("has_function_privilege", "k.sample", Ability.EXECUTE)}
                            + {_owns("k.proowner")} ELSE 0 END, 0)
                       FROM asked a ORDER BY a.n) AS abilities
          FROM (SELECT DISTINCT sample, pronamespace, proowner, prosecdef FROM routine) AS k
          JOIN schema s ON s.oid = k.pronamespace
          JOIN pg_roles o ON o.oid = k.proowner
    )
    SELECT schema, thing, abilities, count(*) AS count,
           (array_agg(r.proname::text ORDER BY r.proname))[:{_SHOWN}] AS names
      FROM routine r JOIN judged j USING (sample) WHERE 0 < ANY (abilities)
     GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 1, 2 LIMIT {MOST_KINDS + 1}
"""
_ON_SCHEMA = _bits("has_schema_privilege", "n.oid", Ability.USAGE, Ability.CREATE)
_ON_DATABASE = _bits(
    "has_database_privilege", "d.oid", Ability.CONNECT, Ability.CREATE, Ability.TEMPORARY
)
SCHEMAS = f"""
    WITH {_ASKED}, judged AS MATERIALIZED (
        SELECT 'schema' AS thing, n.nspname::text AS name,
               ARRAY(SELECT coalesce({_ON_SCHEMA} + {_owns("n.nspowner")}, 0)
                       FROM asked a ORDER BY a.n) AS abilities
          FROM pg_namespace n WHERE {_USER_SCHEMA}
        UNION ALL
        SELECT 'database', d.datname::text,
               ARRAY(SELECT coalesce({_ON_DATABASE} + {_owns("d.datdba")}, 0)
                       FROM asked a ORDER BY a.n)
          FROM pg_database d WHERE d.datname = current_database()
    )
    SELECT NULL::text AS schema, thing, abilities, count(*) AS count,
           (array_agg(name ORDER BY name))[:{_SHOWN}] AS names
      FROM judged WHERE 0 < ANY (abilities)
     GROUP BY 1, 2, 3 ORDER BY count(*) DESC, 2 LIMIT {MOST_KINDS + 1}
"""
# Ownership of and privileges on whatever was not asked about above, here and in no database:
# types, languages, servers, tablespaces, large objects, parameters. pg_shdepend knows both.
OTHERS = f"""
    WITH {_ASKED}, about AS MATERIALIZED (
        SELECT classid, refobjid, max(CASE deptype WHEN 'o' THEN {Ability.OWN.value}
                                           ELSE {Ability.USAGE.value} END) AS bit,
               objid
          FROM pg_shdepend
         WHERE dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
           AND refclassid = 'pg_authid'::regclass AND deptype IN ('o', 'a')
           AND classid NOT IN ('pg_class'::regclass, 'pg_attribute'::regclass, 'pg_proc'::regclass,
                               'pg_namespace'::regclass, 'pg_database'::regclass,
                               'pg_auth_members'::regclass, 'pg_default_acl'::regclass)
         GROUP BY classid, objid, refobjid
    ), has AS MATERIALIZED (
        SELECT a.n, x.refobjid
          FROM asked a CROSS JOIN (SELECT DISTINCT refobjid FROM about) AS x
         WHERE pg_has_role(a.oid, x.refobjid, 'USAGE')
    ), judged AS (
        SELECT x.classid, x.objid,
               ARRAY(SELECT coalesce(bit_or(y.bit), 0) FROM asked a
                       LEFT JOIN has h ON h.n = a.n
                       LEFT JOIN about y ON y.refobjid = h.refobjid AND y.classid = x.classid
                                        AND y.objid = x.objid
                      GROUP BY a.n ORDER BY a.n) AS abilities
          FROM (SELECT DISTINCT classid, objid FROM about
                 WHERE refobjid IN (SELECT refobjid FROM has) LIMIT {MOST_KINDS + 1}) AS x
    )
    SELECT NULL::text AS schema, 'other' AS thing, abilities, count(*) AS count,
           ARRAY[substr(classid::regclass::text, 4)] AS names
      FROM judged WHERE 0 < ANY (abilities)
     GROUP BY classid, abilities ORDER BY count(*) DESC LIMIT {MOST_KINDS + 1}
"""
# $2: the pattern of the operator's tags, or NULL; $3: that of words in comments.
SENSITIVE = f"""
    WITH {_ASKED}, schema AS MATERIALIZED (
        SELECT n.oid, n.nspname::text AS name, {_OPEN} AS open
          FROM pg_namespace n WHERE {_USER_SCHEMA}
    ), spoken_of AS MATERIALIZED (
        SELECT d.objoid, d.objsubid FROM pg_description d
         WHERE d.classoid = 'pg_class'::regclass AND d.description ~* $3
    ), found AS MATERIALIZED (
        SELECT c.oid, s.open, t.attnum, s.name || '.' || c.relname || '.' || t.attname AS name,
               'tagged in the settings' AS why
          FROM pg_attribute t
          JOIN pg_class c ON c.oid = t.attrelid
          JOIN schema s ON s.oid = c.relnamespace
         WHERE $2::text IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
           AND t.attnum > 0 AND NOT t.attisdropped
           AND s.name || E'\\n' || c.relname || E'\\n' || t.attname ~* $2
        UNION ALL
        SELECT c.oid, s.open, nullif(x.objsubid, 0)::int2,
               s.name || '.' || c.relname || coalesce('.' || t.attname, ''),
               CASE WHEN x.objsubid = 0 THEN 'the comment on the table says so'
                    ELSE 'its comment says so' END
          FROM spoken_of x
          JOIN pg_class c ON c.oid = x.objoid
          JOIN schema s ON s.oid = c.relnamespace
          LEFT JOIN pg_attribute t ON t.attrelid = c.oid AND t.attnum = x.objsubid
                                  AND NOT t.attisdropped
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
    ), one AS (
        SELECT DISTINCT ON (name) * FROM found ORDER BY name, why
    ), judged AS MATERIALIZED (
        SELECT name, why, ARRAY(
                SELECT CASE WHEN NOT one.open[a.n] THEN 0
                            WHEN one.attnum IS NULL THEN
                                coalesce(CASE WHEN has_any_column_privilege(a.oid, one.oid, 'SELECT')
                                              THEN {Ability.SELECT.value} ELSE 0 END
                                         + CASE WHEN has_any_column_privilege(a.oid, one.oid, 'UPDATE')
                                                THEN {Ability.UPDATE.value} ELSE 0 END, 0)
                            ELSE
                                coalesce(CASE WHEN has_column_privilege(a.oid, one.oid, one.attnum, 'SELECT')
                                              THEN {Ability.SELECT.value} ELSE 0 END
                                         + CASE WHEN has_column_privilege(a.oid, one.oid, one.attnum, 'UPDATE')
                                                THEN {Ability.UPDATE.value} ELSE 0 END, 0)
                       END
                  FROM asked a ORDER BY a.n) AS abilities
          FROM one
    )
    SELECT abilities, why, count(*) AS count, (array_agg(name ORDER BY name))[:50] AS names
      FROM judged WHERE 0 < ANY (abilities)
     GROUP BY 1, 2 ORDER BY 2, count(*) DESC LIMIT {MOST_KINDS + 1}
"""  # noqa: E501
ROLES = """
    SELECT r.oid, r.rolname::text AS name, r.rolsuper, r.rolcreaterole, r.rolcreatedb,
           r.rolreplication, r.rolbypassrls
      FROM unnest($1::text[]) WITH ORDINALITY AS o (name, n) JOIN pg_roles r ON r.rolname = o.name
     ORDER BY o.n
"""
# Up to 15 whether somebody inherits is their own attribute, and whoever is a member may SET ROLE.
_MEMBERSHIP = """
    membership AS MATERIALIZED (
        SELECT m.roleid, m.member,
               coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) AS inherits,
               coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) AS sets, m.admin_option
          FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
    )
"""
# A chain inherits if each link does, and can be followed by SET ROLE if each link lets it.
ABOVE = f"""
    WITH RECURSIVE {_ASKED}, {_MEMBERSHIP}, above AS (
        SELECT a.n, m.roleid, true AS direct, m.inherits, m.sets, m.admin_option AS admin
          FROM asked a JOIN membership m ON m.member = a.oid
        UNION
        SELECT b.n, m.roleid, false, b.inherits AND m.inherits, b.sets AND m.sets,
               (b.inherits OR b.sets) AND m.admin_option
          FROM above b JOIN membership m ON m.member = b.roleid
    )
    SELECT b.n, r.rolname::text AS name, bool_or(b.direct) AS direct,
           bool_or(b.inherits) AS inherits, bool_or(b.sets) AS sets, bool_or(b.admin) AS admin,
           r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
           starts_with(r.rolname::text, 'pg_') AS predefined
      FROM above b JOIN pg_roles r ON r.oid = b.roleid
     GROUP BY b.n, r.oid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication,
              r.rolbypassrls
     ORDER BY b.n, name LIMIT 1001
"""
# $2: names that are not to be told of, the broker's own; $3: the prefix of our logins, which are
# only told of if their comment is not ours.
LOGIN_MEMBERS = f"""
    WITH RECURSIVE {_ASKED}, {_MEMBERSHIP}, below AS (
        SELECT a.n, m.member, true AS direct
          FROM asked a JOIN membership m ON m.roleid = a.oid WHERE m.inherits OR m.sets
        UNION
        SELECT b.n, m.member, false
          FROM below b JOIN membership m ON m.roleid = b.member WHERE m.inherits OR m.sets
    ), login AS (
        SELECT b.n, r.rolname::text AS name, bool_or(b.direct) AS direct, r.rolsuper AS superuser,
               CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until
          FROM below b JOIN pg_roles r ON r.oid = b.member
         WHERE r.rolcanlogin AND r.rolname <> ALL ($2::text[])
           AND NOT (starts_with(r.rolname::text, $3)
                    AND coalesce(shobj_description(r.oid, 'pg_authid'), '') LIKE '%"pgcurfew"%')
         GROUP BY b.n, r.rolname, r.rolsuper, r.rolvaliduntil
    )
    SELECT * FROM (SELECT *, count(*) OVER (PARTITION BY n) AS in_all,
                          row_number() OVER (PARTITION BY n ORDER BY name) AS place
                     FROM login) AS l
     WHERE place <= 50 ORDER BY n, place
"""
FUTURES = f"""
    WITH {_ASKED}
    SELECT a.n, pg_get_userbyid(d.defaclrole)::text AS maker, s.nspname::text AS schema,
           CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences'
                WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas'
                ELSE 'large objects' END AS things,
           array_agg(DISTINCT e.privilege_type ORDER BY e.privilege_type) AS privileges
      FROM pg_default_acl d
     CROSS JOIN LATERAL aclexplode(d.defaclacl) AS e
      LEFT JOIN pg_namespace s ON s.oid = d.defaclnamespace
      JOIN asked a ON e.grantee <> d.defaclrole AND e.grantee <> 0
                  AND pg_has_role(a.oid, e.grantee, 'USAGE')
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT 1001
"""
