"""Clients in other processes and languages: a program of ours drives one through all its features
and prints what became of each, so that it starts only once."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.compatibility.clients.reporting import OK
from tests.support.service import Access, clean_environment

_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Report:
    """`results` has OK, or what went wrong, for each feature."""

    version: str
    results: Mapping[str, str]


def run_client(command: tuple[str, ...], access: Access) -> Report:
    done = subprocess.run(
        command,
        env={**clean_environment(), **access.environment()},
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Report(**json.loads(done.stdout.splitlines()[-1]))


def python_client(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tests.compatibility.clients.{name}", *arguments)


def check(report: Report, feature: str) -> None:
    """Fail with what the client said about the feature."""
    said = report.results.get(feature, "it was not tried")
    assert said == OK, said
