"""What the rest of an ask does to policies, for all of them at once. It says in bits, those of
coverage, what fit says about one policy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from broker.domain.grant import GrantKind
from broker.domain.person import PersonKind
from broker.domain.policy.approval import Approval
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.coverage import Coverage, PeopleIndex
from broker.domain.policy.hours import WeeklyHours
from broker.domain.policy.rule import Policy
from broker.domain.policy.scales import HoursIndex, NetworkIndex, Scale


@dataclass(frozen=True, slots=True)
class Misfits:
    """The policies that an ask does not fit: for its length, for something else that the requester
    can change, and for what only others or time can."""

    length: int
    manner: int
    moment: int

    @property
    def any(self) -> int:
        return self.length | self.manner | self.moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`managed` are the policies that want the manager and nobody who could stand in for them,
    `managed_by_self` those of them under which a requester may be that manager. Whether other
    agreements can be met has to be looked at policy by policy."""

    denying: int
    denying_hours: Mapping[WeeklyHours, int]
    managed: int
    managed_by_self: int
    reason_required: int
    duration_required: int
    pre_approval_required: int
    conditioned: int
    longest: Scale[timedelta]
    at_once: Scale[int]
    hours: HoursIndex
    networks: NetworkIndex
    on_behalf: PeopleIndex
    on_call: Mapping[str, int]
    bits: Mapping[str, int]

    @classmethod
    def of(cls, coverage: Coverage) -> "Terms":
        bits = coverage.bits
        policies = list(coverage.policies(sum(bits.values())))
        approvals = [(each, each.approval) for each in policies if each.approval is not None]
        denying_hours: dict[WeeklyHours, int] = {}
        for each in policies:
            if each.denies and each.hours is not None:
                denying_hours[each.hours] = denying_hours.get(each.hours, 0) | bits[each.name]

        def those(chosen: Iterable[Policy]) -> int:
            return sum(bits[each.name] for each in chosen)

        return cls(
            denying=those(each for each in policies if each.denies),
            denying_hours=denying_hours,
            managed=those(each for each, approval in approvals if _managed(approval)),
            managed_by_self=those(
                each for each, approval in approvals if _managed(approval) and approval.one_party
            ),
            reason_required=those(each for each in policies if each.reason_required),
            duration_required=those(each for each in policies if each.duration_required),
            pre_approval_required=those(each for each in policies if each.pre_approval_required),
            conditioned=those(each for each in policies if each.conditions.bind),
            longest=Scale.of((each.max_duration, bits[each.name]) for each in policies),
            at_once=Scale.of(
                (each.at_once, bits[each.name]) for each in policies if each.at_once is not None
            ),
            hours=HoursIndex.of(
                (each.hours, bits[each.name]) for each in policies if each.hours is not None
            ),
            networks=NetworkIndex.of((each.networks, bits[each.name]) for each in policies),
            on_behalf=PeopleIndex.of((each.on_behalf, bits[each.name]) for each in policies),
            on_call=_by_schedule(approvals, bits),
            bits=bits,
        )

    def misfits(self, ask: Ask, facts: Facts) -> Misfits:
        length = self.longest.below(ask.duration) if ask.duration is not None else 0
        return Misfits(length, self._manner(ask), self._moment(ask, facts))

    def _manner(self, ask: Ask) -> int:
        found = 0
        if ask.duration is None:
            found |= self.duration_required
        if not ask.reason.strip():
            found |= self.reason_required
        if ask.kind is GrantKind.MEMBERSHIP:
            return -1 if ask.networks else found | self.networks.bounded | self.conditioned
        for network in ask.networks:
            found |= self.networks.outside(network)
        return found

    def _moment(self, ask: Ask, facts: Facts) -> int:
        found = self.hours.closed(facts.now)
        if ask.requester.email != ask.person.email:
            found |= ~self.on_behalf.bits(ask.requester)
        if ask.person.kind is PersonKind.MACHINE:
            found |= self.at_once.up_to(facts.living)
        approved = sum(self.bits.get(name, 0) for name in facts.pre_approved)
        found |= self.pre_approval_required & ~approved
        return found | (self._unmanaged(ask) & ~approved & ~self._on_call(ask, facts))

    def _unmanaged(self, ask: Ask) -> int:
        """Return the policies that want nobody but a manager whom there is not."""
        manager = ask.person.manager
        if manager is None:
            return self.managed
        if manager in (ask.person.email, ask.requester.email):
            return self.managed & ~self.managed_by_self
        return 0

    def _on_call(self, ask: Ask, facts: Facts) -> int:
        """Return the policies under which the person gets it at once, for being on call."""
        if ask.person.kind is PersonKind.MACHINE:
            return 0
        found = 0
        for schedule, emails in facts.on_call.items():
            if ask.person.email in emails:
                found |= self.on_call.get(schedule, 0)
        return found


def _managed(approval: Approval) -> bool:
    if approval.escalation or not approval.break_glass.is_nobody:
        return False
    return any(
        each.manager and not each.is_open and not each.people.emails for each in approval.agreements
    )


def _by_schedule(
    approvals: Iterable[tuple[Policy, Approval]], bits: Mapping[str, int]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for policy, approval in approvals:
        for schedule in approval.on_call.schedules if approval.on_call is not None else ():
            found[schedule] = found.get(schedule, 0) | bits[policy.name]
    return found
