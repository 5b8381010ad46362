"""Whether a catalog role may be given to anybody: facts about it in, faults out.

A catalog role only holds privileges. One that can log in, that is or reaches a superuser, or that a
superuser is a member of, would give away more than the settings say; one that the admin role may
not grant, or whose logins could not connect, would fail when somebody needs it.

CONNECT: a login that inherits has it from its catalog role, `set_role` or not (its membership is
made with both INHERIT and SET). One that does not (`inherit: false`) has nothing but what PUBLIC
has before its first SET ROLE, so PUBLIC must have CONNECT.

CREATEDB is no fault: what it makes belongs to the role. CREATEROLE is one up to 15, where it is as
good as superuser, and from 16 on where sessions may become the role: they could make logins that
no grant ends.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from broker.domain.catalog import CatalogRole
from broker.domain.grant import GrantKind
from broker.domain.role_ddl import PER_MEMBERSHIP_OPTIONS
from broker.domain.sqltext import ident


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """What PostgreSQL says about a role, and about `database` and `admin` with respect to it.

    `powers` describes every dangerous role that it is a member of, directly or not;
    `superuser_members` names the superusers that are members of it. `can_connect` is about the
    role, `public_can_connect` about everybody.
    """

    name: str
    oid: int | None
    can_login: bool = False
    superuser: bool = False
    replication: bool = False
    bypass_rls: bool = False
    create_role: bool = False
    create_db: bool = False
    powers: tuple[str, ...] = ()
    superuser_members: tuple[str, ...] = ()
    grantable: bool = True
    can_connect: bool = True
    public_can_connect: bool = False
    database: str
    admin: str
    server_version: int


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """`settable`: the admin role may set it on a login with ALTER ROLE."""

    name: str
    known: bool
    settable: bool


@dataclass(frozen=True, slots=True)
class RoleFault:
    """What is wrong, and what to do. `sql` does it; empty where that is not one statement."""

    code: str
    problem: str
    remedy: str
    sql: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        return f"{self.problem}; {self.remedy}"


def role_faults(
    facts: RoleFacts, role: CatalogRole, parameters: Iterable[ParameterFacts]
) -> tuple[str, ...]:
    """Return what is wrong with the role, each with what to do about it. Empty: it may be given."""
    return tuple(fault.sentence for fault in find_role_faults(facts, role, parameters))


def find_role_faults(
    facts: RoleFacts, role: CatalogRole, parameters: Iterable[ParameterFacts]
) -> tuple[RoleFault, ...]:
    """As `role_faults`, with codes and the statements that mend them."""
    if facts.oid is None:
        make = f"CREATE ROLE {ident(facts.name)} NOLOGIN"
        return (
            RoleFault(
                "role-missing",
                f"role {facts.name} does not exist",
                f"{make} and grant it what it is for, or ask for another",
                (make,),
            ),
        )
    faults = [*_attribute_faults(facts, role), *_reach_faults(facts), *_grant_faults(facts)]
    if GrantKind.LOGIN in role.kinds:  # with a membership people keep a login of their own
        faults += [*_connect_faults(facts, role), *_parameter_faults(facts, parameters)]
    return tuple(faults)


def _attribute_faults(facts: RoleFacts, role: CatalogRole) -> Iterator[RoleFault]:
    creates = facts.create_role and (
        facts.server_version < PER_MEMBERSHIP_OPTIONS or role.may_set_role
    )
    for present, attribute, why in (
        (facts.can_login, "LOGIN", "a catalog role only holds privileges"),
        (facts.superuser, "SUPERUSER", "it may do anything, on every database of the server"),
        (facts.replication, "REPLICATION", "it may copy the whole server"),
        (facts.bypass_rls, "BYPASSRLS", "no row security holds it"),
        (creates, "CREATEROLE", "it can make logins that no grant ends"),
    ):
        if present:
            mend = f"ALTER ROLE {ident(facts.name)} NO{attribute}"
            yield RoleFault(
                f"role-{attribute.lower()}",
                f"role {facts.name} has {attribute}: {why}",
                f"{mend}, or ask for another",
                (mend,),
            )


def _reach_faults(facts: RoleFacts) -> Iterator[RoleFault]:
    for power in facts.powers:
        yield RoleFault(
            "role-power",
            f"role {facts.name} is a member of {power}, directly or not: whoever gets it gets that",
            "revoke the membership, or ask for another",
        )
    for member in facts.superuser_members:
        revoke = f"REVOKE {ident(facts.name)} FROM {ident(member)}"
        yield RoleFault(
            "role-superuser-member",
            f"role {facts.name} is granted to superuser {member}, directly or not: what is planted "
            "with the role would act as a superuser",
            f"{revoke}, or ask for another",
            (revoke,),
        )


def _grant_faults(facts: RoleFacts) -> Iterator[RoleFault]:
    if facts.grantable or facts.superuser:
        return
    problem = f"{facts.admin} may not grant role {facts.name}"
    if facts.server_version < PER_MEMBERSHIP_OPTIONS:
        # It lacks CREATEROLE, or the functions that it has instead do not list the role.
        yield RoleFault("role-not-grantable", problem, "run pgcurfew bootstrap again")
        return
    name, admin = ident(facts.name), ident(facts.admin)
    grant = f"GRANT {name} TO {admin} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    yield RoleFault(
        "role-not-grantable", problem, f"{grant}, or run pgcurfew bootstrap again", (grant,)
    )


def _connect_faults(facts: RoleFacts, role: CatalogRole) -> Iterator[RoleFault]:
    database = ident(facts.database)
    if role.inherit:
        if not facts.can_connect:
            grant = f"GRANT CONNECT ON DATABASE {database} TO {ident(facts.name)}"
            yield RoleFault(
                "role-no-connect",
                f"role {facts.name} may not connect to database {facts.database}",
                grant,
                (grant,),
            )
    elif not facts.public_can_connect:
        grant = f"GRANT CONNECT ON DATABASE {database} TO PUBLIC"
        yield RoleFault(
            "role-no-connect",
            f"with inherit: false a login of role {facts.name} does not inherit the right to "
            f"connect to database {facts.database}",
            f"{grant}, or drop inherit from the settings",
            (grant,),
        )


def _parameter_faults(
    facts: RoleFacts, parameters: Iterable[ParameterFacts]
) -> Iterator[RoleFault]:
    major = facts.server_version // 10000
    for each in parameters:
        if not each.known:
            yield RoleFault(
                "parameter-unknown",
                f"PostgreSQL {major} has no parameter {each.name} that a role's settings may hold",
                f"take it from the settings of role {facts.name}",
            )
        elif not each.settable:
            yield RoleFault(
                "parameter-not-settable",
                f"{facts.admin} may not set parameter {each.name} on logins of PostgreSQL {major}",
                f"take it from the settings of role {facts.name}",
            )
