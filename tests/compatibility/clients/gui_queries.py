"""What graphical clients ask when they open a connection, condensed to what the proxy can meet:
their settings, their catalog joins, parameters and several statements in one message.

Written after the clients' public sources (DBeaver's PostgreDatabase and PostgreSchema, pgAdmin's
driver/psycopg3 and its dashboard) and, for DataGrip, after what a server logs of it. DBeaver and
DataGrip connect with the JDBC driver, pgAdmin with psycopg. `?` stands for the database's name.
"""

# DBeaver opens a connection to read metadata beside its main one, and one per editor.
DBEAVER_CONNECTIONS = ("Main", "Metadata", "SQLEditor <Script>")
DBEAVER = (
    "SELECT current_schema(), session_user",
    "SELECT reset_val FROM pg_settings WHERE name = 'search_path'",
    "SHOW search_path",
    "SELECT db.oid, db.* FROM pg_catalog.pg_database db WHERE datname = ?",
    "SELECT * FROM pg_catalog.pg_settings WHERE name = 'standard_conforming_strings'",
    "SELECT string_agg(word, ',') FROM pg_catalog.pg_get_keywords() WHERE catcode <> 'U'",
    "SELECT version()",
    """SELECT n.oid, n.*, d.description FROM pg_catalog.pg_namespace n
       LEFT OUTER JOIN pg_catalog.pg_description d
            ON d.objoid = n.oid AND d.objsubid = 0 AND d.classoid = 'pg_namespace'::regclass
       ORDER BY nspname""",
    """SELECT t.oid, t.*, c.relkind, format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base,
              d.description
       FROM pg_catalog.pg_type t
       LEFT OUTER JOIN pg_catalog.pg_type et ON et.oid = t.typelem
       LEFT OUTER JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
       LEFT OUTER JOIN pg_catalog.pg_description d ON t.oid = d.objoid
       WHERE t.typname IS NOT NULL AND (c.relkind IS NULL OR c.relkind = 'c')
         AND (et.typcategory IS NULL OR et.typcategory <> 'C')""",
    """SELECT c.oid, c.*, d.description, pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound,
              pg_catalog.pg_get_partkeydef(c.oid) AS partition_key
       FROM pg_catalog.pg_class c
       LEFT OUTER JOIN pg_catalog.pg_description d
            ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
       WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind NOT IN ('i', 'I', 'c')""",
    """SELECT c.relname, a.*, pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) AS def_value,
              dsc.description
       FROM pg_catalog.pg_attribute a
       INNER JOIN pg_catalog.pg_class c ON a.attrelid = c.oid
       LEFT OUTER JOIN pg_catalog.pg_attrdef ad ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
       LEFT OUTER JOIN pg_catalog.pg_description dsc
            ON c.oid = dsc.objoid AND a.attnum = dsc.objsubid
       WHERE NOT a.attisdropped AND c.relnamespace = 'shop'::regnamespace ORDER BY a.attnum""",
    """SELECT c.oid, c.*, t.relname AS tabrelname, pg_catalog.pg_get_constraintdef(c.oid, true)
       FROM pg_catalog.pg_constraint c
       INNER JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
       WHERE c.conrelid = 'shop.orders'::regclass""",
    "SELECT a.oid, a.* FROM pg_catalog.pg_roles a ORDER BY a.rolname",
    "SELECT e.oid, e.*, n.nspname FROM pg_catalog.pg_extension e, pg_namespace n"
    " WHERE e.extnamespace = n.oid",
    "SELECT pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database WHERE datname = ?",
)

# DataGrip opens one connection for its console and one for introspection.
DATAGRIP_CONNECTIONS = ("DataGrip: console", "DataGrip: introspection")
DATAGRIP = (
    "select version()",
    "select current_database() as a, current_schemas(false) as b",
    "SHOW TRANSACTION ISOLATION LEVEL",
    "select current_database(), current_schema(), current_user",
    "select round(extract(epoch from pg_postmaster_start_time() at time zone 'UTC')) as started",
    """select L.transactionid::varchar::bigint as transaction_id from pg_catalog.pg_locks L
       where L.transactionid is not null order by pg_catalog.age(L.transactionid) desc limit 1""",
    """select case when pg_catalog.pg_is_in_recovery() then 1
                   else pg_catalog.txid_current()::varchar::bigint end as current_txid""",
    """select N.oid::bigint as id, N.datname as name, D.description,
              N.datistemplate as is_template, N.datallowconn as allow_connections,
              pg_catalog.pg_get_userbyid(N.datdba) as owner
       from pg_catalog.pg_database N
       left join pg_catalog.pg_shdescription D on N.oid = D.objoid
       order by case when datname = pg_catalog.current_database() then -1 else N.oid end""",
    """select N.oid::bigint as id, N.xmin as state_number, nspname as name, D.description,
              pg_catalog.pg_get_userbyid(N.nspowner) as owner
       from pg_catalog.pg_namespace N left join pg_catalog.pg_description D on N.oid = D.objoid
       order by case when nspname = pg_catalog.current_schema() then -1 else N.oid end""",
    """select T.relkind as table_kind, T.relname as table_name, T.oid as table_id,
              T.xmin as state_number, pg_catalog.array_to_string(T.reloptions, ', ') as options
       from pg_catalog.pg_class T
       where relnamespace = 'shop'::regnamespace and relkind in ('r', 'm', 'v', 'f', 'p')
       order by table_kind, table_id""",
    """with T as (select distinct T.oid as table_id, T.relname as table_name
                  from pg_catalog.pg_class T, pg_catalog.pg_attribute A
                  where T.relnamespace = 'shop'::regnamespace and A.attrelid = T.oid)
       select T.table_id, C.attnum as position, C.attname as name, C.xmin as state_number,
              pg_catalog.format_type(C.atttypid, C.atttypmod) as type, C.attnotnull as mandatory
       from T join pg_catalog.pg_attribute C on T.table_id = C.attrelid
       where attnum > 0 order by table_id, attnum""",
    "select R.oid::bigint as role_id, rolname, pg_catalog.shobj_description(R.oid, 'pg_authid')"
    " from pg_catalog.pg_roles R",
)

# The first message has several statements, and one that fails would close pgAdmin's connection.
PGADMIN = (
    """SET DateStyle=ISO; SET client_min_messages=notice;
       SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings()
        WHERE name = 'bytea_output'; SET client_encoding='utf-8';""",
    "SELECT version()",
    """SELECT db.oid AS did, db.datname, db.datallowconn, pg_encoding_to_char(db.encoding),
              has_database_privilege(db.oid, 'CREATE') AS cancreate, datistemplate
       FROM pg_catalog.pg_database db WHERE db.datname = current_database()""",
    "SELECT gss_authenticated, encrypted FROM pg_catalog.pg_stat_gssapi"
    " WHERE pid = pg_backend_pid()",
    """SELECT roles.oid AS id, roles.rolname AS name, roles.rolsuper AS is_superuser,
              'pg_signal_backend' = ANY (ARRAY(
                  WITH RECURSIVE cte AS (
                      SELECT oid, rolname FROM pg_roles WHERE oid = roles.oid
                      UNION ALL
                      SELECT m.roleid, pgr.rolname FROM cte
                      JOIN pg_auth_members m ON m.member = cte.oid
                      JOIN pg_roles pgr ON pgr.oid = m.roleid)
                  SELECT rolname FROM cte)) AS can_signal_backend
       FROM pg_catalog.pg_roles AS roles WHERE rolname = current_user""",
    """SELECT 'session_stats' AS chart_name, pg_catalog.row_to_json(t) AS chart_data
       FROM (SELECT count(*) AS total, count(*) FILTER (WHERE state = 'active') AS active
             FROM pg_catalog.pg_stat_activity) t
       UNION ALL
       SELECT 'tps_stats', pg_catalog.row_to_json(t)
       FROM (SELECT sum(xact_commit) AS commits, sum(blks_read) AS reads
             FROM pg_catalog.pg_stat_database) t""",
    """SELECT pid, datname, usename, application_name, client_addr,
              pg_catalog.to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS backend_start,
              state, wait_event_type || ': ' || wait_event AS wait_event,
              pg_catalog.pg_blocking_pids(pid) AS blocking_pids, query
       FROM pg_catalog.pg_stat_activity WHERE datname = current_database() ORDER BY pid""",
    """SELECT rel.oid, rel.relname AS name,
              (SELECT count(*) FROM pg_trigger WHERE tgrelid = rel.oid AND NOT tgisinternal)
       FROM pg_catalog.pg_class rel
       WHERE rel.relkind IN ('r', 's', 't', 'p') AND rel.relnamespace = 'shop'::regnamespace
       ORDER BY rel.relname""",
)
