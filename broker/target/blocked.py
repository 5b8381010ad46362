"""Why a removal does not go on, in words that tell an operator what to do."""

import asyncpg

from broker.domain.errors import TargetRefused

_INSUFFICIENT_PRIVILEGE = "42501"


class RemovalBlocked(TargetRefused):
    """Something holds the login: a backend that does not die, a lock, an object of another's.

    `quarantined`: it has no access any more all the same.
    """

    code = "removal-blocked"

    def __init__(
        self, target: str, why: str, sqlstate: str = "55006", *, quarantined: bool = False
    ) -> None:
        super().__init__(target, sqlstate, why)
        self.why = why
        self.quarantined = quarantined


def blocked_by(
    target: str, error: asyncpg.PostgresError, statement: str, database: str
) -> RemovalBlocked:
    """Return what PostgreSQL's refusal of a statement means for the removal."""
    sqlstate = error.sqlstate or "XX000"
    said = " ".join(filter(None, (str(error), error.detail)))
    if sqlstate == _INSUFFICIENT_PRIVILEGE:
        return RemovalBlocked(
            target,
            f"the admin role may no longer do this ({said}); a superuser must give the privilege "
            f"back (pgcurfew doctor {target} says which), or run in database {database}: "
            f"{statement}",
            sqlstate,
        )
    return RemovalBlocked(target, f"in database {database}, {statement}: {said}", sqlstate)
