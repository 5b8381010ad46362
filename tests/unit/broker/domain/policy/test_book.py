"""All policies that are in force."""

import pytest

from broker.domain.policy.approval import STANDING, Agreement, Approval
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.people import NOBODY
from broker.domain.policy.resources import Resource
from tests.support.policies import (
    ANYONE,
    DEPLOY,
    DEV,
    LEAD,
    MANAGED,
    REVIEWER,
    group,
    policy,
)

BY_LEADS = Approval((Agreement(group("leads")),))
BY_MANAGER = Approval((Agreement(NOBODY, manager=True),), break_glass=group("oncall"))
BOOK = PolicyBook(
    (
        policy("dba"),
        policy("leads", approval=BY_LEADS),
        policy("managers", approval=BY_MANAGER),
        policy("standing", approval=STANDING),
        policy("never", approval=None),
        policy("off", approval=BY_LEADS, enabled=False),
    ),
    reviewers=group("dba"),
)


def test_a_policy_is_found_by_its_name() -> None:
    assert BOOK.find("leads") is BOOK.policies[1]
    assert BOOK.find("other") is None


def test_two_policies_of_one_name_make_no_book() -> None:
    with pytest.raises(ValueError, match="the same name"):
        PolicyBook((policy(), policy()))


def test_books_of_the_same_policies_are_the_same() -> None:
    assert PolicyBook(BOOK.policies, BOOK.reviewers) == BOOK
    assert PolicyBook(BOOK.policies) != BOOK


def test_candidates_are_those_that_give_the_role_in_some_database() -> None:
    some = policy("some", keep=(Resource("orders", "shop", "orders_reader"),))
    none = policy("none", remove=(Resource(),))
    book = PolicyBook((*BOOK.policies, some, none, policy("devs", requesters=group("developers"))))
    names = [each.name for each in book.candidates(DEV, "orders", "orders_reader")]
    assert names == ["dba", "leads", "managers", "standing", "some", "devs"]
    assert book.candidates(DEPLOY, "orders", "orders_reader") == ()
    assert book.candidates(DEV, "orders", "orders_writer") == ()


def test_only_whom_a_policy_names_asks_for_others() -> None:
    book = PolicyBook((policy("leads", on_behalf=group("leads")), policy("devs")))
    assert book.lets_ask_for_others(LEAD)
    assert not book.lets_ask_for_others(DEV)


def test_approvers_oversee_what_they_approve_even_while_it_is_disabled() -> None:
    """Reviewers oversee what nobody else does: what is given without anybody's agreement."""
    assert BOOK.approvable_by(LEAD) == ["leads", "off"]
    assert BOOK.approvable_by(REVIEWER) == ["dba", "managers", "standing", "never"]
    assert BOOK.approvable_by(DEV) == []
    assert BOOK.oversees("off", LEAD, of=DEV)
    assert not BOOK.oversees("dba", LEAD, of=DEV)
    assert BOOK.oversees("standing", REVIEWER, of=DEV)
    assert not BOOK.oversees("standing", LEAD, of=DEV)


def test_who_agrees_like_others_decides_and_who_only_looks_on_does_not() -> None:
    assert BOOK.decidable_by(LEAD) == ["leads", "off"]
    assert BOOK.decidable_by(REVIEWER) == ["dba"]
    assert BOOK.decidable_by(DEPLOY) == []


def test_a_manager_oversees_their_own_people_only() -> None:
    assert BOOK.oversees("managers", LEAD, of=MANAGED)
    assert not BOOK.oversees("managers", LEAD, of=DEV)


def test_a_policy_that_was_removed_has_no_approvers_any_more() -> None:
    assert not BOOK.oversees("gone", REVIEWER, of=DEV)
    assert BOOK.approvers("gone", of=DEV) == ()


def test_no_machine_oversees_anything() -> None:
    book = PolicyBook((policy(approval=STANDING),), ANYONE | group("deployers"))
    assert book.approvable_by(DEPLOY) == []


def test_who_asks_is_told_who_may_agree() -> None:
    assert BOOK.approvers("managers", of=MANAGED) == ("lead@example.com (manager)",)
    assert BOOK.approvers("dba", of=DEV) == ("group dba",)
    assert BOOK.approvers("never", of=DEV) == BOOK.approvers("standing", of=DEV) == ()
