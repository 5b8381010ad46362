"""The settings file, the environment on top of it, and the secrets that they only point to."""

import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from broker.config.faults import SettingsError
from broker.config.settings import beside, config_path, load_settings, read_secret
from broker.config.yaml_file import read_yaml
from broker.domain.grant import GrantKind
from tests.support.settings_files import write_settings

ROLE = "targets.orders.roles.orders_reader"
DURATIONS = "it is not a duration; write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
TEN, TEN_NINE = ip_network("10.0.0.0/8"), ip_network("10.9.0.0/16")


@pytest.fixture(autouse=True)
def _no_settings_of_ours_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PGCURFEW_"):
            monkeypatch.delenv(name)


def complaint(error: pytest.ExceptionInfo[SettingsError], source: Path) -> str:
    """Return what is wrong, when only one thing is."""
    head, *faults = str(error.value).splitlines()
    assert head == f"settings in {source} cannot be used:"
    assert len(faults) == 1
    return faults[0].removeprefix("  ")


def test_the_smallest_settings_get_safe_defaults(tmp_path: Path) -> None:
    settings = load_settings(write_settings(tmp_path))
    assert settings.ledger.model_dump() == {
        "host": "127.0.0.1",
        "port": 5432,
        "database": "curfew",
        "user": "curfew",
        "password": "env:LEDGER_PASSWORD",
        "tls": {"mode": "verify-full", "root_certificate": None},
        "proxy": {"user": "curfew_proxy", "password": "env:LEDGER_PROXY_PASSWORD"},
    }
    assert settings.targets["orders"].model_dump() == {
        "host": "orders-db.internal",
        "port": 5432,
        "database": "orders",
        "tls": {"mode": "verify-full", "root_certificate": None},
        "admin": {
            "user": "curfew_broker_1",
            "password": "env:ORDERS_ADMIN_PASSWORD",
            "role": "curfew_admin",
            "restricted": False,
            "rotate_every": None,
        },
        "standbys": (),
        "networks": {"allow": (), "deny": (), "allow_files": (), "deny_files": ()},
        "unknown_logins": "report",
        "sensitive_columns": (),
        "roles": {
            "orders_reader": {
                "description": "",
                "kinds": frozenset({GrantKind.LOGIN}),
                "connection_limit": 10,
                "inherit": True,
                "set_role": False,
                "read_only": False,
                "statement_timeout": None,
                "transaction_timeout": None,
                "idle_timeout": None,
                "idle_in_transaction_timeout": None,
                "longest_session": None,
                "networks": {"allow": (), "deny": (), "allow_files": (), "deny_files": ()},
                "pin_address": False,
                "search_path": (),
                "settings": {},
            }
        },
    }
    assert settings.proxy.model_dump() == {
        "listen": "127.0.0.1:7432",
        "public_host": "localhost",
        "public_port": None,
        "workers": 1,
        "tls": {
            "required": True,
            "certificate": None,
            "key": None,
            "root_certificate": None,
            "client_certificates": "none",
            "client_ca": None,
        },
        "networks": {
            "allow": (ip_network("0.0.0.0/0"), ip_network("::/0")),
            "deny": (),
            "allow_files": (),
            "deny_files": (),
        },
        "behind": (),
        "throttle": {
            "failures": 20,
            "window": timedelta(minutes=10),
            "ban": timedelta(minutes=15),
        },
        "limits": {
            "half_open": 1000,
            "half_open_per_address": 100,
            "cancels_per_second": 20,
            "explained_refusals_per_second": 10,
        },
        "sessions": {
            "idle_timeout": None,
            "longest": None,
            "warn_before": (timedelta(minutes=10), timedelta(minutes=2)),
        },
        "egress": (),
        "tickets": {"public_keys": ()},
        "startup_timeout": timedelta(seconds=15),
        "drain_timeout": timedelta(seconds=10),
    }
    assert settings.model_dump(include={"state_dir", "api", "identity", "policies"}) == {
        "state_dir": Path("../var"),
        "api": {
            "listen": "127.0.0.1:7480",
            "public_url": None,
            "trusted_proxies": (),
            "rate_limit": {
                "per_minute": 1200,
                "burst": 400,
                "strangers_per_minute": 300,
                "strangers_burst": 150,
            },
            "cors_origins": (),
        },
        "identity": {
            "people": (),
            "machines": (),
            "groups": frozenset(),
            "operators": {"people": frozenset(), "groups": frozenset()},
            "auditors": {"people": frozenset(), "groups": frozenset()},
            "providers": (),
            "workloads": (),
            "sign_in": {
                "lifetime": timedelta(hours=12),
                "idle": timedelta(hours=1),
                "known_for": timedelta(days=7),
                "cookie_keys": (),
            },
            "tokens": {"longest": timedelta(days=90)},
            "clock_skew": timedelta(seconds=30),
        },
        "policies": {
            "file": Path("policies.yaml"),
            "request_lapses_after": timedelta(days=1),
            "review_within": timedelta(days=3),
        },
    }


@pytest.mark.parametrize(
    ("path", "written", "read"),
    [
        ("proxy.listen", "[::1]:7432", "[::1]:7432"),
        ("proxy.listen", "127.0.0.1:0", "127.0.0.1:0"),
        ("proxy.listen", "localhost:65535", "localhost:65535"),
        ("proxy.public_port", 65535, 65535),
        ("proxy.workers", 256, 256),
        ("proxy.startup_timeout", "PT1M", timedelta(minutes=1)),
        ("proxy.tls.root_certificate", "system", "system"),
        ("proxy.tls.root_certificate", "root.pem", Path("root.pem")),
        ("proxy.networks.deny", ["10.9.0.0/16", "fd00::/8"], (TEN_NINE, ip_network("fd00::/8"))),
        ("proxy.networks.allow", ["192.0.2.7"], (ip_network("192.0.2.7/32"),)),
        ("ledger.password", "file:secrets/ledger password", "file:secrets/ledger password"),
        ("targets.orders.tls.mode", "require", "require"),
        ("proxy.egress", ["10.1.2.0/28"], (ip_network("10.1.2.0/28"),)),
        ("proxy.behind", ["10.1.2.0/28"], (ip_network("10.1.2.0/28"),)),
        ("proxy.networks.deny_files", ["blocked.txt"], (Path("blocked.txt"),)),
        ("proxy.throttle.ban", "1d", timedelta(days=1)),
        ("proxy.sessions.warn_before", [], ()),
        ("proxy.sessions.warn_before", ["5m"], (timedelta(minutes=5),)),
        ("proxy.limits.explained_refusals_per_second", 0, 0),
        ("targets.orders.admin.restricted", True, True),
        ("targets.orders.unknown_logins", "remove", "remove"),
        (f"{ROLE}.kinds", ["membership"], frozenset({GrantKind.MEMBERSHIP})),
        (f"{ROLE}.kinds", ["login", "membership"], frozenset(GrantKind)),
        (f"{ROLE}.inherit", False, False),
        (f"{ROLE}.set_role", True, True),
        (f"{ROLE}.read_only", True, True),
        (f"{ROLE}.statement_timeout", "60s", timedelta(seconds=60)),
        (f"{ROLE}.transaction_timeout", "10m", timedelta(minutes=10)),
        (f"{ROLE}.idle_timeout", "30m", timedelta(minutes=30)),
        (f"{ROLE}.idle_in_transaction_timeout", "PT5M", timedelta(minutes=5)),
        (f"{ROLE}.search_path", ["shop", "$user"], ("shop", "$user")),
        ("policies.request_lapses_after", "8h", timedelta(hours=8)),
        ("policies.review_within", "1d", timedelta(days=1)),
    ],
)
def test_a_value_is_read_as_it_is_meant(tmp_path: Path, path: str, written: Any, read: Any) -> None:
    value: Any = load_settings(write_settings(tmp_path, {path: written}))
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == read


def test_a_role_may_have_any_name_that_postgresql_allows(tmp_path: Path) -> None:
    roles = {"Orders Reader": {}, "é" * 31: {"connection_limit": 1}}
    settings = load_settings(write_settings(tmp_path, {"targets.orders.roles": roles}))
    assert list(settings.targets["orders"].roles) == list(roles)


def test_people_are_known_by_lower_case_addresses(tmp_path: Path) -> None:
    people = [{"email": "Dev@Example.com", "groups": ["developers"]}]
    settings = load_settings(write_settings(tmp_path, {"identity.people": people}))
    assert settings.identity.people[0].model_dump() == {
        "email": "dev@example.com",
        "name": "",
        "groups": frozenset({"developers"}),
        "manager": None,
        "personal_roles": {},
    }


def test_people_may_have_roles_of_their_own_on_targets(tmp_path: Path) -> None:
    people = [{"email": "dev@example.com", "personal_roles": {"orders": "Alice Dev"}}]
    settings = load_settings(write_settings(tmp_path, {"identity.people": people}))
    assert settings.identity.people[0].personal_roles == {"orders": "Alice Dev"}


def test_an_admin_password_in_a_file_may_be_rotated(tmp_path: Path) -> None:
    admin = {"user": "a", "password": "file:secrets/orders", "rotate_every": "30d"}
    settings = load_settings(write_settings(tmp_path, {"targets.orders.admin": admin}))
    assert settings.targets["orders"].admin.rotate_every == timedelta(days=30)


def test_a_standby_listens_where_postgresql_does_unless_it_says_otherwise(tmp_path: Path) -> None:
    standbys = [{"host": "a"}, {"host": "b", "port": 5433}]
    settings = load_settings(write_settings(tmp_path, {"targets.orders.standbys": standbys}))
    assert [(each.host, each.port) for each in settings.targets["orders"].standbys] == [
        ("a", 5432),
        ("b", 5433),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("64MB", "64MB"),
        ("", ""),
        (4, "4"),
        (1.5, "1.5"),
        (True, "on"),
        (False, "off"),
        (["shop", "public"], ("shop", "public")),
    ],
)
def test_a_parameter_is_passed_on_as_postgresql_writes_it(
    tmp_path: Path, written: Any, read: Any
) -> None:
    """YAML reads `on` and `off` as true and false."""
    changes = {f"{ROLE}.settings": {"auto_explain.x_1": written}}
    settings = load_settings(write_settings(tmp_path, changes))
    role = settings.targets["orders"].roles["orders_reader"]
    assert role.settings == {"auto_explain.x_1": read}


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_settings(
        tmp_path, {"proxy.listen": "127.0.0.1:7432", "proxy.public_host": "db.example.com"}
    )
    monkeypatch.setenv("PGCURFEW_PROXY__LISTEN", "0.0.0.0:6432")
    proxy = load_settings(config).proxy
    assert (proxy.listen, proxy.public_host) == ("0.0.0.0:6432", "db.example.com")


@pytest.mark.parametrize(
    ("variable", "written", "path", "read"),
    [
        ("PGCURFEW_STATE_DIR", "/srv/state", "state_dir", Path("/srv/state")),
        ("PGCURFEW_PROXY__WORKERS", "4", "proxy.workers", 4),
        ("PGCURFEW_PROXY__TLS__REQUIRED", "false", "proxy.tls.required", False),
        ("PGCURFEW_PROXY__STARTUP_TIMEOUT", "30s", "proxy.startup_timeout", timedelta(seconds=30)),
        ("PGCURFEW_LEDGER__PROXY__USER", "other", "ledger.proxy.user", "other"),
        ("PGCURFEW_TARGETS__ORDERS__HOST", "192.0.2.7", "targets.orders.host", "192.0.2.7"),
        ("PGCURFEW_KEYS__PROXY_KEYS__K2", "env:K2", "keys.proxy_keys.k2", "env:K2"),
        ("PGCURFEW_API", "{listen: '[::1]:7480'}", "api.listen", "[::1]:7480"),
        ("PGCURFEW_PROXY__NETWORKS__ALLOW", '["10.0.0.0/8"]', "proxy.networks.allow", (TEN,)),
        ("PGCURFEW_PROXY__NETWORKS__ALLOW", "[10.0.0.0/8]", "proxy.networks.allow", (TEN,)),
    ],
)
def test_every_key_can_be_set_by_the_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    written: str,
    path: str,
    read: Any,
) -> None:
    monkeypatch.setenv(variable, written)
    value: Any = load_settings(write_settings(tmp_path))
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == read


@pytest.mark.parametrize(
    ("variable", "written", "fault"),
    [
        (
            "PGCURFEW_PROXY__LISTEN",
            "",
            "proxy.listen: an address to listen on is HOST:PORT; for example: 0.0.0.0:7432",
        ),
        (
            "PGCURFEW_PROXY__LISTN",
            "0.0.0.0:6432",
            "proxy.listn: is not a known key; did you mean listen? "
            "for example: listen: 0.0.0.0:7432",
        ),
        (
            "PGCURFEW_PROXY__NETWORKS__ALLOW",
            "10.0.0.0/8",
            "proxy.networks.allow: must be a list; for example: [10.0.0.0/8, 'fd00::/8']",
        ),
        (
            "PGCURFEW_PROXY__NETWORKS__ALLOW",
            "[10.0.0.0/8",
            "proxy.networks.allow: must be a list; for example: [10.0.0.0/8, 'fd00::/8']",
        ),
        (
            "PGCURFEW_API",
            "{listen: 2026-13-01}",
            "api: must be a mapping of keys to values; for example: {listen: '127.0.0.1:7480'}",
        ),
        (
            "PGCURFEW_TARGETS__ORDERS__ADMIN__PASSWORD",
            "hunter2",
            "targets.orders.admin.password: a secret is never written here: name where it is, "
            "env:NAME or file:PATH; for example: env:ORDERS_ADMIN_PASSWORD",
        ),
    ],
)
def test_a_wrong_value_in_the_environment_is_explained_like_one_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, written: str, fault: str
) -> None:
    config = write_settings(tmp_path)
    monkeypatch.setenv(variable, written)
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert complaint(error, config) == fault


def test_variables_that_only_hold_secrets_are_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One underscore, not two: these are what env:NAME points to."""
    monkeypatch.setenv("PGCURFEW_LEDGER_PASSWORD", "hunter2")
    settings = load_settings(write_settings(tmp_path))
    assert settings.ledger.password == "env:LEDGER_PASSWORD"


def test_nothing_changes_settings_once_they_are_read(tmp_path: Path) -> None:
    settings = load_settings(write_settings(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        settings.state_dir = Path("elsewhere")
    with pytest.raises(ValueError, match="frozen"):
        settings.proxy.listen = "0.0.0.0:1"


def test_the_settings_file_is_named_by_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_path() == Path("configs/pgcurfew.yaml")
    monkeypatch.setenv("PGCURFEW_CONFIG", "")
    assert config_path() == Path("configs/pgcurfew.yaml")
    monkeypatch.setenv("PGCURFEW_CONFIG", "/etc/pgcurfew/pgcurfew.yaml")
    assert config_path() == Path("/etc/pgcurfew/pgcurfew.yaml")


def test_a_missing_settings_file_says_how_to_name_another(tmp_path: Path) -> None:
    absent = tmp_path / "absent.yaml"
    with pytest.raises(SettingsError) as error:
        load_settings(absent)
    assert complaint(error, absent) == (
        "the settings file cannot be read (No such file or directory); "
        "for example: PGCURFEW_CONFIG=configs/pgcurfew.yaml"
    )


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(tmp_path)
    assert complaint(error, tmp_path) == (
        "the settings file cannot be read (Is a directory); "
        "for example: PGCURFEW_CONFIG=configs/pgcurfew.yaml"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ledger: x: y", "it is not YAML at line 1: mapping values are not allowed here"),
        (
            "a: 1\nb: [",
            "it is not YAML at line 2: expected the node content, but found '<stream end>'",
        ),
        (
            "ledger:\n  password:x\n  user: y",
            "it is not YAML at line 3: mapping values are not allowed here",
        ),
        ("a: 2026-13-45", "it is not YAML: a value or a character cannot be read"),
        ("a: \x01", "it is not YAML: a value or a character cannot be read"),
        ("", "it must be a mapping of keys to values"),
        ("- ledger", "it must be a mapping of keys to values"),
        ("7432: proxy", "it must be a mapping of keys to values"),
    ],
)
def test_a_file_that_is_not_a_yaml_mapping_is_refused_with_the_line(
    tmp_path: Path, text: str, why: str
) -> None:
    config = tmp_path / "pgcurfew.yaml"
    config.write_text(text)
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert complaint(error, config) == f"{why}; for example: ledger: {{…}}"


@pytest.mark.parametrize(
    "text", ["*hunter2", "!hunter2 x", "!x!hunter2 x", "&a hunter2: hunter2: "]
)
def test_a_password_that_yaml_stumbles_over_is_not_repeated(tmp_path: Path, text: str) -> None:
    """`*` begins an alias and `!` a tag, and both begin passwords."""
    config = tmp_path / "pgcurfew.yaml"
    config.write_text(f"ledger:\n  password: {text}\n")
    with pytest.raises(SettingsError) as error:
        read_yaml(config, "ledger: {…}")
    assert complaint(error, config).startswith("it is not YAML at line 2: ")
    assert "hunter2" not in str(error.value)


def test_a_relative_path_starts_beside_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the program was started."""
    monkeypatch.setenv("HOME", "/home/dev")
    config = tmp_path / "configs" / "pgcurfew.yaml"
    assert beside(config, Path("policies.yaml")) == tmp_path / "configs" / "policies.yaml"
    assert beside(config, Path("../var")) == tmp_path / "var"
    assert beside(config, Path("/var/lib/pgcurfew")) == Path("/var/lib/pgcurfew")
    assert beside(config, Path("~/var")) == Path("/home/dev/var")


def test_a_secret_comes_from_the_environment_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", " hunter2:x ")
    secret = read_secret("env:LEDGER_PASSWORD", "ledger.password", tmp_path / "pgcurfew.yaml")
    assert secret == " hunter2:x "


def test_a_secret_comes_from_a_file_beside_the_settings_without_its_line_end(
    tmp_path: Path,
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "ledger").write_text("hunter2\n")
    config = tmp_path / "pgcurfew.yaml"
    assert read_secret("file:secrets/ledger", "ledger.password", config) == "hunter2"
    absolute = f"file:{tmp_path}/secrets/ledger"
    assert read_secret(absolute, "ledger.password", config) == "hunter2"


NO_ORIGIN = (
    "an origin is exactly what browsers send: https://HOST in lower case, with :PORT if it is not "
    "443, no slash at the end, and never *; for example: [https://ops.example.com]"
)
WRONG_VALUES: list[tuple[str, Any, str]] = [
    *(
        ("api.cors_origins", [each], f"api.cors_origins.0: {NO_ORIGIN}")
        for each in (
            "*",
            "https://*.example.com",
            "http://ops.example.com",
            "https://ops.example.com/",
            "https://Ops.example.com",
            "https://ops.example.com:443",
            "null",
        )
    ),
    (
        "targets.orders.admin.restricted",
        "mostly",
        "targets.orders.admin.restricted: must be a valid boolean, unable to interpret input; "
        "for example: true",
    ),
    (
        "targets.orders.admin.rotate_every",
        30,
        f"targets.orders.admin.rotate_every: duration '30': {DURATIONS}; for example: 30d",
    ),
    (
        "targets.orders.admin.rotate_every",
        "30d",  # its password is in the environment, where nobody can replace it
        "targets.orders.admin: rotate_every needs a password that can be replaced: file:PATH; "
        "for example: {user: curfew_broker_1, password: file:PATH}",
    ),
    (
        "targets.orders.standbys",
        [{"port": 5433}],
        "targets.orders.standbys.0.host: is missing; for example: orders-standby.internal",
    ),
    (
        "targets.orders.standbys",
        ["orders-standby.internal"],
        "targets.orders.standbys.0: must be a mapping of keys to values; "
        "for example: [{host: orders-standby.internal}]",
    ),
    (
        "targets.orders.standbys",
        [{"host": "a"}, {"host": "b", "port": 0}],
        "targets.orders.standbys.1.port: must be greater than or equal to 1; for example: 5432",
    ),
    (
        "targets.orders.unknown_logins",
        "drop",
        "targets.orders.unknown_logins: must be 'report' or 'remove'; for example: report",
    ),
    (
        "targets.orders.sensitive_columns",
        ["customers.email"],
        "targets.orders.sensitive_columns.0: a tag is schema.table.column, such as "
        "shop.customers.email or *.*.password*; "
        "for example: [shop.customers.email, '*.*.password*']",
    ),
    (
        f"{ROLE}.kinds",
        ["login", "sudo"],
        f"{ROLE}.kinds.1: must be 'login' or 'membership'; for example: [login, membership]",
    ),
    (
        f"{ROLE}.kinds",
        [],
        f"{ROLE}.kinds: must not be empty; for example: [login, membership]",
    ),
    (
        f"{ROLE}.inherit",
        "some",
        f"{ROLE}.inherit: must be a valid boolean, unable to interpret input; for example: false",
    ),
    (
        f"{ROLE}.read_only",
        "some",
        f"{ROLE}.read_only: must be a valid boolean, unable to interpret input; for example: true",
    ),
    *(
        (
            f"{ROLE}.{key}",
            written,
            f"{ROLE}.{key}: duration '{written}': {DURATIONS}; for example: {example}",
        )
        for key, written, example in (
            ("statement_timeout", 60, "60s"),
            ("transaction_timeout", "10min", "10m"),
            ("idle_timeout", "never", "30m"),
            ("idle_in_transaction_timeout", 5000, "5m"),
        )
    ),
    (
        f"{ROLE}.search_path",
        "shop, public",
        f"{ROLE}.search_path: must be a list; for example: [shop, public]",
    ),
    (
        f"{ROLE}.search_path",
        ["shop", ""],
        f"{ROLE}.search_path.1: not a PostgreSQL identifier: ''; for example: [shop, public]",
    ),
    (
        f"{ROLE}.settings",
        {"work_mem": None},
        f"{ROLE}.settings.work_mem: a parameter is text, a number, true, false, "
        "or a list of names; for example: {work_mem: 64MB}",
    ),
    *(
        (
            f"{ROLE}.settings",
            {name: "on"},
            f"{ROLE}.settings.{name}: not the name of a PostgreSQL parameter, such as work_mem; "
            "for example: {work_mem: 64MB}",
        )
        for name in ("x = 1; DROP ROLE a", "work mem", "a.b.c", "", "1st", "wörk")
    ),
    (
        "proxy.throttle.ban",
        "2d",
        "proxy.throttle.ban: at most 1d; for example: 15m",
    ),
    (
        "proxy.limits.half_open",
        0,
        "proxy.limits.half_open: must be greater than or equal to 1; for example: 1000",
    ),
    (
        "proxy.tls.client_certificates",
        "some",
        "proxy.tls.client_certificates: must be 'none', 'optional' or 'required'; "
        "for example: optional",
    ),
    (
        "proxy.sessions.warn_before",
        ["soon"],
        f"proxy.sessions.warn_before.0: duration 'soon': {DURATIONS}; for example: [10m, 2m]",
    ),
    (
        "api.public_url",
        "ftp://curfew.example.com",
        "api.public_url: URL scheme must be 'http' or 'https'; "
        "for example: https://curfew.example.com",
    ),
    (
        "proxy.egress",
        ["10.1.2.1/28"],
        "proxy.egress.0: 10.1.2.1/28 has host bits set; for example: [10.1.2.0/28]",
    ),
    (
        "identity.people",
        [{"email": "dev@example.com", "personal_roles": {"orders": ""}}],
        "identity.people.0.personal_roles.orders: not a PostgreSQL identifier: ''; "
        "for example: {orders: alice}",
    ),
    (
        "identity.people",
        [{"email": "dev@example.com", "personal_roles": "alice"}],
        "identity.people.0.personal_roles: must be a mapping of keys to values; "
        "for example: {orders: alice}",
    ),
]


@pytest.mark.parametrize(("path", "value", "fault"), WRONG_VALUES)
def test_a_wrong_value_is_answered_with_its_place_the_reason_and_an_example(
    tmp_path: Path, path: str, value: Any, fault: str
) -> None:
    config = write_settings(tmp_path, {path: value})
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert complaint(error, config) == fault


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (
            "proxy.tls",
            {"client_certificates": "required"},
            "proxy.tls: client_certificates (optional or required) and client_ca go together; "
            "for example: {required: true}",
        ),
        (
            ROLE,
            {"pin_address": True, "kinds": ["login", "membership"]},
            f"{ROLE}: pin_address is kept by the proxies, which memberships do not use; "
            "for example: {orders_reader: {description: may read}}",
        ),
    ],
)
def test_what_only_looks_right_is_refused(
    tmp_path: Path, path: str, value: Any, fault: str
) -> None:
    config = write_settings(tmp_path, {path: value})
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert complaint(error, config) == fault


def test_a_role_that_must_be_set_cannot_at_once_be_left_to_the_person(tmp_path: Path) -> None:
    config = write_settings(tmp_path, {ROLE: {"inherit": False, "set_role": True}})
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert complaint(error, config) == (
        f"{ROLE}: inherit: false and set_role: true contradict each other: drop one; "
        "for example: {orders_reader: {description: may read}}"
    )


@pytest.mark.parametrize(
    ("parameter", "key"),
    [
        ("default_transaction_read_only", "read_only"),
        ("statement_timeout", "statement_timeout"),
        ("transaction_timeout", "transaction_timeout"),
        ("idle_session_timeout", "idle_timeout"),
        ("idle_in_transaction_session_timeout", "idle_in_transaction_timeout"),
        ("search_path", "search_path"),
        ("role", "set_role"),
    ],
)
def test_a_parameter_that_has_a_key_of_its_own_is_not_set_in_two_places(
    tmp_path: Path, parameter: str, key: str
) -> None:
    config = write_settings(tmp_path, {f"{ROLE}.settings": {parameter: "x", "work_mem": "64MB"}})
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    assert complaint(error, config) == (
        f"{ROLE}: settings may not hold '{parameter}': use {key} instead; "
        "for example: {orders_reader: {description: may read}}"
    )


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_holds_no_secret_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("LEDGER_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("LEDGER_PASSWORD", value)
    config = tmp_path / "pgcurfew.yaml"
    with pytest.raises(SettingsError) as error:
        read_secret("env:LEDGER_PASSWORD", "ledger.password", config)
    assert complaint(error, config) == (
        "ledger.password: environment variable LEDGER_PASSWORD is not set; "
        "for example: export LEDGER_PASSWORD=…"
    )


def test_a_secret_file_that_is_missing_is_named_by_its_whole_path(tmp_path: Path) -> None:
    config = tmp_path / "pgcurfew.yaml"
    with pytest.raises(SettingsError) as error:
        read_secret("file:secrets/ledger", "ledger.password", config)
    assert complaint(error, config) == (
        f"ledger.password: file {tmp_path}/secrets/ledger cannot be read "
        "(No such file or directory); for example: file:secrets/password"
    )


def test_a_secret_file_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"\xff\xfe\x80")
    config = tmp_path / "pgcurfew.yaml"
    with pytest.raises(SettingsError) as error:
        read_secret("file:ledger", "ledger.password", config)
    assert complaint(error, config) == (
        f"ledger.password: file {tmp_path}/ledger cannot be read (it is not text); "
        "for example: file:secrets/password"
    )


@pytest.mark.parametrize("text", ["", "\n", " \t\n"])
def test_an_empty_secret_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "ledger").write_text(text)
    config = tmp_path / "pgcurfew.yaml"
    with pytest.raises(SettingsError) as error:
        read_secret("file:ledger", "ledger.password", config)
    assert complaint(error, config) == (
        f"ledger.password: file {tmp_path}/ledger is empty; "
        f"for example: openssl rand -hex 32 > {tmp_path}/ledger"
    )


def test_a_variable_of_a_section_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that is lost in silence is worse than one that stops the start."""
    monkeypatch.setenv("PGCURFEW_PRXY__LISTEN", "127.0.0.1:1")
    with pytest.raises(SettingsError) as error:
        load_settings(write_settings(tmp_path))
    assert "PGCURFEW_PRXY__LISTEN: is not a known setting; for example: PGCURFEW_PROXY__…" in str(
        error.value
    )
