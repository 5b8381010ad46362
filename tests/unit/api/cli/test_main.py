"""Commands are found without loading all of them."""

import subprocess
import sys

import pytest
import typer
from typer.main import get_group

from api.cli.main import COMMANDS, make_app


def _names(app: typer.Typer) -> tuple[str, ...]:
    return tuple(get_group(app).commands)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_module_is_loaded_for_each_command_that_it_has(module: str) -> None:
    for name in COMMANDS[module]:
        assert _names(make_app([name, "--help"])) == COMMANDS[module]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["no-such-command"]])
def test_whoever_names_no_command_sees_all(arguments: list[str]) -> None:
    assert sorted(_names(make_app(arguments))) == sorted(sum(COMMANDS.values(), ()))


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (("--version",), {"aiohttp", "asyncpg", "broker.config.settings"}),
        (("ls", "--help"), {"asyncpg", "broker.service", "broker.config.settings"}),
        (("token", "--help"), {"aiohttp"}),
    ],
)
def test_nobody_waits_for_what_a_command_does_not_need(
    arguments: tuple[str, ...], unneeded: set[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "api", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "api.cli.main" in loaded
    assert not unneeded & loaded
