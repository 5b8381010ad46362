"""Lists of requests: whatever is asked for, in whatever order, by whomever, page by page: exactly
what they may see of it, each request once, and the same as somebody would find who looks at all."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any

import pytest

from broker.domain.ids import IdKind, new_id
from broker.domain.person import Person
from broker.domain.request import AccessRequest, Decision, RequestState, Verdict
from broker.domain.request_list import Place, Sort, SortBy, Wanted, place_of, search_for
from broker.ledger import people, request_lists, requests
from broker.ledger.connection import Pool, open_pool, searching, transaction
from broker.ledger.list_statements import Question
from broker.ledger.sight import Deciding, Visible
from broker.service.visible import decides, is_own, shows
from tests.support.command_line import run_pgcurfew
from tests.support.house import house_on
from tests.support.servers import Server
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage, prepare, set_up

pytestmark = pytest.mark.sample

_BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_NOW = _BEGAN + timedelta(days=30)
_POLICIES = [f"policy-{number}" for number in range(6)]
_TARGETS = ["orders", "billing", "crm"]
_ROLES = ["orders_reader", "orders_writer", "reader"]
_REASONS = [
    "INC-4711: wrong totals in “Q1” report",
    "inc-4712 look at Order's lines",
    "clean up",
    "",
    "100% of a\\b 'quoted' (https://wiki.example.com/a/b)",
]
_DURATIONS = [timedelta(minutes=30), timedelta(hours=1), timedelta(days=2)]
_EVERYBODY = [
    Person(f"per_{number:016}", f"{name}@example.com", name.title())
    for number, name in enumerate(("dev", "other", "reviewer", "lead", "auditor"))
]
_WORDS = (
    *("inc", "INC-471", "4711", "order", "orders_reader", "reader", "a\\b", "'quoted'", "wiki"),
    *("dev@example.com", "example.com", "OTHER", "lead", "nothing", "“Q1”", "100%", "o r", "b) up"),
)


@dataclass(frozen=True, slots=True)
class Past:
    """All requests that there are, who has decided about them, and the ledger they are in."""

    pool: Pool
    requests: tuple[AccessRequest, ...]
    decided: frozenset[tuple[str, str]]

    async def pages(self, question: Question, limit: int) -> list[str]:
        """Return the ids on all pages, in their order."""
        found: list[AccessRequest] = []
        while True:
            after = place_of(found[-1], question.sort) if found else None
            async with searching(self.pool) as db:
                page = await request_lists.fetch_page(db, question, after, limit)
            found += page
            if len(page) < limit:
                return [each.id for each in found]


def _made(chance: random.Random, number: int) -> AccessRequest:
    at = _BEGAN + timedelta(seconds=7 * number, microseconds=chance.randrange(1_000_000))
    person = chance.choice(_EVERYBODY)
    state = chance.choice(list(RequestState))
    return AccessRequest(
        id=new_id(IdKind.REQUEST, at, chance.randbytes(4)),
        person=replace(person, manager=chance.choice(["lead@example.com", None])),
        requester=person if chance.random() < 0.8 else chance.choice(_EVERYBODY),
        target=chance.choice(_TARGETS),
        database="shop",
        role=chance.choice(_ROLES),
        duration=chance.choice(_DURATIONS),
        reason=chance.choice(_REASONS),
        source=None,
        policy=chance.choice(_POLICIES),
        why=(),
        state=state,
        created_at=at,
        lapses_at=_NOW + chance.choice([-1, 1]) * timedelta(hours=1),
        closed_at=None if state is RequestState.PENDING else at + chance.choice(_DURATIONS),
        escalated_at=chance.choice([at, None, None]),
    )


def _consent(chance: random.Random, request: AccessRequest) -> Decision:
    return Decision(
        id=new_id(IdKind.DECISION, request.created_at, chance.randbytes(4)),
        request_id=request.id,
        decider=chance.choice(_EVERYBODY),
        verdict=Verdict.APPROVAL,
        duration=None,
        comment="",
        decided_at=request.created_at,
    )


@asynccontextmanager
async def past_on(stage: Stage, length: int) -> AsyncIterator[Past]:
    chance = random.Random(length)  # noqa: S311
    made = tuple(_made(chance, number) for number in range(length))
    decisions = [_consent(chance, each) for each in chance.sample(made, length // 2)]
    async with open_pool(stage.ledger_login(), "test", 2) as pool:
        async with transaction(pool) as db:
            for person in _EVERYBODY:
                await people.upsert(db, person, _BEGAN)
            for request in made:
                asked = replace(request, state=RequestState.PENDING, closed_at=None)
                await requests.insert(db, asked, policy_version=None)
                await requests.save_state(db, request)
            for decision in decisions:
                await requests.insert_decision(db, decision)
            await db.execute("ANALYZE curfew.requests")  # which says how many there are
        decided = frozenset((each.request_id, each.decider.id) for each in decisions)
        yield Past(pool, made, decided)


@pytest.fixture
async def past(server: Server, tmp_path: Any) -> AsyncIterator[Past]:
    await prepare(server)
    async with set_up(server, tmp_path) as stage, past_on(stage, 300) as past:
        yield past


def sights(chance: random.Random) -> Visible:
    def some(most: int) -> list[str]:
        return chance.sample(_POLICIES, chance.randrange(most))

    return Visible(
        person=chance.choice(_EVERYBODY),
        policies=some(3),
        managed=some(4),
        on_call=some(3),
        everything=chance.random() < 0.2,
    )


def _wanted(chance: random.Random, requests: tuple[AccessRequest, ...]) -> Wanted:
    emails = [*(each.email for each in _EVERYBODY), "stranger@example.com"]

    def maybe(make: Callable[[], Any], likely: float = 0.2) -> Any:
        return make() if chance.random() < likely else None

    text = maybe(lambda: chance.choice([*_WORDS, f"{chance.choice(requests).id} order"]), 0.4)
    wanted = Wanted(
        state=maybe(lambda: chance.choice(list(RequestState))),
        requester=maybe(lambda: chance.choice(emails)),
        target=maybe(lambda: chance.choice(_TARGETS)),
        role=maybe(lambda: chance.choice(_ROLES)),
        policy=maybe(lambda: chance.choice(_POLICIES)),
        since=maybe(lambda: chance.choice(requests).created_at),
        until=maybe(lambda: chance.choice(requests).created_at),
        open_to_them=chance.random() < 0.1,
    )
    return replace(wanted, search=search_for(text)) if text else wanted


def _looked_through(past: Past, question: Question) -> list[str]:
    """Return what `question` asks for, found by looking at everything."""
    found = [each for each in past.requests if _is_wanted(past, question, each)]
    return [each.id for each in sorted(found, key=cmp_to_key(_comes_first(question.sort)))]


def _comes_first(sort: Sort) -> Callable[[AccessRequest, AccessRequest], int]:
    def key(request: AccessRequest) -> Any:
        if sort.by is SortBy.CLOSED:
            return request.closed_at or datetime.max.replace(tzinfo=UTC)
        return place_of(request, sort).key or ""

    def compare(one: AccessRequest, other: AccessRequest) -> int:
        forwards = 1 if sort.newest_first else -1
        if key(one) != key(other):
            return forwards if key(one) > key(other) else -forwards
        return -forwards if one.id > other.id else forwards

    return compare


def _is_wanted(past: Past, question: Question, each: AccessRequest) -> bool:
    wanted = question.wanted
    equal = (
        (wanted.state, each.state),
        (wanted.target, each.target),
        (wanted.role, each.role),
        (wanted.policy, each.policy),
    )
    return (
        shows(question.visible, each)
        and all(sought in {None, value} for sought, value in equal)
        and wanted.requester in {None, each.person.email, each.requester.email}
        and (wanted.since is None or each.created_at >= wanted.since)
        and (wanted.until is None or each.created_at < wanted.until)
        and all(_has_word(each, word) for word in wanted.search.words)
        and all(each.id.startswith(start) for start in wanted.search.ids)
        and (not wanted.open_to_them or _is_open_to(past, question.deciding, each))
    )


def _has_word(each: AccessRequest, word: str) -> bool:
    """Words begin where there is no letter or digit before, and do not reach over spaces."""
    sought = word.strip("'\"“”()%").lower()
    said = (
        *(each.person.email, each.person.name, each.requester.email, each.requester.name),
        *(each.target, each.database, each.role, each.reason),
    )
    return any(
        place == 0 or not text[place - 1].isalnum()
        for text in " ".join(said).lower().split()
        for place in range(len(text))
        if text.startswith(sought, place)
    )


def _is_open_to(past: Past, deciding: Deciding, each: AccessRequest) -> bool:
    visible = Visible(
        person=deciding.person,
        policies=deciding.policies,
        managed=deciding.managed,
        on_call=deciding.on_call,
    )
    return (
        each.state is RequestState.PENDING
        and each.lapses_at > _NOW
        and decides(visible, each)
        and (each.policy in deciding.one_party or not is_own(visible, each))
        and (each.id, deciding.person.id) not in past.decided
    )


def _questions(chance: random.Random, past: Past, count: int) -> Iterator[Question]:
    for number in range(count):
        visible = sights(chance)
        yield Question(
            visible=visible,
            wanted=_wanted(chance, past.requests) if number % 10 else Wanted(),
            sort=chance.choice(list(Sort)),
            deciding=Deciding(
                person=visible.person,
                policies=visible.policies,
                managed=visible.managed,
                on_call=visible.on_call,
                one_party=chance.sample(_POLICIES, chance.randrange(3)),
            ),
            now=_NOW,
        )


@pytest.mark.parametrize(("stretch", "small"), [(500, 20_000), (20, 20_000), (1, 0)])
async def test_pages_have_what_one_finds_who_looks_at_everything(
    past: Past, monkeypatch: pytest.MonkeyPatch, stretch: int, small: int
) -> None:
    """On whichever way: also when a walk gives up early, and a sample says how to go on, as it is
    with very many requests."""
    monkeypatch.setattr(request_lists, "_STRETCH", stretch)
    monkeypatch.setattr(request_lists, "_STRETCH_OF_ROW", 1)
    monkeypatch.setattr(request_lists, "_SMALL", small)
    chance = random.Random(stretch)  # noqa: S311
    found = 0
    for question in _questions(chance, past, 80):
        expected = _looked_through(past, question)
        assert await past.pages(question, chance.choice([3, 17, 60])) == expected, question
        found += len(expected)
    assert found > 1_000


async def test_as_many_are_said_to_wait_for_somebody_as_their_list_has(past: Past) -> None:
    chance = random.Random(1)  # noqa: S311
    counts = []
    for question in _questions(chance, past, 30):
        async with searching(past.pool) as db:
            count = await request_lists.count_open_to(db, question.deciding, _NOW)
        waiting = [each for each in past.requests if _is_open_to(past, question.deciding, each)]
        assert count == len(waiting)
        counts.append(count)
    assert max(counts) > 3


async def test_a_page_goes_on_from_its_place_whatever_came_in_between(past: Past) -> None:
    everything = Visible(person=_EVERYBODY[0], policies=[], everything=True)
    deciding = Deciding(person=_EVERYBODY[0], policies=[], managed=[], on_call=[], one_party=[])
    question = Question(
        visible=everything, wanted=Wanted(), sort=Sort.TARGET, deciding=deciding, now=_NOW
    )
    expected = _looked_through(past, question)
    gone = next(each for each in past.requests if each.id == expected[99])
    async with searching(past.pool) as db:
        place = Place(Sort.TARGET, gone.target, gone.id)
        page = await request_lists.fetch_page(db, question, place, 50)
    assert [each.id for each in page] == expected[100:150]


@pytest.mark.newest
async def test_requests_are_taken_along_as_a_table_which_is_on_record(stage: Stage) -> None:
    async with house_on(stage) as house, house.client_of(DEV) as dev:
        conversation = "https://chat.example.com/archives/C01/p1767225600"
        made = await dev.request(
            "orders", "orders_reader", reason="=1+1\tand\nmore", conversation=conversation
        )
        await house.holding_of(OTHER_DEV)
        async with house.client_of(REVIEWER) as reviewer:
            await reviewer.approve(made.id, comment="fine")
            table = b"".join([each async for each in reviewer.export_requests(requester=DEV)])
        header, line = table.decode().splitlines()
        row = dict(zip(header.split("\t"), line.split("\t"), strict=True))
        assert (row["id"], row["state"], row["person"]) == (made.id, "approved", DEV)
        assert row["reason"] == r"'=1+1\tand\nmore"
        assert row["decisions"].startswith(f"{REVIEWER} approval 20")
        assert row["grant"] == (await dev.get_request(made.id)).grant_id
        assert row["conversation"] == made.conversation == conversation
        assert (row["duration"], row["ended_at"]) == ("PT8H", "")
        own = stage.folder / "own.tsv"
        environment = {
            **os.environ,
            "PGCURFEW_URL": str(house.client.make_url("")),
            "PGCURFEW_TOKEN": await house.token(DEV),
        }
        arguments = ("requests", "--tsv", "--output", str(own))
        taken = await asyncio.to_thread(run_pgcurfew, environment, *arguments)
        assert (taken.returncode, own.read_bytes()) == (0, table)
        found = await asyncio.to_thread(run_pgcurfew, environment, "requests", "MORE", "--json")
        assert [each["id"] for each in json.loads(found.stdout)] == [made.id]
    audited = await stage.query_ledger(
        "SELECT array_agg(actor || ' ' || (data ->> 'what') || (data ->> 'only') ORDER BY seq) "
        "FROM curfew.audit_events WHERE kind = 'record.read'"
    )
    assert audited == [f'{REVIEWER} requests["requester={DEV}"]', f"{DEV} requests[]"]


@pytest.mark.newest
async def test_the_list_goes_on_where_its_page_ended_and_nowhere_else(stage: Stage) -> None:
    async with house_on(stage) as house, house.client_of(DEV) as dev:
        made = [await dev.request("orders", "orders_reader", reason=f"no {n}") for n in range(3)]
        first = await dev.list_requests(sort="oldest", limit=2)
        assert first.next is not None
        second = await dev.list_requests(sort="oldest", limit=2, after=first.next)
        ids = [each.id for each in (*first.items, *second.items)]
        assert (ids, second.next) == ([each.id for each in made], None)
        found = await dev.list_requests(q=f"NO {made[1].id}")
        assert [each.id for each in found.items] == [made[1].id]
        async with house.client_of(REVIEWER) as reviewer:
            assert len((await reviewer.list_requests(needs_me=True)).items) == 3
        for query, field in (
            (f"sort=newest&after={first.next}", "after"),
            ("after=bm9uc2Vuc2U", "after"),
            ("sort=reason", "sort"),
            ("q=---", "q"),
            ("q=" + "a+" * 11, "q"),
            ("needs=you", "needs"),
            ("requester=dev", "requester"),
            ("since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "since"),
            ("status=open", "status"),
        ):
            status, problem = await house.call(DEV, "GET", f"/v1/requests?{query}")
            assert (status, problem["errors"][0]["field"]) == (422, field), problem
        for conversation in ("http://chat.example.com", "https://", "https://a b", "javascript:1"):
            wrong = {"target": "orders", "role": "orders_reader", "conversation": conversation}
            status, problem = await house.call(DEV, "POST", "/v1/requests", wrong)
            assert (status, problem["errors"][0]["field"]) == (422, "conversation")
