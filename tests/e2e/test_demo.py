"""The demo, as a newcomer runs it: twice in a row, as root or not, with or without a psql."""

import asyncio
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.embedded import EmbeddedError, find_binaries
from tests.support.servers import memory

STEPS = 13


def _embedded() -> bool:
    try:
        find_binaries()
    except EmbeddedError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _embedded(), reason="the embedded PostgreSQL is not installed")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that other users can get through: as root, PostgreSQL runs as one of them."""
    with tempfile.TemporaryDirectory(prefix="pgcurfew-test-home-", dir=memory()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def _demo(home: Path, *, user: str | None = None, path: str = os.defpath) -> str:
    # Settings of the person's own must not reach into the demo.
    environment = {
        "PATH": path,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "PGCURFEW_PROXY__LISTEN": "nonsense",
    }
    done = subprocess.run(
        [sys.executable, "-m", "api", "demo", "--once"],
        cwd=home,
        env=environment,
        user=user,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("✓") == STEPS
    assert "Every step held." in done.stdout
    return done.stdout


async def test_the_story_holds_twice_in_a_row_and_leaves_nothing(home: Path) -> None:
    """The second time without a psql: a driver with its own libpq verifies the proxy then."""
    await asyncio.to_thread(_demo, home)
    said = await asyncio.to_thread(_demo, home, path=str(home))
    assert "psycopg" in said
    assert _processes_with(str(home)) == []
    assert list(home.glob("pgcurfew-demo-*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_an_ordinary_user_can_run_it_too(home: Path) -> None:
    for python in (Path(sys.executable).absolute(), Path(sys.executable).resolve()):
        if any(not folder.stat().st_mode & 0o001 for folder in python.parents):
            pytest.skip("an ordinary user cannot reach the Python that runs the tests")
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    await asyncio.to_thread(_demo, home, user="nobody")


def _processes_with(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found
