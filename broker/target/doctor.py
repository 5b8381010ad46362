"""Looks a managed server over with the broker's own login, and changes nothing."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

import asyncpg

from broker.domain.bootstrap.functions import SIGNATURES
from broker.domain.catalog import CatalogTarget
from broker.domain.doctor.facts import (
    CheckedRole,
    Door,
    EventTrigger,
    HbaRule,
    LoginLike,
    PersonalRole,
    Refused,
    StandbyFacts,
    TargetFacts,
)
from broker.domain.errors import BrokerError, TargetRefused, TargetUnreachable
from broker.domain.login_plan import read_mark
from broker.domain.server import ServerAddress
from broker.domain.sqltext import ident
from broker.target import doctor_sql as ask
from broker.target.connect import AdminDb, Target
from broker.target.ownership import TRAPS
from broker.target.roles import fetch_role_facts

_TOO_MANY_CONNECTIONS = "53300"
_NO_PRIVILEGE = "42501"
_MARKS = "curfew.password_marks"


async def examine(
    target: Target,
    catalog: CatalogTarget,
    personal_roles: Collection[str],
    now: Callable[[], datetime],
) -> TargetFacts | Refused:
    """Return what there is to know, or why the server does not let us look. Raises nothing of
    BrokerError's; a server that goes away meanwhile has refused."""
    try:
        async with target.broker_at(target.address) as db:
            try:
                await db.execute(f"SET ROLE {ident(target.admin_login.role)}")
            except asyncpg.PostgresError as error:
                return Refused(Door.ADMIN_ROLE, str(error))
            return await _examine(target, db, catalog, personal_roles, now)
    except (TargetUnreachable, TargetRefused) as error:
        return _refused(error)


def _refused(error: BrokerError) -> Refused:
    cause = error.__cause__ or error
    door = Door.SERVER
    if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError):
        door = Door.LOGIN
    elif isinstance(cause, asyncpg.InsufficientPrivilegeError):
        door = Door.DATABASE
    return Refused(door, str(cause) or type(cause).__name__)


async def _examine(
    target: Target,
    db: AdminDb,
    catalog: CatalogTarget,
    personal_roles: Collection[str],
    now: Callable[[], datetime],
) -> TargetFacts:
    before = now()
    server = await db.fetchrow(ask.SERVER)
    after = now()
    assert server is not None
    databases = await db.fetch(ask.DATABASES, list(catalog.roles))
    usable, missing, forbidden = await _functions(db)
    groups = [
        frozenset(row["name"] for row in await db.fetch(ask.GROUPS, name)) for name in catalog.roles
    ]
    return TargetFacts(
        database=target.address.database,
        login=target.admin_login.user,
        admin=target.admin_login.role,
        restricted=target.admin_login.restricted,
        server_version=server["version"],
        clock_ahead=_clock_ahead(before, after, server["clock"]),
        in_recovery=server["in_recovery"],
        read_only=server["read_only"],
        superusers=tuple(server["superusers"]),
        create_role=server["create_role"],
        can_signal=server["can_signal"],
        temporary=server["temporary"],
        missing_functions=missing,
        forbidden_functions=forbidden,
        closed_to_us=tuple(row["name"] for row in databases if row["closed"]),
        locked_databases=tuple(row["name"] for row in databases if row["locked"]),
        roles=await _roles(db, catalog),
        personal_roles=await _personal_roles(db, personal_roles),
        public_databases=tuple(row["name"] for row in databases if row["public"]),
        public_creates=bool(server["public_creates"]),
        public_definers=tuple(row["name"] for row in await db.fetch(ask.PUBLIC_DEFINERS)),
        event_triggers=tuple(EventTrigger(*row.values()) for row in await db.fetch(TRAPS)),
        password_encryption=server["password_encryption"],
        md5_roles=(
            tuple(row["role_name"] for row in await db.fetch(ask.MD5_ROLES))
            if _MARKS in usable
            else None
        ),
        log_statement=server["log_statement"],
        hba_rules=await _hba_rules(db),
        login_groups=frozenset.intersection(*groups),
        some_login_groups=frozenset.union(*groups),
        logins=await _logins(db),
        live_logins=server["live_logins"],
        receivers=server["receivers"],
        standbys=tuple([await _standby(target, each) for each in target.standbys]),
    )


def _clock_ahead(before: datetime, after: datetime, theirs: datetime) -> timedelta:
    """Return how far their clock is ahead, at least: it was read at some time in between."""
    if theirs > after:
        return theirs - after
    return min(theirs - before, timedelta())


async def _functions(db: AdminDb) -> tuple[set[str], tuple[str, ...], tuple[str, ...]]:
    """Return the names that we may call, those that are missing, and what we may not call."""
    rows = await db.fetch(ask.FUNCTIONS)
    wanted = {signature.partition("(")[0] for signature in SIGNATURES}
    return (
        {row["name"] for row in rows if row["usable"]},
        tuple(sorted(wanted - {row["name"] for row in rows})),
        tuple(row["signature"] for row in rows if row["name"] in wanted and not row["usable"]),
    )


async def _roles(db: AdminDb, catalog: CatalogTarget) -> tuple[CheckedRole, ...]:
    checked = []
    for role in catalog.roles.values():
        facts, parameters = await fetch_role_facts(db, role, catalog.database)
        admin_option = await db.fetchval(ask.ADMIN_OPTION, role.name)
        checked.append(CheckedRole(role, facts, parameters, bool(admin_option)))
    return tuple(checked)


async def _personal_roles(db: AdminDb, names: Collection[str]) -> tuple[PersonalRole, ...]:
    rows = await db.fetch(ask.PERSONAL_ROLES, list(names))
    return tuple(
        PersonalRole(row["name"], row["there"], row["can_login"], row["superuser"]) for row in rows
    )


async def _logins(db: AdminDb) -> tuple[LoginLike, ...]:
    found = []
    for row in await db.fetch(ask.LOGINS):
        mark = read_mark(row["comment"])
        found.append(
            LoginLike(
                row["name"],
                mark.installation if mark is not None else None,
                mark.grant_id if mark is not None else None,
            )
        )
    return tuple(found)


async def _hba_rules(db: AdminDb) -> tuple[HbaRule, ...] | None:
    if not await db.fetchval(ask.HBA_IS_READABLE):
        return None
    return tuple(
        HbaRule(
            row["line_number"],
            row["type"],
            tuple(row["database"]),
            tuple(row["user_name"]),
            row["address"],
            row["netmask"],
            row["auth_method"],
        )
        for row in await db.fetch(ask.HBA_RULES)
    )


async def _standby(target: Target, address: ServerAddress) -> StandbyFacts:
    where = f"{address.host}:{address.port}"
    try:
        async with target.admin_at(address) as db:
            return StandbyFacts(where, None, await db.fetchval("SELECT pg_is_in_recovery()"))
    except (TargetUnreachable, TargetRefused) as error:
        return StandbyFacts(where, _refused(error))
