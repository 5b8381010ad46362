"""Questions to a managed server that broker.target.doctor asks as the admin role.

Each runs unchanged on 13 to 18 without being a superuser. A few things are shown to nobody else:
then the answer is empty, and what follows from that is said.
"""

# session_user is the broker's own login, which connects; current_user is the admin role.
SERVER = """
    SELECT current_setting('server_version_num')::int AS version,
           clock_timestamp() AS clock,
           pg_is_in_recovery() AS in_recovery,
           current_setting('transaction_read_only')::boolean AS read_only,
           ARRAY(SELECT rolname::text FROM pg_roles
                  WHERE rolsuper AND rolname IN (current_user, session_user) ORDER BY 1)
               AS superusers,
           (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user) AS create_role,
           pg_has_role('pg_signal_backend', CASE
               WHEN current_setting('server_version_num')::int >= 160000
               THEN 'USAGE' ELSE 'MEMBER' END) AS can_signal,
           has_database_privilege(current_database(), 'TEMPORARY') AS temporary,
           current_setting('password_encryption') AS password_encryption,
           current_setting('log_statement') AS log_statement,
           has_schema_privilege('public', n.oid, 'CREATE') AS public_creates,
           (SELECT count(*) FROM pg_roles
             WHERE rolcanlogin AND starts_with(rolname::text, 'jit_')) AS live_logins,
           (SELECT count(*) FROM pg_stat_replication r
             WHERE NOT EXISTS (SELECT FROM pg_replication_slots s
                                WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))
               AS receivers
      FROM (VALUES (1)) AS one LEFT JOIN pg_namespace n ON n.nspname = 'public'
"""
# $1: the catalog roles.
DATABASES = """
    SELECT d.datname::text AS name,
           d.datallowconn AND NOT has_database_privilege(session_user, d.oid, 'CONNECT')
               AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = ANY ($1::text[])
                              AND has_database_privilege(r.oid, d.oid, 'CONNECT')) AS closed,
           NOT d.datallowconn
               AND EXISTS (SELECT FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
                            WHERE s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass
                              AND starts_with(r.rolname::text, 'jit_')) AS locked,
           d.datallowconn AND (has_database_privilege('public', d.oid, 'CONNECT')
                               OR has_database_privilege('public', d.oid, 'TEMPORARY')) AS public
      FROM pg_database d ORDER BY 1
"""
# Trigger functions cannot be called.
PUBLIC_DEFINERS = """
    SELECT p.oid::regprocedure::text AS name
      FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
     WHERE p.prosecdef AND o.rolsuper AND has_function_privilege('public', p.oid, 'EXECUTE')
       AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
     ORDER BY 1
"""
FUNCTIONS = """
    SELECT 'curfew.' || p.proname AS name, p.oid::regprocedure::text AS signature,
           has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
               AS usable
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = 'curfew'
"""
MD5_ROLES = "SELECT role_name FROM curfew.password_marks() WHERE kind = 'md5' ORDER BY 1"
HBA_IS_READABLE = """
    SELECT has_function_privilege('pg_hba_file_rules()', 'EXECUTE')
       AND has_table_privilege('pg_hba_file_rules', 'SELECT')
"""
HBA_RULES = """
    SELECT line_number, type, database, user_name, address, netmask, auth_method
      FROM pg_hba_file_rules WHERE error IS NULL ORDER BY line_number
"""
# The role itself and all that it is a member of.
GROUPS = """
    WITH RECURSIVE above AS (
        SELECT oid FROM pg_roles WHERE rolname = $1
        UNION SELECT m.roleid FROM above JOIN pg_auth_members m ON m.member = above.oid
    )
    SELECT r.rolname::text AS name FROM above JOIN pg_roles r ON r.oid = above.oid
"""
ADMIN_OPTION = """
    SELECT EXISTS (SELECT FROM pg_auth_members m
                     JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles a ON a.oid = m.member
                    WHERE r.rolname = $1 AND a.rolname = current_user AND m.admin_option)
"""
PERSONAL_ROLES = """
    SELECT wanted.name, r.oid IS NOT NULL AS there, coalesce(r.rolcanlogin, false) AS can_login,
           coalesce(r.rolsuper, false) AS superuser
      FROM unnest($1::text[]) AS wanted (name) LEFT JOIN pg_roles r ON r.rolname = wanted.name
     ORDER BY 1
"""
LOGINS = """
    SELECT rolname::text AS name, shobj_description(oid, 'pg_authid') AS comment
      FROM pg_roles WHERE starts_with(rolname::text, 'jit_') ORDER BY 1
"""
