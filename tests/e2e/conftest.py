"""One running service per server, shared by the tests: each takes a grant of its own."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.servers import Server
from tests.support.service import Service, run_service
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, prepare, set_up

PEOPLE = (DEV, OTHER_DEV, REVIEWER)


@pytest.fixture(scope="session")
def service(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Tests run in event loops of their own; this one lives as long as the service.
    with asyncio.Runner() as runner:
        runner.run(prepare(server))
        setting_up = set_up(server, tmp_path_factory.mktemp("service"))
        stage = runner.run(setting_up.__aenter__())
        try:
            with run_service(stage, PEOPLE) as running:
                yield running
        finally:
            runner.run(setting_up.__aexit__(None, None, None))
