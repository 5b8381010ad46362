"""Fixtures that need a real PostgreSQL, and the marker that picks its versions."""

import operator
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.servers import Server, Source, find_sources
from tests.support.stage import Stage, prepare, set_up

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


_EVERY_MAJOR = "--every-major"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        _EVERY_MAJOR, action="store_true", help="run tests marked newest on every major too"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that needs a server on every major that there is."""
    if "source" not in metafunc.fixturenames:
        return
    sources = [each for each in _sources() if _wanted(metafunc, each.major)]
    if not metafunc.config.getoption(_EVERY_MAJOR) and any(
        metafunc.definition.iter_markers("newest")
    ):
        sources = sources[-1:]
    metafunc.parametrize(
        "source", sources, ids=[f"pg{each.major}" for each in sources], scope="session"
    )


_found: list[Source] = []


def _sources() -> list[Source]:
    if not _found:
        _found.extend(find_sources())
    return _found


def _wanted(metafunc: pytest.Metafunc, major: int) -> bool:
    markers = metafunc.definition.iter_markers("pg")
    return all(_holds(major, condition) for marker in markers for condition in marker.args)


def _holds(major: int, condition: str) -> bool:
    comparison, number = re.fullmatch(r"([<>=]+)\s*(\d+)", condition).groups()  # type: ignore[union-attr]
    return bool(_COMPARISONS[comparison](major, int(number)))


@pytest.fixture(scope="session")
def server(source: Source) -> Iterator[Server]:
    """A real PostgreSQL of the major under test."""
    with source.run() as running:
        yield running


@pytest.fixture
async def stage(server: Server, tmp_path: Path) -> AsyncIterator[Stage]:
    """A fresh ledger and a fresh target on the server."""
    await prepare(server)
    async with set_up(server, tmp_path) as ready:
        yield ready
