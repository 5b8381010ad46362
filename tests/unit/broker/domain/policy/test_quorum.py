"""Who may approve a request, and whether enough have."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.errors import NotApprover, SelfApproval
from broker.domain.person import Person
from broker.domain.policy.approval import STANDING, Agreement, Approval
from broker.domain.policy.people import NOBODY
from broker.domain.policy.quorum import Panel, Progress, Tally, Vote, may_approve, tally
from broker.domain.verdict import Allow, Deny
from tests.support.policies import (
    ANYONE,
    BY_DBA,
    DEPLOY,
    DEV,
    LEAD,
    MANAGED,
    REVIEWER,
    group,
    people,
    policy,
)

SECOND = Person("per_6", "second@example.com", "A second reviewer", frozenset({"dba", "leads"}))
MANAGER = Agreement(NOBODY, manager=True, label="manager")
TWO_DBAS = Agreement(group("dba"), count=2, label="group dba")
ONE_LEAD = Agreement(group("leads"), label="group leads")


def panel(approval: Approval | None = BY_DBA, person: Person = DEV, **changes: Any) -> Panel:
    values = {"person": person, "requester": person} | changes
    return Panel(policy=policy(approval=approval), **values)


def refusal(panel: Panel, approver: Person) -> tuple[type[Exception], str]:
    verdict = may_approve(panel, approver)
    assert isinstance(verdict, Deny)
    return type(verdict.error), verdict.reason


def votes(*people: Person) -> list[Vote]:
    return [Vote(person) for person in people]


def agreed(panel: Panel, *people: Person) -> bool:
    return tally(panel, votes(*people)).agreed


def test_approvers_are_those_whom_the_policy_of_the_request_names() -> None:
    assert may_approve(panel(), REVIEWER) == Allow()
    assert refusal(panel(), LEAD) == (
        NotApprover,
        "policy 'orders-readers' does not name you as an approver",
    )


def test_nobody_approves_their_own_request() -> None:
    of_reviewer = panel(person=REVIEWER)
    assert refusal(of_reviewer, REVIEWER) == (
        SelfApproval,
        "nobody approves their own request; ask one of the approvers",
    )
    assert not agreed(of_reviewer, REVIEWER)
    assert agreed(of_reviewer, SECOND)


def test_who_asks_for_another_does_not_approve_that_either() -> None:
    for_dev = panel(requester=REVIEWER)
    assert refusal(for_dev, REVIEWER)[0] is SelfApproval
    assert refusal(panel(person=REVIEWER, requester=DEV), REVIEWER)[0] is SelfApproval
    assert agreed(for_dev, SECOND)


def test_one_party_lets_who_asks_agree_if_they_are_an_approver() -> None:
    one_party = replace(BY_DBA, one_party=True)
    assert agreed(panel(one_party, REVIEWER), REVIEWER)
    assert refusal(panel(one_party, DEV), DEV)[0] is NotApprover
    assert not agreed(panel(one_party, DEV), DEV)


def test_a_machine_approves_nothing() -> None:
    everyone = Approval((Agreement(ANYONE | group("deployers")),))
    assert refusal(panel(everyone), DEPLOY) == (NotApprover, "machines approve nothing")
    assert not agreed(panel(everyone), DEPLOY)


def test_the_manager_of_who_gets_it_approves_not_of_who_asks() -> None:
    managed = panel(Approval((MANAGER,)), person=MANAGED, requester=REVIEWER)
    assert agreed(managed, LEAD)
    assert not agreed(panel(Approval((MANAGER,)), person=DEV, requester=MANAGED), LEAD)


def test_of_a_policy_that_denies_now_nobody_is_an_approver() -> None:
    assert refusal(panel(None), REVIEWER)[0] is NotApprover
    assert tally(panel(None), votes(REVIEWER)) == Tally(agreed=False, progress=(), missing=())


def test_a_standing_policy_needs_nobody() -> None:
    assert tally(panel(STANDING), []) == Tally(agreed=True, progress=(), missing=())


def test_each_agreement_is_needed_and_its_progress_told() -> None:
    both = panel(Approval((TWO_DBAS, MANAGER)), MANAGED)
    assert tally(both, votes(REVIEWER)) == Tally(
        agreed=False,
        progress=(Progress("group dba", 1, 2), Progress("manager", 0, 1)),
        missing=("1 of group dba", "1 of manager"),
    )
    assert tally(both, votes(REVIEWER, LEAD)).missing == ("1 of group dba",)
    assert tally(both, votes(REVIEWER, LEAD, SECOND)) == Tally(
        agreed=True,
        progress=(Progress("group dba", 2, 2), Progress("manager", 1, 1)),
        missing=(),
    )


def test_somebody_in_two_groups_counts_for_one_of_them() -> None:
    both = panel(Approval((TWO_DBAS, ONE_LEAD)))
    assert not agreed(both, REVIEWER, SECOND)
    assert agreed(both, REVIEWER, SECOND, LEAD)
    one_each = panel(Approval((replace(TWO_DBAS, count=1), ONE_LEAD)))
    assert agreed(one_each, REVIEWER, SECOND)
    assert not agreed(one_each, SECOND)


def test_agreeing_twice_counts_once() -> None:
    assert not agreed(panel(Approval((TWO_DBAS,))), REVIEWER, REVIEWER)


def test_who_has_left_the_group_counts_no_longer() -> None:
    two = panel(Approval((TWO_DBAS,)))
    assert agreed(two, REVIEWER, SECOND)
    assert not agreed(two, REVIEWER, replace(SECOND, groups=frozenset()))


def test_an_agreement_without_a_label_is_told_by_its_people() -> None:
    assert tally(panel(), []).missing == ("1 of group dba",)


def test_who_breaks_the_glass_is_enough_alone_and_only_if_they_say_so() -> None:
    glass = panel(Approval((TWO_DBAS,), break_glass=people("lead@example.com")))
    assert may_approve(glass, LEAD) == Allow()
    assert not agreed(glass, LEAD)
    assert tally(glass, [Vote(LEAD, break_glass=True)]) == Tally(
        agreed=True, progress=(Progress("group dba", 0, 2),), missing=()
    )
    assert tally(glass, [Vote(LEAD, break_glass=True), Vote(LEAD)]).agreed
    assert not tally(glass, [Vote(REVIEWER, break_glass=True)]).agreed


def test_not_even_the_glass_is_broken_for_oneself() -> None:
    glass = panel(Approval((TWO_DBAS,), break_glass=people("lead@example.com")), LEAD)
    assert refusal(glass, LEAD)[0] is SelfApproval
    assert not tally(glass, [Vote(LEAD, break_glass=True)]).agreed


def test_who_is_on_call_and_was_paged_is_enough_alone() -> None:
    paged = panel(
        Approval((TWO_DBAS,), escalation=frozenset({"primary"})),
        on_call_approvers=frozenset({"lead@example.com", "dev@example.com"}),
    )
    assert may_approve(paged, LEAD) == Allow()
    assert agreed(paged, LEAD)
    assert refusal(paged, DEV)[0] is SelfApproval
    assert not agreed(replace(paged, on_call_approvers=frozenset()), LEAD)


PEOPLE = [
    Person(f"per_{number}", f"p{number}@example.com", "", frozenset(groups))
    for number, groups in enumerate(("a", "b", "ab", "abc", "c", ""))
]
AGREEMENTS = st.builds(
    Agreement,
    st.frozensets(st.sampled_from("abc"), min_size=1).map(lambda names: group(*names)),
    manager=st.booleans(),
    count=st.integers(1, 3),
)


@given(st.lists(AGREEMENTS, max_size=3), st.lists(st.sampled_from(PEOPLE), max_size=8))
def test_nobody_is_counted_twice_and_nobody_who_may_not_agree(
    agreements: list[Agreement], voters: list[Person]
) -> None:
    who = replace(PEOPLE[5], manager="p0@example.com")
    found = tally(panel(Approval(tuple(agreements)), who), votes(*voters))
    eligible = {
        voter.email
        for voter in voters
        if any(each.includes(voter, of=who) for each in agreements) and voter.email != who.email
    }
    assert sum(each.have for each in found.progress) <= len(eligible)
    assert found.agreed is all(each.have >= each.need for each in found.progress)
    assert found.agreed is not bool(found.missing)
    assert (
        tally(panel(Approval(tuple(agreements)), who), votes(*voters[::-1])).agreed is found.agreed
    )
