"""SQL of `pgcurfew bootstrap --restricted`: functions instead of CREATEROLE, for 13 to 15.

Up to 15 a role with CREATEROLE can make itself a superuser. Here the admin role has no such right;
it may call SECURITY DEFINER functions that only make, change and remove logins as pgcurfew makes
them, and only with the catalog roles of the settings. Whoever holds the admin role can still take
any of those roles, which is what a broker is for; and nothing else.

They run as whoever installed them, so each argument is checked as if an attacker had sent it, also
for NULL (IS NOT TRUE), and no name is looked up but in pg_catalog. What checks them is here, what
they do is in broker.domain.bootstrap.functions, and broker.domain.role_ddl calls them.
"""

GUARD = """
-- Only where CREATEROLE is as good as superuser.
DO @quote@
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        RAISE EXCEPTION USING MESSAGE = @already_limited@;
    END IF;
END
@quote@;
"""

WITHOUT_ADMIN_OPTION = """
-- It may grant nothing by itself, as it could after bootstrap without --restricted.
DO @quote@
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT r.rolname
          FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
         WHERE m.member = quote_ident(@admin@)::regrole AND NOT starts_with(r.rolname::text, 'jit_')
           AND (m.admin_option OR r.rolname = ANY (@roles@))
    LOOP
        EXECUTE format('REVOKE %I FROM %I', each.rolname, @admin@);
        RAISE NOTICE '% may no longer grant % by itself', @admin@, each.rolname;
    END LOOP;
    FOR each IN
        SELECT wanted.name FROM unnest(@roles@) AS wanted (name)
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = wanted.name)
    LOOP
        RAISE WARNING 'role % does not exist: make it NOLOGIN and grant it what it is for',
            each.name;
    END LOOP;
END
@quote@;
"""

# Called by the functions below, as their owner. Nobody else may.
CHECKS = """
DO @quote@
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc p
                     JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
                    WHERE n.nspname = 'curfew' AND p.proname = 'make_login') THEN
        RAISE NOTICE 'made the functions of schema curfew, which act as %', current_user;
    END IF;
END
@quote@;

-- What may be granted: the catalog roles of the settings. Run bootstrap again when they change.
CREATE OR REPLACE FUNCTION curfew.catalog_roles() RETURNS SETOF text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS @quote@ SELECT unnest(@roles@) @quote@;

CREATE OR REPLACE FUNCTION curfew.require_catalog_role(catalog_role text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    IF (catalog_role IN (SELECT curfew.catalog_roles())) IS NOT TRUE THEN
        RAISE EXCEPTION '% is not a catalog role: run pgcurfew bootstrap --restricted again',
            coalesce(catalog_role, 'NULL') USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF EXISTS (SELECT FROM pg_roles r
                WHERE (r.rolsuper OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls
                       OR r.rolname IN (@admin@, 'pg_execute_server_program',
                                        'pg_write_server_files', 'pg_read_server_files'))
                  AND pg_has_role(catalog_role, r.oid, 'MEMBER')) THEN
        RAISE EXCEPTION 'catalog role % is too powerful to be given', catalog_role
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.require_login_name(login text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    IF (login ~ '^jit_[a-z0-9_]{1,59}$') IS NOT TRUE THEN
        RAISE EXCEPTION 'not the name of a login of pgcurfew'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.require_mark(comment text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS @quote@
DECLARE
    marked boolean := false;
BEGIN
    BEGIN
        marked := comment::jsonb ? 'pgcurfew' AND jsonb_typeof(comment::jsonb) = 'object';
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- no JSON at all
    END;
    IF marked IS NOT TRUE THEN
        RAISE EXCEPTION 'the comment does not mark a login of pgcurfew'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.require_login(login text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS @quote@
DECLARE
    found_role record;
BEGIN
    PERFORM curfew.require_login_name(login);
    SELECT r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls
               AS powerful, shobj_description(r.oid, 'pg_authid') AS comment
      INTO found_role FROM pg_roles r WHERE r.rolname = login;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'role "%" does not exist', login USING ERRCODE = 'undefined_object';
    END IF;
    IF found_role.powerful THEN
        RAISE EXCEPTION 'role % has powers that no login of pgcurfew has', login
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM curfew.require_mark(found_role.comment);
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.require_member(member text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    IF starts_with(member, 'jit_') IS NOT FALSE OR member IN (@admin@, @login@)
       OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = member AND NOT r.rolsuper) THEN
        RAISE EXCEPTION '% is not the role of a person', coalesce(member, 'NULL')
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
@quote@;
"""

# The checks stay with the owner alone.
PRIVILEGES = """
REVOKE ALL ON FUNCTION
    curfew.require_catalog_role(text),
    curfew.require_login_name(text),
    curfew.require_mark(text),
    curfew.require_login(text),
    curfew.require_member(text),
    curfew.set_parameter(text, text, jsonb),
    @functions@
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    @functions@
    TO @admin_ident@;
"""
