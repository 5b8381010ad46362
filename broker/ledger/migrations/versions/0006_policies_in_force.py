"""Which policies and settings were in force since when."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS: tuple[str, ...] = (
    # `environment` names the variables that win over what the text says, never their values.
    """
    CREATE TABLE curfew.policy_versions (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        kind text NOT NULL CHECK (kind IN ('policies', 'settings')),
        digest bytea NOT NULL,
        text text NOT NULL,
        environment text[] NOT NULL,
        loaded_at timestamptz NOT NULL,
        loaded_by text NOT NULL
    )
    """,
    "CREATE INDEX policy_versions_of_kind ON curfew.policy_versions (kind, number)",
    """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON curfew.policy_versions
        FOR EACH STATEMENT EXECUTE FUNCTION curfew.refuse_change()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
