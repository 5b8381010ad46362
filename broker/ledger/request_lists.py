"""Pages of requests, of which there may be a million, and each page has to come at once.

A page is looked for in two ways. The first walks along an index that has the order of the list,
and leaves out what is not wanted; after a stretch it gives up. What it did not find a page of is
rare, so the second way gathers all there is of it, by whatever indexes there are, and sorts that.
What takes one of them long the other does at once.

What somebody may see is walked along several indexes at once, merged: of their own requests, of
what they asked for others, and of each policy that they decide under.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.request import AccessRequest, RequestState
from broker.domain.request_list import Place, Search, Sort, SortBy, Wanted
from broker.ledger import requests
from broker.ledger.connection import Db
from broker.ledger.sight import Deciding, Visible
from broker.ledger.ways import (
    Arguments,
    all_of,
    lanes_of_person,
    lanes_seen,
    of_person,
    open_to,
    seen,
)

# So many rows are walked along, and so many more for each row of the page. A page of 50 is then
# found that way if more than 1 of 250 requests is wanted; what is rarer is soon gathered.
_STRETCH = 10_000
_STRETCH_OF_ROW = 50
# So few are gathered at once, unless the index that finds them has the order of the list.
_FEW = 5_000
# Who decides under more policies sees so much that it is found on the way along all requests.
_MOST_LANES = 16
_SHORT = 3
# An id says when it was made, to the millisecond, and is made a moment after what its row says.
_SLACK = timedelta(seconds=1)
# What ids can say.
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_ID_CHARS = 20

_KEYS = {
    SortBy.TARGET: "r.target",
    SortBy.ROLE: "r.role",
    SortBy.PERSON: "r.person_email",
    SortBy.STATE: "r.state",
    SortBy.DURATION: "r.duration",
    SortBy.CLOSED: "coalesce(r.closed_at, 'infinity'::timestamptz)",
}
# The planner takes gathering for cheaper than so long a walk; but most walks are over at once.
_WALKING = """
    SET LOCAL random_page_cost = 1.1; SET LOCAL max_parallel_workers_per_gather = 0;
    SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off
"""
_GATHERING = """
    SET LOCAL random_page_cost TO DEFAULT; SET LOCAL max_parallel_workers_per_gather TO DEFAULT;
    SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = on
"""
_PERSON = "SELECT id FROM curfew.people WHERE email = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asks for, who decides about this `now`."""

    visible: Visible
    wanted: Wanted
    sort: Sort
    deciding: Deciding
    now: datetime


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
    ids: list[str] = []
    await db.execute(_WALKING)
    if question.sort.by is SortBy.AGE or not await search.finds_few():
        ids = await search.walk(limit)
    await db.execute(_GATHERING)
    if len(ids) < limit:
        ids = await search.gather(limit)
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

    async def finds_few(self) -> bool:
        """Say whether few have to be looked at to gather all that is wanted."""
        statement = self._statement()
        found = await self._db.fetchval(statement.counting(), *statement.arguments)
        return int(found) <= _FEW

    async def walk(self, limit: int) -> list[str]:
        statement = self._statement()
        return await self._ids(statement.walking(limit), statement)

    async def gather(self, limit: int) -> list[str]:
        statement = self._statement()
        return await self._ids(statement.gathering(limit), statement)

    def _statement(self) -> "_Statement":
        return _Statement(self._question, self._requester_id, self._after)

    async def _ids(self, text: str, statement: "_Statement") -> list[str]:
        return [row["id"] for row in await self._db.fetch(text, *statement.arguments)]


class _Statement:
    """Writes one statement for a question."""

    def __init__(self, question: Question, requester_id: str | None, after: Place | None) -> None:
        self._question = question
        self._after = after
        self._wanted = question.wanted
        self._requester_id = requester_id
        self._arguments = Arguments()
        self._put = self._arguments.put
        self._key = _KEYS.get(question.sort.by)

    @property
    def arguments(self) -> list[object]:
        return self._arguments.values

    def walking(self, limit: int) -> str:
        """Of what comes next in the list, return what is wanted."""
        order = self._order(self._key)
        stretch = f"ORDER BY {order} LIMIT {_STRETCH + _STRETCH_OF_ROW * limit}"
        # Each lane has its own order, so that they are merged as they are read, and not sorted.
        lanes = " UNION ALL ".join(
            f"(SELECT r.* FROM curfew.requests r WHERE {all_of(lane)} {stretch})"  # noqa: S608
            for lane in self._lanes()
        )
        return f"""
            SELECT r.id FROM (SELECT r.* FROM ({lanes}) AS r {stretch}) AS r
             WHERE {all_of(self._conditions())} ORDER BY {order} LIMIT {limit}
        """  # noqa: S608

    def counting(self) -> str:
        """Count what has to be looked at to gather all that is wanted, as far as indexes say."""
        lanes = " UNION ALL ".join(
            f"(SELECT FROM curfew.requests r WHERE {all_of(lane)} LIMIT {_FEW + 1})"
            for lane in self._lanes_by_age()
        )
        return f"SELECT count(*) FROM ({lanes}) AS r"  # noqa: S608

    def gathering(self, limit: int) -> str:
        """Of all that is wanted, return what comes next in the list."""
        conditions = all_of([*self._conditions(), *self._beyond()])
        key = f", {self._key} AS key" if self._key else ""
        return f"""
            SELECT r.id
              FROM (SELECT r.id{key} FROM curfew.requests r WHERE {conditions} OFFSET 0) AS r
             ORDER BY {self._order("r.key" if self._key else None)} LIMIT {limit}
        """  # noqa: S608

    def _order(self, key: str | None) -> str:
        forwards = self._question.sort.newest_first
        by_age = f"r.id {'DESC' if forwards else 'ASC'}"
        return by_age if key is None else f"{key} {'ASC' if forwards else 'DESC'}, {by_age}"

    def _lanes(self) -> Iterator[list[str]]:
        """Yield what each index is walked along by: all that is wanted is on one of these ways, and
        nothing on two."""
        if self._key is not None:
            yield from self._lanes_by_key(self._key)
        else:
            for lane in self._lanes_by_age():
                yield [*lane, *self._beyond(), *self._in_time()]

    def _lanes_by_key(self, key: str) -> Iterator[list[str]]:
        by = str(self._question.sort.by)
        named = dict(self._named())
        same = [self._equal(by, named[by])] if by in named else []
        after = self._after
        if after is None:
            yield same
            return
        beyond = ">" if after.sort.newest_first else "<"
        yield [*same, f"{key} = {self._put_key(after)}", self._older(after)]
        yield [*same, f"{key} {beyond} {self._put_key(after)}"]

    def _lanes_by_age(self) -> Iterator[list[str]]:
        visible = self._question.visible
        if self._wanted.open_to_them or self._wanted.state is RequestState.PENDING:
            yield [self._equal("state", RequestState.PENDING)]  # there are few
        elif self._requester_id is not None:
            yield from lanes_of_person(self._arguments, self._requester_id)
        elif visible.everything or len(visible.policies) + len(visible.on_call) > _MOST_LANES:
            yield [self._equal(*each) for each in list(self._named())[:1]]
        else:
            yield from lanes_seen(self._arguments, visible)

    def _beyond(self) -> Iterator[str]:
        after = self._after
        if after is None:
            return
        if self._key is None:
            yield self._older(after)
            return
        key, beyond = self._key, ">" if after.sort.newest_first else "<"
        same = f"{key} = {self._put_key(after)} AND {self._older(after)}"
        yield f"({key} {beyond} {self._put_key(after)} OR ({same}))"

    def _older(self, after: Place) -> str:
        return f"r.id {'<' if after.sort.newest_first else '>'} {self._put(after.id)}"

    def _put_key(self, after: Place) -> str:
        if after.sort.by is SortBy.CLOSED:
            return f"coalesce({self._put(after.key)}::timestamptz, 'infinity')"
        return self._put(after.key)

    def _conditions(self) -> Iterator[str]:
        wanted = self._wanted
        yield from seen(self._arguments, self._question.visible)
        yield from (self._equal(*each) for each in self._named())
        if self._requester_id is not None:
            yield of_person(self._arguments, self._requester_id)
        yield from self._in_time()
        yield from self._found(wanted.search)
        if wanted.open_to_them:
            yield from open_to(self._arguments, self._question.deciding, self._question.now)

    def _named(self) -> Iterator[tuple[str, str]]:
        """Yield what has to be equal, the rarest first."""
        wanted = self._wanted
        for column, value in (
            ("role", wanted.role),
            ("target", wanted.target),
            ("policy", wanted.policy),
            ("state", wanted.state),
        ):
            if value is not None:
                yield column, value

    def _equal(self, column: str, value: str) -> str:
        return f"r.{column} = {self._put(value)}"

    def _in_time(self) -> Iterator[str]:
        """Ids are in the order of time, and indexed; moments are exact."""
        since, until = self._wanted.since, self._wanted.until
        if since is not None:
            first = _id_at(since, -_SLACK)
            yield f"r.id >= {self._put(first)} AND r.created_at >= {self._put(since)}"
        if until is not None:
            last = _id_at(until, _SLACK)
            yield f"r.id < {self._put(last)} AND r.created_at < {self._put(until)}"

    def _found(self, search: Search) -> Iterator[str]:
        # What nearly every word begins with is looked for among what the other words find.
        short = [each for each in search.words if len(each) < _SHORT]
        long = [each for each in search.words if len(each) >= _SHORT]
        if long or short:
            yield f"r.words @@ curfew.words_sought({self._put(long or short)})"
        if long and short:
            yield f"(r.words @@ curfew.words_sought({self._put(short)})) IS TRUE"
        for start in search.ids:
            last = start.ljust(_ID_CHARS, "z")
            yield f"r.id BETWEEN {self._put(start)} AND {self._put(last)}"
        for grant_id in search.grant_ids:
            gave = f"(SELECT request_id FROM curfew.grants WHERE id = {self._put(grant_id)})"  # noqa: S608
            yield f"(r.id = {gave} OR r.extends = {self._put(grant_id)})"


def _id_at(moment: datetime, slack: timedelta) -> str:
    at = max(_FIRST, min(max(_FIRST, moment), _LAST) + slack)
    return new_id(IdKind.REQUEST, at, bytes(RANDOM_BYTES))
