"""What the operator writes comes into force whole, once, and with a trace, or not at all."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest
import yaml

from broker.domain.errors import NotApprover, NotFound
from broker.domain.version import VersionKind
from broker.service.approvals import Consent
from broker.service.broker import Broker
from tests.support.people import get_person, wish
from tests.support.stage import DEV, PASSWORD, POLICIES, REVIEWER, Stage

pytestmark = pytest.mark.newest  # about our own files and ledger

_EVENTS = """
    SELECT json_agg(json_build_object('kind', kind, 'data', data) ORDER BY seq)
      FROM curfew.audit_events WHERE kind ~ '^(policies|settings|alarm)\\.'
"""
_READERS, _WRITERS = POLICIES["policies"]


def write_policies(stage: Stage, *policies: dict[str, Any], approvers: str = "dba") -> str:
    text = yaml.safe_dump({"approvers": {"groups": [approvers]}, "policies": list(policies)})
    (stage.folder / "policies.yaml").write_text(text)
    return text


async def look_until_settled(broker: Broker) -> None:
    """What the watch does: the second look sees that nobody is writing any more."""
    await broker.policies.look()
    await broker.policies.look()


def names(broker: Broker) -> list[str]:
    return [policy.name for policy in broker.context.policies.policies]


def longest(broker: Broker) -> tuple[float, ...]:
    policies = broker.context.policies.policies
    return tuple(each.max_duration.total_seconds() for each in policies)


async def events(stage: Stage) -> list[tuple[str, dict[str, Any]]]:
    found = json.loads(await stage.query_ledger(_EVENTS) or "[]")
    return [(each["kind"], each["data"]) for each in found]


async def kinds(stage: Stage) -> list[str]:
    return [kind for kind, _ in await events(stage)]


async def test_a_changed_policy_file_comes_into_force_with_a_version_and_a_diff(
    stage: Stage,
) -> None:
    async with stage.broker() as broker:
        await broker.policies.begin()
        before = broker.context.live.in_force.versions[VersionKind.POLICIES]
        text = write_policies(stage, _READERS, {**_WRITERS, "max_duration": "2h"})
        await look_until_settled(broker)
        after = broker.context.live.in_force.versions[VersionKind.POLICIES]
    assert (before.number < after.number, after.written.text) == (True, text)
    kind, data = (await events(stage))[-1]
    assert (kind, data["number"], data["before"]) == (
        "policies.changed",
        after.number,
        before.number,
    )
    assert [line for line in data["diff"].split("\n") if line[0] in "+-"] == [
        "-- max_duration: 1h",
        "+- max_duration: 2h",
    ]


async def test_nothing_changes_while_the_files_do_not(stage: Stage) -> None:
    async with stage.broker() as broker:
        for _ in range(3):
            await broker.policies.begin()
            await look_until_settled(broker)
        in_force = broker.context.live.in_force
        await look_until_settled(broker)
        assert broker.context.live.in_force is in_force
    assert await kinds(stage) == ["settings.changed", "policies.changed"]


async def test_brokers_that_start_at_once_record_one_version(stage: Stage) -> None:
    async with stage.broker() as first, stage.broker() as second, stage.broker() as third:
        brokers = (first, second, third)
        await asyncio.gather(*(each.policies.begin() for each in brokers))
        write_policies(stage, _READERS)
        await asyncio.gather(*(each.policies.look(told=True) for each in brokers))
        numbers = {
            each.context.live.in_force.versions[VersionKind.POLICIES].number for each in brokers
        }
    assert len(numbers) == 1
    assert await kinds(stage) == ["settings.changed", "policies.changed", "policies.changed"]


async def test_a_broken_file_changes_nothing_and_raises_an_alarm_until_it_is_mended(
    stage: Stage,
) -> None:
    file = stage.folder / "policies.yaml"
    async with stage.broker() as broker:
        await broker.policies.begin()
        reviewer = await get_person(broker, REVIEWER)
        good = file.read_text()
        file.write_text(good.replace("max_duration: 1h", "max_duration: never"))
        await look_until_settled(broker)
        assert names(broker) == ["readers", "writers"]
        assert await stage.query_ledger("SELECT count(*) FROM curfew.policy_versions") == 2
        (alarm,) = await broker.alarms.list(reviewer, cleared_too=False, before=None, limit=9)
        assert str(file) in alarm.message
        assert "duration 'never'" in alarm.message
        # Somebody who closes the alarm instead of mending the file hears of it again.
        await broker.alarms.acknowledge(alarm.id, reviewer)
        await broker.policies.look()
        (again,) = await broker.alarms.list(reviewer, cleared_too=False, before=None, limit=9)
        assert (again.id != alarm.id, again.message) == (True, alarm.message)
        file.write_text(good)
        await look_until_settled(broker)
        assert await broker.alarms.list(reviewer, cleared_too=False, before=None, limit=9) == []
    assert await kinds(stage) == [
        "settings.changed",
        "policies.changed",
        "alarm.raised",
        "policies.refused",
        "alarm.cleared",
        "alarm.raised",
        "alarm.cleared",
    ]


async def test_half_a_file_is_never_in_force(stage: Stage) -> None:
    """Whoever writes slowly, and in place: the half here is a policy file that allows more."""
    file = stage.folder / "policies.yaml"
    async with stage.broker() as broker:
        await broker.policies.begin()
        whole = write_policies(stage, {**_READERS, "max_duration": "7h"}, _WRITERS)
        half = whole[: whole.index("- max_duration: 1h")]
        for written in (half, whole[:-40], whole):
            file.write_text(written)
            await broker.policies.look()
            assert names(broker) == ["readers", "writers"]
        await broker.policies.look()
        assert broker.context.policies.policies[0].max_duration.total_seconds() == 7 * 3600
    assert (await kinds(stage)).count("policies.changed") == 2


async def test_everybody_who_asks_during_reloads_is_judged_by_one_whole_file(stage: Stage) -> None:
    """Two policies say the same in each file: nobody ever sees them differ."""
    async with stage.broker() as broker:
        await broker.policies.begin()
        seen: set[tuple[float, ...]] = set()
        done = asyncio.Event()

        async def ask() -> None:
            while not done.is_set():
                seen.add(
                    tuple(
                        each.max_duration.total_seconds()
                        for each in broker.context.policies.policies
                    )
                )
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(ask())
            for hours in range(1, 9):
                duration = {"max_duration": f"{hours}h"}
                write_policies(stage, {**_READERS, **duration}, {**_WRITERS, **duration})
                await broker.policies.look(told=True)
            done.set()
        seen.add(
            tuple(each.max_duration.total_seconds() for each in broker.context.policies.policies)
        )
    whole = [(hours * 3600, hours * 3600) for hours in range(1, 9)]
    assert whole[-1] in seen <= {(8 * 3600, 3600), *whole}


async def test_without_a_ledger_nothing_comes_into_force(stage: Stage) -> None:
    async with stage.broker() as broker:
        await broker.policies.begin()
        write_policies(stage, _READERS)
        await stage.query_ledger("ALTER TABLE curfew.policy_versions RENAME TO gone")
        with pytest.raises(asyncpg.UndefinedTableError):
            await broker.policies.look(told=True)
        assert names(broker) == ["readers", "writers"]
        await stage.query_ledger("ALTER TABLE curfew.gone RENAME TO policy_versions")
        await broker.policies.look()
        assert names(broker) == ["readers"]


async def test_who_leaves_a_group_loses_what_they_could_approve(stage: Stage) -> None:
    async with stage.broker() as broker:
        await broker.policies.begin()
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = await broker.ask(wish(), dev)
        assert (
            await broker.requests.get(asked.request.id, reviewer)
        ).request.id == asked.request.id
        people = stage.settings()["identity"]["people"]
        for person in people:
            if person["email"] == REVIEWER:
                person["groups"] = ["developers"]
        stage.write_settings(identity={"people": people})
        await look_until_settled(broker)
        reviewer = await get_person(broker, REVIEWER)
        assert reviewer.groups == {"developers"}
        with pytest.raises((NotFound, NotApprover)):
            await broker.approve(asked.request.id, reviewer, Consent())
        # Who is off the list is nobody any more.
        nobody_else = {"people": [{"email": REVIEWER}], "groups": ["dba", "developers"]}
        stage.write_settings(identity=nobody_else)
        await look_until_settled(broker)
        assert broker.context.directory.find(DEV) is None
    kind, data = (await events(stage))[-1]
    assert (kind, data["waiting"]) == ("settings.changed", [])
    assert f"-  - email: {DEV}" in data["diff"].split("\n")


async def test_settings_that_wait_for_a_restart_are_named(stage: Stage) -> None:
    async with stage.broker() as broker:
        await broker.policies.begin()
        stage.write_settings(api={"listen": "127.0.0.1:1"}, state_dir="elsewhere")
        await broker.policies.look(told=True)
    _, data = (await events(stage))[-1]
    assert data["waiting"] == ["state_dir", "api"]


async def test_broken_settings_hold_up_neither_themselves_nor_policies(stage: Stage) -> None:
    """A policy that must go must be able to go, whatever else somebody is editing."""
    async with stage.broker() as broker:
        await broker.policies.begin()
        stage.config.write_text("ledger: [\n")
        write_policies(stage, _READERS)
        await broker.policies.look(told=True)
        assert names(broker) == ["readers"]
        assert broker.context.directory.find(DEV) is not None
        assert (await kinds(stage))[2:] == ["alarm.raised", "settings.refused", "policies.changed"]
        stage.write_settings()
        await broker.policies.look(told=True)
        assert names(broker) == ["readers", "writers"]
    assert (await kinds(stage))[5:] == ["alarm.cleared", "policies.changed"]


async def test_a_secret_that_stands_in_a_file_is_not_kept(stage: Stage) -> None:
    async with stage.broker() as broker:
        await broker.policies.begin()
        reviewer = await get_person(broker, REVIEWER)
        for file in (stage.config, stage.folder / "policies.yaml"):
            file.write_text(f"# it was {PASSWORD}\n{file.read_text()}# {PASSWORD}s are others\n")
        await broker.policies.look(told=True)
        alarms = await broker.alarms.list(reviewer, cleared_too=False, before=None, limit=9)
        assert {alarm.message.partition(": what ")[0] for alarm in alarms} == {
            f"on {broker.context.host}: {stage.folder / 'policies.yaml'}:1",
            f"on {broker.context.host}: {stage.config}:1",
        }
        for kind in VersionKind:
            text = broker.context.live.in_force.versions[kind].written.text
            assert text.startswith("# it was [a secret, left out]\n")
            assert text.endswith(f"# {PASSWORD}s are others\n")
    stored = "SELECT count(*) FROM curfew.{} t WHERE t::text ~ '\\m{}\\M'"
    for table in ("policy_versions", "audit_events", "alarms"):
        assert await stage.query_ledger(stored.format(table, PASSWORD)) == 0


async def test_what_the_environment_overrides_is_named_without_its_value(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCURFEW_API__LISTEN", "127.0.0.1:4711")
    async with stage.broker() as broker:
        await broker.policies.begin()
    _, data = (await events(stage))[0]
    assert data["diff"].split("\n")[-1] == "+# PGCURFEW_API__LISTEN is set in the environment"
    assert "4711" not in data["diff"]


async def test_versions_are_never_rewritten(stage: Stage) -> None:
    async with stage.broker() as broker:
        await broker.policies.begin()
    for statement in (
        "UPDATE curfew.policy_versions SET text = ''",
        "DELETE FROM curfew.policy_versions",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stage.query_ledger(statement)
