"""What a grant's sessions used of what its role may do, by the record and the target's catalog."""

import json
from datetime import UTC, datetime

import pytest

from api.client import ApiError
from tests.integration.test_record import FAILED, cli, session_of
from tests.support.house import house_on
from tests.support.sealed_rows import late, put_on_record, statement
from tests.support.stage import DEV, OTHER_DEV, Stage

_MORE = """
    CREATE VIEW shop.cheap AS SELECT id FROM shop.orders;
    GRANT SELECT ON shop.cheap TO orders_writer;
    CREATE SCHEMA hidden; CREATE TABLE hidden.t (id int);
    GRANT SELECT ON hidden.t TO PUBLIC;
    CREATE TABLE shop.for_all (id int); GRANT SELECT ON shop.for_all TO PUBLIC;
"""


async def test_a_report_says_what_was_used_and_which_role_would_have_done(stage: Stage) -> None:
    for sql in filter(str.strip, _MORE.split(";")):
        await stage.query(sql)
    now = datetime.now(UTC)
    async with house_on(stage) as house:
        holding, session = await session_of(house)
        slow = statement(4, session=session, at=now, text="TABLE shop.for_all", outcome=None)
        await put_on_record(
            stage,
            statement(1, session=session, at=now, text="SELECT * FROM shop.orders WHERE id = 1"),
            statement(2, session=session, at=now, text="SELECT * FROM shop.orders WHERE id = 1"),
            statement(3, session=session, at=now, text="DELETE FROM shop.orders", outcome=FAILED),
            slow,
            late(slow),
            statement(5, session=session, at=now, text="SELEC 1"),
            statement(6, session=session, at=now, text="SELECT * FROM pg_class, gone"),
            statement(7, session="ses_another", at=now, text="TRUNCATE shop.orders"),
        )
        async with house.client_of(DEV) as dev:
            view = await dev.get_privilege_fit(holding.grant)
        assert (view.role, view.smallest) == ("orders_reader", "orders_reader")
        assert [(each.privilege, each.name, each.statements) for each in view.used] == [
            ("SELECT", "for_all", 1),
            ("SELECT", "orders", 2),
        ]
        assert (view.not_held, view.unused) == ((), ())
        assert [each.name for each in view.unresolved] == ["gone"]
        assert (view.statements, view.unread, view.not_looked) == (4, 1, 0)
        assert view.reasons == ("statements that could not be read: 1",)
        async with house.client_of(OTHER_DEV) as other:
            with pytest.raises(ApiError):
                await other.get_privilege_fit(holding.grant)
        page = f"/grants/{holding.grant}/privilege-fit"
        status, told = await house.call(DEV, "GET", page)
        assert status == 200
        assert "<strong>orders_reader</strong>, and no smaller role" in told
        assert "Statements that could not be read: 1." in told
        assert "SELECT on <code>gone</code>" in told
        assert (await house.call(OTHER_DEV, "GET", page))[0] == 404
        shown = await cli(house, DEV, "fit", holding.grant)
        assert "would have done" in shown.stdout
        assert json.loads((await cli(house, DEV, "fit", holding.grant, "--json")).stdout) == (
            json.loads(view.model_dump_json())
        )
