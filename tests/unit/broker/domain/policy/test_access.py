"""All that one person may ask for."""

from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from broker.domain.catalog import Catalog, CatalogRole, CatalogTarget
from broker.domain.person import Person
from broker.domain.policy.access import Access, access_of
from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.ask import Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.hours import Span, WeeklyHours
from broker.domain.policy.people import NOBODY
from broker.domain.policy.resources import Resource
from broker.domain.policy.rule import Policy, Start
from broker.domain.statement.conditions import Conditions
from tests.support.policies import BY_DBA, DEPLOY, DEV, FACTS, HOUR, MANAGED, NOW, group, policy

OFFICE = WeeklyHours(tuple(Span(day, 540, 1050) for day in range(5)), ZoneInfo("Europe/Berlin"))
NIGHT = WeeklyHours((Span(6, 0, 360),), ZoneInfo("UTC"))


def target(name: str, *roles: str) -> CatalogTarget:
    return CatalogTarget(name, name, {role: CatalogRole(role, "", 10) for role in roles})


CATALOG = Catalog(
    {
        "orders": target("orders", "orders_writer", "orders_reader"),
        "billing": target("billing", "billing_reader"),
    }
)


def access(*policies: Policy, person: Person = DEV, facts: Facts = FACTS) -> tuple[Access, ...]:
    return access_of(PolicyBook(policies), CATALOG, person, facts)


def notes(*policies: Policy, person: Person = DEV, facts: Facts = FACTS) -> tuple[str, ...]:
    [found] = access(*policies, person=person, facts=facts)
    return found.notes


def test_everything_is_listed_by_target_and_role_in_the_order_of_decisions() -> None:
    every = policy("every", keep=(Resource(),), max_duration=8 * HOUR, approval=STANDING)
    found = access(policy("first"), every, policy("not-mine", requesters=group("dba")))
    assert [(each.target, each.database, each.role, each.policy) for each in found] == [
        ("billing", "*", "billing_reader", "every"),
        ("orders", "orders", "orders_reader", "first"),
        ("orders", "*", "orders_reader", "every"),
        ("orders", "*", "orders_writer", "every"),
    ]
    assert found[1] == Access(
        target="orders",
        database="orders",
        role="orders_reader",
        policy="first",
        longest=HOUR,
        approvers=("group dba",),
        notes=(),
    )
    assert (found[2].longest, found[2].approvers) == (8 * HOUR, ())


def test_what_is_denied_at_all_times_is_left_out() -> None:
    assert access(policy(), policy("never", approval=None)) == ()
    everywhere = policy(keep=(Resource("orders", "*", "orders_reader"),))
    assert access(everywhere, policy("never", approval=None, keep=(Resource(),))) == ()


def test_what_is_denied_in_part_or_at_times_is_noted() -> None:
    everywhere = policy(
        keep=(Resource("orders", "*", "orders_reader"),),
        remove=(Resource("orders", "audit"), Resource("billing")),
    )
    shop = policy("no-shop", approval=None, keep=(Resource("orders", "shop"),))
    night = policy("at-night", approval=None, keep=(Resource(),), hours=NIGHT)
    most = policy(
        "most", approval=None, keep=(Resource(),), remove=(Resource(database="shop"),), hours=NIGHT
    )
    assert notes(everywhere, shop, night, most) == (
        "not in database audit",
        "policy 'no-shop' denies it in database shop",
        "policy 'at-night' denies it sun 00:00-06:00 UTC",
        "policy 'most' denies it in database * sun 00:00-06:00 UTC",
    )
    assert notes(policy(), shop, night) == ("policy 'at-night' denies it sun 00:00-06:00 UTC",)


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"reason_required": True}, "needs a reason"),
        ({"duration_required": True}, "needs a duration"),
        ({"pre_approval_required": True}, "needs an approval in advance, and there is none now"),
        (
            {"approval": Approval(BY_DBA.agreements, OnCall(frozenset({"primary"}), HOUR))},
            "at once for who is on call (primary)",
        ),
        (
            {"approval": Approval((Agreement(NOBODY, manager=True),))},
            "needs the manager of dev@example.com (not known), which nobody could give",
        ),
        ({"hours": OFFICE}, "only mon-fri 09:00-17:30 Europe/Berlin"),
        (
            {"hours": NIGHT},
            "only sun 00:00-06:00 UTC, opens sun 2026-03-08 00:00 UTC",
        ),
        (
            {"networks": (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))},
            "only from 10.0.0.0/8, fd00::/8",
        ),
        ({"starts": Start.FIRST_USE}, "the clock starts with the first use"),
        ({"conditions": Conditions(max_rows=1000)}, "at most 1,000 rows are returned"),
    ],
)
def test_what_a_policy_wants_and_what_is_in_the_way_is_noted(
    changes: dict[str, Any], note: str
) -> None:
    assert notes(policy(**changes)) == (note,)


def test_what_is_not_in_the_way_is_not_noted() -> None:
    facts = Facts(now=NOW, pre_approved={"orders-readers": HOUR})
    assert notes(policy(pre_approval_required=True), facts=facts) == ()
    managed = policy(approval=Approval((Agreement(NOBODY, manager=True),)))
    assert notes(managed, person=MANAGED) == ()
    assert notes(policy(at_once=2)) == ()


def test_a_machine_is_told_how_many_it_may_have() -> None:
    deploys = policy(requesters=group("deployers"), at_once=2)
    assert notes(deploys, person=DEPLOY) == ("at most 2 at once",)
