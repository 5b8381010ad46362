"""Texts that would be scripts if a page took them for anything but texts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import psycopg
from playwright.sync_api import Page

from tests.support.people import HOUR
from tests.support.showcase import Showcase
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER

_SCRIPT = "<script>window.pwned=1</script>"
_MARKUP = f"""\"><img src=x onerror=window.pwned=1>{_SCRIPT}'{{{{7*7}}}}"""
HOSTILE = f"javascript:window.pwned=1//{_MARKUP}"
"""A link that is a script, then the end of any attribute, markup, and an expression."""
_NAME = f"'\">{_SCRIPT}"  # no longer than PostgreSQL takes
_QUOTED = '"{}"'.format(_NAME.replace('"', '""'))
_TEXT = f"$hostile${HOSTILE}$hostile$"
_LEAVE_A_TABLE = (
    f"CREATE TABLE shop.{_QUOTED} (email text)",
    f"COMMENT ON COLUMN shop.{_QUOTED}.email IS $hostile$personal: {HOSTILE}$hostile$",
    f"GRANT SELECT ON shop.{_QUOTED} TO orders_reader, orders_writer",
)
_CAUGHT = """() => [
  ...(window.pwned ? ["a script ran"] : []),
  ...[...document.querySelectorAll(
    `img[src="x"], script:not([src]), [onerror], [href^="javascript:" i], [src^="javascript:" i],
     [action^="javascript:" i], [formaction^="javascript:" i]`)].map((each) => each.outerHTML),
]"""


def caught(page: Page) -> list[str]:
    """Return what became of hostile texts on a page that took them for more than texts."""
    return list(page.evaluate(_CAUGHT))


@contextmanager
def left_in(showcase: Showcase) -> Iterator[None]:
    """Leave such a text wherever somebody can who has access: in what they write, in what their
    sessions say and do, and in names on the target."""
    asyncio.run(_leave(showcase))
    asyncio.run(_name(showcase, f"CREATE ROLE {_QUOTED} IN ROLE orders_reader"))
    try:
        yield
    finally:
        asyncio.run(_name(showcase, f"DROP ROLE {_QUOTED}"))


async def _name(showcase: Showcase, sql: str) -> None:
    connection = await showcase.service.stage.server.connect()
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _leave(showcase: Showcase) -> None:
    service, found = showcase.service, showcase.landmarks
    async with (
        service.client(DEV) as dev,
        service.client(OTHER_DEV) as other,
        service.client(REVIEWER) as reviewer,
        service.client(SECOND_REVIEWER) as second,
    ):
        await dev.comment(found.pending_request, HOSTILE)
        denied = await dev.request("orders", "orders_writer", reason=HOSTILE)
        await reviewer.deny(denied.id, reason=HOSTILE)
        urgent = await other.request("orders", "orders_owner", reason=HOSTILE)
        given = (await second.approve(urgent.id, break_glass=True, comment=HOSTILE)).given
        await _work(showcase, given.id)
        await reviewer.revoke(given.id, reason=HOSTILE)
        await reviewer.write_review(given.id, HOSTILE)
        await reviewer.allow(
            DEV,
            "orders",
            "orders_reader",
            duration=HOUR,
            ends_at=datetime.now(UTC) + timedelta(days=1),
            reason=HOSTILE,
        )
        await dev.create_token(label=HOSTILE)


async def _work(showcase: Showcase, grant_id: str) -> None:
    async with showcase.service.client(OTHER_DEV) as other:
        credential = await other.hand_out(grant_id)
        grant = await other.get_grant(grant_id)
    access = showcase.service.access_of(grant, credential)
    with access.connect(application_name=_NAME) as session:
        session.execute(f"SELECT {_TEXT}")
        with suppress(psycopg.Error):
            session.execute(f"SELECT {_QUOTED}")
        for statement in _LEAVE_A_TABLE:
            session.execute(statement)
