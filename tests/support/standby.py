"""A hot standby of a primary of its own, both new, for what differs on a server in recovery.

It is made by the low-level backup functions instead of pg_basebackup, which not every build of
PostgreSQL here has: https://www.postgresql.org/docs/current/continuous-archiving.html
"""

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from broker.embedded import run_existing
from tests.support.servers import (
    SETTINGS,
    Server,
    Source,
    find_local_binaries,
    new_home,
    run_cluster,
    server_of,
)

# The backup has no WAL of its own: the primary keeps what the standby will ask for.
_PRIMARY_SETTINGS = (*SETTINGS, "wal_keep_size=256MB")
# A standby refuses to start with fewer connections or prepared transactions than its primary has.
_STANDBY_SETTINGS = (*SETTINGS, "hot_standby=on")


@contextmanager
def run_with_standby(source: Source) -> Iterator[tuple[Server, Server]]:
    """Yield a primary of the source's major, and a standby that streams from it and takes queries.

    The test is skipped if the source is a server elsewhere and there are no binaries here.
    """
    binaries = source.binaries or find_local_binaries().get(source.major)
    if binaries is None:
        pytest.skip(f"no binaries of PostgreSQL {source.major} here to make a standby with")
    with ExitStack() as stack:
        primary = stack.enter_context(
            run_cluster(binaries, source.major, settings=_PRIMARY_SETTINGS)
        )
        home = stack.enter_context(new_home(source.major))
        _back_up(primary, home / "data")
        _follow(primary, home / "data")
        standby = stack.enter_context(
            run_existing(
                home, binaries=binaries, password=primary.password, settings=_STANDBY_SETTINGS
            )
        )
        yield primary, server_of(standby, source.major)


def _back_up(primary: Server, data: Path) -> None:
    if primary.major >= 15:
        start = "SELECT pg_backup_start('standby', fast => true), current_setting('data_directory')"
        stop = "SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)"
    else:
        start = (
            "SELECT pg_start_backup('standby', fast => true, exclusive => false),"
            " current_setting('data_directory')"
        )
        stop = "SELECT labelfile FROM pg_stop_backup(exclusive => false, wait_for_archive => false)"
    with psycopg.connect(_conninfo(primary), autocommit=True) as connection:
        # One connection from start to stop: the backup is void when it closes.
        _, directory = _row(connection, start)
        shutil.copytree(directory, data, ignore=_left_out, copy_function=_copy_if_still_there)
        (label,) = _row(connection, stop)
    (data / "backup_label").write_text(label)


def _left_out(folder: str, names: list[str]) -> set[str]:
    """Name the files that are the running primary's own: its process, and its WAL."""
    if Path(folder).name == "pg_wal":
        return {name for name in names if name != "archive_status"}
    return {"postmaster.pid", "postmaster.opts"}.intersection(names)


def _copy_if_still_there(source: str, target: str) -> str:
    # The primary goes on meanwhile and may remove files; WAL brings the copy up to date.
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)
    return target


def _follow(primary: Server, data: Path) -> None:
    (data / "standby.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{_conninfo(primary)}'\n")


def _conninfo(primary: Server) -> str:
    # No quoting: the password is one of our own, from token_urlsafe.
    return (
        f"host={primary.host} port={primary.port} dbname=postgres"
        f" user={primary.superuser} password={primary.password}"
    )


def _row(connection: "psycopg.Connection[tuple[str, ...]]", sql: str) -> tuple[str, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row
