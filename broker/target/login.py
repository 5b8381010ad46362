"""Makes a login on a target, and gives it the keys of a secret."""

import io
from contextlib import suppress
from datetime import datetime

import asyncpg

from broker.domain.credential import VERIFIER_PATTERN
from broker.domain.errors import TargetRefused
from broker.domain.login_plan import LoginPlan, read_mark
from broker.domain.sqltext import literal
from broker.target.connect import AdminDb, Target, Turn

_FIND = """
    SELECT oid, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1
"""
_GONE, _EXISTS = "42704", "42710"
_PATTERN = literal(VERIFIER_PATTERN).strip()
_LOCAL_TIMEOUTS = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'"

# The verifier travels only as COPY data, and the statement that uses it is constant: so it shows
# up in no server log, no pg_stat_activity and no pg_stat_statements, whatever they are set to.
# The handler hides the text of a failing ALTER ROLE, which PostgreSQL would put into CONTEXT.
_HANDOUT_TABLE = """
    CREATE TEMP TABLE curfew_handout (login oid, verifier text) ON COMMIT DELETE ROWS
"""
_HANDOUT = """
DO $handout$
DECLARE given record;
BEGIN
    FOR given IN
        SELECT r.rolname, h.verifier
          FROM pg_temp.curfew_handout h JOIN pg_roles r ON r.oid = h.login
    LOOP
        BEGIN
            IF given.verifier !~ {pattern} THEN
                RAISE EXCEPTION USING ERRCODE = '22023';
            END IF;
            {set_verifier}
        EXCEPTION WHEN OTHERS THEN
            RAISE EXCEPTION 'giving the login its keys failed' USING ERRCODE = SQLSTATE;
        END;
    END LOOP;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the login does not exist' USING ERRCODE = '42704';
    END IF;
END $handout$
"""


async def make_login(target: Target, plan: LoginPlan, turn: Turn) -> int:
    """Make the login and return its OID, or the OID of the one that an earlier try left.

    One transaction, in one round trip: the login exists with its membership and comment, or not at
    all. `turn` is held around role DDL. Raises TargetUnreachable or TargetRefused.
    """
    async with target.admin() as db:
        statements = (_LOCAL_TIMEOUTS, *target.ddl(db).make_login(plan))
        # An earlier try may have made it, and we lost the answer; then it is there, marked as ours.
        with suppress(asyncpg.DuplicateObjectError):
            async with turn():
                # Several statements in one simple query are one transaction.
                await db.execute(";".join(statements))
        row = await db.fetchrow(_FIND, plan.name)
        if row is None:
            raise TargetRefused(target.name, _GONE, f"role {plan.name} was dropped at once")
        if read_mark(row["comment"]) != plan.mark:
            why = f"role {plan.name} exists and is not this grant's"
            raise TargetRefused(target.name, _EXISTS, why)
        return int(row["oid"])


async def move_curfew(target: Target, oid: int, until: datetime) -> None:
    """Let PostgreSQL's own curfew of the login be `until`."""
    async with target.admin() as db:
        name = await db.fetchval("SELECT rolname FROM pg_roles WHERE oid = $1", oid)
        if name is None:
            raise TargetRefused(target.name, _GONE, "the login does not exist")
        await db.execute(target.ddl(db).set_valid_until(name, until))


async def give_keys(target: Target, oid: int, verifier: str) -> None:
    """Replace the login's verifier by `verifier`, which credential.verifier_text made."""
    async with target.admin() as db:
        try:
            await _hand_out(target, db, oid, verifier)
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            # The first time on this connection.
            await db.execute(_HANDOUT_TABLE)
            await _hand_out(target, db, oid, verifier)


async def _hand_out(target: Target, db: AdminDb, oid: int, verifier: str) -> None:
    async with db.transaction():
        await db.copy_to_table(
            "curfew_handout",
            schema_name="pg_temp",
            source=io.BytesIO(f"{oid}\t{verifier}\n".encode()),
        )
        await db.execute(
            _HANDOUT.format(pattern=_PATTERN, set_verifier=target.ddl(db).set_verifier)
        )
