"""Who must agree before a policy gives anything."""

import pytest

from broker.domain.person import Person
from broker.domain.policy.approval import STANDING, Agreement, Approval
from broker.domain.policy.people import NOBODY
from tests.support.policies import (
    ANYONE,
    DEPLOY,
    DEV,
    LEAD,
    MANAGED,
    REVIEWER,
    group,
    people,
)

MANAGER = Agreement(NOBODY, manager=True)


def test_a_manager_agrees_for_their_own_people_only() -> None:
    assert MANAGER.includes(LEAD, of=MANAGED)
    assert not MANAGER.includes(LEAD, of=DEV)
    assert not MANAGER.includes(REVIEWER, of=MANAGED)
    assert not MANAGER.includes(LEAD, of=None)


def test_a_machine_agrees_to_nothing() -> None:
    everyone = Agreement(ANYONE | group("deployers"))
    assert not everyone.includes(DEPLOY, of=DEV)
    assert not Approval((everyone,), break_glass=group("deployers")).names(DEPLOY, of=DEV)


@pytest.mark.parametrize(
    ("agreement", "names"),
    [
        (Agreement(group("dba")), ("group dba",)),
        (Agreement(group("dba", "leads"), count=2), ("2 of group dba or group leads",)),
        (MANAGER, ("lead@example.com (manager)",)),
        (
            Agreement(people("a@example.com"), manager=True),
            ("a@example.com", "lead@example.com (manager)"),
        ),
    ],
)
def test_who_asks_is_told_who_may_agree(agreement: Agreement, names: tuple[str, ...]) -> None:
    assert agreement.describe(MANAGED) == names
    assert Approval((MANAGER, agreement)).describe(MANAGED) == (*MANAGER.describe(MANAGED), *names)


def test_who_has_no_manager_is_told_so() -> None:
    assert MANAGER.describe(DEV) == ("the manager of dev@example.com (not known)",)


def test_those_who_may_break_the_glass_are_concerned_as_well() -> None:
    approval = Approval((MANAGER,), break_glass=people("reviewer@example.com"))
    assert approval.names(LEAD, of=MANAGED)
    assert approval.names(REVIEWER, of=MANAGED)
    assert not approval.names(DEV, of=MANAGED)


def test_without_agreements_a_policy_is_standing() -> None:
    assert STANDING.is_standing
    assert not Approval((MANAGER,)).is_standing
    assert STANDING.describe(DEV) == ()
    assert STANDING.unmet(DEV, DEV) == ()


ONLY_DEV = Agreement(people("dev@example.com"))
TWO = Agreement(people("dev@example.com", "lead@example.com"), count=2)


@pytest.mark.parametrize(
    ("approval", "person", "requester", "unmet"),
    [
        (Approval((MANAGER,)), MANAGED, MANAGED, ()),
        (Approval((MANAGER,)), DEV, DEV, (MANAGER,)),
        (Approval((MANAGER,)), MANAGED, LEAD, (MANAGER,)),
        (Approval((MANAGER,), one_party=True), MANAGED, LEAD, ()),
        (Approval((MANAGER, Agreement(group("dba")))), DEV, DEV, (MANAGER,)),
        (Approval((MANAGER,), escalation=frozenset({"primary"})), DEV, DEV, ()),
        (Approval((MANAGER,), break_glass=group("dba")), DEV, DEV, ()),
        (Approval((Agreement(group("dba"), manager=True),)), DEV, DEV, ()),
        (Approval((Agreement(ANYONE),)), DEV, DEV, ()),
        (Approval((ONLY_DEV,)), DEV, DEV, (ONLY_DEV,)),
        (Approval((ONLY_DEV,), one_party=True), DEV, DEV, ()),
        (Approval((ONLY_DEV,)), MANAGED, MANAGED, ()),
        (Approval((ONLY_DEV, ONLY_DEV)), MANAGED, MANAGED, (ONLY_DEV,)),
        (Approval((TWO,)), MANAGED, MANAGED, ()),
        (Approval((TWO,)), MANAGED, LEAD, (TWO,)),
    ],
    ids=[
        "there is a manager",
        "there is none",
        "who asks for them",
        "and may agree",
        "among others",
        "who is on call can",
        "who may break the glass can",
        "a group can",
        "anyone else can",
        "only who asks",
        "and may agree as one",
        "somebody else",
        "twice the same",
        "two",
        "two of whom one asks",
    ],
)
def test_it_is_known_beforehand_when_nobody_could_agree(
    approval: Approval, person: Person, requester: Person, unmet: tuple[Agreement, ...]
) -> None:
    assert approval.unmet(person, requester) == unmet
