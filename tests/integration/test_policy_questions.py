"""What policies say, would say and said: over the API, about requests that there were."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import pytest
import yaml

from api.client import ApiError, Client
from api.schemas.policies import PolicyQuestion, ReplayEndLine, ShiftLine
from broker.ledger.connection import transaction
from tests.support.house import AUDITOR, House, house_on
from tests.support.people import HOUR, wish
from tests.support.servers import Server
from tests.support.stage import DEV, OTHER_DEV, POLICIES, REVIEWER, Stage, set_up_apart

pytestmark = pytest.mark.newest  # about our own decisions and ledger

_READERS, _WRITERS = POLICIES["policies"]


@pytest.fixture(scope="module")
def stage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all tests here: each writes the files anew, and leaves its requests behind."""
    with set_up_apart(server, tmp_path_factory.mktemp("questions")) as ready:
        yield ready


@pytest.fixture
async def house(stage: Stage) -> AsyncIterator[House]:
    async with house_on(stage) as ready:
        yield ready


def changed(readers: dict[str, Any] | None = None, writers: dict[str, Any] | None = None) -> str:
    """Return the stage's policy file with these changes."""
    policies = [{**_READERS, **(readers or {})}, {**_WRITERS, **(writers or {})}]
    return yaml.safe_dump({**POLICIES, "policies": policies})


async def replayed(client: Client, text: str, since: datetime) -> list[ShiftLine]:
    lines = [line async for line in client.replay_policies(text, since)]
    shifts = [line for line in lines if isinstance(line, ShiftLine)]
    assert isinstance(lines[-1], ReplayEndLine)
    assert lines[-1].shifted == len(shifts)
    return shifts


def question(**values: Any) -> PolicyQuestion:
    return PolicyQuestion(**{"target": "orders", "role": "orders_writer", **values})


async def test_the_answer_says_who_would_approve_and_why(house: House) -> None:
    async with house.client_of(REVIEWER) as reviewer:
        answer = await reviewer.test_policies(question(person=DEV, duration="1h", reason="a fix"))
        assert (answer.outcome, answer.policy, answer.duration) == ("ask", "writers", HOUR)
        assert (answer.person, answer.groups) == (DEV, ("developers",))
        assert answer.approvers == ("group dba",)
        assert "policy 'writers' gives 'orders_writer'" in answer.why[0]
        assert [(each.policy, each.part) for each in answer.considered] == [("writers", "decides")]


async def test_any_fact_may_be_supposed(house: House) -> None:
    async with house.client_of(REVIEWER) as reviewer:
        refused = await reviewer.test_policies(question(person=DEV, duration="5h"))
        assert (refused.outcome, refused.code) == ("denied", "duration-too-long")
        assert refused.why == (
            "5h is too long: policy 'writers' allows at most 1h",
            "policy 'writers' wants a reason",
        )
        # Somebody nobody knows, in a group.
        stranger = question(person="new@example.com", groups=["developers"], reason="a fix")
        assert (await reviewer.test_policies(stranger)).outcome == "ask"
        at = datetime(2031, 3, 4, 12, tzinfo=UTC)
        then = await reviewer.test_policies(question(person=DEV, groups=["dba"], at=at))
        assert (then.outcome, then.at, then.considered[0].part) == ("denied", at, "others")
        agreed = question(person=DEV, reason="a fix", pre_approved=True)
        assert (await reviewer.test_policies(agreed)).outcome == "given"


async def test_who_approves_nothing_hears_about_themselves_alone(house: House) -> None:
    async with house.client_of(DEV) as dev:
        own = await dev.test_policies(question(reason="a fix"))
        assert (own.person, own.outcome) == (DEV, "ask")
        for other in (question(person=REVIEWER), question(groups=["dba"]), question(manager=DEV)):
            with pytest.raises(ApiError) as refusal:
                await dev.test_policies(other)
            assert refusal.value.status == 404
        with pytest.raises(ApiError, match="you may ask for orders"):
            await dev.test_policies(PolicyQuestion(target="nowhere", role="nothing"))
        assert await dev.list_access() == await dev.list_access(DEV.upper())
        with pytest.raises(ApiError):
            await dev.list_access(OTHER_DEV)
        with pytest.raises(ApiError, match="those who approve"):
            await dev.get_policies()
        assert (await dev.list_versions()).items == ()
    async with house.client_of(REVIEWER) as reviewer:
        with pytest.raises(ApiError, match="there is no target 'nowhere'; there are orders"):
            await reviewer.test_policies(PolicyQuestion(target="nowhere", role="nothing"))
        with pytest.raises(ApiError, match="no person nobody@example"):
            await reviewer.test_policies(question(person="nobody@example.com"))


_MANY = (
    {"resources": [{"role": "orders_*"}], "except": [{"role": "orders_owner"}]},
    {
        "requesters": {"groups": ["dba"]},
        "resources": [{"role": "orders_owner", "database": "billing*"}],
        "approval": "standing",
    },
    {"requesters": {"anyone": True}, "resources": [{}], "enabled": False},
    {"resources": [{"role": "orders_writer"}], "approval": "deny"},
    {
        "requesters": {"anyone": True},
        "resources": [{"database": "archive"}],
        "require": ["reason"],
        "max_duration": "2h",
    },
)


async def test_what_is_shown_is_what_asking_for_everything_would_give(
    house: House, stage: Stage
) -> None:
    """Every role in every kind of database, tried by brute force as everybody."""
    stage.write_policies(*_MANY)
    await house.broker.policies.look(told=True)
    databases = ("orders", "billing_2", "archive")
    async with house.client_of(AUDITOR) as auditor:
        for email in (DEV, REVIEWER, AUDITOR):
            shown = (await auditor.list_access(email)).items
            given = {}
            for (target, role), database in product(
                house.broker.context.catalog.roles(), databases
            ):
                what_if = question(
                    person=email, target=target, role=role, database=database, reason="a fix"
                )
                answer = await auditor.test_policies(what_if)
                if answer.outcome != "denied":
                    given[target, role, database] = (answer.policy, answer.approvers)
            assert given == {
                (each.target, each.role, database): (each.policy, each.approvers)
                for each in reversed(shown)  # the first that fits decides
                for database in databases
                if fnmatchcase(database, each.database)
            }


async def test_a_replay_lists_exactly_the_requests_that_would_be_answered_otherwise(
    house: House,
) -> None:
    since = datetime.now(UTC)
    dev, other = await house.person(DEV), await house.person(OTHER_DEV)
    short = await house.broker.ask(wish("orders_writer", duration=HOUR / 2), dev)
    long = await house.broker.ask(wish("orders_writer"), other)
    read = await house.broker.ask(wish("orders_reader"), other)
    async with house.client_of(REVIEWER) as reviewer:
        assert await replayed(reviewer, changed(), since) == []
        # None of them lasts longer, or was without a reason.
        assert await replayed(reviewer, changed(readers={"require": ["reason"]}), since) == []
        (shift,) = await replayed(reviewer, changed(writers={"max_duration": "30m"}), since)
        assert (shift.request, shift.person, shift.changed[0]) == (
            long.request.id,
            OTHER_DEV,
            "outcome",
        )
        assert (shift.before.outcome, shift.after.outcome) == ("ask", "denied")
        assert shift.why == ("1h is too long: policy 'writers' allows at most 30m",)
        renamed = await replayed(reviewer, changed(writers={"name": "authors"}), since)
        assert {(each.request, each.changed) for each in renamed} == {
            (short.request.id, ("policy",)),
            (long.request.id, ("policy",)),
        }
        text = changed(readers={"approval": "standing"})
        standing = await replayed(reviewer, text, since)
        assert [(each.request, each.after.outcome) for each in standing] == [
            (read.request.id, "given")
        ]
        assert await replayed(reviewer, text, datetime.now(UTC) + HOUR) == []


async def test_a_replay_goes_by_the_groups_that_people_had_when_they_asked(
    house: House, stage: Stage
) -> None:
    since = datetime.now(UTC)
    asked = await house.broker.ask(wish("orders_writer"), await house.person(DEV))
    settings = yaml.safe_load(stage.config.read_text())
    for person in settings["identity"]["people"]:
        person["groups"] = ["dba"] if person["email"] == DEV else person.get("groups", [])
    stage.config.write_text(yaml.safe_dump(settings))
    await house.broker.policies.look(told=True)
    assert (await house.person(DEV)).groups == {"dba"}
    async with house.client_of(REVIEWER) as reviewer:
        text = changed(writers={"requesters": {"groups": ["dba"]}})
        (shift,) = await replayed(reviewer, text, since)
    assert (shift.request, shift.before.outcome, shift.after.outcome) == (
        asked.request.id,
        "ask",
        "denied",
    )


async def test_a_replay_of_a_broken_file_names_its_lines(house: House) -> None:
    async with house.client_of(REVIEWER) as reviewer:
        broken = changed(writers={"requesters": {"groups": ["nobody"]}})
        with pytest.raises(
            ApiError, match=r"proposed policies:\d+: .*no group 'nobody'"
        ) as refusal:
            await replayed(reviewer, broken, datetime.now(UTC))
        assert (refusal.value.status, refusal.value.code) == (422, "unusable-policies")
        endless = "approvers: &a [x]\n" + "".join(
            f"b{n}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 20)}]\n" for n in range(8)
        )
        with pytest.raises(ApiError, match="repeat too much"):
            await replayed(reviewer, endless, datetime.now(UTC))
    async with house.client_of(DEV) as dev:
        with pytest.raises(ApiError, match="only who approves"):
            await replayed(dev, changed(), datetime.now(UTC))


async def test_many_requests_are_replayed_stretch_by_stretch(house: House) -> None:
    """And others are served meanwhile."""
    dev = await house.person(DEV)
    first = (await house.broker.ask(wish("orders_writer"), dev)).request
    async with transaction(house.broker.context.ledger) as db:
        await db.execute(
            "INSERT INTO curfew.requests SELECT (r).* FROM (SELECT jsonb_populate_record(r, "
            "jsonb_build_object('id', 'req_0' || lpad(to_hex(n), 15, '0'))) AS r "
            "FROM curfew.requests r, generate_series(1, 600) AS n WHERE r.id = $1) AS copies",
            first.id,
        )
    async with house.client_of(REVIEWER) as reviewer:
        text = f"{changed(writers={'max_duration': '30m'})}# {'long' * 100_000}\n"
        shifts, answers = await asyncio.gather(
            replayed(reviewer, text, datetime(1970, 1, 1, tzinfo=UTC)), _ask_again(house)
        )
    assert [each.request for each in shifts] == sorted(each.request for each in shifts)
    assert sum(each.request.startswith("req_00") for each in shifts) == 600
    assert first.id in [each.request for each in shifts]
    assert answers == 20


async def _ask_again(house: House) -> int:
    async with house.client_of(DEV) as dev:
        return sum([len((await dev.list_targets()).items) for _ in range(20)])


async def test_versions_are_read_with_what_they_changed(house: House, stage: Stage) -> None:
    (stage.folder / "policies.yaml").write_text(changed(writers={"max_duration": "2h"}))
    await house.broker.policies.look(told=True)
    async with house.client_of(REVIEWER) as reviewer:
        in_force = await reviewer.get_policies()
        now = in_force.version
        assert "max_duration: 2h" in now.text
        readers, writers = in_force.policies
        assert (readers.name, writers.name) == ("readers", "writers")
        assert (writers.longest, writers.denies) == (2 * HOUR, False)
        some = house.broker.policy_history.in_force(await house.person(REVIEWER), most=1)
        assert ([each.name for each in some.policies], some.left_out) == (["readers"], 1)
        newest, first = (await reviewer.list_versions(limit=2)).items
        assert (newest.number, newest.digest) == (now.number, now.digest)
        assert (newest.kind, first.kind) == ("policies", "policies")
        details = await reviewer.get_version(newest.number)
        assert (details.version, details.before) == (now, first.number)
        assert "-  max_duration: 1h" in details.diff.replace("- max", "  max")
        page = await reviewer.list_versions(limit=1)
        assert (page.items, page.next) == ((newest,), newest.number)
        following = await reviewer.list_versions(after=newest.number, limit=1)
        assert following.items == (first,)
        settings = await _number_of_settings(house)
        with pytest.raises(ApiError, match="no version"):
            await reviewer.get_version(settings)
    async with house.client_of(AUDITOR) as auditor:
        assert (await auditor.get_version(settings)).version.kind == "settings"
        found = await auditor.list_versions(kind="settings")
        assert found.items[-1].number == settings


async def _number_of_settings(house: House) -> int:
    async with transaction(house.broker.context.ledger) as db:
        found = await db.fetchval(
            "SELECT min(number) FROM curfew.policy_versions WHERE kind = 'settings'"
        )
    return int(found)
