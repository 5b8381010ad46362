"""Joins who is on call, and how they are paged, from settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from broker.config.oncall import OnCallSettings, RotaSettings, ScheduleSettings
from broker.config.settings import read_secret
from broker.domain.rota import Rota
from broker.oncall.asking import Asking
from broker.oncall.book import OnCallBook, VendorSchedule
from broker.oncall.escalations import Escalations, IncidentIoPager, PagerDutyPager

if TYPE_CHECKING:
    from broker.oncall.incident_io import IncidentIo
    from broker.oncall.pagerduty import PagerDuty


@contextmanager
def open_on_call(
    settings: OnCallSettings, config: Path, asking: Asking
) -> Iterator[tuple[OnCallBook, Escalations]]:
    """Yield both; nobody is asked yet. Raises SettingsError for a secret that is not there."""
    vendors = _Vendors(_pagerduty(settings, config, asking), _incident_io(settings, config, asking))
    sources = {name: _source(each, vendors) for name, each in settings.schedules.items()}
    pagers = {
        name: _pager(name, each, vendors, config) for name, each in settings.schedules.items()
    }
    try:
        yield OnCallBook(sources, settings.fresh_for, asking.now), Escalations(pagers)
    finally:
        if vendors.pagerduty is not None:
            vendors.pagerduty.close()


@dataclass(frozen=True, slots=True)
class _Vendors:
    """Those that the settings name; no schedule is of another."""

    pagerduty: "PagerDuty | None"
    incident_io: "IncidentIo | None"


def _pagerduty(settings: OnCallSettings, config: Path, asking: Asking) -> "PagerDuty | None":
    section = settings.pagerduty
    if section is None:
        return None
    # It takes long to load, and whoever has no PagerDuty does without.
    from broker.oncall.pagerduty import PagerDuty  # noqa: PLC0415

    token = read_secret(section.token, "oncall.pagerduty.token", config)
    return PagerDuty(token, section.url, section.events_url, asking)


def _incident_io(settings: OnCallSettings, config: Path, asking: Asking) -> "IncidentIo | None":
    section = settings.incident_io
    if section is None:
        return None
    from broker.oncall.incident_io import IncidentIo  # noqa: PLC0415

    token = read_secret(section.token, "oncall.incident_io.token", config)
    return IncidentIo(token, section.url, asking)


def _source(schedule: ScheduleSettings, vendors: _Vendors) -> Rota | VendorSchedule:
    if schedule.pagerduty is not None and vendors.pagerduty is not None:
        return VendorSchedule(vendors.pagerduty, schedule.pagerduty)
    if schedule.incident_io is not None and vendors.incident_io is not None:
        return VendorSchedule(vendors.incident_io, schedule.incident_io)
    return _rota(schedule.rota)


def _pager(
    name: str, schedule: ScheduleSettings, vendors: _Vendors, config: Path
) -> Rota | PagerDutyPager | IncidentIoPager:
    if vendors.pagerduty is not None and schedule.pagerduty is not None:
        key = f"oncall.schedules.{name}.routing_key"
        reference = schedule.routing_key
        routing_key = None if reference is None else read_secret(reference, key, config)
        return PagerDutyPager(vendors.pagerduty, routing_key)
    if vendors.incident_io is not None and schedule.incident_io is not None:
        return IncidentIoPager(vendors.incident_io, schedule.incident_io, schedule.escalation_path)
    return _rota(schedule.rota)


def _rota(settings: RotaSettings | None) -> Rota:
    assert settings is not None, "a schedule has one source"
    return Rota(settings.people, settings.first, settings.zone, settings.turn)
