"""People on call are paged, through a server that stands in for PagerDuty and incident.io."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.assembly.oncall import open_on_call
from broker.config.faults import SettingsError
from broker.config.oncall import OnCallSettings
from broker.domain.errors import PageFailed
from broker.domain.on_call import NotPaged, Page, Paged
from broker.oncall.asking import Asking
from broker.oncall.escalations import Escalations
from tests.support.vendors import (
    INCIDENT_IO_TOKEN,
    PAGERDUTY_TOKEN,
    ROUTING_KEY,
    StandIn,
    Turn,
    deaf_server,
    standing_in,
)

NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
SCHEDULE, PATH = "01G0J1EXE7AXZ2C93K61WBPYEH", "01H0J1EXE7AXZ2C93K61WBPYEH"
PAGE = Page(
    request_id="req_1",
    person="alice@example.com",
    requester="alice@example.com",
    target="orders",
    database="orders",
    role="orders_writer",
    duration=timedelta(hours=1),
    reason="the queue is stuck",
    link="https://curfew.example.com/requests/req_1",
)
TITLE = "alice@example.com waits for orders_writer on orders, orders"
SCHEDULES: dict[str, Any] = {
    "primary": {"pagerduty": "PI7DH85", "routing_key": "env:ROUTING_KEY"},
    "database": {"incident_io": SCHEDULE},
    "by-path": {"incident_io": SCHEDULE, "escalation_path": PATH},
    "readers": {"pagerduty": "PI7DH85"},
    "small-team": {
        "rota": {"people": ["bob@example.com"], "first": "2026-01-05T09:00", "zone": "UTC"}
    },
}


@pytest.fixture
async def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandIn]:
    monkeypatch.setenv("PAGERDUTY_TOKEN", PAGERDUTY_TOKEN)
    monkeypatch.setenv("INCIDENT_IO_TOKEN", INCIDENT_IO_TOKEN)
    monkeypatch.setenv("ROUTING_KEY", ROUTING_KEY)
    async with standing_in(tmp_path) as ready:
        yield ready


@contextmanager
def pager(stand_in: StandIn, deadline: timedelta = timedelta(minutes=1)) -> Iterator[Escalations]:
    settings: dict[str, Any] = {
        "schedules": SCHEDULES,
        "pagerduty": {"token": "env:PAGERDUTY_TOKEN", "events_url": stand_in.url},
        "incident_io": {"token": "env:INCIDENT_IO_TOKEN", "url": stand_in.url},
    }
    asking = Asking(stand_in.trust, deadline, lambda: NOW)
    with open_on_call(OnCallSettings(**settings), Path("settings.yaml"), asking) as (
        _,
        escalations,
    ):
        yield escalations


def on_call(*people: str) -> list[Turn]:
    hour = timedelta(hours=1)
    return [Turn(SCHEDULE, who, NOW - hour, NOW + hour) for who in people]


async def test_pagerduty_gets_an_event_that_wakes_somebody(stand_in: StandIn) -> None:
    with pager(stand_in) as escalations:
        paged = await escalations.page("primary", PAGE)
    assert paged == Paged("PagerDuty has the event 'pgcurfew req_1 primary'")
    assert stand_in.events == {
        "pgcurfew req_1 primary": {
            "event_action": "trigger",
            "dedup_key": "pgcurfew req_1 primary",
            "payload": {
                "summary": TITLE,
                "source": "pgcurfew orders",
                "severity": "critical",
                "custom_details": {
                    "request": "req_1",
                    "for": "1h",
                    "reason": "the queue is stuck",
                    "approve or deny": "https://curfew.example.com/requests/req_1",
                },
            },
            "links": [
                {"href": "https://curfew.example.com/requests/req_1", "text": "Approve or deny"}
            ],
        }
    }


async def test_incident_io_pages_those_who_are_on_call(stand_in: StandIn) -> None:
    stand_in.turns = on_call("carol@example.com", "bob@example.com")
    stand_in.without_email.add("bob@example.com")  # which paging does not need
    with pager(stand_in) as escalations:
        paged = await escalations.page("database", PAGE)
    assert paged == Paged("incident.io has the escalation 'pgcurfew req_1 database'")
    assert stand_in.escalations == {
        "pgcurfew req_1 database": {
            "title": TITLE,
            "description": "request: req_1\nfor: 1h\nreason: the queue is stuck\n"
            "approve or deny: https://curfew.example.com/requests/req_1",
            "idempotency_key": "pgcurfew req_1 database",
            "user_ids": ["bob@example.com", "carol@example.com"],
        }
    }


async def test_incident_io_pages_along_a_path_where_the_settings_name_one(
    stand_in: StandIn,
) -> None:
    with pager(stand_in) as escalations:
        await escalations.page("by-path", PAGE)
    assert stand_in.escalations["pgcurfew req_1 by-path"]["escalation_path_id"] == PATH


@pytest.mark.parametrize("schedule", ["primary", "database"])
async def test_the_same_request_pages_once_and_another_one_again(
    stand_in: StandIn, schedule: str
) -> None:
    stand_in.turns = on_call("bob@example.com")
    with pager(stand_in) as escalations:
        for page in (PAGE, PAGE, replace(PAGE, request_id="req_2", link=None)):
            await escalations.page(schedule, page)
    assert sorted(stand_in.events or stand_in.escalations) == [
        f"pgcurfew req_1 {schedule}",
        f"pgcurfew req_2 {schedule}",
    ]


@pytest.mark.parametrize(
    ("status", "headers", "why", "wait"),
    [
        (400, {}, "answers with an error (HTTP 400)", None),
        (401, {}, "refuses the token that the settings name (HTTP 401)", None),
        (429, {"Retry_After": "60"}, "has been asked too often (HTTP 429)", timedelta(minutes=1)),
        (500, {}, "answers with an error (HTTP 500)", None),
        (502, {}, "answers with an error (HTTP 502)", None),
    ],
)
@pytest.mark.parametrize(
    ("schedule", "vendor"), [("primary", "PagerDuty"), ("by-path", "incident.io")]
)
async def test_who_could_not_be_paged_is_to_be_paged_later(
    stand_in: StandIn,
    schedule: str,
    vendor: str,
    status: int,
    headers: dict[str, str],
    why: str,
    wait: timedelta | None,
) -> None:
    stand_in.trouble(status, **headers)
    with pager(stand_in) as escalations:
        with pytest.raises(PageFailed) as failed:
            await escalations.page(schedule, PAGE)
        assert stand_in.questions == 1  # nobody is kept waiting while an SDK tries again
        await escalations.page(schedule, PAGE)
    assert str(failed.value) == f"who is on call in {schedule!r} could not be paged: {vendor} {why}"
    assert failed.value.retry_after == wait


async def test_an_event_that_pagerduty_does_not_confirm_is_sent_again(stand_in: StandIn) -> None:
    stand_in.trouble(202, '{"status": "success"}')
    with pager(stand_in) as escalations, pytest.raises(PageFailed, match="cannot be understood"):
        await escalations.page("primary", PAGE)


async def test_a_routing_key_that_pagerduty_does_not_know_pages_nobody(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTING_KEY", "of-another-service")
    with pager(stand_in) as escalations, pytest.raises(PageFailed, match="HTTP 400") as failed:
        await escalations.page("primary", PAGE)
    assert "of-another-service" not in str(failed.value)


@pytest.mark.parametrize("schedule", ["primary", "database", "by-path"])
async def test_a_pager_that_does_not_answer_is_tried_later(
    stand_in: StandIn, schedule: str
) -> None:
    with (
        deaf_server() as url,
        pager(replace(stand_in, url=url), timedelta(milliseconds=50)) as escalations,
        pytest.raises(PageFailed, match="does not answer in time"),
    ):
        await escalations.page(schedule, PAGE)


async def test_while_nobody_is_on_call_nobody_is_paged_yet(stand_in: StandIn) -> None:
    stand_in.turns = on_call("")
    with pager(stand_in) as escalations:
        with pytest.raises(PageFailed, match=r"incident\.io has nobody on call"):
            await escalations.page("database", PAGE)
        stand_in.turns = on_call("bob@example.com")
        assert isinstance(await escalations.page("database", PAGE), Paged)


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("small-team", "'small-team' is a rota of our own, which has no pager"),
        ("readers", "oncall.schedules.readers has no routing_key to page through"),
        ("of-yesterday", "the settings have no schedule 'of-yesterday'"),
    ],
)
async def test_without_a_pager_nothing_happens_and_that_is_said(
    stand_in: StandIn, schedule: str, why: str
) -> None:
    with pager(stand_in) as escalations:
        assert await escalations.page(schedule, PAGE) == NotPaged(why)
    assert stand_in.questions == 0


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("PAGERDUTY_TOKEN", "oncall.pagerduty.token"),
        ("INCIDENT_IO_TOKEN", "oncall.incident_io.token"),
        ("ROUTING_KEY", "oncall.schedules.primary.routing_key"),
    ],
)
async def test_a_secret_that_is_not_there_ends_the_start(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, variable: str, key: str
) -> None:
    monkeypatch.delenv(variable)
    why = f"{key}: environment variable {variable} is not set"
    with pytest.raises(SettingsError, match=why), pager(stand_in):
        pass
