"""What can be found out about a managed server with the broker's own login: broker.target.doctor
asks for it, broker.domain.doctor.diagnosis judges it."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from broker.domain.catalog import CatalogRole
from broker.domain.network import Network
from broker.domain.role_check import ParameterFacts, RoleFacts


class Door(StrEnum):
    """How far the broker's login got before it was refused."""

    SERVER = "server"
    LOGIN = "login"
    DATABASE = "database"
    ADMIN_ROLE = "admin-role"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a server could not be looked at; `why` is for operators and may name hosts."""

    door: Door
    why: str


@dataclass(frozen=True, slots=True)
class HbaRule:
    """A line of pg_hba.conf as pg_hba_file_rules shows it. `address` is None for local sockets."""

    line: int
    kind: str
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str | None
    netmask: str | None
    method: str


@dataclass(frozen=True, slots=True)
class LoginLike:
    """A role named like a login of ours. Without our mark it has no installation and no grant."""

    name: str
    installation: str | None
    grant_id: str | None


@dataclass(frozen=True, slots=True)
class PersonalRole:
    """A role that a person has of their own, for grants by membership."""

    name: str
    exists: bool
    can_login: bool = False
    superuser: bool = False


@dataclass(frozen=True, slots=True)
class StandbyFacts:
    address: str
    refused: Refused | None = None
    in_recovery: bool = True


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """An enabled event trigger of the target's database, whose function is not a superuser's."""

    name: str
    function: str
    owner: str


@dataclass(frozen=True, slots=True)
class CheckedRole:
    """A catalog role. `admin_option`: the admin role holds ADMIN on it, needed or not."""

    role: CatalogRole
    facts: RoleFacts
    parameters: tuple[ParameterFacts, ...] = ()
    admin_option: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """One server. None stands for what we may not see."""

    # who and where
    database: str
    login: str
    admin: str
    restricted: bool
    server_version: int
    clock_ahead: timedelta = timedelta()
    in_recovery: bool = False
    read_only: bool = False
    # rights
    superusers: tuple[str, ...] = ()  # of the broker's login and the admin role
    create_role: bool = True
    can_signal: bool = True
    temporary: bool = True
    missing_functions: tuple[str, ...] = ()
    forbidden_functions: tuple[str, ...] = ()
    closed_to_us: tuple[str, ...] = ()  # databases that catalog roles may connect to, and we not
    locked_databases: tuple[str, ...] = ()  # take no connections, hold objects of our logins
    roles: tuple[CheckedRole, ...] = ()
    personal_roles: tuple[PersonalRole, ...] = ()
    # what everybody may
    public_databases: tuple[str, ...] = ()
    public_creates: bool = False
    public_definers: tuple[str, ...] = ()
    event_triggers: tuple[EventTrigger, ...] = ()
    # passwords, record, doors
    password_encryption: str = "scram-sha-256"  # noqa: S105  (a method)
    md5_roles: tuple[str, ...] | None = ()
    log_statement: str = "none"
    hba_rules: tuple[HbaRule, ...] | None = ()
    login_groups: frozenset[str] = frozenset()  # roles that every login of ours is a member of
    some_login_groups: frozenset[str] = frozenset()  # … that some are
    # life
    logins: tuple[LoginLike, ...] = ()
    live_logins: int = 0
    receivers: int = 0  # of streaming replication
    standbys: tuple[StandbyFacts, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What the settings and the ledger know. `living`: grants that may have a login."""

    installation: str
    living: frozenset[str] = frozenset()
    egress: tuple[Network, ...] = field(default=())
