"""The ephemeral login: its name, and the statements that make or remove it. It runs none of them.

A login owns no privileges of its own, only one membership, and has no password until a secret is
handed out. Options that PostgreSQL 16 brought (INHERIT and SET per membership) are used where the
server has them: a membership that cannot be SET makes a later REVOKE bite at once.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from broker.domain.ids import suffix
from broker.domain.sqltext import MAX_IDENTIFIER_BYTES, ident, literal

PREFIX = "jit_"
PER_MEMBERSHIP_OPTIONS = 160000  # server_version_num from which GRANT … WITH INHERIT, SET exists


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPlan:
    """Everything that makes one login. `installation` tells our logins from another broker's."""

    name: str
    catalog_role: str
    valid_until: datetime
    connection_limit: int
    installation: str
    grant_id: str
    person: str

    @property
    def comment(self) -> str:
        return json.dumps(
            {"pgcurfew": self.installation, "grant": self.grant_id, "person": self.person}
        )


@dataclass(frozen=True, slots=True)
class LoginMark:
    """What the comment on a login says about it."""

    installation: str
    grant_id: str


def login_name(person_email: str, catalog_role: str, grant_id: str) -> str:
    """Return `jit_<person>_<role>_<grant id>`, at most 63 bytes, the grant id always whole."""
    end = f"_{suffix(grant_id)}"
    local_part = person_email.split("@", 1)[0]
    middle = re.sub(r"[^a-z0-9]+", "_", f"{local_part}_{catalog_role}".lower()).strip("_")
    return PREFIX + middle[: MAX_IDENTIFIER_BYTES - len(PREFIX) - len(end)] + end


def read_mark(comment: str | None) -> LoginMark | None:
    """Return what a role's comment says, or None if it is not one of pgcurfew's."""
    try:
        fields = json.loads(comment or "")
    except (ValueError, RecursionError):  # somebody else's comment may be nested without end
        return None
    match fields:
        case {"pgcurfew": str(installation), "grant": str(grant_id)}:
            return LoginMark(installation, grant_id)
        case _:
            return None


def create_statements(plan: LoginPlan, server_version: int) -> tuple[str, ...]:
    """Return the statements of one transaction that makes the login, without a password."""
    name, group = ident(plan.name), ident(plan.catalog_role)
    granular = server_version >= PER_MEMBERSHIP_OPTIONS
    return (
        f"CREATE ROLE {name} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION "
        f"NOBYPASSRLS VALID UNTIL {literal(timestamp(plan.valid_until))} "
        f"CONNECTION LIMIT {plan.connection_limit:d}",
        f"COMMENT ON ROLE {name} IS {literal(plan.comment)}",
        f"GRANT {group} TO {name}" + (" WITH INHERIT TRUE, SET FALSE" if granular else ""),
        # Lets the admin role act as the login at removal: a creator alone may not end its
        # sessions or give away what it owns.
        f"GRANT {name} TO CURRENT_USER" + (" WITH SET TRUE, INHERIT FALSE" if granular else ""),
    )


def disable_statement(name: str) -> str:
    """Return the statement after which no new session of the login can begin."""
    return f"ALTER ROLE {ident(name)} NOLOGIN PASSWORD NULL VALID UNTIL 'epoch' CONNECTION LIMIT 0"


def lend_group_statements(name: str, group: str, server_version: int) -> tuple[str, ...]:
    """Return what the login needs to give all it owns to its group, once it cannot log in."""
    if server_version >= PER_MEMBERSHIP_OPTIONS:
        return (f"GRANT {ident(group)} TO {ident(name)} WITH INHERIT TRUE, SET TRUE",)
    return (f"ALTER ROLE {ident(name)} INHERIT", f"GRANT {ident(group)} TO {ident(name)}")


def clean_statements(name: str, group: str) -> tuple[str, ...]:
    """Return, for one database, what hands everything the login owns to its group.

    Never to a stronger role, which would make its SECURITY DEFINER functions stronger too, and
    never with CASCADE, which drops other people's objects.
    """
    login = ident(name)
    return (
        f"SET LOCAL ROLE {login}",
        f"REASSIGN OWNED BY {login} TO {ident(group)}",
        f"DROP OWNED BY {login} RESTRICT",
    )


def timestamp(moment: datetime) -> str:
    """Return `moment` so that no TimeZone setting of the server reads it differently."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
