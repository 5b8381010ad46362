"""The functions that `pgcurfew bootstrap --restricted` installs in schema curfew.

Signatures are what broker.domain.role_ddl calls. No statement is put together but by format() with
%I and %L. Lock timeouts are the caller's.
"""

# `set_role` is the caller's to carry out, as the login itself: PostgreSQL lets no SECURITY DEFINER
# function set role, not even with ALTER ROLE.
MAKE_LOGIN = """
-- Makes a login without a password, with one membership.
CREATE OR REPLACE FUNCTION curfew.make_login(
    login text, catalog_role text, valid_until timestamptz, connection_limit int, comment text,
    inherit boolean, set_role boolean, parameters jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
DECLARE
    parameter record;
BEGIN
    PERFORM curfew.require_login_name(login);
    PERFORM curfew.require_catalog_role(catalog_role);
    PERFORM curfew.require_mark(comment);
    IF (isfinite(valid_until) AND connection_limit BETWEEN 0 AND 10000) IS NOT TRUE
       OR inherit IS NULL OR set_role IS NULL
       OR (jsonb_typeof(parameters) = 'object') IS NOT TRUE THEN
        RAISE EXCEPTION 'a login needs an end, a limit and its options'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN %s NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION '
                   'NOBYPASSRLS VALID UNTIL %L CONNECTION LIMIT %s',
        login, CASE WHEN inherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
        to_char(valid_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        connection_limit);
    EXECUTE format('COMMENT ON ROLE %I IS %L', login, comment);
    FOR parameter IN SELECT p.key, p.value FROM jsonb_each(parameters) AS p LOOP
        PERFORM curfew.set_parameter(login, parameter.key, parameter.value);
    END LOOP;
    EXECUTE format('GRANT %I TO %I', catalog_role, login);
    EXECUTE format('GRANT %I TO %I', login, @admin@);
END
@quote@;
"""

SET_PARAMETER = """
-- Called by make_login. A parameter that any user may set, and not one that changes who acts.
CREATE OR REPLACE FUNCTION curfew.set_parameter(login text, parameter text, wanted jsonb)
    RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS @quote@
DECLARE
    value text;
BEGIN
    IF parameter IN ('role', 'session_authorization')
       OR NOT EXISTS (SELECT FROM pg_settings s
                       WHERE lower(s.name) = parameter AND s.context = 'user') THEN
        RAISE EXCEPTION 'parameter "%" may not be set on a login', parameter
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF jsonb_typeof(wanted) = 'array' THEN
        SELECT string_agg(quote_ident(e.name), ', ' ORDER BY e.nr) INTO value
          FROM jsonb_array_elements_text(wanted) WITH ORDINALITY AS e (name, nr);
    ELSIF jsonb_typeof(wanted) = 'string' THEN
        value := quote_literal(wanted #>> '{}');
    END IF;
    IF value IS NULL THEN
        RAISE EXCEPTION 'parameter "%" needs text, or a list of names', parameter
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('ALTER ROLE %I SET %I = ', login, parameter) || value;
END
@quote@;
"""

# Whatever fails must not carry the statement, which holds the verifier, into a log.
SET_VERIFIER = """
CREATE OR REPLACE FUNCTION curfew.set_verifier(login text, verifier text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_login(login);
    BEGIN
        IF (verifier ~ @verifier_pattern@) IS NOT TRUE THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value';
        END IF;
        EXECUTE format('ALTER ROLE %I PASSWORD %L', login, verifier);
    EXCEPTION WHEN OTHERS THEN
        RAISE EXCEPTION 'giving the login its keys failed' USING ERRCODE = SQLSTATE;
    END;
END
@quote@;
"""

CHANGE_LOGIN = """
CREATE OR REPLACE FUNCTION curfew.disable_login(login text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_login(login);
    EXECUTE format('ALTER ROLE %I NOLOGIN PASSWORD NULL VALID UNTIL %L CONNECTION LIMIT 0',
        login, 'epoch');
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.set_valid_until(login text, valid_until timestamptz)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_login(login);
    IF isfinite(valid_until) IS NOT TRUE THEN
        RAISE EXCEPTION 'a login needs an end' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('ALTER ROLE %I VALID UNTIL %L', login,
        to_char(valid_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'));
END
@quote@;

-- What a login that can no longer log in needs to give all it owns to its role.
CREATE OR REPLACE FUNCTION curfew.lend_role(login text, catalog_role text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_login(login);
    PERFORM curfew.require_catalog_role(catalog_role);
    EXECUTE format('ALTER ROLE %I INHERIT', login);
    EXECUTE format('GRANT %I TO %I', catalog_role, login);
END
@quote@;
"""

REMOVE_LOGIN = """
CREATE OR REPLACE FUNCTION curfew.revoke_memberships(login text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
DECLARE
    each record;
BEGIN
    PERFORM curfew.require_login(login);
    FOR each IN
        SELECT g.rolname
          FROM pg_auth_members m
          JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
         WHERE r.rolname = login
    LOOP
        EXECUTE format('REVOKE %I FROM %I', each.rolname, login);
    END LOOP;
END
@quote@;

-- For a disabled login that something holds.
CREATE OR REPLACE FUNCTION curfew.quarantine_login(login text, new_name text, comment text)
    RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_login(login);
    PERFORM curfew.require_login_name(new_name);
    PERFORM curfew.require_mark(comment);
    EXECUTE format('ALTER ROLE %I RESET ALL', login);
    IF new_name <> login THEN
        EXECUTE format('ALTER ROLE %I RENAME TO %I', login, new_name);
    END IF;
    EXECUTE format('COMMENT ON ROLE %I IS %L', new_name, comment);
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.drop_login(login text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_login(login);
    EXECUTE format('DROP ROLE %I', login);
END
@quote@;
"""

# Taking away is allowed where giving is not: the person may have lost LOGIN meanwhile.
MEMBERSHIPS = """
-- For catalog roles that are given to a person's own role for a while.
CREATE OR REPLACE FUNCTION curfew.grant_membership(catalog_role text, member text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    PERFORM curfew.require_catalog_role(catalog_role);
    PERFORM curfew.require_member(member);
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = grant_membership.member
                      AND r.rolcanlogin) THEN
        RAISE EXCEPTION '% is not the role of a person: it cannot log in', member
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('GRANT %I TO %I', catalog_role, member);
END
@quote@;

CREATE OR REPLACE FUNCTION curfew.revoke_membership(catalog_role text, member text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS @quote@
BEGIN
    IF (catalog_role IN (SELECT curfew.catalog_roles())) IS NOT TRUE THEN
        RAISE EXCEPTION '% is not a catalog role', coalesce(catalog_role, 'NULL')
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM curfew.require_member(member);
    EXECUTE format('REVOKE %I FROM %I', catalog_role, member);
END
@quote@;
"""

# In the order in which they may be made: a function is checked when it is first called.
ALL = (SET_PARAMETER, MAKE_LOGIN, SET_VERIFIER, CHANGE_LOGIN, REMOVE_LOGIN, MEMBERSHIPS)

# What the admin role may call.
SIGNATURES = (
    "curfew.catalog_roles()",
    "curfew.make_login(text, text, timestamptz, int, text, boolean, boolean, jsonb)",
    "curfew.set_verifier(text, text)",
    "curfew.disable_login(text)",
    "curfew.set_valid_until(text, timestamptz)",
    "curfew.lend_role(text, text)",
    "curfew.revoke_memberships(text)",
    "curfew.quarantine_login(text, text, text)",
    "curfew.drop_login(text)",
    "curfew.grant_membership(text, text)",
    "curfew.revoke_membership(text, text)",
)
