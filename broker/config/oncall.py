"""Settings of who is on call."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from broker.config.identity import HumanEmail
from broker.config.values import Duration, Name, SecretRef, Section

_SHORTEST_TURN = timedelta(hours=1)  # what clocks change by: see broker.domain.rota
_LONGEST_FRESH = timedelta(minutes=15)


def _https(text: str) -> str:
    if not re.fullmatch(r"https://[^\s/?#@]+(/[^\s?#]*)?", text):
        raise ValueError("an address of an API begins with https:// and has no user, ? or #")
    return text.rstrip("/")


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is no zone
        raise ValueError("not a time zone of the IANA list, such as Europe/Berlin") from None


def _local_time(value: Any) -> datetime:
    # YAML reads what has seconds as a date and time by itself.
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("a local date and time is YYYY-MM-DDTHH:MM") from None
    if moment.tzinfo is not None:
        raise ValueError("a local date and time has no offset: zone says where it is meant")
    return moment


def _pagerduty_id(text: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{4,32}", text):
        raise ValueError("not an id of PagerDuty's: it stands at the end of the schedule's address")
    return text


def _incident_io_id(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Z]{26}", text):
        raise ValueError("not an id of incident.io's: 26 capitals and digits, as in its address")
    return text


def _turn(duration: timedelta) -> timedelta:
    if duration < _SHORTEST_TURN:
        raise ValueError("a turn is at least 1h")
    return duration


def _fresh(duration: timedelta) -> timedelta:
    if duration > _LONGEST_FRESH:
        raise ValueError("at most 15m: so long may who is off duty still count as on call")
    return duration


Https = Annotated[str, AfterValidator(_https)]
Zone = Annotated[ZoneInfo, PlainValidator(_zone)]
PagerDutyId = Annotated[str, AfterValidator(_pagerduty_id)]
IncidentIoId = Annotated[str, AfterValidator(_incident_io_id)]
LocalTime = Annotated[datetime, PlainValidator(_local_time)]
Turn = Annotated[Duration, AfterValidator(_turn)]
Fresh = Annotated[Duration, AfterValidator(_fresh)]


class RotaSettings(Section):
    """A rota of our own: people take turns."""

    people: tuple[HumanEmail, ...] = Field(min_length=1, examples=["[dev@example.com]"])
    first: LocalTime = Field(examples=["2026-01-05T09:00"])
    zone: Zone = Field(examples=["Europe/Berlin"])
    turn: Turn = Field(default=timedelta(days=7), examples=["7d"])


class ScheduleSettings(Section):
    """Who is on call is known to one of these; the pager goes with the vendor."""

    pagerduty: PagerDutyId | None = Field(default=None, examples=["PXXXXXX"])
    routing_key: SecretRef | None = Field(default=None, examples=["env:PRIMARY_ROUTING_KEY"])
    incident_io: IncidentIoId | None = Field(default=None, examples=["01FDAG4SAP5TYPT98WGR2N7W91"])
    escalation_path: IncidentIoId | None = Field(
        default=None, examples=["01H0J1EXE7AXZ2C93K61WBPYEH"]
    )
    rota: RotaSettings | None = Field(
        default=None,
        examples=["{people: [dev@example.com], first: 2026-01-05T09:00, zone: Europe/Berlin}"],
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = [each for each in (self.pagerduty, self.incident_io, self.rota) if each]
        if len(sources) != 1:
            raise ValueError("a schedule has one source: pagerduty, incident_io or rota")
        if self.routing_key is not None and self.pagerduty is None:
            raise ValueError("routing_key pages through PagerDuty: it goes with pagerduty")
        if self.escalation_path is not None and self.incident_io is None:
            raise ValueError("escalation_path is one of incident.io's: it goes with incident_io")
        return self


class PagerDutySettings(Section):
    token: SecretRef = Field(examples=["env:PAGERDUTY_TOKEN"])
    url: Https = Field(default="https://api.pagerduty.com", examples=["https://api.pagerduty.com"])
    events_url: Https = Field(
        default="https://events.pagerduty.com", examples=["https://events.pagerduty.com"]
    )


class IncidentIoSettings(Section):
    token: SecretRef = Field(examples=["env:INCIDENT_IO_TOKEN"])
    url: Https = Field(default="https://api.incident.io", examples=["https://api.incident.io"])


class OnCallSettings(Section):
    schedules: dict[Name, ScheduleSettings] = Field(
        default={}, examples=["{primary: {pagerduty: PXXXXXX}}"]
    )
    pagerduty: PagerDutySettings | None = Field(
        default=None, examples=["{token: env:PAGERDUTY_TOKEN}"]
    )
    incident_io: IncidentIoSettings | None = Field(
        default=None, examples=["{token: env:INCIDENT_IO_TOKEN}"]
    )
    fresh_for: Fresh = Field(default=timedelta(minutes=1), examples=["1m"])
