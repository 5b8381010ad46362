"""The command line without a process of its own, which takes a second to start."""

import asyncio
import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.cli.main import main


@dataclass(frozen=True, slots=True)
class Terminal:
    """Somebody's shell, with a home of its own."""

    url: str
    home: Path

    async def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `pgcurfew` with these arguments, in a thread: one at a time."""
        environment = {
            "PGCURFEW_URL": self.url,
            "XDG_CONFIG_HOME": str(self.home),
            "COLUMNS": "200",
            **more,
        }
        return await asyncio.to_thread(_run, environment, arguments)


def _run(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> "subprocess.CompletedProcess[str]":
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.delenv("PGCURFEW_TOKEN", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["pgcurfew", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    code = end.value.code
    assert isinstance(code, int), code
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
