"""One policy, as the operator wrote it."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from broker.domain.network import Network, joined
from broker.domain.parameter import Parameter
from broker.domain.person import Person
from broker.domain.policy.approval import Approval
from broker.domain.policy.hours import WeeklyHours
from broker.domain.policy.people import NOBODY, People
from broker.domain.policy.resources import Resources
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions
from broker.domain.undo import SweepRules


class Start(StrEnum):
    """When the clock of what was given starts. A membership is used without us, so that nobody sees
    its first use: its clock starts with the approval in any case."""

    APPROVAL = "approval"
    FIRST_USE = "first_use"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Gives `resources` to `requesters` as `approval` says; one without an approval denies them.

    `max_duration` is the most it gives at once, `default_duration` what it gives to who names none.
    A request waits `approvable_for`, or as long as the settings say. With starts FIRST_USE what was
    given waits `activate_within`. `networks` (none: anywhere) bound where sessions come from.
    `hours` bound when something is given, and until when; those of one that denies, when it does.
    `parameters` and `connection_limit` take the place of the catalog role's, for logins.
    `on_behalf` may ask for others who are requesters. `at_once` is how many living grants a machine
    may have. `conditions` are what sessions are held to.
    """

    name: str
    requesters: People
    resources: Resources
    approval: Approval | None
    enabled: bool = True
    max_duration: timedelta = timedelta()
    default_duration: timedelta | None = None
    reason_required: bool = False
    duration_required: bool = False
    pre_approval_required: bool = False
    approvable_for: timedelta | None = None
    starts: Start = Start.APPROVAL
    activate_within: timedelta | None = None
    networks: tuple[Network, ...] = ()
    hours: WeeklyHours | None = None
    parameters: tuple[Parameter, ...] = ()
    connection_limit: int | None = None
    on_behalf: People = NOBODY
    at_once: int | None = None
    sweep: SweepRules = field(default_factory=SweepRules)
    conditions: Conditions = NO_CONDITIONS

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", joined(self.networks))

    @property
    def denies(self) -> bool:
        return self.approval is None

    def covers(self, person: Person, *, target: str, database: str, role: str) -> bool:
        return self.requesters.includes(person) and self.resources.matches(target, database, role)
