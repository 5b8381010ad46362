"""One service and one grant for all clients: its login owns what they make, as its role may."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.compatibility.reports import Report, run_client
from tests.support.servers import Server
from tests.support.service import Access, Service, run_service
from tests.support.stage import DEV, REVIEWER, set_up_apart


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in (
        ("client(name)", "the real client that the test runs; a line of docs/compatibility.md"),
        ("feature(name)", "what the test makes it do"),
    ):
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.fixture(scope="session")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        set_up_apart(server, tmp_path_factory.mktemp("service")) as stage,
        run_service(stage, (DEV, REVIEWER)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def access(service: Service) -> Access:
    return asyncio.run(service.get_access("orders_owner"))


@pytest.fixture(scope="session")
def reports() -> dict[tuple[str, ...], Report]:
    """What client programs of ours have said: each runs once and does all it can."""
    return {}


@pytest.fixture
def report(
    command: tuple[str, ...],
    access: Access,
    reports: dict[tuple[str, ...], Report],
    record_property: Callable[[str, object], None],
) -> Report:
    """Return what a client said; modules with such clients have a fixture `command`."""
    if command not in reports:
        reports[command] = run_client(command, access)
    record_property("version", reports[command].version)
    return reports[command]


@pytest.fixture(scope="session")
def server_version(service: Service) -> str:
    said: str = asyncio.run(service.stage.query("SHOW server_version"))
    return said.partition(" ")[0]


@pytest.fixture(autouse=True)
def _record_server(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    if request.node.get_closest_marker("client"):
        record_property("server", request.getfixturevalue("server_version"))
