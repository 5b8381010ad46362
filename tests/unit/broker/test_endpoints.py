"""Settings → addresses, logins and keys, with no secret opened that nobody asked for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from broker.config.faults import SettingsError
from broker.config.settings import Settings, load_settings
from broker.domain.credential import ProxyKey
from broker.domain.server import ServerAddress, TlsMode
from broker.endpoints import (
    ledger_address,
    ledger_login,
    proxy_certificate_files,
    proxy_ledger_login,
    proxy_root_certificate,
    read_proxy_keys,
    read_ticket_key,
    read_ticket_public_keys,
    sink_address,
    state_dir,
    target_address,
)
from broker.ledger.connection import LedgerLogin
from broker.sink.address import HttpsSink, SyslogSink
from proxy.own_certificate import CertificateFiles, ensure_certificate
from tests.support.settings_files import write_settings
from tests.support.tickets import make_ticket_key

HEX_KEY = "00" * 31 + "ff"
KEY = bytes(31) + b"\xff"
SECRETS = ["LEDGER_PASSWORD", "LEDGER_PROXY_PASSWORD", "PROXY_KEY", "ORDERS_ADMIN_PASSWORD"]


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)


def load(folder: Path, changes: dict[str, Any] | None = None) -> tuple[Settings, Path]:
    config = write_settings(folder, changes)
    return load_settings(config), config


def test_the_broker_logs_in_to_the_ledger_with_its_own_secret_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_PASSWORD", "hunter2")
    assert ledger_login(*load(tmp_path)) == LedgerLogin(
        ServerAddress("127.0.0.1", 5432, "curfew"), "curfew", "hunter2"
    )


def test_a_proxy_logs_in_to_the_ledger_with_its_own_secret_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_PROXY_PASSWORD", "hunter3")
    assert proxy_ledger_login(*load(tmp_path)) == LedgerLogin(
        ServerAddress("127.0.0.1", 5432, "curfew"), "curfew_proxy", "hunter3"
    )


@pytest.mark.parametrize(
    ("login", "path", "variable"),
    [
        (ledger_login, "ledger.password", "LEDGER_PASSWORD"),
        (proxy_ledger_login, "ledger.proxy.password", "LEDGER_PROXY_PASSWORD"),
        (read_proxy_keys, "keys.proxy_keys.k1", "PROXY_KEY"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_by_its_key(
    tmp_path: Path, login: Any, path: str, variable: str
) -> None:
    settings, config = load(tmp_path)
    with pytest.raises(SettingsError) as error:
        login(settings, config)
    assert str(error.value) == (
        f"settings in {config} cannot be used:\n"
        f"  {path}: environment variable {variable} is not set; for example: export {variable}=…"
    )


def test_every_proxy_key_is_read_so_that_an_old_one_still_opens_old_grants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_KEY", "11" * 32)
    (tmp_path / "old-key").write_text(f"{HEX_KEY}\n")
    settings, config = load(tmp_path, {"keys.proxy_keys.k0": "file:old-key"})
    assert read_proxy_keys(settings, config) == {
        "k0": ProxyKey("k0", KEY),
        "k1": ProxyKey("k1", b"\x11" * 32),
    }


@pytest.mark.parametrize(
    "text",
    ["hunter2", "00" * 31, "00" * 33, HEX_KEY[:-1], HEX_KEY[:-1] + "g"],
    ids=["no hexadecimal", "31 bytes", "33 bytes", "half a byte", "one wrong letter"],
)
def test_a_proxy_key_of_another_form_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("PROXY_KEY", text)
    settings, config = load(tmp_path)
    with pytest.raises(SettingsError) as error:
        read_proxy_keys(settings, config)
    assert str(error.value) == (
        f"settings in {config} cannot be used:\n"
        "  keys.proxy_keys.k1: must be 32 bytes in hexadecimal; "
        "for example: openssl rand -hex 32"
    )


def test_what_a_ticket_key_signs_one_of_the_public_keys_verifies(tmp_path: Path) -> None:
    """Several, so that the key can be replaced while tickets lie about."""
    for name in ("old", "new"):
        make_ticket_key(tmp_path, name)
    changes = {
        "keys.ticket_key": "file:new.key",
        "proxy.tickets": {"public_keys": ["old.pem", "new.pem"]},
    }
    settings, config = load(tmp_path, changes)
    sign, is_genuine = read_ticket_key(settings, config), read_ticket_public_keys(settings, config)
    assert is_genuine is not None
    assert is_genuine(sign(b"a message"), b"a message")
    assert not is_genuine(sign(b"a message"), b"another one")
    assert not is_genuine(b"", b"a message")


def test_without_public_keys_no_ticket_is_genuine(tmp_path: Path) -> None:
    assert read_ticket_public_keys(*load(tmp_path)) is None


def test_without_a_ticket_key_nothing_is_sealed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"keys.ticket_key: is not set.*openssl genpkey"):
        read_ticket_key(*load(tmp_path))


def _other_pem(path: Path, kind: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        {
            "private": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "public": key.public_key().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            ),
            "encrypted": Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
            ),
            "no PEM": b"hunter2",
        }[kind]
    )


@pytest.mark.parametrize("kind", ["private", "public", "encrypted", "no PEM"])
def test_a_ticket_key_of_another_kind_is_refused_and_not_repeated(
    tmp_path: Path, kind: str
) -> None:
    _other_pem(tmp_path / "ticket.key", kind)
    with pytest.raises(SettingsError, match=r"keys.ticket_key: must be the PEM") as refused:
        read_ticket_key(*load(tmp_path, {"keys.ticket_key": "file:ticket.key"}))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("kind", ["private", "public", "encrypted", "no PEM"])
def test_a_public_key_of_another_kind_is_refused(tmp_path: Path, kind: str) -> None:
    _other_pem(tmp_path / "ticket.pem", kind)
    changes = {"proxy.tickets": {"public_keys": ["ticket.pem"]}}
    with pytest.raises(SettingsError, match=r"proxy.tickets.public_keys: file .* is not the PEM"):
        read_ticket_public_keys(*load(tmp_path, changes))


def test_a_public_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    changes = {"proxy.tickets": {"public_keys": ["ticket.pem"]}}
    with pytest.raises(SettingsError, match=r"proxy.tickets.public_keys: file .*No such file"):
        read_ticket_public_keys(*load(tmp_path, changes))


def test_a_servers_own_root_certificate_is_found_beside_the_settings(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "ca.pem"
    for root in (tmp_path / "certificates" / "ledger-ca.pem", elsewhere):
        files = CertificateFiles(root.parent / "leaf", root.parent / "key", root)
        ensure_certificate(files, ["localhost"], datetime(2030, 1, 1, tzinfo=UTC))
    settings, config = load(
        tmp_path,
        {
            "ledger.tls.root_certificate": "certificates/ledger-ca.pem",
            "targets.orders.port": 6432,
            "targets.orders.tls": {"mode": "require", "root_certificate": str(elsewhere)},
        },
    )
    assert ledger_address(settings, config) == ServerAddress(
        "127.0.0.1",
        5432,
        "curfew",
        TlsMode.VERIFY_FULL,
        f"{tmp_path}/certificates/ledger-ca.pem",
    )
    assert target_address(settings, config, "orders") == ServerAddress(
        "orders-db.internal", 6432, "orders", TlsMode.REQUIRE, str(elsewhere)
    )


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("nonsense", "no usable PEM")]
)
def test_a_root_certificate_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    settings, config = load(tmp_path, {"targets.orders.tls.root_certificate": "ca.pem"})
    with pytest.raises(SettingsError) as error:
        target_address(settings, config, "orders")
    assert "targets.orders.tls.root_certificate: file" in str(error.value)
    assert why in str(error.value)


def test_without_a_root_certificate_the_systems_trust_decides(tmp_path: Path) -> None:
    settings, config = load(tmp_path, {"targets.orders.tls.mode": "disable"})
    assert ledger_address(settings, config) == ServerAddress(
        "127.0.0.1", 5432, "curfew", TlsMode.VERIFY_FULL, None
    )
    assert target_address(settings, config, "orders") == ServerAddress(
        "orders-db.internal", 5432, "orders", TlsMode.DISABLE, None
    )


def test_the_proxy_keeps_the_certificate_that_it_makes_itself_with_the_state(
    tmp_path: Path,
) -> None:
    settings, config = load(tmp_path, {"state_dir": "state"})
    state = tmp_path / "state"
    assert state_dir(settings, config) == state
    assert proxy_root_certificate(settings, config) == state / "proxy-root.pem"
    assert proxy_certificate_files(settings, config) == (
        state / "proxy.pem",
        state / "proxy.key",
        state / "proxy-root.pem",
    )


def test_a_certificate_of_the_operators_own_is_found_beside_the_settings(tmp_path: Path) -> None:
    settings, config = load(
        tmp_path,
        {
            "state_dir": "state",
            "proxy.tls.certificate": "certificates/proxy.pem",
            "proxy.tls.key": "/run/secrets/proxy.key",
        },
    )
    assert proxy_certificate_files(settings, config) == (
        tmp_path / "certificates" / "proxy.pem",
        Path("/run/secrets/proxy.key"),
        tmp_path / "state" / "proxy-root.pem",
    )


def test_a_copy_of_the_record_goes_where_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sink_address(*load(tmp_path)) is None
    syslog = sink_address(*load(tmp_path, {"audit": {"sink": {"syslog": "[::1]:6514"}}}))
    assert isinstance(syslog, SyslogSink)
    assert (syslog.host, syslog.port, syslog.name) == ("::1", 6514, "syslog ::1:6514")
    url = "https://siem.example.com/ingest?key=k"
    sink = {"url": url, "token": "env:SIEM_TOKEN"}
    with pytest.raises(SettingsError, match="SIEM_TOKEN"):
        sink_address(*load(tmp_path, {"audit": {"sink": sink}}))
    monkeypatch.setenv("SIEM_TOKEN", "a token")
    https = sink_address(*load(tmp_path, {"audit": {"sink": sink}}))
    assert isinstance(https, HttpsSink)
    assert (https.url, https.token) == (url, "a token")
    assert https.name == "https://siem.example.com/ingest", "the rest may be a secret"


@pytest.mark.parametrize(
    ("sink", "says"),
    [
        ({"syslog": "siem.example.com"}, "audit.sink.syslog: must be HOST:PORT"),
        ({"syslog": ":6514"}, "audit.sink.syslog: must be HOST:PORT"),
        ({"syslog": "siem:0"}, "audit.sink.syslog: must be HOST:PORT"),
        ({"syslog": "siem:1", "root_certificate": "none.pem"}, "audit.sink.root_certificate"),
    ],
)
def test_a_sink_that_cannot_be_reached_like_that_is_named(
    tmp_path: Path, sink: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        sink_address(*load(tmp_path, {"audit": {"sink": sink}}))
