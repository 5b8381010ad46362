"""What approvers look up: what they decided lately, and how often somebody asked for a role."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX decisions_by_decider ON curfew.decisions (decider_id, id)",
    "CREATE INDEX requests_for_role ON curfew.requests (person_id, role, target, state)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
