"""Where a command line keeps its sign-in."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.cli.kept import Kept, find_kept, forget, keep

URL = "https://curfew.example.com"
SIGN_IN = Kept(
    url=URL,
    email="dev@example.com",
    token="pgcurfew_secret",
    until=datetime(2026, 5, 4, 12, tzinfo=UTC),
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_it_is_found_again_by_its_server_and_only_there() -> None:
    other = SIGN_IN.model_copy(update={"url": f"{URL}:8443", "token": "another"})
    keep(SIGN_IN)
    keep(other)
    assert find_kept(URL) == SIGN_IN
    assert find_kept(other.url) == other
    assert find_kept("http://curfew.example.com") is None


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = keep(SIGN_IN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.is_relative_to(tmp_path)


def test_a_later_one_takes_its_place_whatever_became_of_the_file() -> None:
    keep(SIGN_IN).chmod(0o644)
    later = SIGN_IN.model_copy(update={"token": "another"})
    path = keep(later)
    assert find_kept(URL) == later
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_it_can_be_forgotten_more_than_once() -> None:
    keep(SIGN_IN)
    for _ in range(2):
        forget(URL)
        assert find_kept(URL) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"url": "https://evil.example"}'])
def test_a_file_that_makes_no_sense_is_none(content: bytes) -> None:
    keep(SIGN_IN).write_bytes(content)
    assert find_kept(URL) is None


def test_one_that_was_moved_to_another_servers_place_is_none() -> None:
    path = keep(SIGN_IN)
    keep(SIGN_IN.model_copy(update={"url": "http://localhost"})).replace(path)
    assert find_kept(URL) is None


def test_the_token_does_not_show() -> None:
    assert "pgcurfew_secret" not in repr(SIGN_IN)
