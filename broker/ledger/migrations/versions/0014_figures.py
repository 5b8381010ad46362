"""What the figures of the overview are read from."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX grants_by_end ON curfew.grants (ended_at) WHERE ended_at IS NOT NULL",
    # All that is asked of blocks without reading the hashes of their rows.
    "CREATE INDEX statement_blocks_in_sum ON curfew.statement_blocks (number) "
    "INCLUDE (sealed_at, rows)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
