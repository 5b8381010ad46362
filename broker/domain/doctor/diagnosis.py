"""What is wrong with a managed server, and the SQL that mends it: facts in, findings out.

Three kinds: what *blocks* a grant or a removal, what is a *risk*, and what is good to know. The
worst come first. The SQL is for a superuser or master, statement by statement, without semicolons.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import assert_never

from broker.domain.bootstrap.script import LIMITED_FROM
from broker.domain.doctor.facts import Door, Expectations, Refused, TargetFacts
from broker.domain.doctor.finding import Finding, Severity, blocks, note, risk, some
from broker.domain.doctor.hba import check_hba
from broker.domain.doctor.life import check_life
from broker.domain.doctor.public import check_public
from broker.domain.grant import GrantKind
from broker.domain.role_check import find_role_faults
from broker.domain.role_ddl import PER_MEMBERSHIP_OPTIONS
from broker.domain.sqltext import ident

OLDEST, NEWEST = 13, 18
# Minor releases where ALTER ROLE … SET role has no effect:
# https://www.postgresql.org/docs/release/17.2/
_DEAF_TO_ROLE = (130017, 140014, 150009, 160005, 170001)

_ORDER = (Severity.BLOCKS, Severity.RISK, Severity.NOTE)


def diagnose(facts: TargetFacts, expected: Expectations) -> tuple[Finding, ...]:
    """Return everything there is to say, the worst first."""
    findings = [
        *_check_server(facts),
        *_check_admin(facts),
        *_check_databases(facts),
        *_check_roles(facts),
        *_check_people(facts),
        *check_life(facts, expected),
        *check_public(facts),
        *check_hba(facts, expected.egress),
    ]
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def diagnose_refusal(refused: Refused, *, login: str, admin: str, database: str) -> Finding:
    """Return what to say of a server that could not be looked at."""
    match refused.door:
        case Door.SERVER:
            return blocks("unreachable", f"the server cannot be reached: {refused.why}")
        case Door.LOGIN:
            return blocks(
                "login-refused",
                f"the server does not let {login} in: {refused.why}. Check the password that the "
                "settings name, pg_hba.conf, and that the role exists (pgcurfew bootstrap)",
            )
        case Door.DATABASE:
            return blocks(
                "no-connect",
                f"{login} may not connect to database {database}: {refused.why}",
                f"GRANT CONNECT ON DATABASE {ident(database)} TO {ident(login)}",
            )
        case Door.ADMIN_ROLE:
            return blocks(
                "no-admin-role",
                f"{login} may not act as {admin}: {refused.why}. If the role does not exist, run "
                "pgcurfew bootstrap",
                f"GRANT {ident(admin)} TO {ident(login)}",
            )
        case _:
            assert_never(refused.door)


def _check_server(facts: TargetFacts) -> Iterator[Finding]:
    major = facts.server_version // 10000
    if major < OLDEST:
        yield blocks("too-old", f"PostgreSQL {major} is older than {OLDEST}, the oldest supported")
    elif major > NEWEST:
        yield note("too-new", f"PostgreSQL {major} is newer than {NEWEST}, the newest tested")
    if facts.in_recovery:
        yield blocks(
            "in-recovery",
            "the server is a standby: name the primary as host, and this one under standbys",
        )
    elif facts.read_only:
        yield blocks(
            "read-only",
            "transactions of the broker are read-only by default (default_transaction_read_only)",
            f"ALTER ROLE {ident(facts.login)} IN DATABASE {ident(facts.database)} "
            "SET default_transaction_read_only = off",
        )
    yield from _check_clock(facts.clock_ahead)
    if facts.server_version in _DEAF_TO_ROLE and any(each.role.set_role for each in facts.roles):
        yield blocks(
            "deaf-to-role",
            f"PostgreSQL {_version(facts.server_version)} ignores ALTER ROLE … SET role, which "
            "set_role needs: update to the next minor release",
        )


def _check_clock(ahead: timedelta) -> Iterator[Finding]:
    seconds = abs(ahead).total_seconds()
    way = "ahead of" if ahead > timedelta() else "behind"
    said = f"the server's clock is {seconds:.0f} s {way} the broker's"
    if seconds > 60:
        yield blocks("clock", f"{said}: logins would end at the wrong time, or never work")
    elif seconds > 2:
        yield risk("clock", f"{said}: logins end that much too early or too late")


def _check_admin(facts: TargetFacts) -> Iterator[Finding]:
    admin = ident(facts.admin)
    for name in facts.superusers:
        yield risk(
            "superuser",
            f"{name} is a superuser: whoever takes the broker takes the server",
            f"ALTER ROLE {ident(name)} NOSUPERUSER",
        )
    limited = facts.server_version >= LIMITED_FROM
    if facts.restricted:
        yield from _check_functions(facts)
        if limited:
            yield note(
                "restricted-not-needed",
                "admin.restricted is meant for PostgreSQL 13 to 15; CREATEROLE is limited here",
            )
    elif not facts.create_role:
        yield blocks(
            "no-createrole",
            f"{facts.admin} may not make logins: it lacks CREATEROLE",
            f"ALTER ROLE {admin} CREATEROLE",
        )
    elif not limited and facts.admin not in facts.superusers:
        yield risk(
            "createrole",
            f"up to PostgreSQL 15 CREATEROLE is as good as superuser, and {facts.admin} has it: "
            "pgcurfew bootstrap --restricted does without",
        )
    yield from _check_signals(facts)


def _check_functions(facts: TargetFacts) -> Iterator[Finding]:
    if facts.missing_functions:
        yield blocks(
            "no-functions",
            f"functions of schema curfew are missing ({some(facts.missing_functions)}): run "
            "pgcurfew bootstrap --restricted",
        )
    if facts.forbidden_functions:
        yield blocks(
            "functions-forbidden",
            f"{facts.admin} may not call functions of schema curfew",
            f"GRANT USAGE ON SCHEMA curfew TO {ident(facts.admin)}",
            *(
                f"GRANT EXECUTE ON FUNCTION {function} TO {ident(facts.admin)}"
                for function in facts.forbidden_functions
            ),
        )


def _check_signals(facts: TargetFacts) -> Iterator[Finding]:
    if facts.can_signal:
        return
    options = (
        " WITH INHERIT TRUE, SET FALSE" if facts.server_version >= PER_MEMBERSHIP_OPTIONS else ""
    )
    by_membership = any(GrantKind.MEMBERSHIP in each.role.kinds for each in facts.roles)
    yield Finding(
        Severity.BLOCKS if by_membership else Severity.RISK,
        "no-signal",
        f"{facts.admin} may not end sessions of other roles: "
        + (
            "a membership that ends could go on being used"
            if by_membership
            else "a session that outlives its login must be ended by hand"
        ),
        (f"GRANT pg_signal_backend TO {ident(facts.admin)}{options}",),
    )


def _check_databases(facts: TargetFacts) -> Iterator[Finding]:
    if facts.closed_to_us:
        yield blocks(
            "no-connect",
            f"{facts.login} may not connect to {some(facts.closed_to_us)}, where logins may leave "
            "something that must be removed",
            *(
                f"GRANT CONNECT ON DATABASE {ident(name)} TO {ident(facts.login)}"
                for name in facts.closed_to_us
            ),
        )
    if not facts.temporary:
        yield blocks(
            "no-temporary",
            f"{facts.admin} may not make temporary tables in database {facts.database}: keys "
            "travel through one",
            f"GRANT TEMPORARY ON DATABASE {ident(facts.database)} TO {ident(facts.admin)}",
        )
    if facts.locked_databases:
        yield blocks(
            "locked-database",
            f"{some(facts.locked_databases)} takes no connections and holds something of our "
            "logins, which therefore cannot be removed",
            *(
                f"ALTER DATABASE {ident(name)} ALLOW_CONNECTIONS true"
                for name in facts.locked_databases
            ),
        )


def _check_roles(facts: TargetFacts) -> Iterator[Finding]:
    # Up to 15 CREATEROLE grants them all, and that it is missing has been said.
    known = not facts.restricted and not facts.create_role and facts.server_version < LIMITED_FROM
    for each in facts.roles:
        for fault in find_role_faults(each.facts, each.role, each.parameters):
            if known and fault.code == "role-not-grantable":
                continue
            said = fault.problem if fault.sql else fault.sentence
            yield blocks(fault.code, said, *fault.sql)
    without = [
        each.facts.name
        for each in facts.roles
        if each.facts.oid is not None and each.facts.grantable and not each.admin_option
    ]
    if without and not facts.restricted:
        yield note(
            "no-admin-option",
            f"{facts.admin} has no ADMIN OPTION on {some(without)}: not needed on this version, "
            "but after an upgrade to 16 or later",
            *(f"GRANT {ident(name)} TO {ident(facts.admin)} WITH ADMIN OPTION" for name in without),
        )


def _check_people(facts: TargetFacts) -> Iterator[Finding]:
    for person in facts.personal_roles:
        name = ident(person.name)
        if not person.exists:
            yield blocks(
                "no-personal-role",
                f"role {person.name}, which identity.people names, does not exist",
                f"CREATE ROLE {name} LOGIN",
            )
        elif person.superuser:
            yield blocks(
                "personal-superuser",
                f"role {person.name}, which identity.people names, is a superuser: it needs no "
                "grant, and gets none",
                f"ALTER ROLE {name} NOSUPERUSER",
            )
        elif not person.can_login:
            yield blocks(
                "personal-nologin",
                f"role {person.name}, which identity.people names, cannot log in",
                f"ALTER ROLE {name} LOGIN",
            )


def _version(number: int) -> str:
    return f"{number // 10000}.{number % 10000}"
