"""The statements that make, change and remove roles on a target. Builds them, runs none.

Two ways to the same end: `DirectDdl` for an admin role with CREATEROLE, and `RestrictedDdl` through
the SECURITY DEFINER functions that `pgcurfew bootstrap --restricted` installs, for servers where
CREATEROLE is as good as superuser (13 to 15).
"""

import json
from datetime import UTC, datetime
from typing import Protocol

from broker.domain.login_plan import LoginPlan
from broker.domain.sqltext import ident, literal

PER_MEMBERSHIP_OPTIONS = 160000  # server_version_num from which GRANT … WITH INHERIT, SET exists


class RoleDdl(Protocol):
    def make_login(self, plan: LoginPlan) -> tuple[str, ...]:
        """Return the statements of one transaction that makes the login, without a password."""

    @property
    def set_verifier(self) -> str:
        """PL/pgSQL that gives the verifier `given.verifier` to the login `given.rolname`."""

    def disable(self, login: str) -> str:
        """Return the statement after which no new session of the login can begin."""

    def adopt(self, login: str) -> tuple[str, ...]:
        """Return what lets the admin role act as a login that can no longer log in."""

    def set_valid_until(self, login: str, moment: datetime) -> str:
        """Return the statement that moves the login's curfew."""

    def lend_role(self, login: str, role: str) -> tuple[str, ...]:
        """Return what a login that can no longer log in needs to give all it owns to its role."""

    def revoke_memberships(self, login: str, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Return the statements that take `roles`, which are all it has, from the login."""

    def quarantine(self, login: str, new_name: str, comment: str) -> tuple[str, ...]:
        """Return what marks a disabled login that something holds."""

    def drop(self, login: str) -> str: ...

    def grant_membership(self, role: str, member: str, *, inherit: bool) -> str:
        """Return the statement that makes a person's own role a member of a catalog role."""

    def revoke_membership(self, role: str, member: str) -> str:
        """Return the statement that takes back what `grant_membership` gave.

        From 16 on nothing else; before, there is one row per role and member, whoever gave it.
        """


class DirectDdl:
    """The admin role has CREATEROLE, and from 16 on ADMIN on the catalog roles."""

    def __init__(self, server_version: int) -> None:
        self._granular = server_version >= PER_MEMBERSHIP_OPTIONS

    def make_login(self, plan: LoginPlan) -> tuple[str, ...]:
        name, role = ident(plan.name), ident(plan.role.name)
        inherit = "INHERIT" if plan.role.inherit else "NOINHERIT"
        set_role = (
            (f"ALTER ROLE {name} SET role = {literal(plan.role.name)}",)
            if plan.role.set_role
            else ()
        )
        return (
            f"CREATE ROLE {name} LOGIN {inherit} NOSUPERUSER NOCREATEDB NOCREATEROLE "
            f"NOREPLICATION NOBYPASSRLS VALID UNTIL {literal(timestamp(plan.valid_until))} "
            f"CONNECTION LIMIT {plan.role.connection_limit:d}",
            f"COMMENT ON ROLE {name} IS {literal(plan.comment)}",
            *(f"ALTER ROLE {name} SET {each.name} = {each.text}" for each in plan.role.parameters),
            *set_role,
            f"GRANT {role} TO {name}" + self._options(plan.role.inherit, plan.role.may_set_role),
            *self._adopt(name, early=self._granular),
        )

    @property
    def set_verifier(self) -> str:
        return "EXECUTE format('ALTER ROLE %I PASSWORD %L', given.rolname, given.verifier);"

    def disable(self, login: str) -> str:
        return (
            f"ALTER ROLE {ident(login)} NOLOGIN PASSWORD NULL VALID UNTIL 'epoch' "
            "CONNECTION LIMIT 0"
        )

    def adopt(self, login: str) -> tuple[str, ...]:
        return self._adopt(ident(login), early=not self._granular)

    def set_valid_until(self, login: str, moment: datetime) -> str:
        return f"ALTER ROLE {ident(login)} VALID UNTIL {literal(timestamp(moment))}"

    def lend_role(self, login: str, role: str) -> tuple[str, ...]:
        lend = f"GRANT {ident(role)} TO {ident(login)}"
        if self._granular:
            return (lend + " WITH INHERIT TRUE, SET TRUE",)
        return (f"ALTER ROLE {ident(login)} INHERIT", lend)

    def revoke_memberships(self, login: str, roles: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"REVOKE {ident(role)} FROM {ident(login)}" for role in roles)

    def quarantine(self, login: str, new_name: str, comment: str) -> tuple[str, ...]:
        rename = f"ALTER ROLE {ident(login)} RENAME TO {ident(new_name)}"
        return (
            f"ALTER ROLE {ident(login)} RESET ALL",
            *((rename,) if login != new_name else ()),
            f"COMMENT ON ROLE {ident(new_name)} IS {literal(comment)}",
        )

    def drop(self, login: str) -> str:
        return f"DROP ROLE {ident(login)}"

    def grant_membership(self, role: str, member: str, *, inherit: bool) -> str:
        return f"GRANT {ident(role)} TO {ident(member)}" + self._options(
            inherit, set_role=not inherit
        )

    def revoke_membership(self, role: str, member: str) -> str:
        return f"REVOKE {ident(role)} FROM {ident(member)}"

    def _adopt(self, name: str, *, early: bool) -> tuple[str, ...]:
        """A creator alone may not end the login's sessions or give away what it owns.

        From 16 on only who made it may say so, and the first time is as good as any. Up to 15
        CREATEROLE suffices at any time; and with every role that the admin is a member of, each
        check of its memberships gets slower (at 10,000 by 0.3 s), so it waits for the end.
        """
        if not early:
            return ()
        return (f"GRANT {name} TO CURRENT_USER" + self._options(inherit=False, set_role=True),)

    def _options(self, inherit: bool, set_role: bool) -> str:  # noqa: FBT001
        if not self._granular:
            return ""
        return f" WITH INHERIT {str(inherit).upper()}, SET {str(set_role).upper()}"


class RestrictedDdl:
    """The admin role may only call functions that make and remove logins, and nothing else."""

    def make_login(self, plan: LoginPlan) -> tuple[str, ...]:
        parameters = {each.name: each.value for each in plan.role.parameters}
        # PostgreSQL lets no SECURITY DEFINER function set the parameter "role", so the login does.
        set_role = (
            (
                f"SET LOCAL ROLE {ident(plan.name)}",
                f"ALTER ROLE {ident(plan.name)} SET role = {literal(plan.role.name)}",
            )
            if plan.role.set_role
            else ()
        )
        return (
            _call(
                "make_login",
                literal(plan.name),
                literal(plan.role.name),
                f"{literal(timestamp(plan.valid_until))}::timestamptz",
                str(plan.role.connection_limit),
                literal(plan.comment),
                str(plan.role.inherit).lower(),
                str(plan.role.set_role).lower(),
                f"{literal(json.dumps(parameters))}::jsonb",
            ),
            *set_role,
        )

    @property
    def set_verifier(self) -> str:
        return "PERFORM curfew.set_verifier(given.rolname, given.verifier);"

    def disable(self, login: str) -> str:
        return _call("disable_login", literal(login))

    def adopt(self, login: str) -> tuple[str, ...]:
        del login
        return ()  # make_login has granted it

    def set_valid_until(self, login: str, moment: datetime) -> str:
        return _call(
            "set_valid_until", literal(login), f"{literal(timestamp(moment))}::timestamptz"
        )

    def lend_role(self, login: str, role: str) -> tuple[str, ...]:
        return (_call("lend_role", literal(login), literal(role)),)

    def revoke_memberships(self, login: str, roles: tuple[str, ...]) -> tuple[str, ...]:
        return (_call("revoke_memberships", literal(login)),) if roles else ()

    def quarantine(self, login: str, new_name: str, comment: str) -> tuple[str, ...]:
        return (_call("quarantine_login", literal(login), literal(new_name), literal(comment)),)

    def drop(self, login: str) -> str:
        return _call("drop_login", literal(login))

    def grant_membership(self, role: str, member: str, *, inherit: bool) -> str:
        del inherit  # before 16 it is the member's own attribute
        return _call("grant_membership", literal(role), literal(member))

    def revoke_membership(self, role: str, member: str) -> str:
        return _call("revoke_membership", literal(role), literal(member))


def clean_statements(login: str, role: str) -> tuple[str, ...]:
    """Return, for one database, what hands everything the login owns to its role.

    Run as the login. Never to a stronger role, which would make its SECURITY DEFINER functions
    stronger too, and never with CASCADE, which drops other people's objects.
    """
    return (
        f"REASSIGN OWNED BY {ident(login)} TO {ident(role)}",
        f"DROP OWNED BY {ident(login)} RESTRICT",
    )


def timestamp(moment: datetime) -> str:
    """Return `moment` so that no TimeZone setting of the server reads it differently."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _call(function: str, *arguments: str) -> str:
    return f"SELECT curfew.{function}({', '.join(each.strip() for each in arguments)})"
