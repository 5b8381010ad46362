"""Reads from a target what is left of a login: the lines of the receipt.

Each claim is a question that PostgreSQL answered with zero. It is read after the fact, and whatever
could not be asked becomes a line that is not proved.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from broker.domain.errors import BrokerError
from broker.domain.receipt import Line
from broker.domain.server import ServerAddress
from broker.target.connect import AdminDb, Target

# Claim and question; $1 is the OID, $2 the name.
_OF_LOGIN = (
    ("the login is gone", "SELECT count(*) FROM pg_roles WHERE oid = $1 OR rolname = $2"),
    ("no session of it", "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1"),
    (
        "no membership in it or of it",
        "SELECT count(*) FROM pg_auth_members WHERE $1 IN (roleid, member)",
    ),
    (
        "it owns nothing in any database",
        "SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass "
        "AND refobjid = $1 AND deptype = 'o'",
    ),
    (
        "no privilege, default privilege or policy names it in any database",
        "SELECT count(*) FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass "
        "AND refobjid = $1 AND deptype <> 'o' AND classid <> 'pg_auth_members'::regclass",
    ),
    ("no parameter is set for it", "SELECT count(*) FROM pg_db_role_setting WHERE setrole = $1"),
    (
        "no prepared transaction of it",
        "SELECT count(*) FROM pg_prepared_xacts WHERE owner = $2",
    ),
)
_OF_NAME = (
    ("the login was never made", "SELECT count(*) FROM pg_roles WHERE rolname = $2 OR oid = $1"),
)
_ON_STANDBY = (("no session of it", "SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1"),)
_OF_MEMBERSHIP = "SELECT count(*) FROM pg_auth_members WHERE roleid = $1 AND member = $2"


async def read_lines(target: Target, oid: int | None, name: str) -> list[Line]:
    """Return what the target, and each of its standbys, says is left of a login."""
    async with target.admin() as db:
        lines = await _ask(db, _OF_LOGIN if oid else _OF_NAME, oid or 0, name)
    if oid:
        for standby in target.standbys:
            lines += await _ask_standby(target, standby, oid, name)
    return lines


async def _ask(
    db: AdminDb, questions: Sequence[tuple[str, str]], oid: int, name: str
) -> list[Line]:
    """Ask all at once: one statement, one snapshot."""
    columns = ", ".join(f"({question})" for _claim, question in questions)
    row = await db.fetchrow(
        f"SELECT {columns} FROM (SELECT $1::oid, $2::name) AS login",  # noqa: S608  (constant)
        oid,
        name,
    )
    assert row is not None
    now = datetime.now(UTC)
    return [
        Line(claim=claim, count=count, question=question, read_at=now)
        for (claim, question), count in zip(questions, row.values(), strict=True)
    ]


async def _ask_standby(target: Target, standby: ServerAddress, oid: int, name: str) -> list[Line]:
    where = f"standby {standby.host}:{standby.port}"
    try:
        async with target.admin_at(standby) as db:
            lines = await _ask(db, _ON_STANDBY, oid, name)
    except BrokerError as error:
        why = str(error.__cause__ or error)
        return [
            Line(claim=f"{where}: {claim}", count=None, question=question, read_at=None, note=why)
            for claim, question in _ON_STANDBY
        ]
    return [
        Line(
            claim=f"{where}: {line.claim}",
            count=line.count,
            question=line.question,
            read_at=line.read_at,
        )
        for line in lines
    ]
