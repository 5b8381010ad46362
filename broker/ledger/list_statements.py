"""The statements that find pages of requests: a walk, a sample, and whatever is gathered.

What somebody may see is walked along several indexes at once, merged: of their own requests, of
what they asked for others, and of each policy that they decide under.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.list_sample import Sample
from broker.domain.request import RequestState
from broker.domain.request_list import Place, Search, Sort, SortBy, Wanted
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

# Who decides under more policies sees so much that it is found on the way along all requests.
_MOST_LANES = 16
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
# What may be given beforehand in these orders, by indexes of several columns.
_WITHIN = {
    SortBy.TARGET: frozenset({"target", "role"}),
    SortBy.ROLE: frozenset({"target", "role"}),
    SortBy.STATE: frozenset({"state"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody asks for, who decides about this `now`."""

    visible: Visible
    wanted: Wanted
    sort: Sort
    deciding: Deciding
    now: datetime


class Statement:
    """Writes one statement for a question."""

    def __init__(
        self,
        question: Question,
        requester_id: str | None,
        after: Place | None,
        sample: Sample | None,
    ) -> None:
        self._question = question
        self._sample = sample
        self._after = after
        self._wanted = question.wanted
        self._requester_id = requester_id
        self._arguments = Arguments()
        self._put = self._arguments.put
        self._key = _KEYS.get(question.sort.by)

    @property
    def arguments(self) -> list[object]:
        return self._arguments.values

    def walking(self, limit: int, stretch: int) -> str:
        """Of what comes next in the list, return what is wanted."""
        order = self._order(self._key)
        first = f"ORDER BY {order} LIMIT {stretch}"
        # Each lane has its own order, so that they are merged as they are read, and not sorted.
        lanes = " UNION ALL ".join(
            f"(SELECT r.* FROM curfew.requests r WHERE {all_of(lane)} {first})"  # noqa: S608
            for lane in self._lanes()
        )
        return f"""
            SELECT r.id FROM (SELECT r.* FROM ({lanes}) AS r {first}) AS r
             WHERE {all_of(self._conditions())} ORDER BY {order} LIMIT {limit}
        """  # noqa: S608

    def sampling(self, percent: float) -> str:
        """Count what a walk goes along, and what of it is wanted, in some pages of the table."""
        lanes = " OR ".join(f"({all_of(each)})" for each in self._lanes())
        near = " OR ".join(f"({all_of(each)})" for each in self._lanes_by_age())
        words = ", ".join(
            f"count(*) FILTER (WHERE {self._has([each])})" for each in self._wanted.search.words
        )
        return f"""
            SELECT count(*) AS looked_at, count(*) FILTER (WHERE {lanes}) AS along,
                   count(*) FILTER (WHERE {near}) AS near, ARRAY[{words}]::bigint[] AS words,
                   count(*) FILTER (WHERE {all_of(self._wanted_of_them())}) AS there,
                   count(*) FILTER (WHERE {all_of([*self._conditions(), *self._beyond()])})
                       AS wanted
              FROM curfew.requests r TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)
        """  # noqa: S608

    def gathering(self, limit: int) -> str:
        """Of all that is wanted, return what comes next in the list."""
        key = f", {self._key} AS key" if self._key else ""
        # One by one, as the planner joins indexes by AND with each of them, but with no OR of them;
        # and behind OFFSET, so that it does not walk after all.
        lanes = " UNION ALL ".join(
            f"(SELECT r.id{key} FROM curfew.requests r WHERE {all_of(each)} OFFSET 0)"  # noqa: S608
            for each in self._lanes_of_wanted()
        )
        return f"""
            SELECT r.id FROM ({lanes}) AS r
             ORDER BY {self._order("r.key" if self._key else None)} LIMIT {limit}
        """  # noqa: S608

    def _lanes_of_wanted(self) -> Iterator[list[str]]:
        few_are_there = self._sample is not None and self._sample.few_are_there
        if self._is_seen_in_lanes() and not few_are_there:
            for lane in lanes_seen(self._arguments, self._question.visible):
                yield [*lane, *self._wanted_of_them(), *self._beyond()]
        else:
            yield [*self._conditions(), *self._beyond()]

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
        after = self._after
        if after is None:
            yield self._same()
            return
        beyond = ">" if after.sort.newest_first else "<"
        yield [*self._same(), f"{key} = {self._put_key(after)}", self._older(after)]
        yield [*self._same(), f"{key} {beyond} {self._put_key(after)}"]

    def _same(self) -> list[str]:
        """Return what is the same of all on an index in this order."""
        within = _WITHIN.get(self._question.sort.by, frozenset())
        return [self._equal(*each) for each in self._named() if each[0] in within]

    def _lanes_by_age(self) -> Iterator[list[str]]:
        visible = self._question.visible
        if self._wanted.open_to_them or self._wanted.state is RequestState.PENDING:
            yield [self._equal("state", RequestState.PENDING)]  # there are few
        elif self._requester_id is not None:
            yield from lanes_of_person(self._arguments, self._requester_id)
        elif self._is_seen_in_lanes():
            yield from lanes_seen(self._arguments, visible)
        else:
            yield [self._equal(*each) for each in list(self._named())[:1]]

    def _is_seen_in_lanes(self) -> bool:
        visible = self._question.visible
        lanes = len(visible.policies) + len(visible.on_call)
        return not visible.everything and lanes <= _MOST_LANES

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
        yield from seen(self._arguments, self._question.visible)
        yield from self._wanted_of_them()

    def _wanted_of_them(self) -> Iterator[str]:
        """Of those that somebody sees."""
        wanted = self._wanted
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
        common = [each for n, each in enumerate(search.words) if self._is_common(n)]
        rare = [each for each in search.words if each not in common]
        if rare:
            yield self._has(rare)
        if common:
            yield f"({self._has(common)}) IS TRUE"  # which no index is used for
        for start in search.ids:
            last = start.ljust(_ID_CHARS, "z")
            yield f"r.id BETWEEN {self._put(start)} AND {self._put(last)}"
        for grant_id in search.grant_ids:
            gave = f"(SELECT request_id FROM curfew.grants WHERE id = {self._put(grant_id)})"  # noqa: S608
            yield f"(r.id = {gave} OR r.extends = {self._put(grant_id)})"

    def _is_common(self, word: int) -> bool:
        return self._sample is not None and self._sample.is_common(word)

    def _has(self, words: list[str]) -> str:
        return f"r.words @@ curfew.words_sought({self._put(words)})"


def _id_at(moment: datetime, slack: timedelta) -> str:
    at = max(_FIRST, min(max(_FIRST, moment), _LAST) + slack)
    return new_id(IdKind.REQUEST, at, bytes(RANDOM_BYTES))
