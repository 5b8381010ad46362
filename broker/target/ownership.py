"""Acts as a login, in the databases where it left something: gives it to its role, or undoes it.

The login can no longer be used by anybody, and is lent its role. We act as it by SET ROLE, so that
no more can be done than the person could do; and nobody's code may run meanwhile, as it could undo
the SET ROLE and act as the admin role.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from broker.domain.errors import TargetRefused, TargetUnreachable
from broker.domain.role_ddl import clean_statements
from broker.domain.sqltext import ident
from broker.target.blocked import RemovalBlocked
from broker.target.connect import AdminDb, Target
from broker.target.patience import TRIES, back_off

# https://www.postgresql.org/docs/current/event-trigger-definition.html
TRAPS = """
    SELECT quote_ident(e.evtname) AS trigger, p.oid::regprocedure::text AS function,
           quote_ident(r.rolname) AS owner
      FROM pg_event_trigger e
      JOIN pg_proc p ON p.oid = e.evtfoid
      JOIN pg_roles r ON r.oid = p.proowner
     WHERE e.evtenabled <> 'D' AND NOT r.rolsuper ORDER BY 1
"""


async def give_to_role(target: Target, database: str, login: str, role: str) -> tuple[str, ...]:
    """Give all that the login owns in the database to the role; return what was run.

    Raises RemovalBlocked.
    """
    statements = clean_statements(login, role)
    async with working_in(target, database) as db:
        await _refuse_traps(target, db, database)
        for attempt in range(TRIES):
            try:
                async with db.transaction():
                    await db.execute(f"SET LOCAL ROLE {ident(login)}")
                    for statement in statements:
                        await db.execute(statement)
            except asyncpg.PostgresError as error:
                await back_off(target, error, attempt, "; ".join(statements), database)
            else:
                break
    return statements


async def run_as_login(target: Target, database: str, login: str, statements: Sequence[str]) -> str:
    """Run the statements, all or none; return why they failed, or "". Raises RemovalBlocked."""
    async with working_in(target, database) as db:
        await _refuse_traps(target, db, database)
        await db.execute(f"SET ROLE {ident(login)}")
        try:
            async with db.transaction():
                for statement in statements:
                    await db.execute(statement)
        except asyncpg.PostgresError as error:
            return str(error)
    return ""


@asynccontextmanager
async def working_in(target: Target, database: str) -> AsyncIterator[AdminDb]:
    """Open a database. That it cannot be entered blocks the removal, not the target."""
    try:
        async with target.admin_in(database) as db:
            yield db
    except RemovalBlocked:
        raise
    except (TargetRefused, TargetUnreachable) as error:
        raise RemovalBlocked(
            target.name,
            f"database {database} cannot be worked in: {error.__cause__ or error}; "
            f"let {target.admin_login.user} connect to it",
        ) from error


async def _refuse_traps(target: Target, db: AdminDb, database: str) -> None:
    """Raise RemovalBlocked where DDL would run code of people in our session."""
    traps = [
        f"{row['trigger']} calls {row['function']} of {row['owner']}"
        for row in await db.fetch(TRAPS)
    ]
    if traps:
        raise RemovalBlocked(
            target.name,
            f"in database {database} event trigger {'; '.join(traps)}, who could make it act "
            "with the admin role's rights: let a superuser own the function, or drop the trigger",
        )
