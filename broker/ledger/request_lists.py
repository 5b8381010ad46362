"""Pages of requests, of which there may be a million, and each page has to come at once.

There are two ways to a page. One walks along an index that has the order of the list, and leaves
out what is not wanted: a few steps if that is common, very many if it is rare. The other gathers
all that is wanted, by whatever indexes there are, and sorts it: nothing if that is rare, and very
much if it is common. So a short walk is tried first, which is mostly enough; if not, a sample of
the table says how common it is, and with it which way is shorter. Neither is ever long.
"""

from datetime import datetime

from broker.domain.list_sample import Sample
from broker.domain.request import AccessRequest
from broker.domain.request_list import Place
from broker.ledger import requests
from broker.ledger.connection import Db
from broker.ledger.list_statements import Question, Statement
from broker.ledger.sight import Deciding
from broker.ledger.ways import GATHERING, WALKING, Arguments, all_of, open_to

# So many rows are walked along at first, and so many more for each row of the page.
_STRETCH = 500
_STRETCH_OF_ROW = 10
# A walk that finds nothing in so many times what it was to take goes where there is nothing.
_PATIENCE = 4
# Of so many rows, any part is soon gathered. Of more, so many pages of the table are looked at.
_SMALL = 20_000
_SAMPLED_PAGES = 350
_SIZE = """
    SELECT reltuples::bigint AS rows, greatest(relpages, 1) AS pages
      FROM pg_class WHERE oid = 'curfew.requests'::regclass
"""
_PERSON = "SELECT id FROM curfew.people WHERE email = $1"


async def fetch_page(
    db: Db, question: Question, after: Place | None, limit: int
) -> list[AccessRequest]:
    """Return at most `limit` requests that come after a place, in their order."""
    requester_id = None
    if question.wanted.requester is not None:
        requester_id = await db.fetchval(_PERSON, question.wanted.requester)
        if requester_id is None:
            return []
    search = _Search(db, question, requester_id, after)
    ids = await search.walk(limit, _STRETCH + _STRETCH_OF_ROW * limit)
    if len(ids) < limit:
        sample = await search.sample()
        if sample is not None and sample.is_walked_to(limit):
            ids = await search.walk(limit, sample.steps(limit) * _PATIENCE)
        if len(ids) < limit:
            ids = await search.gather(limit, sample)
    return await requests.fetch_each(db, ids)


async def count_open_to(db: Db, deciding: Deciding, now: datetime) -> int:
    """Return how many pending requests wait for this person's own decision."""
    arguments = Arguments()
    conditions = all_of(open_to(arguments, deciding, now))
    query = f"SELECT count(*) FROM curfew.requests r WHERE {conditions}"  # noqa: S608
    return int(await db.fetchval(query, *arguments.values))


class _Search:
    """The ways to one page."""

    def __init__(
        self, db: Db, question: Question, requester_id: str | None, after: Place | None
    ) -> None:
        self._db = db
        self._question = question
        self._requester_id = requester_id
        self._after = after

    async def sample(self) -> Sample | None:
        """Return how common what is wanted is; None if there is so little that it matters not."""
        size = await self._db.fetchrow(_SIZE)
        assert size is not None
        if size["rows"] <= _SMALL:
            return None
        statement = self._statement()
        text = statement.sampling(min(100.0, 100 * _SAMPLED_PAGES / size["pages"]))
        found = await self._db.fetchrow(text, *statement.arguments)
        assert found is not None
        return Sample(size["rows"], **dict(found))

    async def walk(self, limit: int, stretch: int) -> list[str]:
        statement = self._statement()
        await self._db.execute(WALKING)
        ids = await self._ids(statement.walking(limit, stretch), statement)
        await self._db.execute(GATHERING)
        return ids

    async def gather(self, limit: int, sample: Sample | None) -> list[str]:
        statement = self._statement(sample)
        return await self._ids(statement.gathering(limit), statement)

    def _statement(self, sample: Sample | None = None) -> Statement:
        return Statement(self._question, self._requester_id, self._after, sample)

    async def _ids(self, text: str, statement: Statement) -> list[str]:
        return [row["id"] for row in await self._db.fetch(text, *statement.arguments)]
