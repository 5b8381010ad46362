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
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)

from broker.config.settings import Duration, Email, Name, Section, SessionParameters
from broker.config.values import Size
from broker.domain.errors import InvalidNetwork
from broker.domain.network import Network, parse_network
from broker.domain.picture import FindingKind
from broker.domain.policy.hours import DAY, WEEKDAYS, Span
from broker.domain.policy.rule import Start
from broker.domain.statement.conditions import CommitGate, Conditions, Recorded, StatementKind
from broker.domain.undo import SweepRules

MACHINE_ENDING = ".machine"
_SPAN = re.compile(
    r"(?P<days>[a-z]{3}(?:-[a-z]{3})?(?:, ?[a-z]{3}(?:-[a-z]{3})?)*) "
    r"(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)",
    re.ASCII,
)
# A held transaction keeps its locks.
_LONGEST_HELD = timedelta(hours=1)
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


def _recorded(value: Any) -> Any:
    return Recorded.OFF if value is False else value  # what YAML takes the word off for


def _held(within: timedelta) -> timedelta:
    if within > _LONGEST_HELD:
        raise ValueError("what is held keeps its locks: 1h is the most")
    return within


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


class BudgetRule(Section):
    rows: int | None = Field(default=None, ge=1, le=10**15, examples=[100000])
    size: Size | None = Field(alias="bytes", default=None, ge=1, le=1024**5, examples=["1GB"])

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.rows is None and self.size is None:
            raise ValueError("bounds nothing: say rows or bytes")
        return self


class CommitGateRule(Section):
    rows: int = Field(ge=0, le=10**15, examples=[1000])
    within: Annotated[Duration, AfterValidator(_held)] = Field(
        default=timedelta(minutes=5), examples=["5m"]
    )
    by: Literal["person", "approver"] = Field(default="person", examples=["approver"])

    def gate(self) -> CommitGate:
        return CommitGate(rows=self.rows, within=self.within, by_approver=self.by == "approver")


class StatementsRule(Section):
    parameters: Annotated[Recorded, BeforeValidator(_recorded)] = Field(
        default=Recorded.OFF, examples=["types"]
    )
    refuse: frozenset[StatementKind] = Field(default=frozenset(), examples=["[ddl, role]"])
    budget: BudgetRule | None = Field(default=None, examples=["{rows: 100000, bytes: 1GB}"])
    commit_gate: CommitGateRule | None = Field(
        default=None, examples=["{rows: 1000, within: 5m, by: person}"]
    )

    def conditions(self) -> Conditions:
        return Conditions(
            parameters=self.parameters,
            max_rows=self.budget.rows if self.budget is not None else None,
            max_bytes=self.budget.size if self.budget is not None else None,
            commit_gate=self.commit_gate.gate() if self.commit_gate is not None else None,
            refused=self.refuse,
        )


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
    statements: StatementsRule = Field(default=StatementsRule(), examples=["{refuse: [ddl]}"])


class Policies(Section):
    """The policy file. `approvers` at its top are the reviewers: they decide wherever a policy
    names nobody else."""

    approvers: PeopleRule = Field(examples=["{people: [reviewer@example.com]}"])
    policies: tuple[PolicyRule, ...] = Field(min_length=1, examples=["[{name: readers, …}]"])
