"""Makes a login on a target, and gives it the keys of a secret."""

import io

import asyncpg

from broker.domain.credential import VERIFIER_PATTERN
from broker.domain.errors import TargetRefused
from broker.domain.login_plan import LoginPlan, create_statements, read_mark
from broker.domain.sqltext import literal
from broker.target.connect import AdminDb, Target

_FIND = """
    SELECT oid, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1
"""
_LOCAL_TIMEOUTS = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'"

# The verifier travels only as COPY data, and the statement that uses it is constant: so it shows
# up in no server log, no pg_stat_activity and no pg_stat_statements, whatever they are set to.
# The handler hides the text of a failing ALTER ROLE, which PostgreSQL would put into CONTEXT.
_HANDOUT_TABLE = """
    CREATE TEMP TABLE IF NOT EXISTS curfew_handout (login oid, verifier text)
    ON COMMIT DELETE ROWS
"""
_HANDOUT = f"""
DO $handout$
DECLARE given record;
BEGIN
    FOR given IN
        SELECT r.rolname, h.verifier
          FROM pg_temp.curfew_handout h JOIN pg_roles r ON r.oid = h.login
    LOOP
        BEGIN
            IF given.verifier !~ {literal(VERIFIER_PATTERN).strip()} THEN
                RAISE EXCEPTION USING ERRCODE = '22023';
            END IF;
            EXECUTE format('ALTER ROLE %I PASSWORD %L', given.rolname, given.verifier);
        EXCEPTION WHEN OTHERS THEN
            RAISE EXCEPTION 'giving the login its keys failed' USING ERRCODE = SQLSTATE;
        END;
    END LOOP;
END $handout$
"""  # noqa: S608  (constant text)


async def make_login(target: Target, plan: LoginPlan) -> int:
    """Make the login and return its OID, or the OID of the one that an earlier try left.

    One transaction: the login exists with its membership and comment, or not at all. Raises
    TargetUnreachable or TargetRefused.
    """
    async with target.admin() as db:
        if (oid := await _find_ours(db, target.name, plan)) is not None:
            return oid
        async with db.transaction():
            await db.execute(_LOCAL_TIMEOUTS)
            for statement in create_statements(plan, server_version(db)):
                await db.execute(statement)
            row = await db.fetchrow(_FIND, plan.name)
            assert row is not None
            return int(row["oid"])


async def give_keys(target: Target, oid: int, verifier: str) -> None:
    """Replace the login's verifier by `verifier`, which credential.verifier_text made."""
    async with target.admin() as db:
        await db.execute(_HANDOUT_TABLE)
        async with db.transaction():
            await db.execute(_LOCAL_TIMEOUTS)
            await db.copy_to_table(
                "curfew_handout",
                schema_name="pg_temp",
                source=io.BytesIO(f"{oid}\t{verifier}\n".encode()),
            )
            if await db.fetchval("SELECT count(*) FROM pg_roles WHERE oid = $1", oid) != 1:
                raise TargetRefused(target.name, "42704", "the login does not exist")
            await db.execute(_HANDOUT)


def server_version(db: AdminDb) -> int:
    """Return the version as server_version_num has it: 150018 for 15.18."""
    version: asyncpg.ServerVersion = db.get_server_version()
    return int(version.major) * 10000 + int(version.minor)


async def _find_ours(db: AdminDb, target: str, plan: LoginPlan) -> int | None:
    row = await db.fetchrow(_FIND, plan.name)
    if row is None:
        return None
    mark = read_mark(row["comment"])
    if mark is None or (mark.installation, mark.grant_id) != (plan.installation, plan.grant_id):
        raise TargetRefused(target, "42710", f"role {plan.name} exists and is not this grant's")
    return int(row["oid"])
