"""What other policies would have said to what was asked for."""

from typing import Any

import pytest

from broker.domain.network import parse_network
from broker.domain.policy.approval import STANDING, Agreement, Approval
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.decision import Outcome
from broker.domain.policy.replay import Answer, Shift, shift
from broker.domain.statement.conditions import Conditions
from tests.support.policies import BY_DBA, FACTS, HOUR, ask, group, policy

IN_FORCE = PolicyBook((policy(),))
BEFORE = Answer(
    outcome=Outcome.ASK,
    policy="orders-readers",
    duration=HOUR,
    networks=(),
    approvers=("group dba",),
    other_ways=(),
)


def against(*policies: Any) -> Shift | None:
    return shift(IN_FORCE, PolicyBook(tuple(policies)), ask(), FACTS)


def test_nobody_would_notice_what_does_not_concern_them() -> None:
    others = policy("others", requesters=group("finance"))
    assert against(others, policy(max_duration=2 * HOUR, reason_required=False)) is None


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"name": "readers"}, ("policy",)),
        ({"approval": Approval((Agreement(group("security")),))}, ("approvers",)),
        ({"approval": Approval(BY_DBA.agreements, one_party=True)}, ("other_ways",)),
        ({"approval": STANDING}, ("outcome", "approvers")),
        ({"conditions": Conditions(max_rows=1000)}, ("conditions",)),
        ({"networks": (parse_network("10.0.0.0/8"),)}, ("networks",)),
        ({"reason_required": True}, ("outcome", "policy", "duration", "approvers")),
        ({"approval": None}, ("outcome", "duration", "approvers")),
    ],
)
def test_what_somebody_would_notice_is_named(
    changes: dict[str, Any], changed: tuple[str, ...]
) -> None:
    found = against(policy(**changes))
    assert found is not None
    assert (found.before, found.changed) == (BEFORE, changed)


def test_a_shift_has_the_new_answer_with_its_reasons() -> None:
    found = against(policy(approval=None))
    assert found is not None
    assert found.after == Answer(
        outcome=Outcome.DENIED,
        policy="orders-readers",
        duration=None,
        networks=(),
        approvers=(),
        other_ways=(),
    )
    assert found.why == (
        "policy 'orders-readers' denies 'orders_reader' in database 'orders' on target 'orders'",
    )
