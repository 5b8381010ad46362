"""Sealed tickets, and what proxies report about them."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    # A sealed grant's login has keys that come from a ticket's secret, of which the ledger knows
    # nothing.
    "ALTER TABLE curfew.grants ADD sealed boolean NOT NULL DEFAULT false",
    """
    CREATE TABLE curfew.tickets (
        id text PRIMARY KEY,
        grant_id text NOT NULL UNIQUE REFERENCES curfew.grants,
        key_id text NOT NULL,
        access interval NOT NULL CHECK (access > interval '0'),
        expires_at timestamptz NOT NULL,
        sealed_at timestamptz NOT NULL,
        sealed_by text NOT NULL
    )
    """,
    # There should be one at most, and there is one for each state_dir in which the ticket was new.
    # Proxies write them; `followed_at` is when a broker drew its conclusions.
    """
    CREATE TABLE curfew.ticket_uses (
        ticket_id text NOT NULL REFERENCES curfew.tickets,
        worker_id text NOT NULL,
        used_at timestamptz NOT NULL,
        until timestamptz NOT NULL,
        client_address text NOT NULL,
        followed_at timestamptz,
        PRIMARY KEY (ticket_id, worker_id, used_at)
    )
    """,
    "CREATE INDEX ticket_uses_to_follow ON curfew.ticket_uses (used_at) WHERE followed_at IS NULL",
    # How many lines of a worker's journal are in the ledger. Committed with what they say, so that
    # none is taken twice.
    """
    CREATE TABLE curfew.ticket_journals (
        worker_id text PRIMARY KEY,
        lines integer NOT NULL
    )
    """,
    # Sealed grants are in it, so that proxies hear of their end; nobody is found by their logins.
    "DROP VIEW curfew.proxy_logins",
    """
    CREATE VIEW curfew.proxy_logins AS
        SELECT l.name, l.stable_name, l.connection_limit, l.grant_id AS id, g.request_id,
               p.id AS person_id, p.email, p.name AS person_name, g.target, g.database, g.role,
               g.state, g.granted_at, g.expires_at, g.duration, g.end_reason, g.ended_by,
               g.end_comment, g.ended_at, g.attempts, g.next_attempt_at, g.last_error, g.kind,
               g.member, g.networks, g.pin_address, g.pinned_to, g.parameters, g.break_glass,
               g.sealed,
               l.key_id, l.salt, l.iterations, l.stored_key, l.server_key
          FROM curfew.logins l
          JOIN curfew.grants g ON g.id = l.grant_id
          JOIN curfew.people p ON p.id = g.person_id
         WHERE l.stored_key IS NOT NULL OR g.sealed
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
