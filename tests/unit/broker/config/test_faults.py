"""Every fault in the settings says where it is, what is wrong and what would be right."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from broker.config.faults import SettingsError, keys
from broker.config.policy_models import Policies
from broker.config.settings import Settings, load_settings
from tests.support.settings_files import ABSENT, SMALLEST, write_settings

SECRET = "a secret is never written here: name where it is, env:NAME or file:PATH"
NAME = (
    "a name is at most 63 of a-z, 0-9, dot, dash and underscore, "
    "and begins with a letter or a digit"
)
DURATION = "it is not a duration; write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
TEXT = "must be text; in quotes, if it looks like something else"
MAPPING = "must be a mapping of keys to values"
LISTEN = "an address to listen on is HOST:PORT"
PAIR = "certificate and key go together: name both or neither"
NO_NETWORK = "does not appear to be an IPv4 or IPv6 network"
LONG = "r" * 64  # PostgreSQL cuts at 63
SOME_KEYS = "{current: k1, proxy_keys: {k1: env:NAME}}"
SOME_PROXY = "{listen: '0.0.0.0:7432', public_host: db.example.com}"
SOME_TARGET = "{orders: {host: orders-db.internal, …}}"
SOME_ROLE = "{orders_reader: {description: may read}}"
SOME_NETWORKS = "[10.0.0.0/8, 'fd00::/8']"
SOME_PERSON = "[{email: dev@example.com}]"


@pytest.fixture(autouse=True)
def _no_settings_of_ours_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PGCURFEW_"):
            monkeypatch.delenv(name)


def complaints(folder: Path, changes: dict[str, Any]) -> list[str]:
    config = write_settings(folder, changes)
    with pytest.raises(SettingsError) as error:
        load_settings(config)
    head, *faults = str(error.value).splitlines()
    assert head == f"settings in {config} cannot be used:"
    return [fault.removeprefix("  ") for fault in faults]


@pytest.mark.parametrize(
    ("path", "value", "why", "example"),
    [
        ("ledger", ABSENT, "is missing", "{host: 127.0.0.1, user: curfew, …}"),
        ("ledger.user", ABSENT, "is missing", "curfew"),
        ("ledger.proxy.user", ABSENT, "is missing", "curfew_proxy"),
        ("targets.orders.admin.user", ABSENT, "is missing", "curfew_broker_1"),
        ("targets", {}, "must not be empty", SOME_TARGET),
        ("targets.orders.roles", {}, "must not be empty", SOME_ROLE),
        ("proxy", None, MAPPING, SOME_PROXY),
        ("proxy", "0.0.0.0:7432", MAPPING, SOME_PROXY),
        ("targets", ["orders"], MAPPING, SOME_TARGET),
        ("targets.orders", None, MAPPING, SOME_TARGET),
        ("proxy.listen", 7432, TEXT, "0.0.0.0:7432"),
        (
            "proxy.workers",
            "two",
            "must be a valid integer, unable to parse string as an integer",
            "2",
        ),
        ("proxy.workers", 0, "must be greater than or equal to 1", "2"),
        ("proxy.workers", 257, "must be less than or equal to 256", "2"),
        ("ledger.port", 65536, "must be less than or equal to 65535", "5432"),
        (
            "proxy.tls.required",
            "perhaps",
            "must be a valid boolean, unable to interpret input",
            "true",
        ),
        ("proxy.tls.root_certificate", 5, "must be a path", "system"),
        ("proxy.networks.allow", "10.0.0.0/8", "must be a list", SOME_NETWORKS),
        (
            "ledger.tls.mode",
            "prefer",
            "must be 'verify-full', 'require' or 'disable'",
            "verify-full",
        ),
        ("proxy.listen", "7432", LISTEN, "0.0.0.0:7432"),
        ("proxy.listen", ":7432", LISTEN, "0.0.0.0:7432"),
        ("proxy.listen", "localhost", LISTEN, "0.0.0.0:7432"),
        ("api.listen", "localhost:65536", LISTEN, "127.0.0.1:7480"),
        ("api.listen", "localhost:²", LISTEN, "127.0.0.1:7480"),
        ("proxy.startup_timeout", 15, f"duration '15': {DURATION}", "15s"),
        ("proxy.drain_timeout", "soon", f"duration 'soon': {DURATION}", "10s"),
        ("ledger.database", "", "not a PostgreSQL identifier: ''", "curfew"),
        ("targets.Orders", SMALLEST["targets"]["orders"], NAME, SOME_TARGET),
    ],
)
def test_a_fault_names_its_place_the_reason_and_an_example(
    tmp_path: Path, path: str, value: Any, why: str, example: str
) -> None:
    assert complaints(tmp_path, {path: value}) == [f"{path}: {why}; for example: {example}"]


@pytest.mark.parametrize(
    ("path", "value", "place", "why", "example"),
    [
        ("identity.people", ["dev@example.com"], "identity.people.0", MAPPING, SOME_PERSON),
        (
            "identity.people",
            [{"email": "dev"}],
            "identity.people.0.email",
            "not an e-mail address",
            "reviewer@example.com",
        ),
        (
            "identity.people",
            [{"email": "dev@example.com", "groups": "dba"}],
            "identity.people.0.groups",
            "must be a list",
            "[dba]",
        ),
        (
            "proxy.networks.allow",
            ["0.0.0.0/0", "10.0.0.0/33"],
            "proxy.networks.allow.1",
            f"'10.0.0.0/33' {NO_NETWORK}",
            SOME_NETWORKS,
        ),
        (
            "proxy.networks.allow",
            ["10.0.0.1/8"],
            "proxy.networks.allow.0",
            "10.0.0.1/8 has host bits set",
            SOME_NETWORKS,
        ),
        (
            "proxy.networks.deny",
            [5],
            "proxy.networks.deny.0",
            f"'5' {NO_NETWORK}",
            "[10.9.0.0/16]",
        ),
        (
            "targets.orders.roles",
            {LONG: {}},
            f"targets.orders.roles.{LONG}",
            f"not a PostgreSQL identifier: '{LONG}'",
            SOME_ROLE,
        ),
        ("targets.orders.roles", {5: {}}, "targets.orders.roles.5", TEXT, SOME_ROLE),
        (
            "keys.proxy_keys",
            {"k1": "env:K1", "K 2": "env:K2"},
            "keys.proxy_keys.K 2",
            NAME,
            "{k1: file:secrets/proxy-key}",
        ),
        (
            "keys.current",
            "k2",
            "keys",
            "keys.current is 'k2', which keys.proxy_keys lacks",
            SOME_KEYS,
        ),
        ("proxy.tls.key", "proxy.key", "proxy.tls", PAIR, "{required: true}"),
        ("proxy.tls.certificate", "proxy.pem", "proxy.tls", PAIR, "{required: true}"),
    ],
)
def test_a_fault_inside_or_around_a_key_names_its_own_place(
    tmp_path: Path, path: str, value: Any, place: str, why: str, example: str
) -> None:
    assert complaints(tmp_path, {path: value}) == [f"{place}: {why}; for example: {example}"]


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("prxy", f"did you mean proxy? for example: proxy: {SOME_PROXY}"),
        ("proxy.listn", "did you mean listen? for example: listen: 0.0.0.0:7432"),
        ("targets.orders.hots", "did you mean host? for example: host: orders-db.internal"),
        (
            "targets.orders.roles.orders_reader.descr",
            "did you mean description? "
            "for example: description: may read every table of the application",
        ),
        (
            "proxy.tls.zzz",
            "known here: required, certificate, key, root_certificate, client_certificates, "
            "client_ca; for example: required: true",
        ),
    ],
)
def test_an_unknown_key_is_answered_with_the_keys_that_there_are(
    tmp_path: Path, path: str, hint: str
) -> None:
    assert complaints(tmp_path, {path: {}}) == [f"{path}: is not a known key; {hint}"]


def test_a_key_that_is_no_text_is_no_key(tmp_path: Path) -> None:
    assert complaints(tmp_path, {"policies": {5: "x"}}) == [
        "policies.5: is not a known key; known here: file, request_lapses_after, review_within; "
        "for example: file: policies.yaml"
    ]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    assert complaints(tmp_path, {"ledger.user": ABSENT, "ledger.port": 0, "keys": ABSENT}) == [
        "ledger.port: must be greater than or equal to 1; for example: 5432",
        "ledger.user: is missing; for example: curfew",
        "keys: is missing; for example: {current: k1, proxy_keys: {k1: env:NAME}}",
    ]


@pytest.mark.parametrize("name", ["admin", "host", "roles", "tls"])
def test_a_target_may_be_named_like_a_key(tmp_path: Path, name: str) -> None:
    target = {
        "hots": "x",
        "port": 0,
        "host": "h",
        "database": "d",
        "admin": {"user": "u", "password": "env:P"},
        "roles": {"r": {}},
    }
    assert complaints(tmp_path, {f"targets.{name}": target}) == [
        f"targets.{name}.port: must be greater than or equal to 1; for example: 5432",
        f"targets.{name}.hots: is not a known key; did you mean host? "
        "for example: host: orders-db.internal",
    ]


@pytest.mark.parametrize("secret", ["hunter2", "env:", "env:a-b", "ENV:hunter2", "file:", ""])
@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("ledger.password", "env:PGCURFEW_LEDGER_PASSWORD"),
        ("ledger.proxy.password", "env:PGCURFEW_PROXY_PASSWORD"),
        ("targets.orders.admin.password", "env:ORDERS_ADMIN_PASSWORD"),
        ("keys.proxy_keys.k1", "{k1: file:secrets/proxy-key}"),
    ],
)
def test_a_secret_written_in_clear_is_refused_and_not_repeated(
    tmp_path: Path, path: str, example: str, secret: str
) -> None:
    assert complaints(tmp_path, {path: secret}) == [f"{path}: {SECRET}; for example: {example}"]


@pytest.mark.parametrize("secret", [1234567, ["1234567"], {"value": "1234567"}])
def test_a_secret_of_another_kind_is_not_repeated_either(tmp_path: Path, secret: Any) -> None:
    assert complaints(tmp_path, {"ledger.password": secret}) == [
        f"ledger.password: {TEXT}; for example: env:PGCURFEW_LEDGER_PASSWORD"
    ]


def test_a_secret_that_became_part_of_a_key_is_not_repeated(tmp_path: Path) -> None:
    """`{password:hunter2}` has no blank after the colon: all of it is one key to YAML."""
    changes = {"ledger.password": ABSENT, "ledger.password:hunter2": None}
    assert complaints(tmp_path, changes) == [
        "ledger.password: is missing; for example: env:PGCURFEW_LEDGER_PASSWORD",
        "ledger.password:…: is not a known key; did you mean password? "
        "for example: password: env:PGCURFEW_LEDGER_PASSWORD",
    ]


def fields_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in keys(model).items():
        yield f"{path}{name}", field
        for inner in models_in(field.annotation):
            yield from fields_of(inner, f"{path}{name}.")


def models_in(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) is Annotated:
        yield from models_in(get_args(kind)[0])
    else:
        for argument in get_args(kind):
            yield from models_in(argument)


@pytest.mark.parametrize("model", [Settings, Policies])
def test_every_key_has_an_example(model: type[BaseModel]) -> None:
    """A key without one would end the start with an error of ours instead of the operator's."""
    fields = dict(fields_of(model))
    assert len(fields) > 10
    assert [path for path, field in fields.items() if not field.examples] == []


@pytest.mark.filterwarnings("ignore:The 'alias' attribute")  # what it is for is not used here
@pytest.mark.parametrize("model", [Settings, Policies])
def test_whoever_copies_an_example_has_a_setting_that_works(model: type[BaseModel]) -> None:
    """Except from those that leave something out, marked by an ellipsis."""
    for path, field in fields_of(model):
        example = str((field.examples or ["…"])[0])
        if "…" in example:
            continue
        kind: Any = Annotated[field.annotation, field]
        try:
            TypeAdapter(kind).validate_python(yaml.safe_load(example))
        except ValidationError as error:
            pytest.fail(f"{path}: {example}: {error}")
