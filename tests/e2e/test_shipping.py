"""What people run through the proxy is in the ledger, also when the service stops right after."""

import pytest

from tests.support.service import run_service
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest


async def test_what_was_run_right_before_the_stop_is_in_the_ledger(stage: Stage) -> None:
    with run_service(stage, (DEV, REVIEWER)) as service:
        access = await service.get_access()
        with access.connect() as connection:
            for number in range(200):
                connection.execute(f"SELECT {number}")
    texts = "SELECT count(*) FROM curfew.statements WHERE text ~ '^SELECT [0-9]+$'"
    assert await stage.query_ledger(texts) == 200
    open_ones = "SELECT count(*) FROM curfew.statements WHERE ending IS NULL"
    assert await stage.query_ledger(open_ones) == 0
    assert not list((stage.folder / "state" / "spool").glob("*.spool"))
