"""The first ledger: people, requests, decisions, grants, logins, sessions, receipts, audit."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    # Tells our logins on a shared target from those of another pgcurfew.
    """
    CREATE TABLE curfew.installation (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        id text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '')
    )
    """,
    "INSERT INTO curfew.installation DEFAULT VALUES",
    """
    CREATE TABLE curfew.people (
        id text PRIMARY KEY,
        email text NOT NULL UNIQUE CHECK (email = lower(email)),
        name text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE curfew.tokens (
        id text PRIMARY KEY,
        person_id text NOT NULL REFERENCES curfew.people,
        digest bytea NOT NULL UNIQUE,
        label text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz
    )
    """,
    """
    CREATE TABLE curfew.requests (
        id text PRIMARY KEY,
        requester_id text NOT NULL REFERENCES curfew.people,
        target text NOT NULL,
        database text NOT NULL,
        role text NOT NULL,
        duration interval NOT NULL CHECK (duration > interval '0'),
        reason text NOT NULL,
        source text,
        policy text NOT NULL,
        state text NOT NULL
            CHECK (state IN ('pending', 'approved', 'denied', 'cancelled', 'lapsed')),
        created_at timestamptz NOT NULL,
        lapses_at timestamptz NOT NULL,
        closed_at timestamptz,
        CHECK ((state = 'pending') = (closed_at IS NULL))
    )
    """,
    "CREATE INDEX requests_of_person ON curfew.requests (requester_id, id)",
    "CREATE INDEX requests_pending ON curfew.requests (lapses_at) WHERE state = 'pending'",
    """
    CREATE TABLE curfew.decisions (
        id text PRIMARY KEY,
        request_id text NOT NULL REFERENCES curfew.requests,
        decider_id text NOT NULL REFERENCES curfew.people,
        verdict text NOT NULL CHECK (verdict IN ('approval', 'denial')),
        duration interval,
        comment text NOT NULL,
        decided_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX decisions_of_request ON curfew.decisions (request_id)",
    """
    CREATE TABLE curfew.grants (
        id text PRIMARY KEY,
        request_id text NOT NULL UNIQUE REFERENCES curfew.requests,
        person_id text NOT NULL REFERENCES curfew.people,
        target text NOT NULL,
        database text NOT NULL,
        role text NOT NULL,
        state text NOT NULL CHECK (state IN ('provisioning', 'active', 'revoking', 'ended')),
        granted_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        end_reason text
            CHECK (end_reason IN ('expired', 'relinquished', 'revoked', 'rejected', 'failed')),
        ended_by text,
        end_comment text,
        ended_at timestamptz,
        attempts integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz,
        last_error text,
        CHECK ((state IN ('revoking', 'ended')) = (end_reason IS NOT NULL)),
        CHECK ((state = 'ended') = (ended_at IS NOT NULL))
    )
    """,
    "CREATE INDEX grants_of_person ON curfew.grants (person_id, id)",
    "CREATE INDEX grants_to_expire ON curfew.grants (expires_at) "
    "WHERE state IN ('provisioning', 'active')",
    "CREATE INDEX grants_to_work_on ON curfew.grants (next_attempt_at) "
    "WHERE state IN ('provisioning', 'revoking')",
    # The login of a grant. Its row is the lock under which a broker touches the target, so it
    # stays apart from the grant, whose state must be free to move meanwhile.
    """
    CREATE TABLE curfew.logins (
        grant_id text PRIMARY KEY REFERENCES curfew.grants,
        name text NOT NULL UNIQUE,
        oid oid,
        connection_limit integer NOT NULL,
        key_id text,
        salt bytea,
        iterations integer,
        stored_key bytea,
        server_key bytea,
        handed_out_at timestamptz,
        rejected_at timestamptz
    )
    """,
    "CREATE INDEX logins_rejected ON curfew.logins (rejected_at) WHERE rejected_at IS NOT NULL",
    """
    CREATE TABLE curfew.workers (
        id text PRIMARY KEY,
        description text NOT NULL,
        seen_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE curfew.sessions (
        id text PRIMARY KEY,
        grant_id text NOT NULL REFERENCES curfew.grants,
        worker_id text NOT NULL,
        client_address text NOT NULL,
        client_application text NOT NULL,
        started_at timestamptz NOT NULL,
        ended_at timestamptz,
        end_reason text,
        bytes_from_client bigint,
        bytes_to_client bigint,
        CHECK ((ended_at IS NULL) = (end_reason IS NULL))
    )
    """,
    "CREATE INDEX sessions_of_grant ON curfew.sessions (grant_id, id)",
    "CREATE INDEX sessions_open ON curfew.sessions (worker_id) WHERE ended_at IS NULL",
    """
    CREATE TABLE curfew.receipts (
        grant_id text PRIMARY KEY REFERENCES curfew.grants,
        made_at timestamptz NOT NULL,
        facts jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE curfew.audit_events (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        kind text NOT NULL,
        request_id text,
        grant_id text,
        session_id text,
        data jsonb NOT NULL
    )
    """,
    "CREATE INDEX audit_events_of_request ON curfew.audit_events (request_id)",
    "CREATE INDEX audit_events_of_grant ON curfew.audit_events (grant_id)",
    """
    CREATE FUNCTION curfew.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON curfew.audit_events
        FOR EACH STATEMENT EXECUTE FUNCTION curfew.refuse_change()
    """,
    # All that a proxy may know of a login. Ended grants stay in it: whoever still holds the
    # secret is told why it no longer works.
    """
    CREATE VIEW curfew.proxy_logins AS
        SELECT l.name, l.grant_id, g.request_id, p.id AS person_id, p.email, p.name AS person_name,
               g.target, g.database, g.role, g.state, g.granted_at, g.expires_at, g.end_reason,
               g.ended_by, g.end_comment, g.ended_at, g.attempts, g.next_attempt_at, g.last_error,
               l.key_id, l.salt, l.iterations, l.stored_key, l.server_key
          FROM curfew.logins l
          JOIN curfew.grants g ON g.id = l.grant_id
          JOIN curfew.people p ON p.id = g.person_id
         WHERE l.stored_key IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
