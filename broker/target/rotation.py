"""Gives the broker's own login on a target a new password.

The verifier travels as COPY data and the statement that uses it is constant, as at hand-out: it is
in no log and no statistics view. The admin role owns the temporary table, as it may make one; the
bare login reads it, as a role may change only its own password.
"""

import io

import asyncpg

from broker.domain.credential import VERIFIER_PATTERN
from broker.domain.errors import TargetUnreachable
from broker.domain.sqltext import literal
from broker.target.connect import FixedPassword, Target

_TABLE = """
    CREATE TEMP TABLE curfew_rotation (verifier text) ON COMMIT DROP;
    GRANT SELECT ON pg_temp.curfew_rotation TO PUBLIC
"""
_ROTATE = f"""
DO $rotation$
DECLARE given text;
BEGIN
    SELECT verifier INTO STRICT given FROM pg_temp.curfew_rotation;
    IF given !~ {literal(VERIFIER_PATTERN).strip()} THEN
        RAISE EXCEPTION USING ERRCODE = '22023';
    END IF;
    EXECUTE format('ALTER ROLE %I PASSWORD %L', current_user, given);
EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'giving the broker''s login its new password failed' USING ERRCODE = SQLSTATE;
END $rotation$
"""  # noqa: S608  (constant text)


async def change_password(target: Target, verifier: str) -> None:
    """Replace the verifier of the broker's login. Raises TargetUnreachable or TargetRefused."""
    async with target.admin_at(target.address) as db, db.transaction():
        await db.execute(_TABLE)
        await db.copy_to_table(
            "curfew_rotation", schema_name="pg_temp", source=io.BytesIO(f"{verifier}\n".encode())
        )
        await db.execute("SET LOCAL ROLE NONE")
        await db.execute(_ROTATE)


async def accepts(target: Target, password: str) -> bool:
    """Say whether this password logs the broker in. Raises TargetUnreachable."""
    try:
        async with target.broker_at(target.address, password=FixedPassword(password)):
            return True
    except TargetUnreachable as error:
        if isinstance(error.__cause__, asyncpg.InvalidPasswordError):
            return False
        raise
