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
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
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

from broker.domain.duration import parse_duration
from broker.domain.errors import InvalidDuration
from broker.domain.sqltext import ident
from broker.settings_faults import SettingsError, faults
from broker.yaml_file import read_yaml

CONFIG_VARIABLE = "PGCURFEW_CONFIG"
DEFAULT_CONFIG = Path("configs/pgcurfew.yaml")
_PREFIX = "PGCURFEW_"


def _secret_ref(text: str) -> str:
    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", text):
        # The text may be the secret itself, so it is not repeated.
        raise ValueError("a secret is never written here: name where it is, env:NAME or file:PATH")
    return text


def _duration(value: Any) -> timedelta:
    try:
        return parse_duration(str(value))  # not pydantic's own reading: 8 would mean 8 seconds
    except InvalidDuration as fault:
        raise ValueError(str(fault)) from None


def _identifier(text: str) -> str:
    ident(text)
    return text


def _listen_address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("an address to listen on is HOST:PORT")
    return text


def _network(value: Any) -> IPv4Network | IPv6Network:
    return ip_network(str(value))  # str(): ip_network takes a number for a whole address


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", text):
        raise ValueError(
            "a name is at most 63 of a-z, 0-9, dot, dash and underscore, "
            "and begins with a letter or a digit"
        )
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("not an e-mail address")
    return text.lower()


SecretRef = Annotated[str, AfterValidator(_secret_ref)]
Duration = Annotated[timedelta, PlainValidator(_duration)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Listen = Annotated[str, AfterValidator(_listen_address)]
Email = Annotated[str, AfterValidator(_email)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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

    @model_validator(mode="after")
    def _current_exists(self) -> "KeySettings":
        if self.current not in self.proxy_keys:
            raise ValueError(f"keys.current is {self.current!r}, which keys.proxy_keys lacks")
        return self


class AdminSettings(Section):
    user: Identifier = Field(examples=["curfew_broker_1"])
    password: SecretRef = Field(examples=["env:ORDERS_ADMIN_PASSWORD"])
    role: Identifier = Field(default="curfew_admin", examples=["curfew_admin"])


class CatalogRoleSettings(Section):
    description: str = Field(default="", examples=["may read every table of the application"])
    connection_limit: int = Field(default=10, ge=1, le=10000, examples=[10])


class TargetSettings(Section):
    host: str = Field(examples=["orders-db.internal"])
    port: Port = Field(default=5432, examples=[5432])
    database: Identifier = Field(examples=["orders"])
    tls: UpstreamTls = Field(default=UpstreamTls(), examples=["{mode: verify-full}"])
    admin: AdminSettings = Field(examples=["{user: curfew_broker_1, password: env:NAME}"])
    roles: dict[Identifier, CatalogRoleSettings] = Field(
        min_length=1, examples=["{orders_reader: {description: may read}}"]
    )


class ProxyTls(Section):
    required: bool = Field(default=True, examples=["true"])
    certificate: Path | None = Field(default=None, examples=["certificates/proxy.pem"])
    key: Path | None = Field(default=None, examples=["certificates/proxy.key"])
    root_certificate: Path | Literal["system"] | None = Field(default=None, examples=["system"])

    @model_validator(mode="after")
    def _pair(self) -> "ProxyTls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: name both or neither")
        return self


class NetworkLists(Section):
    allow: tuple[Network, ...] = Field(
        default=cast("tuple[Network, ...]", (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))),
        examples=["[10.0.0.0/8, 'fd00::/8']"],
    )
    deny: tuple[Network, ...] = Field(default=(), examples=["[10.9.0.0/16]"])


class ProxySettings(Section):
    listen: Listen = Field(default="127.0.0.1:7432", examples=["0.0.0.0:7432"])
    public_host: str = Field(default="localhost", examples=["db.example.com"])
    public_port: Port | None = Field(default=None, examples=[7432])
    workers: int = Field(default=1, ge=1, le=256, examples=[2])
    tls: ProxyTls = Field(default=ProxyTls(), examples=["{required: true}"])
    networks: NetworkLists = Field(default=NetworkLists(), examples=["{allow: [10.0.0.0/8]}"])
    startup_timeout: Duration = Field(default=timedelta(seconds=15), examples=["15s"])
    drain_timeout: Duration = Field(default=timedelta(seconds=10), examples=["10s"])


class ApiSettings(Section):
    listen: Listen = Field(default="127.0.0.1:7480", examples=["127.0.0.1:7480"])


class PersonSettings(Section):
    email: Email = Field(examples=["reviewer@example.com"])
    name: str = Field(default="", examples=["On-call reviewer"])
    groups: frozenset[str] = Field(default=frozenset(), examples=["[dba]"])


class IdentitySettings(Section):
    people: tuple[PersonSettings, ...] = Field(default=(), examples=["[{email: dev@example.com}]"])


class PolicyFile(Section):
    file: Path = Field(default=Path("policies.yaml"), examples=["policies.yaml"])
    request_lapses_after: Duration = Field(default=timedelta(days=1), examples=["1d"])


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
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(str(path), faults(error, Settings)) from None


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
