"""What one person may say about a request."""

from broker.domain.policy.approval import Agreement, Approval
from broker.domain.policy.quorum import Panel, Vote
from broker.domain.policy.say import Say, refusal_of, say_of
from tests.support.policies import BY_DBA, DEPLOY, DEV, LEAD, REVIEWER, group, people, policy

GLASS = Approval((Agreement(group("dba"), count=2),), break_glass=people(REVIEWER.email))
ONLY_GLASS = Approval((Agreement(group("leads")),), break_glass=people(REVIEWER.email))


def panel(approval: Approval = BY_DBA) -> Panel:
    return Panel(policy=policy(approval=approval), person=DEV, requester=DEV)


def test_an_approver_agrees_or_denies() -> None:
    said = say_of(panel(), REVIEWER, [])
    assert said == Say(agree=True, deny=True)
    assert said.anything


def test_who_is_no_approver_says_nothing_and_hears_why() -> None:
    for person, why in (
        (DEV, "nobody approves their own request"),
        (LEAD, "policy 'orders-readers' does not name you"),
        (DEPLOY, "machines approve nothing"),
    ):
        said = say_of(panel(), person, [])
        assert not said.anything
        assert said.why_not.startswith(why)


def test_who_has_agreed_may_still_deny_or_break_the_glass_once() -> None:
    agreed = say_of(panel(GLASS), REVIEWER, [Vote(REVIEWER), Vote(LEAD)])
    assert agreed == Say(break_glass=True, deny=True, agreed=True)
    broken = say_of(panel(GLASS), REVIEWER, [Vote(REVIEWER, break_glass=True)])
    assert broken == Say(deny=True, agreed=True)


def test_who_only_breaks_the_glass_hears_that_they_approve_no_other_way() -> None:
    said = say_of(panel(ONLY_GLASS), REVIEWER, [])
    assert (said.agree, said.break_glass, said.deny) == (False, True, True)
    assert said.why_not.endswith("you may approve only by breaking the glass")


def test_breaking_the_glass_takes_somebody_whom_the_policy_names_for_it() -> None:
    assert refusal_of(panel(GLASS), REVIEWER, break_glass=True) is None
    assert "somebody who breaks the glass" in str(refusal_of(panel(), REVIEWER, break_glass=True))
    assert "their own request" in str(refusal_of(panel(GLASS), DEV, break_glass=True))
