"""One proxy for all that is thrown at it, and how long it is thrown."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.hostile import HostileProxy, run_hostile_proxy
from tests.support.rough_link import FAIR
from tests.support.servers import Server
from tests.support.stage import set_up_apart

_EXAMPLES, _EXAMPLES_PER_S = 60, 10  # of each property: at least, and for --fuzz-seconds
_THOROUGH_S, _STRIDE = 30.0, 3


def pytest_configure(config: pytest.Config) -> None:
    examples = max(_EXAMPLES, int(config.getoption("--fuzz-seconds") * _EXAMPLES_PER_S))
    # Without a deadline: a busy machine is no fault of the code.
    settings.register_profile("fuzz", max_examples=examples, deadline=None)
    settings.load_profile("fuzz")


@pytest.fixture(scope="session")
def hostile(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostileProxy]:
    with (
        set_up_apart(server, tmp_path_factory.mktemp("fuzz")) as stage,
        run_hostile_proxy(stage) as running,
    ):
        yield running


@pytest.fixture
def proxy(hostile: HostileProxy) -> Iterator[HostileProxy]:
    """The same, with fair weather on the link to the target before and after the test."""
    hostile.link.set(FAIR)
    yield hostile
    hostile.link.set(FAIR)


@pytest.fixture(scope="session")
def stride(fuzz_seconds: float) -> int:
    """Of what breaks off after any byte in several ways, one does so after each; how many bytes
    apart the others do, each after different ones."""
    return 1 if fuzz_seconds >= _THOROUGH_S else _STRIDE


@pytest.fixture(scope="session")
def fuzz_seconds(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--fuzz-seconds"))
