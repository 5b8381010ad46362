"""Who is on call, asked of a server that stands in for PagerDuty and incident.io."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.assembly.oncall import open_on_call
from broker.config.oncall import OnCallSettings
from broker.oncall.asking import Asking, Shift
from broker.oncall.book import OnCallBook, VendorSchedule
from tests.support.vendors import (
    INCIDENT_IO_TOKEN,
    PAGERDUTY_TOKEN,
    StandIn,
    Turn,
    deaf_server,
    standing_in,
)

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
IDS = {"pagerduty": "PI7DH85", "incident_io": "01G0J1EXE7AXZ2C93K61WBPYEH"}
NAMES = {"pagerduty": "PagerDuty", "incident_io": "incident.io"}


@dataclass(slots=True)
class Clock:
    now: datetime = NOW


@dataclass(frozen=True, slots=True)
class Desk:
    """The book of a team whose schedule is with one of the vendors, and the vendor."""

    vendor: str
    stand_in: StandIn
    clock: Clock

    def on_call(
        self, *people: str, start: datetime = NOW - HOUR, end: datetime = NOW + HOUR
    ) -> None:
        turns = [Turn(IDS[self.vendor], who, start, end) for who in people]
        self.stand_in.turns += turns

    @contextmanager
    def book(self, **changes: Any) -> Iterator[OnCallBook]:
        """Open the book as the settings say, except for `changes`."""
        deadline = changes.pop("deadline", MINUTE)
        asking = Asking(changes.pop("trust", self.stand_in.trust), deadline, lambda: self.clock.now)
        url = changes.pop("url", self.stand_in.url)
        settings = {
            "schedules": {"primary": {self.vendor: IDS[self.vendor]}},
            "pagerduty": {"token": "env:PAGERDUTY_TOKEN", "url": url},
            "incident_io": {"token": "env:INCIDENT_IO_TOKEN", "url": url},
            **changes,
        }
        with open_on_call(OnCallSettings(**settings), Path("settings.yaml"), asking) as (book, _):
            yield book

    async def who(self, **changes: Any) -> tuple[frozenset[str], str]:
        """Return who is on call, and why nobody, from a book without memories."""
        with self.book(**changes) as book:
            said = await book.who(["primary"])
        return said["primary"], said.silent.get("primary", "")


@pytest.fixture
async def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    monkeypatch.setenv("PAGERDUTY_TOKEN", PAGERDUTY_TOKEN)
    monkeypatch.setenv("INCIDENT_IO_TOKEN", INCIDENT_IO_TOKEN)
    async with standing_in(tmp_path) as ready:
        yield ready


@pytest.fixture(params=IDS)
def desk(request: pytest.FixtureRequest, stand_in: StandIn) -> Desk:
    return Desk(request.param, stand_in, Clock())


async def test_who_is_on_call_is_known_by_a_lower_case_address(desk: Desk) -> None:
    desk.on_call("Alice@Example.com")
    assert await desk.who() == (frozenset({"alice@example.com"}), "")


async def test_a_schedule_may_have_nobody_on_call(desk: Desk) -> None:
    desk.on_call("alice@example.com", end=NOW - MINUTE)
    assert await desk.who() == (frozenset(), "")


async def test_all_layers_of_a_schedule_count(desk: Desk) -> None:
    desk.on_call("alice@example.com", "bob@example.com", "carol@example.com")
    assert (await desk.who())[0] == {"alice@example.com", "bob@example.com", "carol@example.com"}


async def test_an_override_takes_somebodys_place(desk: Desk) -> None:
    desk.on_call("alice@example.com")
    override = Turn(IDS[desk.vendor], "bob@example.com", NOW - MINUTE, NOW + MINUTE)
    desk.stand_in.overrides.append(override)
    assert (await desk.who())[0] == {"bob@example.com"}


async def test_at_a_handover_only_the_next_one_is_on_call(desk: Desk) -> None:
    desk.on_call("alice@example.com", end=NOW)
    desk.on_call("bob@example.com", start=NOW)
    assert (await desk.who())[0] == {"bob@example.com"}


async def test_who_is_on_call_next_is_not_on_call_yet(desk: Desk) -> None:
    desk.on_call("alice@example.com", start=NOW + timedelta(seconds=30))
    assert (await desk.who())[0] == frozenset()


async def test_answers_of_several_pages_are_read_whole(desk: Desk) -> None:
    people = [f"person{number}@example.com" for number in range(7)]
    desk.on_call(*people)
    desk.stand_in.page_size = 3
    assert (await desk.who())[0] == set(people)
    assert desk.stand_in.questions == 3


async def test_who_has_no_address_there_is_not_on_call(desk: Desk) -> None:
    desk.on_call("alice@example.com", "bob@example.com")
    desk.stand_in.without_email.add("bob@example.com")
    assert (await desk.who())[0] == {"alice@example.com"}


async def test_others_are_not_on_call_whatever_the_vendor_answers(stand_in: StandIn) -> None:
    desk = Desk("pagerduty", stand_in, Clock())
    desk.on_call("alice@example.com")
    stand_in.turns.append(replace(stand_in.turns[0], schedule="POTHER1", who="bob@example.com"))
    stand_in.ignores_filters = True
    assert (await desk.who())[0] == {"alice@example.com"}


async def test_who_is_on_call_by_several_escalation_policies_counts_once(
    stand_in: StandIn,
) -> None:
    desk = Desk("pagerduty", stand_in, Clock())
    desk.on_call("alice@example.com")
    stand_in.policies[IDS["pagerduty"]] = 3
    assert (await desk.who())[0] == {"alice@example.com"}


async def test_a_schedule_of_incident_io_may_have_gaps(stand_in: StandIn) -> None:
    desk = Desk("incident_io", stand_in, Clock())
    desk.on_call("")
    assert await desk.who() == (frozenset(), "")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "refuses the token that the settings name (HTTP 401)"),
        (403, "refuses the token that the settings name (HTTP 403)"),
        (404, "knows no such schedule (HTTP 404)"),
        (429, "has been asked too often (HTTP 429)"),
        (500, "answers with an error (HTTP 500)"),
        (503, "answers with an error (HTTP 503)"),
        (302, "answers with an error (HTTP 302)"),
    ],
)
async def test_nobody_counts_as_on_call_with_a_vendor_that_fails(
    desk: Desk, status: int, why: str
) -> None:
    desk.on_call("alice@example.com")
    desk.stand_in.trouble(status, Location="https://elsewhere.example.com")
    nobody = "so nobody counts as on call in 'primary'"
    assert await desk.who() == (frozenset(), f"{NAMES[desk.vendor]} {why}, {nobody}")
    assert desk.stand_in.questions == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        "[]",
        "null",
        '"oncalls"',
        "{}",
        '{"oncalls": [], "schedule_entries": {}}',
        '{"oncalls": {}, "more": false, "schedule_entries": {"final": {}}}',
        '{"oncalls": [7], "more": false, "schedule_entries": {"final": [7]}}',
        '{"oncalls": [{"user": {"id": "A", "email": 7}}], "more": false}',
        '{"oncalls": [], "more": true, "schedule_entries": {"final": [{"start_at": "soon"}]}}',
        "[" * 100_000,
    ],
)
async def test_an_answer_that_cannot_be_understood_names_nobody(desk: Desk, body: str) -> None:
    desk.stand_in.trouble(200, body)
    people, why = await desk.who()
    assert people == frozenset()
    assert "gives an answer that cannot be understood" in why


async def test_an_answer_without_end_names_nobody(desk: Desk) -> None:
    desk.on_call(*(f"person{number}@example.com" for number in range(100)))
    desk.stand_in.endless = True
    people, why = await desk.who()
    assert people == frozenset()
    assert "gives an answer that cannot be understood" in why


async def test_an_answer_in_a_broken_encoding_names_nobody(desk: Desk) -> None:
    desk.stand_in.trouble(200, "no gzip at all", Content_Encoding="gzip")
    assert "gives an answer that cannot be understood" in (await desk.who())[1]


async def test_nobody_waits_long_for_a_vendor(desk: Desk) -> None:
    with deaf_server() as url:
        people, why = await desk.who(deadline=timedelta(milliseconds=50), url=url)
    assert people == frozenset()
    assert "does not answer in time" in why


async def test_a_vendor_may_be_out_of_reach(desk: Desk) -> None:
    people, why = await desk.who(url="https://localhost:1")
    assert people == frozenset()
    assert "cannot be reached" in why


async def test_a_server_that_nobody_vouches_for_is_not_believed(desk: Desk) -> None:
    desk.on_call("alice@example.com")
    people, why = await desk.who(trust=ssl.create_default_context())
    assert people == frozenset()
    assert "cannot be reached" in why


async def test_an_answer_counts_for_a_while(desk: Desk) -> None:
    desk.on_call("alice@example.com")
    with desk.book(fresh_for="1m") as book:
        await book.who(["primary"])
        desk.stand_in.turns.clear()
        desk.clock.now += timedelta(seconds=59)
        assert (await book.who(["primary"]))["primary"] == {"alice@example.com"}
        assert desk.stand_in.questions == 1
        desk.on_call("bob@example.com")
        desk.clock.now += timedelta(seconds=1)
        assert (await book.who(["primary"]))["primary"] == {"bob@example.com"}


async def test_an_answer_does_not_count_past_the_end_of_a_shift(desk: Desk) -> None:
    desk.on_call("alice@example.com", end=NOW + timedelta(seconds=10))
    desk.on_call("bob@example.com", start=NOW + timedelta(seconds=10))
    with desk.book(fresh_for="1m") as book:
        assert (await book.who(["primary"]))["primary"] == {"alice@example.com"}
        desk.clock.now += timedelta(seconds=10)
        assert (await book.who(["primary"]))["primary"] == {"bob@example.com"}


async def test_an_answer_does_not_outlive_a_clock_that_was_put_back(desk: Desk) -> None:
    desk.on_call("alice@example.com")
    with desk.book(fresh_for="1m") as book:
        await book.who(["primary"])
        desk.clock.now -= timedelta(minutes=30)
        await book.who(["primary"])
    assert desk.stand_in.questions == 2


async def test_people_who_ask_at_once_share_an_answer(desk: Desk) -> None:
    desk.on_call("alice@example.com")
    with desk.book() as book:
        said = await asyncio.gather(*(book.who(["primary"]) for _ in range(20)))
    assert {each["primary"] for each in said} == {frozenset({"alice@example.com"})}
    assert desk.stand_in.questions == 1


async def test_an_old_answer_does_not_stand_in_for_one_that_fails(desk: Desk) -> None:
    desk.on_call("alice@example.com")
    with desk.book(fresh_for="1m") as book:
        await book.who(["primary"])
        desk.clock.now += MINUTE
        desk.stand_in.trouble(500)
        assert (await book.who(["primary"]))["primary"] == frozenset()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "42"}, 42),
        ({"ratelimit_reset": "50"}, 50),
        ({"Retry_After": "Wed, 07 Jan 2026 12:00:45 GMT"}, 45),
        ({"Retry_After": "Wed, 07 Jan 2026 12:00:45 -0000"}, 45),
        ({"Retry_After": "Wed, 07 Jan 2026 11:00:00 GMT"}, 30),
        ({"Retry_After": "0"}, 30),
        ({"Retry_After": "999999999"}, 300),
        ({"Retry_After": "9" * 400}, 30),
        ({"Retry_After": "a while"}, 30),
        ({}, 30),
    ],
)
async def test_a_vendor_that_has_enough_is_left_alone(
    desk: Desk, headers: dict[str, str], seconds: int
) -> None:
    desk.on_call("alice@example.com")
    desk.stand_in.trouble(429, **headers)
    with desk.book(fresh_for="1s") as book:
        await book.who(["primary"])
        desk.clock.now += timedelta(seconds=seconds - 1)
        assert "asked too often" in (await book.who(["primary"])).silent["primary"]
        assert desk.stand_in.questions == 1
        desk.clock.now += timedelta(seconds=1)
        assert (await book.who(["primary"]))["primary"] == {"alice@example.com"}


async def test_a_failure_is_logged_once_for_each_kind_and_so_is_its_end(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "broker.oncall")
    desk.on_call("alice@example.com")
    with desk.book(fresh_for="1s") as book:
        for status in (500, 502, 401, 401, 200, 200):
            if status != 200:
                desk.stand_in.trouble(status)
            await book.who(["primary"])
            desk.clock.now += MINUTE
    vendor = NAMES[desk.vendor]
    assert [each.message for each in caplog.records if each.name.startswith("broker.oncall")] == [
        f"{vendor} answers with an error (HTTP 500); nobody counts as on call in schedule primary",
        f"{vendor} refuses the token that the settings name (HTTP 401); "
        "nobody counts as on call in schedule primary",
        "schedule primary can be read again",
    ]


async def test_a_token_is_told_to_nobody(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """PagerDuty's SDK quotes the end of a token that was refused."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("PAGERDUTY_TOKEN", "pagerduty-hunter2")
    monkeypatch.setenv("INCIDENT_IO_TOKEN", "incident-io-hunter2")
    desk.on_call("alice@example.com")
    with desk.book() as book:
        said = await book.who(["primary"])
    assert "refuses the token" in said.silent["primary"]
    assert "ter2" not in said.silent["primary"] + caplog.text


async def test_one_vendors_failure_does_not_concern_the_other(stand_in: StandIn) -> None:
    desk = Desk("incident_io", stand_in, Clock())
    desk.on_call("alice@example.com")
    schedules = {
        "primary": {"pagerduty": IDS["pagerduty"]},
        "database": {"incident_io": IDS["incident_io"]},
        "small-team": {
            "rota": {
                "people": ["carol@example.com"],
                "first": "2026-01-05T09:00",
                "zone": "Europe/Berlin",
            }
        },
    }
    pagerduty = {"token": "env:INCIDENT_IO_TOKEN", "url": stand_in.url}  # not PagerDuty's
    with desk.book(schedules=schedules, pagerduty=pagerduty) as book:
        said = await book.who([*schedules, "of-yesterday"])
    assert dict(said) == {
        "primary": frozenset(),
        "database": {"alice@example.com"},
        "small-team": {"carol@example.com"},
        "of-yesterday": frozenset(),
    }
    assert set(said.silent) == {"primary", "of-yesterday"}
    assert said.silent["of-yesterday"] == "the settings have no schedule 'of-yesterday'"


async def test_what_nobody_foresaw_gives_nobody_access(caplog: pytest.LogCaptureFixture) -> None:
    class Surprise:
        async def shifts(self, schedule: str, now: datetime) -> list[Shift]:
            raise ValueError(schedule, now)

    schedules = {"primary": VendorSchedule(Surprise(), "P1")}
    said = await OnCallBook(schedules, MINUTE, lambda: NOW).who(["primary"])
    assert said["primary"] == frozenset()
    assert "unforeseen" in said.silent["primary"]
    assert "ValueError: ('P1'," in caplog.text


async def test_a_rota_has_nobody_before_its_first_turn(stand_in: StandIn) -> None:
    desk = Desk("pagerduty", stand_in, Clock())
    rota = {"people": ["a@example.com"], "first": "2026-02-02T09:00", "zone": "UTC", "turn": "1d"}
    with desk.book(schedules={"small-team": {"rota": rota}}) as book:
        assert dict(await book.who(["small-team"])) == {"small-team": frozenset()}
        desk.clock.now = datetime(2026, 2, 2, 9, tzinfo=UTC)
        assert dict(await book.who(["small-team"])) == {"small-team": {"a@example.com"}}
