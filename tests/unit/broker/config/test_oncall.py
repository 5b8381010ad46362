"""Who is on call, as the operator says it: read as meant, or refused with place and example."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from broker.config.faults import SettingsError
from broker.config.oncall import OnCallSettings
from broker.config.settings import load_settings
from tests.support.settings_files import write_settings

PRIMARY = "oncall.schedules.primary"
TEAM = "oncall.schedules.small-team"
ROTA = {"people": ["dev@example.com"], "first": "2026-01-05T09:00", "zone": "Europe/Berlin"}
SOME_SCHEDULES = "{primary: {pagerduty: PXXXXXX}}"
SOME_ROTA = "{people: [dev@example.com], first: 2026-01-05T09:00, zone: Europe/Berlin}"
SECRET = "a secret is never written here: name where it is, env:NAME or file:PATH"
HTTPS = "an address of an API begins with https:// and has no user, ? or #"
PAGERDUTY_ID = "not an id of PagerDuty's: it stands at the end of the schedule's address"
INCIDENT_IO_ID = "not an id of incident.io's: 26 capitals and digits, as in its address"
ULID = "01FDAG4SAP5TYPT98WGR2N7W91"


@pytest.fixture(autouse=True)
def _no_settings_of_ours_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PGCURFEW_"):
            monkeypatch.delenv(name)


def read(folder: Path, changes: dict[str, Any]) -> OnCallSettings:
    people = {"identity.people": [{"email": "dev@example.com"}]}
    return load_settings(write_settings(folder, {**people, **changes})).oncall


def complaint(folder: Path, changes: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as error:
        read(folder, changes)
    _, fault = str(error.value).splitlines()
    return fault.strip()


def test_nobody_is_on_call_unless_the_settings_say_who(tmp_path: Path) -> None:
    assert read(tmp_path, {}).model_dump() == {
        "schedules": {},
        "pagerduty": None,
        "incident_io": None,
        "fresh_for": timedelta(minutes=1),
    }


def test_a_schedule_is_of_a_vendor_or_a_rota(tmp_path: Path) -> None:
    oncall = {
        "schedules": {
            "primary": {"pagerduty": "PI7DH85", "routing_key": "env:ROUTING_KEY"},
            "database": {"incident_io": ULID, "escalation_path": ULID},
            "small-team": {"rota": {**ROTA, "turn": "12h", "people": ["Dev@Example.com"]}},
        },
        "pagerduty": {"token": "env:PAGERDUTY_TOKEN", "url": "https://api.eu.pagerduty.com/"},
        "incident_io": {"token": "file:secrets/incident-io"},
    }
    found = read(tmp_path, {"oncall": oncall})
    assert found.schedules["primary"].routing_key == "env:ROUTING_KEY"
    assert found.schedules["database"].escalation_path == ULID
    rota = found.schedules["small-team"].rota
    assert rota is not None
    assert rota.model_dump() == {
        "people": ("dev@example.com",),
        "first": datetime(2026, 1, 5, 9),  # noqa: DTZ001  (a local time)
        "zone": ZoneInfo("Europe/Berlin"),
        "turn": timedelta(hours=12),
    }
    assert found.pagerduty is not None
    assert found.pagerduty.url == "https://api.eu.pagerduty.com"
    assert found.pagerduty.events_url == "https://events.pagerduty.com"
    assert found.incident_io is not None
    assert found.incident_io.url == "https://api.incident.io"


def test_people_whom_a_provider_vouches_for_need_not_be_known_yet(tmp_path: Path) -> None:
    provider = {"name": "company", "issuer": "https://id.example.com", "client_id": "pgcurfew"}
    changes = {
        "api.public_url": "https://curfew.example.com",
        "identity.providers": [provider],
        TEAM: {"rota": {**ROTA, "people": ["new@example.com"]}},
    }
    rota = read(tmp_path, changes).schedules["small-team"].rota
    assert rota is not None
    assert rota.people == ("new@example.com",)


def test_yaml_reads_a_time_with_seconds_by_itself(tmp_path: Path) -> None:
    rota = {**ROTA, "first": datetime(2026, 1, 5, 9)}  # noqa: DTZ001  (a local time)
    found = read(tmp_path, {TEAM: {"rota": rota}}).schedules["small-team"].rota
    assert found is not None
    assert found.first == datetime(2026, 1, 5, 9)  # noqa: DTZ001
    assert found.turn == timedelta(days=7)


@pytest.mark.parametrize(
    ("path", "value", "place", "why", "example"),
    [
        (
            PRIMARY,
            {},
            PRIMARY,
            "a schedule has one source: pagerduty, incident_io or rota",
            SOME_SCHEDULES,
        ),
        (
            PRIMARY,
            {"pagerduty": "PI7DH85", "rota": ROTA},
            PRIMARY,
            "a schedule has one source: pagerduty, incident_io or rota",
            SOME_SCHEDULES,
        ),
        (
            PRIMARY,
            {"rota": ROTA, "routing_key": "env:KEY"},
            PRIMARY,
            "routing_key pages through PagerDuty: it goes with pagerduty",
            SOME_SCHEDULES,
        ),
        (
            PRIMARY,
            {"rota": ROTA, "escalation_path": ULID},
            PRIMARY,
            "escalation_path is one of incident.io's: it goes with incident_io",
            SOME_SCHEDULES,
        ),
        (PRIMARY, {"pagerduty": "pi7dh85"}, f"{PRIMARY}.pagerduty", PAGERDUTY_ID, "PXXXXXX"),
        (PRIMARY, {"incident_io": "PI7DH85"}, f"{PRIMARY}.incident_io", INCIDENT_IO_ID, ULID),
        (
            PRIMARY,
            {"pagerduty": "PI7DH85", "routing_key": "f00"},
            f"{PRIMARY}.routing_key",
            SECRET,
            "env:PRIMARY_ROUTING_KEY",
        ),
        (
            PRIMARY,
            {"pagerduty": "PI7DH85"},
            f"{PRIMARY}.pagerduty",
            "nothing says how to ask: oncall.pagerduty is missing",
            "oncall: {pagerduty: {token: env:PAGERDUTY_TOKEN}}",
        ),
        (
            PRIMARY,
            {"incident_io": ULID},
            f"{PRIMARY}.incident_io",
            "nothing says how to ask: oncall.incident_io is missing",
            "oncall: {incident_io: {token: env:INCIDENT_IO_TOKEN}}",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "people": ["dev@example.com", "new@example.com"]}},
            f"{TEAM}.rota.people",
            "identity.people has no 'new@example.com'",
            "[dev@example.com]",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "people": []}},
            f"{TEAM}.rota.people",
            "must not be empty",
            "[dev@example.com]",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "people": ["dev"]}},
            f"{TEAM}.rota.people.0",
            "not an e-mail address",
            "[dev@example.com]",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "people": ["deploy@github.machine"]}},
            f"{TEAM}.rota.people.0",
            "addresses that end in .machine are those of machines",
            "[dev@example.com]",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "first": "Monday"}},
            f"{TEAM}.rota.first",
            "a local date and time is YYYY-MM-DDTHH:MM",
            "2026-01-05T09:00",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "first": "2026-01-05T09:00+01:00"}},
            f"{TEAM}.rota.first",
            "a local date and time has no offset: zone says where it is meant",
            "2026-01-05T09:00",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "zone": "Berlin"}},
            f"{TEAM}.rota.zone",
            "not a time zone of the IANA list, such as Europe/Berlin",
            "Europe/Berlin",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "zone": "../../etc/passwd"}},
            f"{TEAM}.rota.zone",
            "not a time zone of the IANA list, such as Europe/Berlin",
            "Europe/Berlin",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "zone": "Europe"}},
            f"{TEAM}.rota.zone",
            "not a time zone of the IANA list, such as Europe/Berlin",
            "Europe/Berlin",
        ),
        (
            TEAM,
            {"rota": {**ROTA, "turn": "59m"}},
            f"{TEAM}.rota.turn",
            "a turn is at least 1h",
            "7d",
        ),
        (
            "oncall.fresh_for",
            "16m",
            "oncall.fresh_for",
            "at most 15m: so long may who is off duty still count as on call",
            "1m",
        ),
        (
            "oncall.pagerduty",
            {"token": "hunter2"},
            "oncall.pagerduty.token",
            SECRET,
            "env:PAGERDUTY_TOKEN",
        ),
        (
            "oncall.pagerduty",
            {"token": "env:TOKEN", "url": "http://api.pagerduty.com"},
            "oncall.pagerduty.url",
            HTTPS,
            "https://api.pagerduty.com",
        ),
        (
            "oncall.incident_io",
            {"token": "env:TOKEN", "url": "https://user@api.incident.io"},
            "oncall.incident_io.url",
            HTTPS,
            "https://api.incident.io",
        ),
        (
            "oncall.incident_io",
            {},
            "oncall.incident_io.token",
            "is missing",
            "env:INCIDENT_IO_TOKEN",
        ),
    ],
)
def test_a_fault_names_its_place_the_reason_and_an_example(
    tmp_path: Path, path: str, value: Any, place: str, why: str, example: str
) -> None:
    assert complaint(tmp_path, {path: value}) == f"{place}: {why}; for example: {example}"


def test_an_unknown_source_is_answered_with_those_there_are(tmp_path: Path) -> None:
    said = complaint(tmp_path, {PRIMARY: {"pagerdty": "PI7DH85"}})
    hint = "did you mean pagerduty? for example: pagerduty: PXXXXXX"
    assert said.startswith(f"{PRIMARY}.pagerdty: is not a known key; {hint}")
