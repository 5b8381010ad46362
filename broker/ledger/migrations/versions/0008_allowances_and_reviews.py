"""What approvers agree to beforehand, and what has to be written after the glass was broken."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE curfew.allowances (
        id text PRIMARY KEY,
        person_id text NOT NULL REFERENCES curfew.people,
        approver_id text NOT NULL REFERENCES curfew.people,
        target text NOT NULL,
        database text NOT NULL,
        role text NOT NULL,
        policy text NOT NULL,
        duration interval NOT NULL CHECK (duration > interval '0'),
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        reason text NOT NULL,
        made_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revoked_by text,
        CHECK (starts_at < ends_at),
        CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
    )
    """,
    "CREATE INDEX allowances_of_person ON curfew.allowances (person_id, ends_at) "
    "WHERE revoked_at IS NULL",
    "ALTER TABLE curfew.decisions ADD FOREIGN KEY (allowance_id) REFERENCES curfew.allowances",
    """
    CREATE TABLE curfew.reviews (
        grant_id text PRIMARY KEY REFERENCES curfew.grants,
        due_at timestamptz NOT NULL,
        writer_id text REFERENCES curfew.people,
        text text,
        written_at timestamptz,
        CHECK ((writer_id IS NULL) = (written_at IS NULL)),
        CHECK ((text IS NULL) = (written_at IS NULL))
    )
    """,
    "CREATE INDEX reviews_to_write ON curfew.reviews (due_at) WHERE written_at IS NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
