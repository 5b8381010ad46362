"""How long one decision takes with 1,000 policies, of several shapes.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from errors import CannotMeasure
from script import Report, miss, positive, run, say

from broker.domain.person import Person, PersonKind
from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Outcome, decide
from broker.domain.policy.fit import why_not
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import NOBODY, People
from broker.domain.policy.resources import Resource, Resources
from broker.domain.policy.rule import Policy

# The bar.
MAX_DECISION_US = 200.0

POLICIES = 1_000
_HOUR = timedelta(hours=1)
_NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
_ZONES = 24
_GROUPS_OF_PERSON = 50

ALICE = Person(
    "per_1",
    "alice@example.com",
    "Alice",
    frozenset({"developers", *(f"team-{number}" for number in range(_GROUPS_OF_PERSON))}),
)
DEPLOY = Person(
    "per_2", "deploy@github.machine", "", frozenset({"deployers"}), kind=PersonKind.MACHINE
)
ASK = Ask(
    person=ALICE,
    requester=ALICE,
    target="orders",
    database="shop",
    role="orders_reader",
    duration=_HOUR,
    reason="a look at order 17",
)
FACTS = Facts(now=_NOW, on_call={"primary": frozenset({"bob@example.com"})})
BY_DBA = Approval((Agreement(People(groups=frozenset({"dba"}))),))


@dataclass(frozen=True, slots=True)
class Shape:
    """Policies, what is asked for, and the name of the policy that must decide about it."""

    policies: list[Policy]
    decides: str | None
    outcome: Outcome
    ask: Ask = ASK
    facts: Facts = FACTS


def _policy(number: int, **changes: Any) -> Policy:
    """Return a policy that fits, unless `changes` say otherwise."""
    values: dict[str, Any] = {
        "name": f"policy-{number:04}",
        "requesters": People(groups=frozenset({"developers"})),
        "resources": Resources((Resource("orders", "*", "orders_*"),)),
        "approval": BY_DBA,
        "max_duration": 8 * _HOUR,
    }
    return Policy(**(values | changes))


def _elsewhere(number: int) -> Policy:
    """Return a policy for a group, targets and roles of its own."""
    resources = Resources((Resource(f"target-{number}", "*", f"role_{number}_*"),))
    return _policy(
        number, requesters=People(groups=frozenset({f"group-{number}"})), resources=resources
    )


def _office(number: int, day: int) -> WeeklyHours:
    zone = sorted(available_timezones())[number % _ZONES]
    return WeeklyHours((Span(day, 60 + number % 300, 1380),), ZoneInfo(zone))


def _shapes() -> dict[str, Shape]:
    every = range(POLICIES)
    others = [_elsewhere(number) for number in every]
    first, last = _policy(0), _policy(POLICIES - 1)
    given, denied = Outcome.ASK, Outcome.DENIED
    refused = last.name
    return {
        "the first fits": Shape([first, *others[1:]], first.name, given),
        "the last fits": Shape([*others[:-1], last], last.name, given),
        "none covers": Shape(others, None, denied),
        "all fit": Shape([_policy(number) for number in every], first.name, given),
        "all fit, the last denies": Shape(
            [*map(_policy, every[:-1]), replace(last, approval=None)], refused, denied
        ),
        "all cover, none is long enough": Shape(
            [_policy(number, max_duration=timedelta(seconds=number + 1)) for number in every],
            None,
            denied,
        ),
        "all cover, none fits, for ten reasons": Shape(
            [_policy(number, **_reason(number)) for number in every],
            None,
            denied,
            replace(ASK, reason=""),
        ),
        "all cover, all closed now, in 24 zones": Shape(
            [_policy(number, hours=_office(number, 5)) for number in every], None, denied
        ),
        "all cover, all want a manager": Shape(
            [_policy(number, approval=_managed()) for number in every], None, denied
        ),
        "all cover, all from other networks": Shape(
            [
                _policy(number, networks=(ip_network((0x0A000000 + number * 256, 24)),))
                for number in every
            ],
            None,
            denied,
            replace(ASK, networks=(ip_network("192.0.2.0/24"), ip_network("10.0.0.0/8"))),
        ),
        "globs of every kind, five resources each": Shape(
            [*(_globs(number) for number in every[:-1]), last], last.name, given
        ),
        "one machine among a thousand, standing": Shape(
            [*(_machine(number) for number in every[:-1]), _deploys()],
            "deploys",
            Outcome.GIVEN,
            replace(ASK, person=DEPLOY, requester=DEPLOY),
        ),
    }


def _managed() -> Approval:
    return Approval((Agreement(NOBODY, manager=True),))


def _reason(number: int) -> dict[str, Any]:
    """Return one of ten reasons for which the ask does not fit."""
    reasons: list[dict[str, Any]] = [
        {"max_duration": timedelta(minutes=1 + number % 59)},
        {"reason_required": True},
        {"pre_approval_required": True},
        {"hours": _office(number, 5)},
        {"approval": _managed()},
        {"reason_required": True, "max_duration": timedelta(minutes=5)},
        {"approval": Approval((Agreement(NOBODY, manager=True),), OnCall(_PRIMARY, _HOUR))},
        {"pre_approval_required": True, "networks": (ip_network("10.0.0.0/8"),)},
        {"hours": _office(number, 6), "reason_required": True},
        {"approval": Approval((Agreement(NOBODY, manager=True), *BY_DBA.agreements))},
    ]
    return reasons[number % len(reasons)]


_PRIMARY = frozenset({"primary"})


def _globs(number: int) -> Policy:
    """Return a policy of five resources that are not asked for, though the target is."""
    roles = (
        f"role_{number}_*",
        f"*_{number}_reader",
        f"orders_{number}?",
        f"o[r]ders_{number}*x",
        f"*{number}*",
    )
    keep = tuple(Resource("orders", "*", role) for role in roles)
    return _policy(number, resources=Resources(keep, (Resource(role="*_owner"),)))


def _machine(number: int) -> Policy:
    machines = People(machines=frozenset({f"job-{number}@github.machine"}))
    return _policy(number, requesters=machines, approval=STANDING, at_once=2)


def _deploys() -> Policy:
    return replace(
        _policy(
            0, requesters=People(groups=frozenset({"deployers"})), approval=STANDING, at_once=2
        ),
        name="deploys",
    )


def measure(decisions: int, rounds: int) -> Report:
    report: dict[str, dict[str, float]] = {}
    missed = []
    for name, shape in _shapes().items():
        began = time.process_time()
        book = PolicyBook(tuple(shape.policies))
        compile_ms = (time.process_time() - began) * 1e3
        _require_right(book, shape, name)
        decision_us = _cost_us(partial(decide, book, shape.ask, shape.facts), decisions, rounds)
        naive_us = _cost_us(partial(_naively, shape), max(decisions // 100, 1), rounds)
        say(f"{name}: {decision_us:.1f} µs, one after another {naive_us:.0f} µs")
        report[name] = {
            "decision_us": round(decision_us, 1),
            "one_after_another_us": round(naive_us, 1),
            "compile_ms": round(compile_ms, 1),
        }
        if decision_us > MAX_DECISION_US:
            missed.append(miss(f"decision_us, {name}", decision_us, MAX_DECISION_US))
    return {
        "bench": "policy",
        "policies": POLICIES,
        "shapes": report,
        "bars": {"decision_us": MAX_DECISION_US},
        "missed": missed,
    }


def _require_right(book: PolicyBook, shape: Shape, name: str) -> None:
    decision = decide(book, shape.ask, shape.facts)
    decides = decision.policy.name if decision.policy is not None else None
    if (decides, decision.outcome) != (shape.decides, shape.outcome):
        raise CannotMeasure(f"{name}: {decides} decided ({decision.outcome})")


def _cost_us(work: Callable[[], object], times: int, rounds: int) -> float:
    """Return the CPU time of one call: the median of the rounds."""
    costs = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        costs.append((time.process_time() - began) / times)
    return median(costs) * 1e6


def _naively(shape: Shape) -> Policy | None:
    """What a decision costs without an index, for comparison; the answer lacks its reasons."""
    ask = shape.ask
    fits = None
    for policy in shape.policies:
        where = {"target": ask.target, "database": ask.database, "role": ask.role}
        if not policy.enabled or not policy.covers(ask.person, **where):
            continue
        if policy.approval is None:
            return policy
        if fits is None and not any(why_not(policy, policy.approval, ask, shape.facts)):
            fits = policy
    return fits


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the price of a decision")
    parser.add_argument("--decisions", type=positive, default=2_000, help="of each round")
    parser.add_argument("--rounds", type=positive, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    sys.exit(run(lambda: measure(options.decisions, options.rounds)))
