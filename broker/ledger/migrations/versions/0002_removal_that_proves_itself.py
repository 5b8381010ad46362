"""Memberships, quarantine, extension; pictures and findings; chained receipts; alarms."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE curfew.requests ADD kind text NOT NULL DEFAULT 'login' "
    "CHECK (kind IN ('login', 'membership'))",
    "ALTER TABLE curfew.grants ADD kind text NOT NULL DEFAULT 'login' "
    "CHECK (kind IN ('login', 'membership'))",
    "ALTER TABLE curfew.grants ADD member text",
    "ALTER TABLE curfew.grants ADD CHECK ((kind = 'membership') = (member IS NOT NULL))",
    "ALTER TABLE curfew.grants DROP CONSTRAINT grants_state_check",
    "ALTER TABLE curfew.grants ADD CONSTRAINT grants_state_check "
    "CHECK (state IN ('provisioning', 'active', 'revoking', 'quarantined', 'ended'))",
    "ALTER TABLE curfew.grants DROP CONSTRAINT grants_end_reason_check",
    "ALTER TABLE curfew.grants ADD CONSTRAINT grants_end_reason_check CHECK (end_reason IN "
    "('expired', 'relinquished', 'revoked', 'rejected', 'vanished', 'failed'))",
    "ALTER TABLE curfew.grants DROP CONSTRAINT grants_check",
    "ALTER TABLE curfew.grants ADD CONSTRAINT grants_check "
    "CHECK ((state IN ('revoking', 'quarantined', 'ended')) = (end_reason IS NOT NULL))",
    "ALTER TABLE curfew.logins DROP COLUMN handed_out_at",  # the audit trail says it
    "DROP INDEX curfew.grants_to_work_on",
    "CREATE INDEX grants_to_work_on ON curfew.grants (next_attempt_at) "
    "WHERE state IN ('provisioning', 'revoking', 'quarantined')",
    "CREATE INDEX grants_living_on_target ON curfew.grants (target) WHERE state <> 'ended'",
    "CREATE INDEX grants_ended_on_target ON curfew.grants (target, ended_at)",
    # As before, and how the role is given.
    """
    CREATE OR REPLACE VIEW curfew.proxy_logins AS
        SELECT l.name, l.grant_id, g.request_id, p.id AS person_id, p.email, p.name AS person_name,
               g.target, g.database, g.role, g.state, g.granted_at, g.expires_at, g.end_reason,
               g.ended_by, g.end_comment, g.ended_at, g.attempts, g.next_attempt_at, g.last_error,
               l.key_id, l.salt, l.iterations, l.stored_key, l.server_key, g.kind, g.member
          FROM curfew.logins l
          JOIN curfew.grants g ON g.id = l.grant_id
          JOIN curfew.people p ON p.id = g.person_id
         WHERE l.stored_key IS NOT NULL
    """,
    # A membership given to a role that the person has. Its row is the lock under which a broker
    # touches the target. It is ours to take away only if it was found absent before we gave it.
    # The index keeps two grants from giving the same: the end of one would take the other's.
    """
    CREATE TABLE curfew.memberships (
        grant_id text PRIMARY KEY REFERENCES curfew.grants,
        target text NOT NULL,
        role text NOT NULL,
        member text NOT NULL,
        absent_at timestamptz,
        over boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE UNIQUE INDEX memberships_given_once ON curfew.memberships (target, role, member) "
    "WHERE NOT over",
    # What a target's catalog held at a moment. Most are alike, so the items are kept once.
    """
    CREATE TABLE curfew.pictures (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        target text NOT NULL,
        database text NOT NULL,
        taken_at timestamptz NOT NULL,
        digest bytea NOT NULL
    )
    """,
    "CREATE INDEX pictures_newest ON curfew.pictures (target, database, taken_at DESC)",
    """
    CREATE TABLE curfew.picture_bodies (
        digest bytea PRIMARY KEY,
        body jsonb NOT NULL
    )
    """,
    "ALTER TABLE curfew.grants ADD picture_id bigint REFERENCES curfew.pictures",
    """
    CREATE TABLE curfew.findings (
        grant_id text NOT NULL REFERENCES curfew.grants,
        number integer NOT NULL,
        kind text NOT NULL,
        disposition text NOT NULL,
        description text NOT NULL,
        data jsonb NOT NULL,
        PRIMARY KEY (grant_id, number)
    )
    """,
    # Each receipt's hash covers its body and the hash before, so that none can be changed, left
    # out or slipped in. The body is text: jsonb would not give the same bytes back.
    "DROP TABLE curfew.receipts",
    """
    CREATE TABLE curfew.receipts (
        number bigint PRIMARY KEY,
        grant_id text NOT NULL UNIQUE REFERENCES curfew.grants,
        made_at timestamptz NOT NULL,
        proved boolean NOT NULL,
        body text NOT NULL,
        previous bytea NOT NULL,
        hash bytea NOT NULL
    )
    """,
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON curfew.receipts
        FOR EACH STATEMENT EXECUTE FUNCTION curfew.refuse_change()
    """,
    # What a human has to look at, until it is over.
    """
    CREATE TABLE curfew.alarms (
        id text PRIMARY KEY,
        key text NOT NULL,
        target text,
        grant_id text REFERENCES curfew.grants,
        message text NOT NULL,
        raised_at timestamptz NOT NULL,
        cleared_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX alarms_open ON curfew.alarms (key) WHERE cleared_at IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
