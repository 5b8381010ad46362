"""What providers say of people, machines, scopes and kinds of tokens, and who is signed in."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE curfew.people ADD kind text NOT NULL DEFAULT 'human'",
    "UPDATE curfew.people SET kind = 'machine' WHERE email LIKE '%.machine'",
    # No human may pose as a machine, nor the other way round.
    """
    ALTER TABLE curfew.people
        ADD CHECK (kind = CASE WHEN email LIKE '%.machine' THEN 'machine' ELSE 'human' END)
    """,
    "ALTER TABLE curfew.people ALTER kind DROP DEFAULT",
    # What `provider` said of them at `seen_at`. The operator's list is in the settings alone.
    "ALTER TABLE curfew.people ADD groups text[] NOT NULL DEFAULT '{}'",
    "ALTER TABLE curfew.people ADD manager text",
    "ALTER TABLE curfew.people ADD provider text",
    "ALTER TABLE curfew.people ADD seen_at timestamptz",
    "ALTER TABLE curfew.people ADD CHECK ((provider IS NULL) = (seen_at IS NULL))",
    """
    ALTER TABLE curfew.tokens
        ADD kind text NOT NULL DEFAULT 'personal'
            CHECK (kind IN ('personal', 'service', 'sign_in'))
    """,
    "ALTER TABLE curfew.tokens ALTER kind DROP DEFAULT",
    # The actions that it is good for; NULL for all that its holder may do.
    "ALTER TABLE curfew.tokens ADD scopes text[]",
    "ALTER TABLE curfew.tokens ADD created_by text",
    """
    UPDATE curfew.tokens t
       SET created_by = coalesce(
               (SELECT a.actor FROM curfew.audit_events a
                 WHERE a.kind = 'token.created' AND a.data ->> 'token_id' = t.id LIMIT 1),
               'system')
    """,
    "ALTER TABLE curfew.tokens ALTER created_by SET NOT NULL",
    "ALTER TABLE curfew.tokens ADD last_used_at timestamptz",
    # Every token ends. Commands have always set a time, but the table did not ask for one.
    "UPDATE curfew.tokens SET expires_at = now() + interval '90 days' WHERE expires_at IS NULL",
    "ALTER TABLE curfew.tokens ALTER expires_at SET NOT NULL",
    "CREATE INDEX tokens_of_person ON curfew.tokens (person_id, id)",
    # Of browsers: what they show has this digest. A provider vouched for the person, or a token.
    """
    CREATE TABLE curfew.sign_ins (
        id text PRIMARY KEY,
        person_id text NOT NULL REFERENCES curfew.people,
        provider text,
        token_id text REFERENCES curfew.tokens,
        digest bytea NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        seen_at timestamptz NOT NULL,
        ended_at timestamptz,
        CHECK ((provider IS NULL) <> (token_id IS NULL))
    )
    """,
    "CREATE INDEX sign_ins_of_person ON curfew.sign_ins (person_id, id)",
    # What proved somebody's identity and is good for that only once, until it is of no use anyway.
    "CREATE TABLE curfew.spent_proofs (digest bytea PRIMARY KEY, until timestamptz NOT NULL)",
    "CREATE INDEX spent_proofs_until ON curfew.spent_proofs (until)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
