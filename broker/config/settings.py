"""One YAML file and the environment → one frozen Settings, or a SettingsError that says where,
what and how.

Only entry points read settings. Secrets are never values here: a SecretRef names an environment
variable or a file, and is opened by the one process that needs it (`read_secret`).
"""

import os
import re
from contextlib import suppress
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

import yaml
from pydantic import (
    AfterValidator,
    Field,
    HttpUrl,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from broker.config.faults import SettingsError, faults
from broker.config.identity import IdentitySettings
from broker.config.oncall import OnCallSettings
from broker.config.values import Duration, Email, Identifier, Name, SecretRef, Section, Size
from broker.domain.grant import GrantKind
from broker.domain.role.sensitive import tag_fault
from broker.domain.sqltext import ident

# Values that files beside this one have, too.
__all__ = ["Duration", "Email", "Identifier", "Name", "SecretRef", "Section", "Settings"]
from broker.config.yaml_file import read_yaml

CONFIG_VARIABLE = "PGCURFEW_CONFIG"
DEFAULT_CONFIG = Path("configs/pgcurfew.yaml")
_PREFIX = "PGCURFEW_"
_LONGEST_BAN = timedelta(days=1)
_LONGEST_TIMEOUT = timedelta(days=24)  # PostgreSQL counts milliseconds in 32 bits


def _listen_address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("an address to listen on is HOST:PORT")
    return text


def _network(value: Any) -> IPv4Network | IPv6Network:
    return ip_network(str(value))  # str(): ip_network takes a number for a whole address


def _origin(text: str) -> str:
    # https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin, as browsers send it
    if not re.fullmatch(r"https://[a-z0-9.-]+(:[1-9][0-9]{0,4})?", text) or text.endswith(":443"):
        raise ValueError(
            "an origin is exactly what browsers send: https://HOST in lower case, with :PORT if it "
            "is not 443, no slash at the end, and never *"
        )
    return text


def _timeout(duration: timedelta) -> timedelta:
    if duration > _LONGEST_TIMEOUT:
        raise ValueError("PostgreSQL knows no time-out over 24 days")
    return duration


def _short(duration: timedelta) -> timedelta:
    if duration > _LONGEST_BAN:
        raise ValueError("at most 1d")
    return duration


def _column_tag(text: str) -> str:
    fault = tag_fault(text)
    if fault is not None:
        raise ValueError(fault)
    return text


def _parameter_name(text: str) -> str:
    # https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-NAMES-VALUES
    text = text.lower()  # TimeZone and timezone are the same to PostgreSQL
    if not re.fullmatch(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?", text):
        raise ValueError("not the name of a PostgreSQL parameter, such as work_mem")
    return text


def _parameter_value(value: Any) -> str | tuple[str, ...]:
    match value:
        case bool():
            return "on" if value else "off"
        case int() | float():
            return str(value)
        case str() if "\0" not in value:
            return value
        case [*names] if names and all(isinstance(each, str) for each in names):
            for each in names:
                ident(each)
            return tuple(names)
        case _:
            raise ValueError("a parameter is text, a number, true, false, or a list of names")


Listen = Annotated[str, AfterValidator(_listen_address)]
Timeout = Annotated[Duration, AfterValidator(_timeout)]
ShortDuration = Annotated[Duration, AfterValidator(_short)]
Origin = Annotated[str, AfterValidator(_origin)]
ColumnTag = Annotated[str, AfterValidator(_column_tag)]
ParameterName = Annotated[str, AfterValidator(_parameter_name)]
ParameterValue = Annotated[str | tuple[str, ...], PlainValidator(_parameter_value)]
Port = Annotated[int, Field(ge=1, le=65535)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]


# Parameters that have a key of their own, and that key.
_OWN_KEYS = {
    "role": "set_role",
    "default_transaction_read_only": "read_only",
    "statement_timeout": "statement_timeout",
    "transaction_timeout": "transaction_timeout",
    "idle_session_timeout": "idle_timeout",
    "idle_in_transaction_session_timeout": "idle_in_transaction_timeout",
    "search_path": "search_path",
}


class UpstreamTls(Section):
    mode: Literal["verify-full", "require", "disable"] = Field(
        default="verify-full", examples=["verify-full"]
    )
    root_certificate: Path | None = Field(default=None, examples=["certificates/target-ca.pem"])


class LedgerUser(Section):
    user: Identifier = Field(examples=["curfew_proxy"])
    password: SecretRef = Field(examples=["env:PGCURFEW_PROXY_PASSWORD"])


class LedgerSettings(Section):
    host: str = Field(examples=["ledger.internal"])
    port: Port = Field(default=5432, examples=[5432])
    database: Identifier = Field(default="curfew", examples=["curfew"])
    user: Identifier = Field(examples=["curfew"])
    password: SecretRef = Field(examples=["env:PGCURFEW_LEDGER_PASSWORD"])
    tls: UpstreamTls = Field(default=UpstreamTls(), examples=["{mode: verify-full}"])
    proxy: LedgerUser = Field(examples=["{user: curfew_proxy, password: env:NAME}"])


class KeySettings(Section):
    current: Name = Field(examples=["k1"])
    proxy_keys: dict[Name, SecretRef] = Field(examples=["{k1: file:secrets/proxy-key}"])
    ticket_key: SecretRef | None = Field(default=None, examples=["file:secrets/ticket.key"])
    audit_key: SecretRef | None = Field(default=None, examples=["file:secrets/audit.key"])

    @model_validator(mode="after")
    def _current_exists(self) -> "KeySettings":
        if self.current not in self.proxy_keys:
            raise ValueError(f"keys.current is {self.current!r}, which keys.proxy_keys lacks")
        return self


class OwnNetworks(Section):
    """Networks of a target or a catalog role. Those of the proxy must allow an address as well."""

    allow: tuple[Network, ...] = Field(default=(), examples=["[10.0.0.0/8, 'fd00::/8']"])
    deny: tuple[Network, ...] = Field(default=(), examples=["[10.9.0.0/16]"])
    allow_files: tuple[Path, ...] = Field(default=(), examples=["[offices.txt]"])
    deny_files: tuple[Path, ...] = Field(default=(), examples=["[blocklist.txt]"])


class GlobalNetworks(OwnNetworks):
    """What nothing allows is refused, so the default allows everything."""

    allow: tuple[Network, ...] = Field(
        default=cast("tuple[Network, ...]", (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))),
        examples=["[10.0.0.0/8, 'fd00::/8']"],
    )


class AdminSettings(Section):
    user: Identifier = Field(examples=["curfew_broker_1"])
    password: SecretRef = Field(examples=["env:ORDERS_ADMIN_PASSWORD"])
    role: Identifier = Field(default="curfew_admin", examples=["curfew_admin"])
    restricted: bool = Field(default=False, examples=["true"])
    rotate_every: Duration | None = Field(default=None, examples=["30d"])

    @model_validator(mode="after")
    def _writable(self) -> "AdminSettings":
        if self.rotate_every is not None and not self.password.startswith("file:"):
            raise ValueError("rotate_every needs a password that can be replaced: file:PATH")
        return self


class SessionParameters(Section):
    """What sessions of a login start with."""

    read_only: bool = Field(default=False, examples=["true"])
    statement_timeout: Timeout | None = Field(default=None, examples=["60s"])
    transaction_timeout: Timeout | None = Field(default=None, examples=["10m"])
    idle_in_transaction_timeout: Timeout | None = Field(default=None, examples=["5m"])
    search_path: tuple[Identifier, ...] = Field(default=(), examples=["[shop, public]"])
    settings: dict[ParameterName, ParameterValue] = Field(default={}, examples=["{work_mem: 64MB}"])

    @model_validator(mode="after")
    def _one_key_each(self) -> Self:
        taken = sorted(set(_OWN_KEYS) & set(self.settings))
        if taken:
            use = _OWN_KEYS[taken[0]]
            raise ValueError(f"settings may not hold {taken[0]!r}: use {use} instead")
        if "session_authorization" in self.settings:
            raise ValueError("settings may not hold 'session_authorization': it is for superusers")
        return self


class CatalogRoleSettings(SessionParameters):
    description: str = Field(default="", examples=["may read every table of the application"])
    kinds: frozenset[GrantKind] = Field(
        default=frozenset({GrantKind.LOGIN}), min_length=1, examples=["[login, membership]"]
    )
    connection_limit: int = Field(default=10, ge=1, le=10000, examples=[10])
    inherit: bool = Field(default=True, examples=["false"])
    set_role: bool = Field(default=False, examples=["true"])
    idle_timeout: Timeout | None = Field(default=None, examples=["30m"])
    longest_session: Timeout | None = Field(default=None, examples=["8h"])
    networks: OwnNetworks = Field(default=OwnNetworks(), examples=["{allow: [10.2.0.0/16]}"])
    pin_address: bool = Field(default=False, examples=["true"])

    @model_validator(mode="after")
    def _consistent(self) -> "CatalogRoleSettings":
        if not self.inherit and self.set_role:
            raise ValueError("inherit: false and set_role: true contradict each other: drop one")
        if self.pin_address and GrantKind.MEMBERSHIP in self.kinds:
            raise ValueError("pin_address is kept by the proxies, which memberships do not use")
        return self


class StandbySettings(Section):
    host: str = Field(examples=["orders-standby.internal"])
    port: Port = Field(default=5432, examples=[5432])


class TargetSettings(Section):
    host: str = Field(examples=["orders-db.internal"])
    port: Port = Field(default=5432, examples=[5432])
    database: Identifier = Field(examples=["orders"])
    tls: UpstreamTls = Field(default=UpstreamTls(), examples=["{mode: verify-full}"])
    admin: AdminSettings = Field(examples=["{user: curfew_broker_1, password: file:PATH}"])
    standbys: tuple[StandbySettings, ...] = Field(
        default=(), examples=["[{host: orders-standby.internal}]"]
    )
    networks: OwnNetworks = Field(default=OwnNetworks(), examples=["{allow: [10.2.0.0/16]}"])
    unknown_logins: Literal["report", "remove"] = Field(default="report", examples=["report"])
    sensitive_columns: tuple[ColumnTag, ...] = Field(
        default=(), examples=["[shop.customers.email, '*.*.password*']"]
    )
    roles: dict[Identifier, CatalogRoleSettings] = Field(
        min_length=1, examples=["{orders_reader: {description: may read}}"]
    )


class ProxyTls(Section):
    required: bool = Field(default=True, examples=["true"])
    certificate: Path | None = Field(default=None, examples=["certificates/proxy.pem"])
    key: Path | None = Field(default=None, examples=["certificates/proxy.key"])
    root_certificate: Path | Literal["system"] | None = Field(default=None, examples=["system"])
    client_certificates: Literal["none", "optional", "required"] = Field(
        default="none", examples=["optional"]
    )
    client_ca: Path | None = Field(default=None, examples=["certificates/clients-ca.pem"])

    @model_validator(mode="after")
    def _pair(self) -> "ProxyTls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: name both or neither")
        if (self.client_certificates == "none") != (self.client_ca is None):
            raise ValueError("client_certificates (optional or required) and client_ca go together")
        return self


class ThrottleSettings(Section):
    failures: int = Field(default=20, ge=1, le=100_000, examples=[20])
    window: ShortDuration = Field(default=timedelta(minutes=10), examples=["10m"])
    ban: ShortDuration = Field(default=timedelta(minutes=15), examples=["15m"])


class ProxyLimits(Section):
    half_open: int = Field(default=1000, ge=1, le=100_000, examples=[1000])
    half_open_per_address: int = Field(default=100, ge=1, le=100_000, examples=[100])
    cancels_per_second: int = Field(default=20, ge=1, le=10_000, examples=[20])
    explained_refusals_per_second: int = Field(default=10, ge=0, le=10_000, examples=[10])


class SessionSettings(Section):
    idle_timeout: Timeout | None = Field(default=None, examples=["30m"])
    longest: Timeout | None = Field(default=None, examples=["12h"])
    warn_before: tuple[Duration, ...] = Field(
        default=(timedelta(minutes=10), timedelta(minutes=2)), examples=["[10m, 2m]"]
    )


class TicketSettings(Section):
    public_keys: tuple[Path, ...] = Field(default=(), examples=["[ticket.pem]"])


class ProxySettings(Section):
    listen: Listen = Field(default="127.0.0.1:7432", examples=["0.0.0.0:7432"])
    public_host: str = Field(default="localhost", examples=["db.example.com"])
    public_port: Port | None = Field(default=None, examples=[7432])
    workers: int = Field(default=1, ge=1, le=256, examples=[2])
    tls: ProxyTls = Field(default=ProxyTls(), examples=["{required: true}"])
    networks: GlobalNetworks = Field(default=GlobalNetworks(), examples=["{allow: [10.0.0.0/8]}"])
    behind: tuple[Network, ...] = Field(default=(), examples=["[10.1.0.0/24]"])
    throttle: ThrottleSettings = Field(default=ThrottleSettings(), examples=["{failures: 20}"])
    limits: ProxyLimits = Field(default=ProxyLimits(), examples=["{half_open: 1000}"])
    sessions: SessionSettings = Field(default=SessionSettings(), examples=["{idle_timeout: 30m}"])
    egress: tuple[Network, ...] = Field(default=(), examples=["[10.1.2.0/28]"])
    tickets: TicketSettings = Field(
        default=TicketSettings(), examples=["{public_keys: [ticket.pem]}"]
    )
    startup_timeout: Duration = Field(default=timedelta(seconds=15), examples=["15s"])
    drain_timeout: Duration = Field(default=timedelta(seconds=10), examples=["10s"])


class SpoolSettings(Section):
    """Where proxies keep what the ledger does not have yet. `limit` is for all workers of a
    machine."""

    limit: Size = Field(default=1024**3, ge=64 * 1024**2, examples=["1GB"])
    segment: Size = Field(default=16 * 1024**2, ge=16 * 1024**2, le=1024**3, examples=["16MB"])
    refuse_at: int = Field(default=80, ge=1, le=100, examples=[80])
    when_full: Literal["hold", "end"] = Field(default="hold", examples=["hold"])

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.segment * 4 > self.limit:
            raise ValueError("limit must have room for four segments at least")
        return self


class SinkSettings(Section):
    """Whoever else wants what is on record: over TLS syslog or HTTPS."""

    syslog: str | None = Field(default=None, examples=["siem.example.com:6514"])
    url: HttpUrl | None = Field(default=None, examples=["https://siem.example.com/ingest"])
    token: SecretRef | None = Field(default=None, examples=["env:SIEM_TOKEN"])
    root_certificate: Path | None = Field(default=None, examples=["siem-ca.pem"])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.syslog is None) == (self.url is None):
            raise ValueError("say syslog (HOST:PORT) or url, and not both")
        if self.token is not None and self.url is None:
            raise ValueError("token goes with url: syslog has no place for one")
        if self.url is not None and self.url.scheme != "https":
            raise ValueError("url must be https: what people ask for is nobody else's business")
        return self


class AuditSettings(Section):
    longest_text: Size = Field(default=1024**2, ge=1024, le=2 * 1024**2, examples=["1MB"])
    keep_statements: Duration | None = Field(default=None, examples=["400d"])
    checkpoint_every: Duration = Field(default=timedelta(minutes=10), examples=["10m"])
    spool: SpoolSettings = Field(default=SpoolSettings(), examples=["{limit: 1GB}"])
    sink: SinkSettings | None = Field(default=None, examples=["{syslog: siem.example.com:6514}"])


class RateLimitSettings(Section):
    """Calls to one API process. 0: as many as they like."""

    per_minute: int = Field(default=1200, ge=0, le=1_000_000, examples=[1200])
    burst: int = Field(default=400, ge=1, le=1_000_000, examples=[400])
    strangers_per_minute: int = Field(default=300, ge=0, le=1_000_000, examples=[300])
    strangers_burst: int = Field(default=150, ge=1, le=1_000_000, examples=[150])


class ApiSettings(Section):
    listen: Listen = Field(default="127.0.0.1:7480", examples=["127.0.0.1:7480"])
    public_url: HttpUrl | None = Field(default=None, examples=["https://curfew.example.com"])
    trusted_proxies: tuple[Network, ...] = Field(default=(), examples=["[10.1.0.0/24]"])
    rate_limit: RateLimitSettings = Field(
        default=RateLimitSettings(), examples=["{per_minute: 1200}"]
    )
    cors_origins: tuple[Origin, ...] = Field(default=(), examples=["[https://ops.example.com]"])


class PolicyFile(Section):
    file: Path = Field(default=Path("policies.yaml"), examples=["policies.yaml"])
    request_lapses_after: Duration = Field(default=timedelta(days=1), examples=["1d"])
    review_within: Duration = Field(default=timedelta(days=3), examples=["3d"])


class Settings(BaseSettings):
    """Everything an operator may say. `configs/pgcurfew.yaml` explains every key."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    state_dir: Path = Field(default=Path("../var"), examples=["/var/lib/pgcurfew"])
    ledger: LedgerSettings = Field(examples=["{host: 127.0.0.1, user: curfew, …}"])
    keys: KeySettings = Field(examples=["{current: k1, proxy_keys: {k1: env:NAME}}"])
    targets: dict[Name, TargetSettings] = Field(
        min_length=1, examples=["{orders: {host: orders-db.internal, …}}"]
    )
    proxy: ProxySettings = Field(
        default=ProxySettings(), examples=["{listen: '0.0.0.0:7432', public_host: db.example.com}"]
    )
    api: ApiSettings = Field(default=ApiSettings(), examples=["{listen: '127.0.0.1:7480'}"])
    identity: IdentitySettings = Field(
        default=IdentitySettings(), examples=["{people: [{email: dev@example.com}]}"]
    )
    policies: PolicyFile = Field(default=PolicyFile(), examples=["{file: policies.yaml}"])
    oncall: OnCallSettings = Field(default=OnCallSettings(), examples=["{fresh_for: 1m}"])
    audit: AuditSettings = Field(default=AuditSettings(), examples=["{longest_text: 1MB}"])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del env_settings, dotenv_settings, file_secret_settings
        return (_Environment(settings_cls), init_settings)


class _Environment(EnvSettingsSource):
    """The environment, whose lists and mappings are written as in the file: `[10.0.0.0/8]`."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: str) -> Any:
        del field_name, field
        # Whatever is not YAML stays text, which validation then refuses with its path.
        with suppress(yaml.YAMLError, ValueError):
            return yaml.safe_load(value) if value.lstrip().startswith(("[", "{")) else value
        return value


def config_path() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_settings(path: Path) -> Settings:
    """Read the settings file and the environment. Raises SettingsError."""
    try:
        values = read_yaml(path, "ledger: {…}")
    except OSError as error:
        why = f"the settings file cannot be read ({error.strerror})"
        example = f"{CONFIG_VARIABLE}={DEFAULT_CONFIG}"
        raise SettingsError(str(path), [f"  {why}; for example: {example}"]) from None
    _refuse_unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(str(path), faults(error, Settings)) from None
    _refuse_unknown_targets(settings, path)
    _refuse_unanswerable_schedules(settings, path)
    _require_a_way_back(settings, path)
    return settings


def _refuse_unknown_variables() -> None:
    """A setting in the environment that no section knows would otherwise be lost in silence."""
    sections = list(Settings.model_fields)
    for name in os.environ:
        section = name.removeprefix(_PREFIX).partition("__")[0].lower()
        if name.startswith(_PREFIX) and "__" in name and section not in sections:
            close = get_close_matches(section, sections, n=1) or sections
            example = f"{_PREFIX}{close[0].upper()}__…"
            raise SettingsError(
                "the environment", [f"  {name}: is not a known setting; for example: {example}"]
            )


def _refuse_unknown_targets(settings: Settings, path: Path) -> None:
    for number, person in enumerate(settings.identity.people):
        for target in sorted(set(person.personal_roles) - set(settings.targets)):
            why = f"targets has no {target!r}; for example: {{{min(settings.targets)}: alice}}"
            key = f"identity.people.{number}.personal_roles"
            raise SettingsError(str(path), [f"  {key}: {why}"])


def _refuse_unanswerable_schedules(settings: Settings, path: Path) -> None:
    oncall = settings.oncall
    known = {each.email for each in settings.identity.people}
    may_be_new = bool(settings.identity.providers)  # which vouch for people as they come
    for name, schedule in oncall.schedules.items():
        key = f"oncall.schedules.{name}"
        for vendor in ("pagerduty", "incident_io"):
            if getattr(schedule, vendor) and getattr(oncall, vendor) is None:
                example = f"oncall: {{{vendor}: {{token: env:{vendor.upper()}_TOKEN}}}}"
                why = f"nothing says how to ask: oncall.{vendor} is missing; for example: {example}"
                raise SettingsError(str(path), [f"  {key}.{vendor}: {why}"])
        strangers = sorted(set(schedule.rota.people) - known) if schedule.rota else []
        if strangers and not may_be_new:
            why = f"identity.people has no {strangers[0]!r}; for example: [dev@example.com]"
            raise SettingsError(str(path), [f"  {key}.rota.people: {why}"])


def _require_a_way_back(settings: Settings, path: Path) -> None:
    if settings.identity.providers and settings.api.public_url is None:
        why = (
            "is missing: providers send people back there; for example: https://curfew.example.com"
        )
        raise SettingsError(str(path), [f"  api.public_url: {why}"])


def overrides() -> tuple[str, ...]:
    """Return the environment variables that take the place of settings."""
    sections = set(Settings.model_fields)
    return tuple(
        sorted(
            name
            for name in os.environ
            if name.upper().startswith(_PREFIX)
            and name[len(_PREFIX) :].partition("__")[0].lower() in sections
        )
    )


def beside(config: Path, path: Path) -> Path:
    """Return `path` as meant in the settings file `config`: relative to its folder."""
    return (config.parent / path.expanduser()).resolve()


def read_secret(reference: str, key: str, config: Path) -> str:
    """Return the secret that `reference` names, for settings key `key`. Raises SettingsError."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        secret = os.environ.get(name)
        if not secret:
            raise SettingsError(
                str(config),
                [f"  {key}: environment variable {name} is not set; for example: export {name}=…"],
            )
        return secret
    path = beside(config, Path(name))
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            str(config),
            [f"  {key}: file {path} cannot be read ({why}); for example: file:secrets/password"],
        ) from None
    if not secret:
        raise SettingsError(
            str(config),
            [f"  {key}: file {path} is empty; for example: openssl rand -hex 32 > {path}"],
        )
    return secret
