"""What may stand in a policy file. `configs/policies.yaml` explains every key.

A value is looked at by itself here; what it means beside others, and whether the settings know the
names in it, is for policy_checks.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from broker.config.settings import Duration, Email, Name, Section, SessionParameters
from broker.domain.errors import InvalidNetwork
from broker.domain.network import Network, parse_network
from broker.domain.picture import FindingKind
from broker.domain.policy.hours import DAY, WEEKDAYS, Span
from broker.domain.policy.rule import Start
from broker.domain.undo import SweepRules

MACHINE_ENDING = ".machine"
_SPAN = re.compile(
    r"(?P<days>[a-z]{3}(?:-[a-z]{3})?(?:, ?[a-z]{3}(?:-[a-z]{3})?)*) "
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)",
    re.ASCII,
)
_SPAN_EXAMPLE = "write mon-fri 09:00-17:30 or sat,sun 10:00-12:00"


def _human(email: str) -> str:
    if email.endswith(MACHINE_ENDING):
        raise ValueError(f"{email} is a machine: name it under machines")
    return email


def _machine(email: str) -> str:
    if not email.endswith(MACHINE_ENDING):
        raise ValueError(f"the address of a machine ends in {MACHINE_ENDING}")
    return email


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (KeyError, ValueError, OSError):  # a name that is none, or that is a path
        close = get_close_matches(str(value), available_timezones(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"no time zone is known by this name{hint}") from None


def _network(value: Any) -> Network:
    try:
        return parse_network(str(value))
    except InvalidNetwork as fault:
        raise ValueError(str(fault)) from None


def _spans(value: Any) -> tuple[Span, ...]:
    written = _SPAN.fullmatch(value.lower()) if isinstance(value, str) else None
    if written is None:
        raise ValueError(f"not days and times; {_SPAN_EXAMPLE}")
    start, end = _minute(written["start"]), _minute(written["end"])
    if start == end:
        raise ValueError("no time lies between the two")
    if start > end:
        raise ValueError(
            "it ends before it starts; across midnight write two: until 24:00, and from 00:00"
        )
    return tuple(Span(day, start, end) for day in _weekdays(written["days"]))


def _minute(clock: str) -> int:
    hour, minute = int(clock[:2]), int(clock[3:])
    if minute > 59 or hour * 60 + minute > DAY:
        raise ValueError(f"{clock} is on no clock; a day ends at 24:00")
    return hour * 60 + minute


def _weekdays(days: str) -> Iterator[int]:
    for run in days.replace(" ", "").split(","):
        names = run.split("-")
        for name in names:
            if name not in WEEKDAYS:
                raise ValueError(f"{name} is no day; the days are {', '.join(WEEKDAYS)}")
        first, last = WEEKDAYS.index(names[0]), WEEKDAYS.index(names[-1])
        yield from ((first + more) % 7 for more in range((last - first) % 7 + 1))


HumanEmail = Annotated[Email, AfterValidator(_human)]
MachineEmail = Annotated[Email, AfterValidator(_machine)]
Group = Annotated[str, Field(min_length=1)]
Schedules = Annotated[frozenset[Name], Field(min_length=1)]


class PeopleRule(Section):
    """Some humans."""

    anyone: bool = Field(default=False, examples=["true"])
    people: frozenset[HumanEmail] = Field(default=frozenset(), examples=["[dev@example.com]"])
    groups: frozenset[Group] = Field(default=frozenset(), examples=["[developers]"])

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        *others, last = who = [name for name in type(self).model_fields if name != "count"]
        if not any(getattr(self, name) for name in who):
            raise ValueError(f"names nobody: say {', '.join(others)} or {last}")
        return self


class RequestersRule(PeopleRule):
    machines: frozenset[MachineEmail] = Field(
        default=frozenset(), examples=["[deploy@github.machine]"]
    )


class AgreementRule(PeopleRule):
    """One of those that must each agree."""

    manager: bool = Field(default=False, examples=["true"])
    reviewers: bool = Field(default=False, examples=["true"])
    count: int = Field(default=1, ge=1, le=100, examples=[2])


class OnCallRule(Section):
    schedules: Schedules = Field(examples=["[primary]"])
    at_most: Duration = Field(default=timedelta(hours=1), examples=["1h"])


class EscalationRule(Section):
    schedules: Schedules = Field(examples=["[primary]"])


class ApprovalRule(Section):
    agreements: tuple[AgreementRule, ...] = Field(
        alias="from",
        default=(AgreementRule(reviewers=True),),
        min_length=1,
        examples=["[{groups: [dba], count: 2}, {manager: true}]"],
    )
    on_call: OnCallRule | None = Field(default=None, examples=["{schedules: [primary]}"])
    escalation: EscalationRule | None = Field(default=None, examples=["{schedules: [primary]}"])
    break_glass: PeopleRule | None = Field(
        default=None, examples=["{people: [reviewer@example.com]}"]
    )
    one_party: bool = Field(default=False, examples=["true"])


def _approval_kind(value: Any) -> str:
    return "one word" if isinstance(value, str) else "a mapping"


ApprovalWord = Literal["standing", "deny"]
AnyApproval = Annotated[
    Annotated[ApprovalWord, Tag("one word")] | Annotated[ApprovalRule, Tag("a mapping")],
    Discriminator(_approval_kind),
]


class ResourceRule(Section):
    target: str = Field(default="*", examples=["orders"])
    database: str = Field(default="*", examples=["orders"])
    role: str = Field(default="*", examples=["orders_reader"])


class HoursRule(Section):
    zone: Annotated[ZoneInfo, PlainValidator(_zone)] = Field(examples=["Europe/Berlin"])
    open: tuple[Annotated[tuple[Span, ...], PlainValidator(_spans)], ...] = Field(
        min_length=1, examples=["[mon-fri 09:00-17:30]"]
    )


class SessionRule(SessionParameters):
    connection_limit: int | None = Field(default=None, ge=1, le=10000, examples=[5])


class SweepSection(Section):
    accept: frozenset[FindingKind] = Field(default=frozenset(), examples=["[object]"])
    undo: frozenset[FindingKind] = Field(default=frozenset(), examples=["[trigger]"])

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Self:
        both = sorted(self.accept & self.undo)
        if both:
            raise ValueError(f"{both[0].value!r} is both accepted and undone: choose one")
        return self

    def rule(self) -> SweepRules:
        return SweepRules(self.accept, self.undo)


class PolicyRule(Section):
    name: Name = Field(examples=["orders-readers"])
    enabled: bool = Field(default=True, examples=["false"])
    requesters: RequestersRule = Field(examples=["{groups: [developers]}"])
    resources: tuple[ResourceRule, ...] = Field(
        min_length=1, examples=["[{target: orders, role: orders_reader}]"]
    )
    removed: tuple[ResourceRule, ...] = Field(
        alias="except", default=(), examples=["[{role: orders_owner}]"]
    )
    approval: AnyApproval = Field(
        default=ApprovalRule(), examples=["{from: [{groups: [dba], count: 2}]}"]
    )
    max_duration: Duration | None = Field(default=None, examples=["8h"])
    default_duration: Duration | None = Field(default=None, examples=["1h"])
    require: frozenset[Literal["reason", "duration", "pre_approval"]] = Field(
        default=frozenset(), examples=["[reason]"]
    )
    approvable_for: Duration | None = Field(default=None, examples=["1d"])
    starts: Start = Field(default=Start.APPROVAL, examples=["first_use"])
    activate_within: Duration | None = Field(default=None, examples=["8h"])
    networks: tuple[Annotated[Network, PlainValidator(_network)], ...] = Field(
        default=(), examples=["[10.0.0.0/8, 'fd00::/8']"]
    )
    hours: HoursRule | None = Field(
        default=None, examples=["{zone: Europe/Berlin, open: [mon-fri 09:00-17:30]}"]
    )
    session: SessionRule = Field(default=SessionRule(), examples=["{statement_timeout: 60s}"])
    on_behalf: RequestersRule | None = Field(default=None, examples=["{groups: [leads]}"])
    at_once: int | None = Field(default=None, ge=1, le=10000, examples=[2])
    sweep: SweepSection = Field(default=SweepSection(), examples=["{accept: [object]}"])


class Policies(Section):
    """The policy file. `approvers` at its top are the reviewers: they decide wherever a policy
    names nobody else."""

    approvers: PeopleRule = Field(examples=["{people: [reviewer@example.com]}"])
    policies: tuple[PolicyRule, ...] = Field(min_length=1, examples=["[{name: readers, …}]"])
