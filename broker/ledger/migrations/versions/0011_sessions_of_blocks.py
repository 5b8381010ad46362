"""Which sessions a block of statements is about, so that who follows need not read its rows."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    # Unknown of the blocks before this. It is in no hash: the rows themselves say the same.
    "ALTER TABLE curfew.statement_blocks ADD COLUMN sessions text[]",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
