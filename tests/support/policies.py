"""Policies and what is asked for under them, for tests of decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

from broker.domain.person import Person, PersonKind
from broker.domain.policy.approval import Agreement, Approval
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.people import People
from broker.domain.policy.resources import Resource, Resources
from broker.domain.policy.rule import Policy

HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday, 13:00 in Berlin
FACTS = Facts(now=NOW)

DEV = Person("per_1", "dev@example.com", "A developer", frozenset({"developers"}))
REVIEWER = Person("per_2", "reviewer@example.com", "A reviewer", frozenset({"dba", "oncall"}))
LEAD = Person("per_3", "lead@example.com", "A lead", frozenset({"leads"}))
MANAGED = Person(
    "per_4", "managed@example.com", "A developer", frozenset({"developers"}), "lead@example.com"
)
DEPLOY = Person(
    "per_5",
    "deploy@github.machine",
    "",
    frozenset({"deployers"}),
    kind=PersonKind.MACHINE,
)

ANYONE = People(anyone=True)


def group(*names: str) -> People:
    return People(groups=frozenset(names))


def people(*emails: str) -> People:
    return People(emails=frozenset(emails))


BY_DBA = Approval((Agreement(group("dba")),))


def policy(name: str = "orders-readers", **changes: Any) -> Policy:
    """Return a policy that gives orders_reader to anyone for an hour when a dba agrees."""
    keep = changes.pop("keep", (Resource("orders", "orders", "orders_reader"),))
    remove = changes.pop("remove", ())
    values: dict[str, Any] = {
        "name": name,
        "requesters": ANYONE,
        "resources": Resources(keep, remove),
        "approval": BY_DBA,
        "max_duration": HOUR,
    }
    return Policy(**(values | changes))


def ask(person: Person = DEV, **changes: Any) -> Ask:
    values: dict[str, Any] = {
        "person": person,
        "requester": person,
        "target": "orders",
        "database": "orders",
        "role": "orders_reader",
        "duration": HOUR,
    }
    return Ask(**(values | changes))
