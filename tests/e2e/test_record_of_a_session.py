"""The record says what the server's own log says, whatever a client does."""

import asyncio
import json
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from tests.support import messages as m
from tests.support.raw_client import Account, Hangup, RawClient, Refused, encrypt, open_line
from tests.support.service import PATIENCE_S, Access, Service

pytestmark = pytest.mark.newest

_LOGGED = re.compile(r"LOG:  (?:statement|execute (?:fetch from )?[^:]*): (.*)")
# Statements of this session: they have it in their text.
_RECORDED = """
    SELECT coalesce(json_agg(json_build_array(s.text, coalesce(s.ending, o.ending)) ORDER BY s.seq),
                    '[]')::text
      FROM curfew.statements s
      LEFT JOIN curfew.late_outcomes o USING (session_id, seq)
      JOIN curfew.sessions l ON l.id = s.session_id
     WHERE l.grant_id = $1 AND s.protocol IN ('simple', 'extended') AND s.text LIKE $2
"""


@pytest.fixture
async def access(service: Service) -> AsyncIterator[Access]:
    """Access to a target that logs every statement."""
    if service.stage.server.log is None:
        pytest.skip("the server's log is elsewhere")
    database = service.stage.target_database
    await service.stage.query(f"ALTER DATABASE {database} SET log_statement = 'all'")
    yield await service.get_access()
    await service.stage.query(f"ALTER DATABASE {database} RESET log_statement")


@asynccontextmanager
async def raw_client(service: Service, access: Access) -> AsyncIterator[RawClient]:
    given = access.credential
    async with open_line(service.proxy_port) as line:
        client = RawClient(await encrypt(line), Account(given.user, given.password, given.dbname))
        await client.log_in()
        yield client


def logged(service: Service, mark: str) -> list[str]:
    assert service.stage.server.log is not None
    found = map(_LOGGED.search, service.stage.server.log.read_text().splitlines())
    return [each[1] for each in found if each is not None and mark in each[1]]


async def assert_is_on_record(service: Service, access: Access, mark: str, last: str) -> list[str]:
    """Wait until `last` was shipped; then compare. Returns what was run."""
    recorded: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE_S):
        while not any(last in text and ending for text, ending in recorded):
            await asyncio.sleep(0.05)
            found = await service.stage.query_ledger(_RECORDED, access.grant.id, f"%{mark}%")
            recorded = [(text, ending) for text, ending in json.loads(found)]
    ran = logged(service, mark)
    done = [text for text, ending in recorded if ending in ("done", "suspended")]
    failed = Counter(text for text, ending in recorded if ending == "failed")
    assert not Counter(done) - Counter(ran), "the record has more than was run"
    assert not Counter(ran) - Counter(done) - failed, "the record has less than was run"
    rest = iter(text for text, ending in recorded if ending != "skipped")
    assert all(each in rest for each in ran), "the record has another order"
    return ran


def flights(sql: Callable[[str], str]) -> list[list[bytes]]:
    """What hostile clients say, in pieces between which they do not wait."""
    one, two, last = sql("1"), sql("2"), sql("'last'")
    fails, copy = sql("1/(now() IS NULL)::int"), f"COPY pg_temp.c FROM STDIN /* {sql('')[7:]} */"
    run = m.execute() + m.SYNC
    table = m.query(f"CREATE TEMP TABLE IF NOT EXISTS c (a int) /* {sql('')[7:]} */")
    given = m.parse("s", one) + m.SYNC
    end = [m.query(last)]
    begin, commit = (m.query(f"{verb} /* {sql('')[7:]} */") for verb in ("BEGIN", "COMMIT"))
    skipped = m.bind("?") + m.close("s") + m.parse("s", two) + m.SYNC + m.bind("s") + run
    return [
        [given, skipped, *end],
        [given, m.parse("s", two) + m.SYNC + m.bind("s") + run, *end],
        [
            m.parse("s", fails) + m.bind("s") + m.execute() + m.close("s") + m.parse("s", two),
            m.SYNC + m.bind("s") + run,
            *end,
        ],
        [
            m.parse("n" * 63 + "a", one) + m.close("n" * 63 + "b") + m.parse("n" * 63 + "c", two),
            m.bind("n" * 63 + "a") + run,
            *end,
        ],
        [
            table,
            m.parse("c", copy) + m.SYNC,
            given,
            m.bind("c") + run,
            m.copy_data() + m.SYNC + m.copy_data() + m.COPY_DONE + m.SYNC,
            skipped,
            *end,
        ],
        [
            table,
            m.parse("c", copy) + m.bind("c") + run,
            m.copy_data(b"wrong\n") + m.COPY_DONE + m.SYNC,
            m.parse("s", one) + m.bind("s") + run,
            *end,
        ],
        [
            m.query(f"{one}; {two}") + m.query(fails) + begin,
            m.parse("", one) + m.bind("", portal="p") + m.execute("p", 1) + m.execute("p", 1),
            m.SYNC + commit + m.execute("p") + m.SYNC,
            *end,
        ],
    ]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_of_a_hostile_client_is_what_the_server_logged(
    service: Service, access: Access, number: int, *, in_pieces: bool
) -> None:
    mark = uuid.uuid4().hex
    said = flights(lambda what: f"SELECT {what}, '{mark}'" if what else f"SELECT {mark}")[number]
    async with raw_client(service, access) as client:
        if in_pieces:
            stream = b"".join(said)
            said = [stream[start : start + 7] for start in range(0, len(stream), 7)]
        for each in said:
            await client.send(each)
            if in_pieces:
                await asyncio.sleep(0)
        await until_last(client)
    ran = await assert_is_on_record(service, access, mark, "'last'")
    assert len(ran) >= 2


async def until_last(client: RawClient) -> None:
    """Read until the answer to the last statement, which has the word in it."""
    async with asyncio.timeout(PATIENCE_S):
        while b"last" not in (await client.next(allow_error=True)).body:
            pass
        await client.until(b"Z")


async def test_of_one_who_goes_on_within_a_copy_is_no_less(
    service: Service, access: Access
) -> None:
    mark = uuid.uuid4().hex
    async with raw_client(service, access) as client:
        await client.query(f"CREATE TEMP TABLE c (a int) /* {mark} */")
        await client.send(m.query(f"COPY c FROM STDIN /* {mark} */"))
        await client.until(b"G")
        await client.send(m.query(f"SELECT 1 /* {mark} */"))
        with pytest.raises((Hangup, Refused)):
            await client.until(b"Z")
    async with raw_client(service, access) as client:
        await client.query(f"SELECT 'last' /* {mark} */")
    async with asyncio.timeout(PATIENCE_S):
        while not await service.stage.query_ledger(
            "SELECT count(*) FROM curfew.statements WHERE text = $1",
            f"SELECT 'last' /* {mark} */",
        ):
            await asyncio.sleep(0.05)
    for text in logged(service, mark):
        assert await service.stage.query_ledger(
            "SELECT count(*) FROM curfew.statements WHERE text = $1", text
        )


async def test_of_psycopg_is_what_the_server_logged(service: Service, access: Access) -> None:
    mark = uuid.uuid4().hex

    def work() -> None:
        with access.connect() as db, db.transaction(), db.pipeline():
            for number in range(20):
                db.execute(f"SELECT %s::int /* {mark} */", [number])
            db.execute(f"SELECT 'last' /* {mark} */")

    await asyncio.to_thread(work)
    assert len(await assert_is_on_record(service, access, mark, "'last'")) == 21


async def test_of_asyncpg_is_what_the_server_logged(service: Service, access: Access) -> None:
    mark, given = uuid.uuid4().hex, access.credential
    db = await asyncpg.connect(
        host=given.host,
        port=given.port,
        user=given.user,
        password=given.password,
        database=given.dbname,
        ssl="require",
    )
    async with db.transaction():
        async for _ in db.cursor(f"SELECT generate_series(1, 120) /* {mark} */", prefetch=50):
            pass
    await db.executemany(f"SELECT $1::int /* {mark} */", [(number,) for number in range(20)])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await db.fetch(f"SELECT 1/0 /* {mark} */")
    await db.execute(f"SELECT 'last' /* {mark} */")
    await db.close()
    assert len(await assert_is_on_record(service, access, mark, "'last'")) >= 22


async def test_of_psql_is_what_the_server_logged(service: Service, access: Access) -> None:
    mark = uuid.uuid4().hex
    script = f"""
        CREATE TEMP TABLE c (a int) /* {mark} */;
        \\copy c FROM PROGRAM 'seq 3'
        SELECT count(*) FROM c /* {mark} */ \\; SELECT 2 /* {mark} */;
        SELECT 'last' /* {mark} */;
    """
    done = await asyncio.to_thread(access.psql, "-c", "SELECT 1")
    assert done.returncode == 0
    path = service.stage.folder / f"{mark}.sql"
    path.write_text(script)
    await asyncio.to_thread(access.psql, "-f", str(path))
    assert len(await assert_is_on_record(service, access, mark, "'last'")) >= 2
