"""The keys that cookies are sealed with."""

import stat
from pathlib import Path

import pytest

from broker.assembly.cookie_keys import read_cookie_keys
from broker.assembly.kept_file import _put
from broker.config.faults import SettingsError
from broker.config.settings import load_settings
from tests.support.settings_files import write_settings


def _keys(folder: Path, *references: str) -> tuple[bytes, ...]:
    changes = {"state_dir": "state", "identity.sign_in.cookie_keys": list(references)}
    config = write_settings(folder, changes)
    return read_cookie_keys(load_settings(config), config)


def test_they_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new").write_text("01" * 32 + "\n")
    monkeypatch.setenv("OLD_COOKIE_KEY", "02" * 32)
    assert _keys(tmp_path, "file:new", "env:OLD_COOKIE_KEY") == (b"\x01" * 32, b"\x02" * 32)
    assert not (tmp_path / "state").exists()


def test_without_any_one_is_made_for_us_alone_and_kept(tmp_path: Path) -> None:
    (made,) = _keys(tmp_path)
    assert len(made) == 32
    assert _keys(tmp_path) == (made,)
    (path,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_one_that_another_process_has_just_made_stays(tmp_path: Path) -> None:
    (made,) = _keys(tmp_path)
    path = tmp_path / "state" / "cookie-key"
    _put(path, "01" * 32)
    assert _keys(tmp_path) == (made,)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["short", "01" * 31, "01" * 33, "zz" * 32])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(SettingsError) as error:
        _keys(tmp_path, "file:key")
    assert "identity.sign_in.cookie_keys.0: must be 32 bytes in hexadecimal" in str(error.value)
    assert text not in str(error.value)


def test_a_folder_that_cannot_hold_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SettingsError, match=r"state_dir: file .*/state/cookie-key cannot be used"):
        _keys(tmp_path)


def test_a_file_that_holds_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cookie-key").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"cookie-key cannot be used \(it is not text\)"):
        _keys(tmp_path)
    (tmp_path / "state" / "cookie-key").write_text("none")
    with pytest.raises(SettingsError, match=r"cookie-key: must be 32 bytes in hexadecimal"):
        _keys(tmp_path)
