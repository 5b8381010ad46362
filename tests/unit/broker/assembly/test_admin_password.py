"""The password of the broker's own login: read as it lies there, and replaced in two steps."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from broker.assembly.admin_password import AdminPassword
from broker.config.faults import SettingsError

KEY = "targets.orders.admin.password"
LONG_AGO = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a settings file with the password `old` beside it, which is from long ago."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "orders").write_text("old\n")
    os.utime(secrets / "orders", (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return tmp_path / "pgcurfew.yaml"


def stored(config: Path) -> AdminPassword:
    return AdminPassword("file:secrets/orders", KEY, config)


def test_a_password_in_a_file_is_the_only_one_until_it_is_replaced(config: Path) -> None:
    password = stored(config)
    assert (password.candidates(), password.waiting) == (("old",), None)
    assert password.changed_at == LONG_AGO


def test_a_new_password_is_put_beside_the_old_one_which_stays_the_likelier(config: Path) -> None:
    password = stored(config)
    password.put_beside("new")
    assert (password.candidates(), password.waiting) == (("old", "new"), "new")
    assert password.changed_at == LONG_AGO


def test_a_new_password_takes_the_place_of_the_old_one(config: Path) -> None:
    password = stored(config)
    password.put_beside("new")
    password.put_in_place()
    assert (password.candidates(), password.waiting) == (("new",), None)
    assert [each.name for each in (config.parent / "secrets").iterdir()] == ["orders"]


def test_the_age_of_a_password_begins_when_it_takes_its_place(config: Path) -> None:
    """Not when it was written: a crash in between would make the rotation look late."""
    password = stored(config)
    password.put_beside("new")
    waiting = config.parent / "secrets" / "orders.next"
    os.utime(waiting, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    password.put_in_place()
    assert password.changed_at is not None
    assert password.changed_at - LONG_AGO > timedelta(days=1)


@pytest.mark.parametrize("steps", range(3))
def test_after_a_crash_at_any_step_a_new_process_finds_the_password_that_works(
    config: Path, steps: int
) -> None:
    """Which of two works only the target can tell: it knew the old one, then the new one."""
    password = stored(config)
    rotation: list[Callable[[], None]] = [
        partial(password.put_beside, "new"),
        password.put_in_place,
    ]
    for step in rotation[:steps]:
        step()
    assert stored(config).candidates() == [("old",), ("old", "new"), ("new",)][steps]


def test_a_rotation_that_was_cut_off_is_simply_begun_anew(config: Path) -> None:
    stored(config).put_beside("a password that was longer than the next")
    password = stored(config)
    password.put_beside("new")
    assert password.candidates() == ("old", "new")


def test_a_broker_notices_when_somebody_else_has_replaced_the_password(config: Path) -> None:
    first, second = stored(config), stored(config)
    second.put_beside("new")
    assert first.candidates() == ("old", "new")
    second.put_in_place()
    assert first.candidates() == ("new",)


def test_a_new_password_that_a_full_disk_cut_off_does_not_lock_the_broker_out(
    config: Path,
) -> None:
    (config.parent / "secrets" / "orders.next").touch()
    assert stored(config).candidates() == ("old",)
    assert stored(config).waiting is None


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_read_a_new_password_at_any_moment(config: Path, umask: int) -> None:
    password = stored(config)
    folder = config.parent / "secrets"
    before = os.umask(umask)
    try:
        password.put_beside("new")
        assert (folder / "orders.next").stat().st_mode & 0o777 == 0o600
        password.put_in_place()
    finally:
        os.umask(before)
    assert (folder / "orders").stat().st_mode & 0o777 == 0o600


def test_a_password_that_is_a_link_is_replaced_where_it_lies(config: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "secrets" / "orders")
    password = AdminPassword("file:link", KEY, config)
    password.put_beside("new")
    password.put_in_place()
    assert (tmp_path / "link").is_symlink()
    assert stored(config).candidates() == ("new",)


def test_a_password_in_the_environment_is_read_afresh_but_cannot_be_replaced(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_ADMIN_PASSWORD", "one")
    password = AdminPassword("env:ORDERS_ADMIN_PASSWORD", KEY, config)
    assert (password.candidates(), password.waiting) == (("one",), None)
    assert password.changed_at is None
    monkeypatch.setenv("ORDERS_ADMIN_PASSWORD", "two")
    assert password.candidates() == ("two",)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("env:ORDERS_ADMIN_PASSWORD", "environment variable ORDERS_ADMIN_PASSWORD is not set"),
        ("file:secrets/absent", "file {folder}/secrets/absent cannot be read"),
    ],
)
def test_a_password_that_cannot_be_read_stops_the_start_and_names_its_key(
    config: Path, monkeypatch: pytest.MonkeyPatch, reference: str, why: str
) -> None:
    monkeypatch.delenv("ORDERS_ADMIN_PASSWORD", raising=False)
    with pytest.raises(SettingsError) as error:
        AdminPassword(reference, KEY, config)
    assert f"{KEY}: {why.format(folder=config.parent)}" in str(error.value)


def test_a_password_that_vanishes_later_is_named_too(config: Path) -> None:
    password = stored(config)
    (config.parent / "secrets" / "orders").unlink()
    with pytest.raises(SettingsError, match=r"secrets/orders cannot be read"):
        password.candidates()
