"""One YAML file and the environment → one frozen Settings, or a SettingsError that says where,
what and how.

Only entry points read settings. Secrets are never values here: a SecretRef names an environment
variable or a file, and is opened by the one process that needs it (`read_secret`).
"""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from broker.domain.duration import parse_duration
from broker.domain.errors import InvalidDuration
from broker.domain.sqltext import ident

CONFIG_VARIABLE = "PGCURFEW_CONFIG"
DEFAULT_CONFIG = Path("configs/pgcurfew.yaml")
_PREFIX = "PGCURFEW_"


class SettingsError(Exception):
    """The settings cannot be used: one line per fault, each with path, reason and example."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__("\n".join([f"settings in {source} cannot be used:", *faults]))


def _secret_ref(text: str) -> str:
    if not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", text):
        # The text may be the secret itself, so it is not repeated.
        raise ValueError("a secret is never written here: name where it is, env:NAME or file:PATH")
    return text


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except InvalidDuration as fault:
        raise ValueError(str(fault)) from None


def _identifier(text: str) -> str:
    ident(text)
    return text


def _listen_address(text: str) -> str:
    _host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise ValueError("an address to listen on is HOST:PORT")
    return text


def _email(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("not an e-mail address")
    return text.lower()


SecretRef = Annotated[str, AfterValidator(_secret_ref)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Identifier = Annotated[str, AfterValidator(_identifier)]
Listen = Annotated[str, AfterValidator(_listen_address)]
Email = Annotated[str, AfterValidator(_email)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Network = IPv4Network | IPv6Network


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UpstreamTls(Section):
    mode: Literal["verify-full", "require", "disable"] = "verify-full"
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
    tls: UpstreamTls = UpstreamTls()
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
    tls: UpstreamTls = UpstreamTls()
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
    tls: ProxyTls = ProxyTls()
    networks: NetworkLists = NetworkLists()
    startup_timeout: Duration = Field(default=timedelta(seconds=15), examples=["15s"])
    drain_timeout: Duration = Field(default=timedelta(seconds=10), examples=["10s"])


class ApiSettings(Section):
    listen: Listen = Field(default="127.0.0.1:7480", examples=["127.0.0.1:7480"])
    public_url: str | None = Field(default=None, examples=["https://access.example.com"])


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
        nested_model_default_partial_update=True,
    )

    state_dir: Path = Field(default=Path("../var"), examples=["/var/lib/pgcurfew"])
    ledger: LedgerSettings = Field(examples=["{host: 127.0.0.1, user: curfew, …}"])
    keys: KeySettings = Field(examples=["{current: k1, proxy_keys: {k1: env:NAME}}"])
    targets: dict[Name, TargetSettings] = Field(
        min_length=1, examples=["{orders: {host: orders-db.internal, …}}"]
    )
    proxy: ProxySettings = ProxySettings()
    api: ApiSettings = ApiSettings()
    identity: IdentitySettings = IdentitySettings()
    policies: PolicyFile = PolicyFile()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del settings_cls, dotenv_settings, file_secret_settings
        return (env_settings, init_settings)


def config_path() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_settings(path: Path) -> Settings:
    """Read the settings file and the environment. Raises SettingsError."""
    values = read_yaml(path, "settings")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(str(path), list(faults(error, Settings))) from None


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
        raise SettingsError(str(config), [f"  {key}: file {path} is empty"])
    return secret


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise SettingsError(
            str(path),
            [
                f"  the {what} file cannot be read ({error.strerror}); for example: "
                f"{CONFIG_VARIABLE}=configs/pgcurfew.yaml"
            ],
        ) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        why = getattr(error, "problem", None) or "unreadable"
        raise SettingsError(str(path), [f"  it is not YAML{line}: {why}"]) from None
    if not isinstance(values, dict):
        raise SettingsError(str(path), ["  it must be a YAML mapping, for example: ledger: {…}"])
    return values


def faults(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False):
        field, siblings = _field_at(model, fault["loc"])
        where = ".".join(str(part) for part in fault["loc"]) or "the whole file"
        why = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            why = "is missing"
        elif fault["type"] == "extra_forbidden":
            close = get_close_matches(str(fault["loc"][-1]), siblings, n=1)
            why = "is not a known key" + (f"; did you mean {close[0]}?" if close else "")
            if not close:
                why += f"; known here: {', '.join(siblings)}"
        example = f"; for example: {field.examples[0]}" if field and field.examples else ""
        yield f"  {where}: {why}{example}"


def _field_at(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[FieldInfo | None, list[str]]:
    """Return the field that an error's location points into, and the keys known beside it."""
    field: FieldInfo | None = None
    here: type[BaseModel] | None = model
    siblings = list(model.model_fields)
    for part in location:
        if here is not None and part in here.model_fields:
            siblings = list(here.model_fields)
            field = here.model_fields[str(part)]
            here = _model_in(field.annotation)
        elif here is not None and field is None:
            return None, siblings
        elif here is not None:
            siblings = list(here.model_fields)
    if location and here is not None and location[-1] not in siblings and field is not None:
        return None, list(here.model_fields)
    return field, siblings


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_in(argument)) is not None:
            return found
    return None
