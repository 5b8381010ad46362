"""Requests for others, several approvals, comments, escalation; grants that wait to be used."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Who is to get it; who asked is mostly the same. Their groups and manager of that time, so that
    # other policies can be tried on past requests.
    "ALTER TABLE curfew.requests ADD person_id text REFERENCES curfew.people",
    "UPDATE curfew.requests SET person_id = requester_id",
    "ALTER TABLE curfew.requests ALTER person_id SET NOT NULL",
    "ALTER TABLE curfew.requests ADD person_groups text[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE curfew.requests ADD person_manager text",
    "ALTER TABLE curfew.requests ADD why text[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE curfew.requests ADD policy_version bigint",
    "ALTER TABLE curfew.requests ADD escalated_at timestamptz",
    "ALTER TABLE curfew.requests ADD extends text REFERENCES curfew.grants",
    "DROP INDEX curfew.requests_of_person",
    "CREATE INDEX requests_of_person ON curfew.requests (person_id, id)",
    "CREATE INDEX requests_by_requester ON curfew.requests (requester_id, id) "
    "WHERE requester_id <> person_id",
    "CREATE INDEX requests_of_grant ON curfew.requests (extends) WHERE extends IS NOT NULL",
    # What each approver gives; the strictest holds. NULL networks: as asked for.
    "ALTER TABLE curfew.decisions ADD networks cidr[]",
    "ALTER TABLE curfew.decisions ADD pin_address boolean NOT NULL DEFAULT false",
    "ALTER TABLE curfew.decisions ADD break_glass boolean NOT NULL DEFAULT false",
    "ALTER TABLE curfew.decisions ADD allowance_id text",
    "CREATE UNIQUE INDEX decisions_once ON curfew.decisions "
    "(request_id, decider_id, verdict, break_glass)",
    """
    CREATE TABLE curfew.comments (
        id text PRIMARY KEY,
        request_id text NOT NULL REFERENCES curfew.requests,
        author_id text NOT NULL REFERENCES curfew.people,
        text text NOT NULL CHECK (text <> ''),
        made_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX comments_on_request ON curfew.comments (request_id)",
    # People on call who are to be paged about an escalated request. Done until `paged_at` is set.
    """
    CREATE TABLE curfew.pages (
        request_id text NOT NULL REFERENCES curfew.requests,
        schedule text NOT NULL,
        paged_at timestamptz,
        attempts integer NOT NULL DEFAULT 0,
        next_attempt_at timestamptz NOT NULL,
        last_error text,
        PRIMARY KEY (request_id, schedule)
    )
    """,
    "CREATE INDEX pages_due ON curfew.pages (next_attempt_at) WHERE paged_at IS NULL",
    # How long a grant lasts from its start. A waiting one has not started, and ends unused.
    "ALTER TABLE curfew.grants ADD duration interval",
    "UPDATE curfew.grants SET duration = expires_at - granted_at",
    "ALTER TABLE curfew.grants ALTER duration SET NOT NULL",
    "ALTER TABLE curfew.grants ADD parameters jsonb NOT NULL DEFAULT '[]'",
    "ALTER TABLE curfew.grants ADD break_glass boolean NOT NULL DEFAULT false",
    "ALTER TABLE curfew.grants DROP CONSTRAINT grants_state_check",
    "ALTER TABLE curfew.grants ADD CONSTRAINT grants_state_check CHECK (state IN "
    "('waiting', 'provisioning', 'active', 'revoking', 'quarantined', 'ended'))",
    "CREATE INDEX grants_living_of_person ON curfew.grants (person_id) WHERE state <> 'ended'",
    "DROP VIEW curfew.proxy_logins",
    """
    CREATE VIEW curfew.proxy_logins AS
        SELECT l.name, l.stable_name, l.connection_limit, l.grant_id AS id, g.request_id,
               p.id AS person_id, p.email, p.name AS person_name, g.target, g.database, g.role,
               g.state, g.granted_at, g.expires_at, g.duration, g.end_reason, g.ended_by,
               g.end_comment, g.ended_at, g.attempts, g.next_attempt_at, g.last_error, g.kind,
               g.member, g.networks, g.pin_address, g.pinned_to, g.parameters, g.break_glass,
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
