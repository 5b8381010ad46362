"""Who is let in by the API, who people are today, and what is on record about all others."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest

from api.client import ApiError, Client, open_client
from broker.domain.authorization import Authority
from broker.domain.errors import NotIdentified, NotYourToken, UnknownPerson
from broker.domain.identity.identified import Identified
from broker.domain.person import Person, PersonKind
from broker.domain.policy.people import People
from broker.service.broker import Broker
from broker.service.in_force import Live
from broker.service.tokens import TokenWish
from tests.integration.test_lifecycle import at, later
from tests.integration.test_sessions import api_of
from tests.support.issuer import Issuer, run_issuer
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest  # about the ledger, not the target

COMPANY = {"name": "company", "issuer": "https://id.example.com", "client_id": "pgcurfew"}
NIGHTLY = "nightly-report@service.machine"
DEPLOY = "deploy-orders@ci.machine"
NINA = Identified(
    email="nina@example.com",
    name="Nina Newcomer",
    groups=frozenset({"developers"}),
    manager="lead@example.com",
    kind=PersonKind.HUMAN,
    provider="company",
    subject="00u1",
)
_REFUSALS = """
    SELECT json_agg(data ORDER BY seq)::text FROM curfew.audit_events
     WHERE kind = 'identity.refused'
"""
_KINDS = "SELECT array_agg(kind ORDER BY seq) FROM curfew.audit_events"


@asynccontextmanager
async def broker_of(stage: Stage, issuer: Issuer | None = None) -> AsyncIterator[Broker]:
    """Yield a broker that takes the word of a provider and, if there is one, of an issuer."""
    identity = {
        **stage.settings()["identity"],
        "machines": [{"name": "nightly-report", "groups": ["reporting"]}],
        "providers": [COMPANY],
        "workloads": [issuer.workload()] if issuer else [],
    }
    stage.write_settings(identity=identity, api={"public_url": "https://curfew.example.com"})
    async with stage.broker() as broker:
        yield broker


@asynccontextmanager
async def client_with(broker: Broker, bearer: str) -> AsyncIterator[Client]:
    async with api_of(broker) as url, open_client(url, bearer) as client:
        yield client


async def token_of(broker: Broker, email: str, **options: Any) -> str:
    made = await broker.tokens.create(
        email, **{"label": "", "lifetime": None, "actor": "operator:test", **options}
    )
    return made.secret


async def refusals(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(await stage.query_ledger(_REFUSALS) or "[]")
    return found


async def test_a_job_comes_with_its_own_token_and_is_a_machine(stage: Stage) -> None:
    async with run_issuer() as issuer, broker_of(stage, issuer) as broker:
        async with client_with(broker, issuer.token()) as job:
            me = await job.get_me()
            assert (me.email, me.kind, me.groups) == (DEPLOY, PersonKind.MACHINE, ("deployers",))
            assert (me.scopes, me.token_id, me.expires_at) == (None, None, None)
            with pytest.raises(ApiError, match="all else is for people"):
                await job.create_token()
        written = "SELECT xmin::text || seen_at FROM curfew.people WHERE email = $1"
        before = await stage.query_ledger(written, DEPLOY)
        async with client_with(broker, issuer.token()) as job:
            assert (await job.get_me()).id == me.id
        assert await stage.query_ledger(written, DEPLOY) == before
        assert await stage.query_ledger(_KINDS) == ["person.vouched_for"]


async def test_whatever_is_wrong_gets_the_same_line_and_operators_the_reason(stage: Stage) -> None:
    async with run_issuer() as issuer, broker_of(stage, issuer) as broker:
        wrong = {
            "nobody has this token": "pgcurfew_" + "x" * 43,
            "it is neither a token of ours nor a JWT": "x",
            "no workload is configured for this issuer": issuer.token(iss="https://evil.test"),
            "The token is expired": issuer.token(exp=1),
            "the issuer has no such key": issuer.token(header={"kid": "x" * 300}),
        }
        answers = set()
        async with api_of(broker) as url, aiohttp.ClientSession(url) as session:
            for bearer in wrong.values():
                headers = {"Authorization": f"Bearer {bearer}"}
                async with session.get("/v1/me", headers=headers) as answer:
                    answers.add((answer.status, await answer.text()))
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
            for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
                async with session.get("/v1/me", headers=headers) as answer:
                    answers.add((answer.status, await answer.text()))
        ((status, body),) = answers
        assert (status, json.loads(body)["detail"]) == (401, "a valid bearer token is needed")
        found = await refusals(stage)
        assert [each["reason"] for each in found] == list(wrong)
        assert {each["source"] for each in found} == {"127.0.0.1"}
        assert found[2]["unverified_issuer"] == "https://evil.test"
        assert found[4]["unverified_kid"] == "x" * 200
        assert "eyJ" not in json.dumps(found)


async def test_a_flood_of_refusals_cannot_fill_the_ledger(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        for _ in range(40):
            with pytest.raises(NotIdentified):
                await broker.authentication.identify("rubbish", source="2001:db8::1")
        with pytest.raises(NotIdentified):
            await broker.authentication.identify("rubbish", source="192.0.2.1")
        assert [each["unrecorded"] for each in await refusals(stage)] == 10 * [0] + [30]


async def test_people_make_see_and_revoke_tokens_of_their_own(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        async with client_with(broker, await token_of(broker, DEV)) as dev:
            made = await dev.create_token(label="laptop", duration=timedelta(hours=1))
            assert (made.kind, made.created_by, made.scopes) == ("personal", DEV, None)
            assert made.expires_at - made.created_at == timedelta(hours=1)
            listed = (await dev.list_tokens()).items
            assert [(each.label, each.token) for each in listed] == [("laptop", None), ("", None)]
        assert made.token is not None
        async with client_with(broker, await token_of(broker, REVIEWER)) as reviewer:
            assert made.id not in [each.id for each in (await reviewer.list_tokens()).items]
            with pytest.raises(ApiError, match="no living token"):
                await reviewer.revoke_token(made.id)
        async with client_with(broker, made.token) as laptop:
            assert (await laptop.get_me()).token_id == made.id
            assert (await laptop.revoke_token(made.id)).revoked_at is not None
            with pytest.raises(ApiError, match="a valid bearer token is needed"):
                await laptop.get_me()
        (refused,) = await refusals(stage)
        assert refused["reason"].startswith(f"token {made.id} of {DEV} was revoked at 20")


async def test_a_token_makes_none_that_is_good_for_more_or_for_longer(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        narrow = await token_of(
            broker, DEV, scopes=frozenset({"read", "tokens"}), lifetime=timedelta(hours=2)
        )
        async with client_with(broker, narrow) as dev:
            me = await dev.get_me()
            assert me.scopes == ("read", "tokens")
            made = await dev.create_token(duration=timedelta(days=30))
            assert (made.scopes, made.expires_at) == (("read", "tokens"), me.expires_at)
            assert (await dev.create_token(scopes=["read"])).scopes == ("read",)
            with pytest.raises(ApiError, match="your own token is not good for 'decide'"):
                await dev.create_token(scopes=["read", "decide"])
            with pytest.raises(ApiError, match=r"identity\.tokens\.longest allows at most 90d"):
                await dev.create_token(duration=timedelta(days=91))
            for scopes in (["everything"], []):
                with pytest.raises(ApiError) as raised:
                    await dev.create_token(scopes=scopes)
                assert raised.value.status == 422


async def test_an_operator_makes_tokens_of_machines_that_have_no_issuer(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        async with client_with(broker, await token_of(broker, NIGHTLY)) as nightly:
            me = await nightly.get_me()
            assert (me.email, me.kind, me.groups) == (NIGHTLY, PersonKind.MACHINE, ("reporting",))
            with pytest.raises(ApiError, match="all else is for people"):
                await nightly.create_token()
        (token,) = await broker.tokens.list()
        assert (token.kind, token.created_by) == ("service", "operator:test")
        with pytest.raises(UnknownPerson, match=r"add them under identity\.machines"):
            await token_of(broker, "unheard-of@service.machine")


async def test_an_operators_own_token_ends_with_the_one_that_made_it(stage: Stage) -> None:
    """However they name themselves."""
    authority = Authority(operators=People(emails=frozenset({DEV})))
    async with broker_of(stage) as made:
        in_force = replace(made.context.live.in_force, authority=authority)
        broker = Broker(replace(made.context, live=Live(in_force)))
        brief = await token_of(broker, DEV, lifetime=timedelta(hours=1))
        async with client_with(broker, brief) as operator:
            ends = (await operator.get_me()).expires_at
            for holder in (DEV, DEV.upper()):
                own = await operator.create_token(holder=holder)
                assert (own.kind, own.expires_at) == ("personal", ends)
            assert (await operator.create_token(holder=NIGHTLY)).kind == "service"
            with pytest.raises(ApiError, match="operators those of machines"):
                await operator.create_token(holder=REVIEWER)
        maker = await broker.tokens.check(brief)
        with pytest.raises(NotYourToken):
            await broker.tokens.create_for_machine(maker, DEV, TokenWish())


@pytest.mark.parametrize("bearer", [b"pgcurfew_\xff", b"a.b.\xff", b"\xff"])
async def test_what_is_no_text_is_nobodys_token(stage: Stage, bearer: bytes) -> None:
    async with broker_of(stage) as broker:
        shown = bearer.decode(errors="surrogateescape")  # as it comes out of a header
        with pytest.raises(NotIdentified):
            await broker.authentication.identify(shown, source=None)


async def test_use_is_noted_once_a_minute(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        secret = await token_of(broker, DEV)

        async def used_at() -> datetime:
            found: datetime = await stage.query_ledger("SELECT last_used_at FROM curfew.tokens")
            return found

        assert await used_at() is None
        await asyncio.gather(*(broker.tokens.authenticate(secret) for _ in range(8)))
        first = await used_at()
        await at(broker, first + timedelta(seconds=59)).tokens.authenticate(secret)
        assert await used_at() == first
        await at(broker, first + timedelta(seconds=60)).tokens.authenticate(secret)
        assert await used_at() == first + timedelta(seconds=60)


async def test_tokens_end_with_their_time_and_with_their_holder(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        secret = await token_of(broker, DEV)
        await later(broker, timedelta(days=89)).tokens.authenticate(secret)
        with pytest.raises(NotIdentified) as raised:
            await later(broker, timedelta(days=90, seconds=1)).tokens.authenticate(secret)
        assert " expired at 20" in raised.value.reason
        in_force = broker.context.live.in_force
        nobody = Live(replace(in_force, directory=replace(in_force.directory, people={})))
        without_dev = Broker(replace(broker.context, live=nobody))
        with pytest.raises(NotIdentified) as raised:
            await without_dev.tokens.authenticate(secret)
        assert raised.value.reason.startswith(f"nobody vouches for {DEV}, who has token tok_")


async def test_who_signs_in_becomes_known_and_stays_so_for_a_while(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        nina = await broker.people.vouch(NINA)
        assert nina == Person(nina.id, NINA.email, NINA.name, NINA.groups, NINA.manager)
        assert await broker.people.current(None, nina.id) == nina
        assert await broker.people.current(None, "Nina@Example.com") == nina
        secret = await token_of(broker, NINA.email)
        assert await broker.tokens.authenticate(secret) == nina
        week_later = later(broker, timedelta(days=7, seconds=1))
        with pytest.raises(NotIdentified):
            await week_later.tokens.authenticate(secret)
        departed = await week_later.people.current(None, nina)
        assert (departed.id, departed.groups, departed.manager) == (nina.id, frozenset(), None)
        assert await week_later.people.vouch(NINA) == nina
        assert await week_later.tokens.authenticate(secret) == nina


async def test_a_new_group_is_written_down_and_what_is_known_is_not(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        for groups in (["developers"], ["developers"], ["dba", "developers"], []):
            nina = await broker.people.vouch(replace(NINA, groups=frozenset(groups)))
            assert nina.groups == frozenset(groups)
        vouched = """
            SELECT json_agg(data -> 'groups' ORDER BY seq)::text FROM curfew.audit_events
             WHERE kind = 'person.vouched_for' AND actor = $1
        """
        assert json.loads(await stage.query_ledger(vouched, NINA.email)) == [
            ["developers"],
            ["dba", "developers"],
            [],
        ]


async def test_the_list_adds_groups_to_those_of_a_provider(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        secret = await token_of(broker, DEV)
        said = replace(NINA, email=DEV, groups=frozenset({"night-shift"}))
        dev = await broker.people.vouch(said)
        assert dev.groups == {"developers", "night-shift"}
        assert await broker.tokens.authenticate(secret) == dev
        # A name that the operator chose is not the provider's to change; there is none here.
        assert dev.name == "Nina Newcomer"
        much_later = later(broker, timedelta(days=8))
        assert (await much_later.tokens.authenticate(secret)).groups == {"developers"}


async def test_who_signs_in_twice_at_once_is_one_person(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        found = await asyncio.gather(*(broker.people.vouch(NINA) for _ in range(8)))
        assert len({each.id for each in found}) == 1


async def test_people_are_found_by_address_before_the_ledger_has_met_them(stage: Stage) -> None:
    async with broker_of(stage) as broker:
        unmet = await broker.people.current(None, REVIEWER)
        assert (unmet.id, unmet.groups) == ("", frozenset({"dba"}))
        async with broker.context.ledger.acquire() as db:
            met = await broker.people.require(db, REVIEWER.upper())
            assert await broker.people.require(db, REVIEWER) == met
        assert await broker.people.current(None, met.id) == met == replace(unmet, id=met.id)
        for unknown in ("stranger@example.com", "per_0000000000000000"):
            with pytest.raises(UnknownPerson):
                await broker.people.current(None, unknown)


async def test_no_human_poses_as_a_machine_in_the_ledger_itself(stage: Stage) -> None:
    insert = """
        INSERT INTO curfew.people (id, email, name, kind, created_at, handle)
        VALUES ('per_1', $1, '', $2, now(), $1)
    """
    for email, kind in (("x@ci.machine", "human"), ("x@example.com", "machine")):
        with pytest.raises(Exception, match="people_check"):
            await stage.query_ledger(insert, email, kind)
