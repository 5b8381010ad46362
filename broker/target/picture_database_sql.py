# ruff: noqa: S608  (constant text)
"""The catalog query of a picture of one database, with the same rules as picture_sql has."""

from broker.target.picture_sql import HEADER, PRIVILEGES, digest

_TOO_MANY = 1001  # large objects are data then, and would make every picture huge

_THINGS = f"""
    WITH member AS MATERIALIZED (
        SELECT classid, objid FROM pg_depend
         WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    ), schema AS MATERIALIZED (
        SELECT n.oid, n.nspname, n.nspowner, n.nspacl,
               (n.oid >= 16384 OR n.nspname = 'public') AND m.objid IS NULL AS listed
          FROM pg_namespace n
          LEFT JOIN member m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid
         WHERE n.nspname !~ '^pg_(toast|temp_|toast_temp_)'
    ), relation AS MATERIALIZED (
        SELECT c.oid, c.relkind, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity,
               c.reloptions, pg_get_userbyid(c.relowner)::text AS owner,
               quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
               CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                    WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END
                   AS word,
               m.objid IS NULL AS listed
          FROM pg_class c
          JOIN schema n ON n.oid = c.relnamespace
          LEFT JOIN member m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.oid >= 16384
    ), routine AS MATERIALIZED (
        SELECT p.oid, p.proowner, p.proacl, p.oid::regprocedure::text AS name,
               CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate'
                    ELSE 'function' END AS word
          FROM pg_proc p
          JOIN schema n ON n.oid = p.pronamespace
          LEFT JOIN member m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
         WHERE p.oid >= 16384 AND m.objid IS NULL
    ), type AS MATERIALIZED (
        SELECT t.oid, t.typowner, t.typacl,
               quote_ident(n.nspname) || '.' || quote_ident(t.typname) AS name,
               CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END AS word
          FROM pg_type t
          JOIN schema n ON n.oid = t.typnamespace
          LEFT JOIN pg_class c ON c.oid = t.typrelid
          LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
          LEFT JOIN member m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
         WHERE t.oid >= 16384 AND m.objid IS NULL AND e.oid IS NULL
           AND (t.typtype IN ('b', 'd', 'e', 'r') OR c.relkind = 'c')
    ), large_object AS MATERIALIZED (
        SELECT oid, lomowner, lomacl FROM pg_largeobject_metadata
         WHERE (SELECT count(*) FROM (SELECT FROM pg_largeobject_metadata LIMIT {_TOO_MANY}) AS l)
               < {_TOO_MANY}
    ), called AS MATERIALIZED (
        SELECT DISTINCT classid, objid FROM pg_depend
         WHERE refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
    ), acl AS (
        SELECT word || ' ' || name AS identity,
               CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || name AS sql,
               '' AS columns, relowner AS owner_oid, relacl AS acl, false AS public_has_it
          FROM relation WHERE listed AND relacl IS NOT NULL
        UNION ALL
        SELECT format('column %I of %s %s', a.attname, r.word, r.name), 'TABLE ' || r.name,
               format(' (%I)', a.attname), r.relowner, a.attacl, false
          FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid
         WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND r.listed
        UNION ALL
        SELECT 'schema ' || quote_ident(nspname), 'SCHEMA ' || quote_ident(nspname), '', nspowner,
               nspacl, false
          FROM schema WHERE listed
        UNION ALL
        SELECT word || ' ' || name, 'ROUTINE ' || name, '', proowner, proacl, true FROM routine
        UNION ALL
        SELECT word || ' ' || name, 'TYPE ' || name, '', typowner, typacl, true FROM type
        UNION ALL
        SELECT 'foreign server ' || quote_ident(srvname), 'FOREIGN SERVER ' || quote_ident(srvname),
               '', srvowner, srvacl, false
          FROM pg_foreign_server
        UNION ALL
        SELECT 'foreign-data wrapper ' || quote_ident(fdwname),
               'FOREIGN DATA WRAPPER ' || quote_ident(fdwname), '', fdwowner, fdwacl, false
          FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'large object ' || oid, 'LARGE OBJECT ' || oid, '', lomowner, lomacl, false
          FROM large_object
    )
"""


# A column owns its sequence; a view is what its _RETURN rule says.
_RELATIONS = f"""
    SELECT 'object', r.word || ' ' || r.name, r.owner,
           concat_ws(', ',
               CASE WHEN r.relrowsecurity THEN 'row security' END,
               CASE WHEN r.relforcerowsecurity THEN 'row security for the owner too' END,
               array_to_string(r.reloptions, ', ')),
           coalesce({digest("coalesce(v.ev_action::text, c.columns)")}, ''), '{{}}'::text[],
           ARRAY['DROP ' || upper(r.word) || ' IF EXISTS ' || r.name]
      FROM relation r
      LEFT JOIN pg_rewrite v ON v.ev_class = r.oid AND v.rulename = '_RETURN'
      LEFT JOIN (
        SELECT attrelid,
               string_agg(concat_ws(' ', attname, atttypid, atttypmod, attnotnull), ',') AS columns
          FROM (SELECT * FROM pg_attribute WHERE attnum > 0 AND attrelid >= 16384
                 ORDER BY attrelid, attnum) AS a
         GROUP BY attrelid) AS c ON c.attrelid = r.oid AND r.relkind IN ('r', 'p', 'f')
     WHERE r.listed AND NOT (r.relkind = 'S' AND EXISTS (
        SELECT FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid
           AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
"""

# DROP ROUTINE, as it takes the same list of arguments for functions, procedures and aggregates.
# prosqlbody, the body of a function in standard SQL, came with 14.
_ROUTINES = f"""
    SELECT CASE WHEN p.prosecdef THEN 'security_definer_function' ELSE 'object' END,
           r.word || ' ' || r.name, pg_get_userbyid(p.proowner)::text,
           concat_ws(', ',
               CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
               CASE WHEN p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
                    THEN 'executable by PUBLIC' END,
               'language ' || quote_ident(l.lanname), array_to_string(p.proconfig, ', ')),
           {
    digest('''concat_ws(' ', p.probin, p.proargdefaults::text, p.provolatile,
               p.proisstrict, p.proleakproof, p.proretset, p.prorettype,
               CASE WHEN p.prosrc = '' THEN to_jsonb(p) ->> 'prosqlbody' ELSE p.prosrc END)''')
},
           '{{}}'::text[], ARRAY['DROP ROUTINE IF EXISTS ' || r.name]
      FROM routine r JOIN pg_proc p ON p.oid = r.oid JOIN pg_language l ON l.oid = p.prolang
"""

_SCHEMAS_AND_TYPES = f"""
    SELECT 'object', 'schema ' || quote_ident(nspname), pg_get_userbyid(nspowner)::text, '', '',
           '{{}}'::text[], ARRAY['DROP SCHEMA IF EXISTS ' || quote_ident(nspname)]
      FROM schema WHERE listed
    UNION ALL
    SELECT 'object', r.word || ' ' || r.name, pg_get_userbyid(r.typowner)::text, '',
           {
    digest('''concat_ws(' ', t.typtype, t.typbasetype, t.typtypmod, t.typnotnull,
               t.typdefault, (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
                                FROM pg_enum e WHERE e.enumtypid = t.oid))''')
},
           '{{}}'::text[], ARRAY['DROP ' || upper(r.word) || ' IF EXISTS ' || r.name]
      FROM type r JOIN pg_type t ON t.oid = r.oid
"""

# The rest has few rows, or none, so PostgreSQL may name each. Who owns it is in pg_shdepend,
# except for the bootstrap superuser's.
_OTHERS = """
    SELECT 'object', i.type || ' ' || i.identity,
           (SELECT pg_get_userbyid(s.refobjid)::text FROM pg_shdepend s
             WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND s.classid = o.classid AND s.objid = o.oid AND s.objsubid = 0
               AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'),
           '', '', '{}'::text[],
           ARRAY[format('DROP %s IF EXISTS %s',
               CASE i.type WHEN 'statistics object' THEN 'STATISTICS'
                           WHEN 'foreign-data wrapper' THEN 'FOREIGN DATA WRAPPER'
                           ELSE upper(i.type) END, i.identity)]
      FROM (
        SELECT 'pg_operator'::regclass AS classid, oid FROM pg_operator
        UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
        UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
        UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
        UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
        UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
        UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
        UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
        UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
        UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
        UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast
        UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
        UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
        UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
      ) AS o
      LEFT JOIN member m ON m.classid = o.classid AND m.objid = o.oid
     CROSS JOIN LATERAL pg_identify_object(o.classid, o.oid, 0) AS i
     WHERE o.oid >= 16384 AND m.objid IS NULL AND i.identity IS NOT NULL
"""

_LARGE_OBJECTS = f"""
    SELECT 'large_object', 'large object ' || oid, pg_get_userbyid(lomowner)::text, '', '',
           '{{}}'::text[],
           ARRAY[format('SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid = %s', oid)]
      FROM large_object
    UNION ALL
    SELECT 'unseen', 'large_object', NULL, '', '', '{{}}', '{{}}'
     WHERE (SELECT count(*) FROM (SELECT FROM pg_largeobject_metadata LIMIT {_TOO_MANY}) AS l)
           = {_TOO_MANY}
"""

# Triggers cloned to partitions come and go with their parent's.
_TRIGGERS = f"""
    SELECT 'trigger', format('trigger %I on %s', t.tgname, r.name), r.owner,
           concat_ws(', ',
               CASE WHEN t.tgtype & 2 > 0 THEN 'BEFORE ' WHEN t.tgtype & 64 > 0 THEN 'INSTEAD OF '
                    ELSE 'AFTER ' END
                   || concat_ws(' OR ', CASE WHEN t.tgtype & 4 > 0 THEN 'INSERT' END,
                                CASE WHEN t.tgtype & 16 > 0 THEN 'UPDATE' END,
                                CASE WHEN t.tgtype & 8 > 0 THEN 'DELETE' END,
                                CASE WHEN t.tgtype & 32 > 0 THEN 'TRUNCATE' END),
               'calls ' || t.tgfoid::regprocedure,
               CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled on replicas'
                    WHEN 'A' THEN 'enabled always' END),
           {digest("concat_ws(' ', t.tgtype, t.tgattr, t.tgargs, t.tgqual)")},
           '{{}}'::text[], ARRAY[format('DROP TRIGGER IF EXISTS %I ON %s', t.tgname, r.name)]
      FROM pg_trigger t JOIN relation r ON r.oid = t.tgrelid
     WHERE NOT t.tgisinternal AND t.tgparentid = 0
    UNION ALL
    SELECT 'event_trigger', 'event trigger ' || quote_ident(e.evtname),
           pg_get_userbyid(e.evtowner)::text,
           concat_ws(', ', 'on ' || e.evtevent, 'calls ' || e.evtfoid::regprocedure,
               CASE e.evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled on replicas'
                    WHEN 'A' THEN 'enabled always' END,
               'for ' || array_to_string(e.evttags, ', ')),
           '', '{{}}', ARRAY['DROP EVENT TRIGGER IF EXISTS ' || quote_ident(e.evtname)]
      FROM pg_event_trigger e
      LEFT JOIN member m ON m.classid = 'pg_event_trigger'::regclass AND m.objid = e.oid
     WHERE m.objid IS NULL
"""

_RULES_AND_POLICIES = f"""
    SELECT 'rule', format('rule %I on %s', w.rulename, r.name), r.owner,
           concat_ws(', ',
               'ON ' || CASE w.ev_type WHEN '1' THEN 'SELECT' WHEN '2' THEN 'UPDATE'
                             WHEN '3' THEN 'INSERT' ELSE 'DELETE' END
                   || CASE WHEN w.is_instead THEN ' DO INSTEAD' ELSE ' DO ALSO' END,
               CASE w.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled on replicas'
                    WHEN 'A' THEN 'enabled always' END),
           {digest("concat_ws(' ', w.ev_qual::text, w.ev_action::text)")},
           '{{}}'::text[], ARRAY[format('DROP RULE IF EXISTS %I ON %s', w.rulename, r.name)]
      FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class
     WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', format('policy %I on %s', p.polname, r.name), r.owner,
           concat_ws(', ',
               CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
               'for ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
                              WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
               'to ' || (SELECT string_agg(CASE WHEN u.role = 0 THEN 'PUBLIC'
                                               ELSE quote_ident(pg_get_userbyid(u.role)) END,
                                           ', ' ORDER BY u.role)
                           FROM unnest(p.polroles) AS u(role))),
           {digest("concat_ws(' / ', p.polqual::text, p.polwithcheck::text)")},
           '{{}}', ARRAY[format('DROP POLICY IF EXISTS %I ON %s', p.polname, r.name)]
      FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
"""

# pg_depend knows what calls a function or operator that is not PostgreSQL's own.
_EXPRESSIONS = f"""
    SELECT 'expression', x.identity, x.owner,
           (SELECT string_agg(DISTINCT 'calls ' || i.identity, ', ')
              FROM pg_depend u
             CROSS JOIN LATERAL pg_identify_object(u.refclassid, u.refobjid, 0) AS i
             WHERE u.classid = x.classid AND u.objid = x.oid
               AND u.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)),
           x.digest, '{{}}'::text[], x.undo
      FROM (
        SELECT 'pg_attrdef'::regclass AS classid, e.oid, r.owner,
               format('default of column %I of %s %s', a.attname, r.word, r.name) AS identity,
               {digest("e.adbin::text")} AS digest,
               CASE WHEN a.attgenerated = ''
                    THEN ARRAY[format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', r.name,
                                      a.attname)] ELSE '{{}}' END AS undo
          FROM called d
          JOIN pg_attrdef e ON e.oid = d.objid
          JOIN pg_attribute a ON a.attrelid = e.adrelid AND a.attnum = e.adnum
          JOIN relation r ON r.oid = e.adrelid
         WHERE d.classid = 'pg_attrdef'::regclass
        UNION ALL
        SELECT 'pg_constraint'::regclass, e.oid,
               coalesce(r.owner, pg_get_userbyid(t.typowner)::text),
               format('check %I on %s %s', e.conname, coalesce(r.word, t.word),
                      coalesce(r.name, t.name)),
               {digest("e.conbin::text")},
               ARRAY[format('ALTER %s %s DROP CONSTRAINT IF EXISTS %I',
                            CASE WHEN r.oid IS NULL THEN 'DOMAIN' ELSE 'TABLE' END,
                            coalesce(r.name, t.name), e.conname)]
          FROM called d
          JOIN pg_constraint e ON e.oid = d.objid
          LEFT JOIN relation r ON r.oid = e.conrelid
          LEFT JOIN type t ON t.oid = e.contypid
         WHERE d.classid = 'pg_constraint'::regclass AND e.contype = 'c' AND e.conislocal
           AND coalesce(r.oid, t.oid) IS NOT NULL
        UNION ALL
        SELECT 'pg_class'::regclass, c.oid, r.owner,
               format('index %I on %s %s', c.relname, r.word, r.name),
               {digest("concat_ws(' / ', e.indexprs::text, e.indpred::text)")},
               ARRAY[format('DROP INDEX IF EXISTS %I.%I', n.nspname, c.relname)]
          FROM called d
          JOIN pg_index e ON e.indexrelid = d.objid
          JOIN pg_class c ON c.oid = e.indexrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN relation r ON r.oid = e.indrelid
         WHERE d.classid = 'pg_class'::regclass
        UNION ALL
        SELECT 'pg_type'::regclass, r.oid, pg_get_userbyid(r.typowner)::text,
               'default of domain ' || r.name,
               {digest("t.typdefaultbin::text")},
               ARRAY[format('ALTER DOMAIN %s DROP DEFAULT', r.name)]
          FROM called d
          JOIN type r ON r.oid = d.objid
          JOIN pg_type t ON t.oid = r.oid
         WHERE d.classid = 'pg_type'::regclass AND t.typtype = 'd'
      ) AS x
"""

# What a publication publishes depends on it, in catalogs that differ from version to version.
_REPLICATION = f"""
    SELECT 'publication', 'publication ' || quote_ident(p.pubname),
           pg_get_userbyid(p.pubowner)::text,
           concat_ws(', ', CASE WHEN p.puballtables THEN 'all tables' END, left(d.shown, 200)),
           {digest("concat_ws(' ', to_jsonb(p) - 'pubowner', d.parts)")}, '{{}}'::text[],
           ARRAY['DROP PUBLICATION IF EXISTS ' || quote_ident(p.pubname)]
      FROM pg_publication p
     CROSS JOIN LATERAL (
        SELECT string_agg(DISTINCT d.classid || ' ' || d.objid, ',') AS parts,
               string_agg(DISTINCT i.type || ' ' || i.identity, ', ') AS shown
          FROM pg_depend d
          JOIN pg_depend e ON e.classid = d.classid AND e.objid = d.objid
           AND e.refclassid IN ('pg_class'::regclass, 'pg_namespace'::regclass)
         CROSS JOIN LATERAL pg_identify_object(e.refclassid, e.refobjid, 0) AS i
         WHERE d.refclassid = 'pg_publication'::regclass AND d.refobjid = p.oid) AS d
    UNION ALL
    SELECT 'subscription', 'subscription ' || quote_ident(subname),
           pg_get_userbyid(subowner)::text,
           concat_ws(', ', CASE WHEN subenabled THEN 'enabled' ELSE 'disabled' END,
                     'to ' || array_to_string(subpublications, ', '), 'slot ' || subslotname),
           '', '{{}}',
           ARRAY[format('ALTER SUBSCRIPTION %I DISABLE', subname),
                 format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subname),
                 format('DROP SUBSCRIPTION IF EXISTS %I', subname)]
      FROM pg_subscription
     WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# The options of a user mapping hold passwords, and are not for us to see. The login's own mapping
# goes with the login and is no finding, so it must not keep a server from being undone.
_FOREIGN = """
    SELECT 'foreign_server', 'foreign server ' || quote_ident(s.srvname),
           pg_get_userbyid(s.srvowner)::text,
           concat_ws(', ', 'foreign-data wrapper ' || quote_ident(w.fdwname), s.srvtype,
                     s.srvversion, array_to_string(s.srvoptions, ', ')),
           '', '{}'::text[],
           ARRAY[format('DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER %I', s.srvname),
                 format('DROP SERVER IF EXISTS %I', s.srvname)]
      FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    UNION ALL
    SELECT 'user_mapping', format('user mapping of %s on server %I', u.mapped, u.srvname),
           NULL, '', '', ARRAY[u.raw],
           ARRAY[format('DROP USER MAPPING IF EXISTS FOR %s SERVER %I', u.mapped, u.srvname)]
      FROM (
        SELECT srvname, CASE WHEN umuser = 0 THEN '' ELSE pg_get_userbyid(umuser)::text END AS raw,
               CASE WHEN umuser = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(umuser)) END
                   AS mapped
          FROM pg_user_mappings) AS u
"""

_EXTENSIONS = f"""
    SELECT 'extension', 'extension ' || quote_ident(e.extname),
           pg_get_userbyid(e.extowner)::text,
           format('version %s, schema %I', e.extversion, n.nspname),
           {
    digest(
        "(SELECT string_agg(m.classid || ' ' || m.objid, ',' "
        "ORDER BY m.classid, m.objid) FROM pg_depend m "
        "WHERE m.refclassid = 'pg_extension'::regclass AND m.refobjid = e.oid "
        "AND m.deptype = 'e')"
    )
},
           '{{}}'::text[], ARRAY['DROP EXTENSION IF EXISTS ' || quote_ident(e.extname)]
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

# Privileges that PostgreSQL gives by itself are no entries; those withheld from somebody are.
_DEFAULT_PRIVILEGES = """
    SELECT 'default_privilege',
           format('default privileges %s %s on %s%s made by %I',
                  CASE WHEN x.given THEN 'of' ELSE 'withheld from' END, x.grantee, x.things,
                  coalesce(' in schema ' || x.schema, ''), x.owner),
           x.owner,
           string_agg(x.privilege, ', ' ORDER BY x.privilege), '', ARRAY[x.owner, x.raw_grantee],
           ARRAY[format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s %s ', x.owner,
                        coalesce(' IN SCHEMA ' || x.schema, ''),
                        CASE WHEN x.given THEN 'REVOKE' ELSE 'GRANT' END),
                 format(' ON %s %s %s', x.things, CASE WHEN x.given THEN 'FROM' ELSE 'TO' END,
                        x.grantee)]
      FROM (
        SELECT pg_get_userbyid(d.defaclrole)::text AS owner, quote_ident(n.nspname) AS schema,
               CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                    WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
                    ELSE 'LARGE OBJECTS' END AS things,
               CASE WHEN p.grantee = 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(p.grantee)) END AS grantee,
               CASE WHEN p.grantee = 0 THEN '' ELSE pg_get_userbyid(p.grantee)::text END
                   AS raw_grantee,
               p.privilege, p.given
          FROM pg_default_acl d
          LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
         CROSS JOIN LATERAL (
            SELECT CASE WHEN d.defaclnamespace = 0
                        THEN acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's'
                                             ELSE d.defaclobjtype END, d.defaclrole)
                   END AS acl) AS usual
         CROSS JOIN LATERAL (
            (SELECT grantee, CASE WHEN is_grantable THEN 'GRANT OPTION FOR ' ELSE '' END
                    || privilege_type AS privilege, true AS given
               FROM aclexplode(d.defaclacl)
             EXCEPT
             SELECT grantee, privilege_type, true FROM aclexplode(usual.acl))
            UNION ALL
            (SELECT grantee, privilege_type, false FROM aclexplode(usual.acl)
             EXCEPT
             SELECT grantee, privilege_type, false FROM aclexplode(d.defaclacl))) AS p
      ) AS x
     GROUP BY x.owner, x.schema, x.things, x.grantee, x.raw_grantee, x.given
"""

_PARTS = (
    HEADER,
    _RELATIONS,
    _ROUTINES,
    _SCHEMAS_AND_TYPES,
    _OTHERS,
    _LARGE_OBJECTS,
    _TRIGGERS,
    _RULES_AND_POLICIES,
    _EXPRESSIONS,
    _REPLICATION,
    _FOREIGN,
    _EXTENSIONS,
    _DEFAULT_PRIVILEGES,
    PRIVILEGES,
)
DATABASE = _THINGS + " UNION ALL ".join(_PARTS)
