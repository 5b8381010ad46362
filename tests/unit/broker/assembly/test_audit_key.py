"""The key that checkpoints are signed with."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from broker.assembly.audit_key import AuditKey
from broker.config.faults import SettingsError
from broker.config.settings import load_settings
from broker.domain.statement.checkpoint import Checkpoint
from tests.support.settings_files import write_settings


def _key(folder: Path, reference: str | None = None) -> AuditKey:
    changes = {"state_dir": "state", "keys.audit_key": reference}
    config = write_settings(folder, changes)
    return AuditKey(load_settings(config), config)


def _signed(key: AuditKey, body: str = "{}") -> Checkpoint:
    name, signature = key.sign(body)
    return Checkpoint(number=1, made_at="", body=body, key_id=name, signature=signature)


def _pem() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    return pem.decode()


def test_without_any_one_is_made_for_us_alone_and_kept(tmp_path: Path) -> None:
    signed = _signed(_key(tmp_path))
    assert _key(tmp_path).is_genuine(signed)
    assert _signed(_key(tmp_path)) == signed
    mode = (tmp_path / "state" / "audit.key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_the_operators_own_is_used_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "audit.key").write_text(_pem())
    key = _key(tmp_path, "file:audit.key")
    assert key.is_genuine(_signed(key))
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["audit.pub"]
    assert key.public_pem().count("BEGIN PUBLIC KEY") == 1


def test_checking_makes_no_key(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    signed = _signed(_key(tmp_path / "other"))
    key = _key(tmp_path)
    assert not key.is_genuine(signed)
    assert key.public_pem() == ""
    assert not (tmp_path / "state").exists()


def test_what_a_key_signed_stays_genuine_when_another_takes_its_place(tmp_path: Path) -> None:
    old = _signed(_key(tmp_path))
    (tmp_path / "audit.key").write_text(_pem())
    key = _key(tmp_path, "file:audit.key")
    new = _signed(key)
    assert old.key_id != new.key_id
    assert key.is_genuine(old)
    assert key.is_genuine(new)
    assert key.public_pem().count("BEGIN PUBLIC KEY") == 2


def test_what_was_changed_since_is_not_genuine(tmp_path: Path) -> None:
    key = _key(tmp_path)
    name, signature = key.sign("{}")
    changed = Checkpoint(number=1, made_at="", body="[]", key_id=name, signature=signature)
    assert not key.is_genuine(changed)


@pytest.mark.parametrize("text", ["short", "", "-----BEGIN PUBLIC KEY-----"])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.key").write_text(text or "\n")
    with pytest.raises(SettingsError, match=r"keys\.audit_key: must be the PEM|keys\.audit_key"):
        _key(tmp_path, "file:audit.key").open()


@pytest.mark.parametrize("content", [b"\xff", b"not PEM"])
def test_a_file_of_public_keys_that_cannot_be_used_is_named(tmp_path: Path, content: bytes) -> None:
    signed = _signed(_key(tmp_path))
    (tmp_path / "state" / "audit.pub").write_bytes(content)
    with pytest.raises(SettingsError, match=r"audit\.pub cannot be used"):
        _key(tmp_path).is_genuine(signed)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "audit.key").write_text(_pem())
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SettingsError, match=r"audit\.pub cannot be used"):
        _key(tmp_path, "file:audit.key").open()
