"""The SQL that prepares a managed server, block by block, with the names left open as @name@.

Each block may run again and adds what is missing; each asks the server for its version where that
matters, so one text serves 13 to 18. What a master that is no superuser may not do, as on RDS,
Cloud SQL or Azure, is said in a WARNING or a NOTICE, and the rest goes on.
"""

HEADER = """\
-- pgcurfew: prepares database @database_name@ of target @target@ (pgcurfew bootstrap).
--
-- Run it in that database, as a superuser or as the role that made the catalog roles (the master
-- of a managed service). It may run again: it adds what is missing. Run it again after adding a
-- catalog role to the settings, or a database to the server. Afterwards: pgcurfew doctor @target@
"""

# No function or operator that somebody put into another schema is taken for PostgreSQL's own.
GUARD = """
SET LOCAL search_path = pg_catalog, pg_temp;

-- In the right database, by somebody who may.
DO @quote@
BEGIN
    IF current_database() <> @database@ THEN
        RAISE EXCEPTION 'this is database %: connect to % and run it again',
            current_database(), @database@;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
                    WHERE rolname = current_user AND (rolsuper OR rolcreaterole)) THEN
        RAISE EXCEPTION '% may not make roles: run this as a superuser, or with CREATEROLE',
            current_user;
    END IF;
END
@quote@;
"""

ADMIN = """
-- The role that makes and removes logins. Nobody logs in as it, and every login of the broker acts
-- as it, so that logins of the broker can be replaced.
DO @quote@
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = @admin@) THEN
        CREATE ROLE @admin_ident@ NOLOGIN @createrole@ NOINHERIT;
        RAISE NOTICE 'made role %', @admin@;
    ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
                       WHERE rolname = @admin@ AND NOT rolcanlogin AND NOT rolinherit
                         AND rolcreaterole = @may_create@) THEN
        ALTER ROLE @admin_ident@ NOLOGIN @createrole@ NOINHERIT;
        RAISE NOTICE 'altered role % to NOLOGIN @createrole@ NOINHERIT', @admin@;
    END IF;
END
@quote@;
"""

LOGIN = """
-- The broker's own login. It has no rights but to become the role above.@about_password@
DO @quote@
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = @login@) THEN
        CREATE ROLE @login_ident@ LOGIN NOINHERIT CONNECTION LIMIT 20;
        RAISE NOTICE 'made role %', @login@;
    ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
                       WHERE rolname = @login@ AND rolcanlogin AND NOT rolinherit) THEN
        ALTER ROLE @login_ident@ LOGIN NOINHERIT;
        RAISE NOTICE 'altered role % to LOGIN NOINHERIT', @login@;
    END IF;@set_password@
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                    WHERE m.roleid = quote_ident(@admin@)::regrole
                      AND m.member = quote_ident(@login@)::regrole
                      AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)) THEN
        IF current_setting('server_version_num')::int >= 160000 THEN
            EXECUTE @grant_admin_16@;
        ELSE
            EXECUTE @grant_admin@;
        END IF;
        RAISE NOTICE 'made % a member of %', @login@, @admin@;
    END IF;
END
@quote@;
"""

CATALOG_ROLES = """
-- It may grant the catalog roles; from 16 on it may not use them itself.
DO @quote@
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY @roles@ LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
            RAISE WARNING 'role % does not exist: make it NOLOGIN, grant it what it is for, '
                'and run this again', wanted;
        ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m
                            JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
                           WHERE r.rolname = wanted AND m.member = quote_ident(@admin@)::regrole
                             AND m.admin_option) THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I WITH %s', wanted, @admin@,
                    CASE WHEN current_setting('server_version_num')::int >= 160000
                         THEN 'ADMIN TRUE, INHERIT FALSE, SET FALSE' ELSE 'ADMIN OPTION' END);
                RAISE NOTICE '% may grant %', @admin@, wanted;
            EXCEPTION WHEN insufficient_privilege THEN
                RAISE WARNING '% may not grant %: run this as a superuser, or as the role that '
                    'made it', current_user, wanted;
            END;
        END IF;
    END LOOP;
END
@quote@;
"""

SIGNALS = """
-- It may end sessions of people's own roles, and those that outlive their login; and the broker
-- gets in when all other connections are taken (16 and later, with reserved_connections set).
DO @quote@
BEGIN
    IF NOT pg_has_role(@admin@, 'pg_signal_backend', 'MEMBER') THEN
        IF current_setting('server_version_num')::int >= 160000 THEN
            EXECUTE @grant_signal_16@;
        ELSE
            EXECUTE @grant_signal@;
        END IF;
        RAISE NOTICE '% may end sessions (pg_signal_backend)', @admin@;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING '% may not grant pg_signal_backend: memberships cannot be ended at once, and a '
        'session that outlives its login must be ended by hand', current_user;
END
@quote@;
DO @quote@
BEGIN
    IF current_setting('server_version_num')::int >= 160000
       AND NOT pg_has_role(@login@, 'pg_use_reserved_connections', 'USAGE') THEN
        EXECUTE @grant_reserved@;
        RAISE NOTICE '% may use reserved connections', @login@;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE '% may not grant pg_use_reserved_connections: without it, the broker waits when '
        'all connections are taken', current_user;
END
@quote@;
"""

DATABASES = """
-- A login may leave something in any database that lets it in, so the broker must get into each.
DO @quote@
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT d.datname, has_database_privilege(d.oid, 'CONNECT WITH GRANT OPTION') AS mine,
               has_database_privilege(@login@, d.oid, 'CONNECT') AS lets_in,
               EXISTS (SELECT FROM aclexplode(d.datacl) a
                        WHERE a.grantee = quote_ident(@login@)::regrole
                          AND a.privilege_type = 'CONNECT') AS granted
          FROM pg_catalog.pg_database d WHERE d.datallowconn ORDER BY d.datname
    LOOP
        IF each.mine AND NOT each.granted THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', each.datname, @login@);
            RAISE NOTICE '% may connect to database %', @login@, each.datname;
        ELSIF NOT each.mine AND NOT each.lets_in THEN
            RAISE NOTICE '% may not grant CONNECT on database %: what a login leaves there must be '
                'removed by hand', current_user, each.datname;
        END IF;
    END LOOP;
    IF NOT has_database_privilege(@admin@, @database@, 'TEMPORARY')
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_database d, aclexplode(d.datacl) a
                       WHERE d.datname = @database@ AND a.grantee = quote_ident(@admin@)::regrole
                         AND a.privilege_type = 'TEMPORARY') THEN
        IF has_database_privilege(current_user, @database@, 'TEMPORARY WITH GRANT OPTION') THEN
            GRANT TEMPORARY ON DATABASE @database_ident@ TO @admin_ident@;
            RAISE NOTICE '% may make temporary tables in %: keys travel there', @admin@, @database@;
        ELSIF NOT has_database_privilege(@admin@, @database@, 'TEMPORARY') THEN
            RAISE WARNING '% may not grant TEMPORARY on database %: no secret can be handed out '
                'before its owner runs GRANT TEMPORARY ON DATABASE % TO %',
                current_user, @database@, quote_ident(@database@), quote_ident(@admin@);
        END IF;
    END IF;
END
@quote@;
"""

HBA_RULES = """
-- Optional: lets `pgcurfew doctor` read the rules of pg_hba.conf.
DO @quote@
BEGIN
    IF NOT has_function_privilege(@admin@, 'pg_catalog.pg_hba_file_rules()', 'EXECUTE')
       OR NOT has_table_privilege(@admin@, 'pg_catalog.pg_hba_file_rules', 'SELECT') THEN
        GRANT EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules() TO @admin_ident@;
        GRANT SELECT ON pg_catalog.pg_hba_file_rules TO @admin_ident@;
        RAISE NOTICE '% may read the rules of pg_hba.conf', @admin@;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE '% may not let % read pg_hba.conf: doctor cannot check its rules',
        current_user, @admin@;
END
@quote@;
"""

# Whoever owns the schema could replace functions that the broker trusts.
SCHEMA = """
-- A schema for functions that only the admin role may call.
DO @quote@
DECLARE
    owner record;
BEGIN
    SELECT r.rolname, r.rolsuper INTO owner
      FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
     WHERE n.nspname = 'curfew';
    IF FOUND AND NOT owner.rolsuper AND owner.rolname <> current_user THEN
        RAISE EXCEPTION 'schema curfew belongs to %: run this as that role, or as a superuser '
            'after ALTER SCHEMA curfew OWNER TO %', owner.rolname, quote_ident(current_user);
    ELSIF NOT FOUND THEN
        CREATE SCHEMA curfew;
        RAISE NOTICE 'made schema curfew in database %', current_database();
    END IF;
    REVOKE ALL ON SCHEMA curfew FROM PUBLIC;
    GRANT USAGE ON SCHEMA curfew TO @admin_ident@;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE @schema_level@ '% may not make a schema in database %', current_user, current_database();
END
@quote@;
"""

# A mark of an MD5 hash could be guessed from, so only SCRAM verifiers, which are salted, have one.
MARKS = """
-- Optional: lets the broker notice that a login has changed its password. Nobody can log in with
-- what it shows, and nobody can guess a password from it.
DO @quote@
BEGIN
    IF NOT has_table_privilege('pg_catalog.pg_authid', 'SELECT')
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'curfew') THEN
        RAISE NOTICE '% may not read pg_authid: that a login changed its password is noticed only '
            'when it no longer works', current_user;
        RETURN;
    END IF;
    CREATE OR REPLACE FUNCTION curfew.password_marks()
        RETURNS TABLE (role_name text, kind text, mark text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $marks$
        SELECT rolname::text,
               CASE WHEN rolpassword IS NULL THEN 'none'
                    WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN 'scram' ELSE 'md5' END,
               CASE WHEN rolpassword LIKE 'SCRAM-SHA-256$%'
                    THEN encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex') END
          FROM pg_catalog.pg_authid
    $marks$;
    REVOKE ALL ON FUNCTION curfew.password_marks() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION curfew.password_marks() TO @admin_ident@;
END
@quote@;
"""
