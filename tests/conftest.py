"""Fixtures that need a real PostgreSQL, and the marker that picks its versions."""

import operator
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.servers import MissingServers, Server, Source, find_sources
from tests.support.stage import Stage, prepare, set_up

# How long an example takes says more of the machine than of us.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}

_EVERY_MAJOR = "--every-major"
_RACE_ROUNDS = "--race-rounds"
_FUZZ_SECONDS = "--fuzz-seconds"
_END_TO_END = Path(__file__).parent / "e2e"
# Beside the newest: the last with the old rules for CREATEROLE, and Debian's is built with GSSAPI.
_SAMPLE_MAJOR = 15


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        _EVERY_MAJOR, action="store_true", help="run every test that needs a server on every major"
    )
    parser.addoption(
        _RACE_ROUNDS, type=int, default=10, help="how often logins race a removal (default: 10)"
    )
    parser.addoption(
        _FUZZ_SECONDS,
        type=float,
        default=6.0,
        help="how long random bytes are thrown at the proxy; from 30 on, everything is cut after "
        "every byte in every way, and every property has more examples (default: 6)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that needs a server on the majors that matter to it."""
    if "source" not in metafunc.fixturenames:
        return
    sources = [each for each in _sources() if _wanted(metafunc, each.major)]
    if not metafunc.config.getoption(_EVERY_MAJOR):
        sources = _fewer(metafunc, sources)
    metafunc.parametrize(
        "source", sources, ids=[f"pg{each.major}" for each in sources], scope="session"
    )


def _fewer(metafunc: pytest.Metafunc, sources: list[Source]) -> list[Source]:
    """Leave out majors on which the test would hardly say anything new."""
    newest = sources[-1:]
    if any(metafunc.definition.iter_markers("newest")):
        return newest
    if metafunc.definition.path.is_relative_to(_END_TO_END) or any(
        metafunc.definition.iter_markers("sample")
    ):
        return [each for each in sources if each.major == _SAMPLE_MAJOR or each in newest]
    return sources


_found: list[Source] = []


def _sources() -> list[Source]:
    if not _found:
        try:
            _found.extend(find_sources())
        except MissingServers as error:
            raise pytest.Collector.CollectError(str(error)) from error
    return _found


def _wanted(metafunc: pytest.Metafunc, major: int) -> bool:
    markers = metafunc.definition.iter_markers("pg")
    return all(_holds(major, condition) for marker in markers for condition in marker.args)


def _holds(major: int, condition: str) -> bool:
    comparison, number = re.fullmatch(r"([<>=]+)\s*(\d+)", condition).groups()  # type: ignore[union-attr]
    return bool(_COMPARISONS[comparison](major, int(number)))


@pytest.fixture
def is_thorough(request: pytest.FixtureRequest, source: Source) -> bool:
    """Whether a test that does the same again and again is to do it as often as it can."""
    return source in _sources()[-1:] or bool(request.config.getoption(_EVERY_MAJOR))


@pytest.fixture
def race_rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption(_RACE_ROUNDS))


@pytest.fixture(scope="session")
def servers() -> Iterator["Servers"]:
    """Servers are started when first needed, and stay: the next file wants them too."""
    with ExitStack() as stack:
        yield Servers(stack, {})


@dataclass(frozen=True, slots=True)
class Servers:
    stack: ExitStack
    running: dict[int, Server]

    def get(self, source: Source) -> Server:
        if source.major not in self.running:
            self.running[source.major] = self.stack.enter_context(source.run())
        return self.running[source.major]


@pytest.fixture(scope="session")
def server(source: Source, servers: Servers) -> Server:
    """A real PostgreSQL of the major under test."""
    return servers.get(source)


@pytest.fixture
async def stage(server: Server, tmp_path: Path) -> AsyncIterator[Stage]:
    """A fresh ledger and a fresh target on the server."""
    await prepare(server)
    async with set_up(server, tmp_path) as ready:
        yield ready
