"""Who could let somebody have it, in words."""

from datetime import timedelta

from broker.domain.policy.approval import STANDING, Agreement, Approval, OnCall
from broker.domain.policy.approvers import other_ways, who_approves
from broker.domain.policy.people import NOBODY
from tests.support.policies import BY_DBA, DEV, MANAGED, group, people, policy


def test_of_each_agreement_one_line() -> None:
    approval = Approval(
        (Agreement(group("dba"), count=2), Agreement(people("lead@example.com"), manager=True))
    )
    assert who_approves(policy(approval=approval), DEV) == (
        "2 of group dba",
        "lead@example.com or the manager of dev@example.com (not known)",
    )
    by_manager = Approval((Agreement(NOBODY, manager=True),))
    assert who_approves(policy(approval=by_manager), MANAGED) == ("lead@example.com (manager)",)


def test_every_way_around_them_is_named() -> None:
    approval = Approval(
        BY_DBA.agreements,
        on_call=OnCall(frozenset({"primary", "backup"}), timedelta(hours=1)),
        escalation=frozenset({"primary"}),
        break_glass=people("lead@example.com"),
        one_party=True,
    )
    assert other_ways(policy(approval=approval)) == (
        "at once, for at most 1h, for who is on call (backup or primary)",
        "who is on call (primary), once escalated to",
        "lead@example.com alone, breaking the glass",
        "who asks may be one of those who agree",
    )
    assert other_ways(policy(approval=BY_DBA)) == ()


def test_nobody_has_to_agree_to_what_is_standing_and_nobody_could_to_what_is_denied() -> None:
    for approval in (STANDING, None):
        assert who_approves(policy(approval=approval), DEV) == ()
        assert other_ways(policy(approval=approval)) == ()
