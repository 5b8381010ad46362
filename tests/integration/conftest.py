"""The identity provider, shared by the tests: it takes a second to start."""

from collections.abc import Iterator

import pytest

from tests.support.provider import VOUCHED_FOR, Provider, Whims, run_provider
from tests.support.servers import Server
from tests.support.stage import Stage, set_up_apart


@pytest.fixture(scope="session")
def _shared_provider() -> Iterator[Provider]:
    with run_provider(VOUCHED_FOR) as running:
        yield running


@pytest.fixture
def provider(_shared_provider: Provider) -> Provider:
    """A provider over HTTP that does everything right, until a test lets it not."""
    _shared_provider.whims = Whims()
    _shared_provider.token_requests.clear()
    return _shared_provider


@pytest.fixture(scope="module")
def shared_stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for all tests of a file that leave nothing behind in which others would stumble."""
    with set_up_apart(server, tmp_path_factory.mktemp("stage")) as stage:
        yield stage
