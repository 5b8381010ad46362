"""Stable user names, networks and pinned addresses of grants, killed sessions, bans."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    # What a person is called in user names: the local part of their e-mail address, or all of it if
    # somebody else was there first. It never changes.
    "ALTER TABLE curfew.people ADD handle text",
    """
    UPDATE curfew.people p
       SET handle = CASE WHEN EXISTS (
                   SELECT FROM curfew.people other
                    WHERE split_part(other.email, '@', 1) = split_part(p.email, '@', 1)
                      AND (other.created_at, other.id) < (p.created_at, p.id))
               THEN p.email ELSE split_part(p.email, '@', 1) END
    """,
    "ALTER TABLE curfew.people ALTER handle SET NOT NULL",
    "ALTER TABLE curfew.people ADD UNIQUE (handle)",
    # A user name that leads to whichever grant of this role the person has.
    "ALTER TABLE curfew.logins ADD stable_name text",
    """
    UPDATE curfew.logins l SET stable_name = concat_ws('.', p.handle, g.target, g.role)
      FROM curfew.grants g JOIN curfew.people p ON p.id = g.person_id
     WHERE g.id = l.grant_id
    """,
    "ALTER TABLE curfew.logins ALTER stable_name SET NOT NULL",
    "CREATE INDEX logins_by_stable_name ON curfew.logins (stable_name, grant_id)",
    # No networks: from anywhere. A pinned grant takes the address of its first session.
    "ALTER TABLE curfew.requests ADD networks cidr[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE curfew.requests ADD pin_address boolean NOT NULL DEFAULT false",
    "ALTER TABLE curfew.grants ADD networks cidr[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE curfew.grants ADD pin_address boolean NOT NULL DEFAULT false",
    "ALTER TABLE curfew.grants ADD pinned_to inet",
    "ALTER TABLE curfew.grants ADD CHECK (pin_address OR pinned_to IS NULL)",
    "ALTER TABLE curfew.sessions ADD client_certificate text",
    "ALTER TABLE curfew.sessions ADD killed_by text",
    "ALTER TABLE curfew.sessions ADD killed_at timestamptz",
    # Wrong secrets, counted by address and by user name: `key` says which.
    """
    CREATE TABLE curfew.bans (
        key text PRIMARY KEY,
        failures integer NOT NULL,
        first_failure_at timestamptz NOT NULL,
        banned_until timestamptz
    )
    """,
    "CREATE INDEX bans_live ON curfew.bans (banned_until) WHERE banned_until IS NOT NULL",
    "DROP VIEW curfew.proxy_logins",
    """
    CREATE VIEW curfew.proxy_logins AS
        SELECT l.name, l.stable_name, l.connection_limit, l.grant_id AS id, g.request_id,
               p.id AS person_id, p.email, p.name AS person_name, g.target, g.database, g.role,
               g.state, g.granted_at, g.expires_at, g.end_reason, g.ended_by, g.end_comment,
               g.ended_at, g.attempts, g.next_attempt_at, g.last_error, g.kind, g.member,
               g.networks, g.pin_address, g.pinned_to,
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
