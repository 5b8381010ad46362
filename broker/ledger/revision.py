"""Which revision this code was written for, and whether the ledger is at it.

Apart from `migrate`, so that nobody loads the migration tools only to ask.
"""

from pathlib import Path

import asyncpg

from broker.domain.errors import Conflict
from broker.ledger.connection import LedgerLogin, connect

_REVISIONS = Path(__file__).parent / "migrations" / "versions"


class LedgerOutdated(Conflict):
    code = "ledger-outdated"

    def __init__(self, found: str | None, wanted: str) -> None:
        super().__init__(
            f"the ledger is at revision {found or 'none'}, this pgcurfew needs {wanted}: "
            "run pgcurfew migrate"
        )


def newest_revision() -> str:
    """Return the newest revision: files are named `<revision>_<what>.py`, in order."""
    return max(path.name.partition("_")[0] for path in _REVISIONS.glob("[0-9]*_*.py"))


async def require_newest(login: LedgerLogin) -> None:
    """Raise LedgerOutdated unless the ledger is at the newest revision, or LedgerUnavailable."""
    connection = await connect(login, "pgcurfew")
    try:
        found = await connection.fetchval("SELECT version_num FROM curfew.alembic_version")
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        found = None
    finally:
        await connection.close()
    if found != newest_revision():
        raise LedgerOutdated(found, newest_revision())
