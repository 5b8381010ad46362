"""One running service per server, shared by the tests: each takes a grant of its own."""

from collections.abc import Iterator

import pytest

from tests.support.servers import Server
from tests.support.service import Service, run_service
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, set_up_apart

PEOPLE = (DEV, OTHER_DEV, REVIEWER)


@pytest.fixture(scope="session")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with (
        set_up_apart(server, tmp_path_factory.mktemp("service")) as stage,
        run_service(stage, PEOPLE) as running,
    ):
        yield running
