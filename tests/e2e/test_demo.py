"""The demo, as a newcomer runs it: twice in a row, as root or not, with or without a psql."""

import asyncio
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from broker.embedded import EmbeddedError, find_binaries

STEPS = 12


def _embedded() -> bool:
    try:
        find_binaries()
    except EmbeddedError:
        return False
    return True


pytestmark = pytest.mark.skipif(not _embedded(), reason="the embedded PostgreSQL is not installed")


def _demo(home: Path, *, user: str | None = None, path: str = os.defpath) -> str:
    # Settings of the person's own must not reach into the demo.
    environment = {
        "PATH": path,
        "HOME": str(home),
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


async def test_the_story_holds_twice_in_a_row_and_leaves_nothing_running(tmp_path: Path) -> None:
    for _ in range(2):
        await asyncio.to_thread(_demo, tmp_path)
    assert _processes_with("pgcurfew-demo-") == []


async def test_without_a_psql_a_driver_with_its_own_libpq_verifies_the_proxy(
    tmp_path: Path,
) -> None:
    said = await asyncio.to_thread(_demo, tmp_path, path=str(tmp_path))
    assert "psycopg" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_an_ordinary_user_can_run_it_too(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for python in (Path(sys.executable).absolute(), Path(sys.executable).resolve()):
        if any(not folder.stat().st_mode & 0o001 for folder in python.parents):
            pytest.skip("an ordinary user cannot reach the Python that runs the tests")
    home = Path("/tmp") / f"pgcurfew-test-home-{os.getpid()}"  # noqa: S108
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    try:
        await asyncio.to_thread(_demo, home, user="nobody")
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


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
