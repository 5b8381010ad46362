"""The embedded PostgreSQL runs wherever pip has put it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from broker.embedded import EmbeddedError, EmbeddedServer, find_binaries, run_embedded
from tests.support.servers import memory


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pgcurfew-test-", dir=memory()) as folder:
        Path(folder).chmod(0o711)
        inner = Path(folder) / "postgresql"
        inner.mkdir(mode=0o700)
        yield inner


@pytest.fixture
def binaries() -> Path:
    try:
        return find_binaries()
    except EmbeddedError as error:
        pytest.skip(str(error))


async def _log_in(server: EmbeddedServer, password: str) -> None:
    connection = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=server.superuser,
        password=password,
        database="postgres",
        ssl=False,
    )
    await connection.close()


async def test_nobody_gets_in_without_the_password(home: Path, binaries: Path) -> None:
    with run_embedded(home, binaries=binaries) as server:
        await _log_in(server, server.password)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _log_in(server, "guessed")


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root does it run as another user")
async def test_it_runs_from_a_folder_that_only_root_may_enter(
    home: Path, binaries: Path, tmp_path: Path
) -> None:
    """As in a virtual environment under root's home."""
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    package = binaries.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, hidden / folder.name, symlinks=True)
    unreachable = hidden / binaries.relative_to(package.parent)
    with run_embedded(home, binaries=unreachable) as server:
        await _log_in(server, server.password)
