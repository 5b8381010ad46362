"""Calls that a client may repeat without doing a thing twice: idempotency keys."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATEMENTS = (
    # One call by one person. Without `answered_at` it is under way, or its process has died; with
    # it and no `status`, nobody knows what it did; with a status and no body, its answer held a
    # secret, which is not kept.
    """
    CREATE TABLE curfew.idempotency_keys (
        person_id text NOT NULL REFERENCES curfew.people,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        began_at timestamptz NOT NULL,
        answered_at timestamptz,
        status integer,
        content_type text,
        body text,
        PRIMARY KEY (person_id, key)
    )
    """,
    "CREATE INDEX idempotency_keys_by_age ON curfew.idempotency_keys (began_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
