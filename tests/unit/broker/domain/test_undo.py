"""What becomes of findings: what the operator's rules say, in which order, and what came of it."""

import pytest

from broker.domain.picture import Action, Change, Disposition, Finding, FindingKind
from broker.domain.undo import (
    CANNOT_BE_UNDONE,
    SweepRules,
    UndoStep,
    judge,
    settle,
    undo_plan,
    undo_statements,
)


def added(
    kind: FindingKind, identity: str = "it", *, undo: tuple[str, ...] = ("DROP it",)
) -> Change:
    return Change(Action.ADDED, kind, "orders", identity, "bob", None, "", undo)


TRIGGER = added(FindingKind.TRIGGER, "trigger audit on shop.orders")
FUNCTION = added(FindingKind.OBJECT, "function shop.evil()")
PASSWORD = added(FindingKind.PASSWORD, "password of bob", undo=())
UNDO_ALL = SweepRules(undo=frozenset(FindingKind))


def test_what_no_rule_names_is_flagged() -> None:
    assert judge((TRIGGER,), SweepRules()) == (Finding(TRIGGER, Disposition.FLAGGED),)


def test_rules_accept_by_kind() -> None:
    rules = SweepRules(accept=frozenset({FindingKind.OBJECT}))
    assert [finding.disposition.value for finding in judge((FUNCTION, TRIGGER), rules)] == [
        "accepted",
        "flagged",
    ]


def test_what_was_to_be_undone_and_cannot_be_says_so() -> None:
    assert judge((PASSWORD,), UNDO_ALL) == (
        Finding(PASSWORD, Disposition.FLAGGED, CANNOT_BE_UNDONE),
    )
    assert undo_statements(PASSWORD) is None


def test_rules_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="both accepted and undone: rule, trigger"):
        SweepRules(
            accept=frozenset({FindingKind.TRIGGER, FindingKind.RULE, FindingKind.ROLE}),
            undo=frozenset({FindingKind.TRIGGER, FindingKind.RULE}),
        )


def test_only_what_the_rules_name_is_undone() -> None:
    rules = SweepRules(undo=frozenset({FindingKind.TRIGGER, FindingKind.PASSWORD}))
    assert undo_plan((FUNCTION, TRIGGER, PASSWORD), rules) == (UndoStep(TRIGGER, ("DROP it",)),)


def test_a_trigger_goes_before_the_function_it_calls() -> None:
    assert [step.change for step in undo_plan((FUNCTION, TRIGGER), UNDO_ALL)] == [TRIGGER, FUNCTION]


def test_every_kind_has_its_place_in_a_plan() -> None:
    assert len(undo_plan((added(kind) for kind in FindingKind), UNDO_ALL)) == len(FindingKind)


def test_the_second_look_says_what_was_undone_whatever_postgresql_answered() -> None:
    lasting = added(FindingKind.PRIVILEGE, "privileges of PUBLIC")
    fresh = added(FindingKind.RULE, "rule late on shop.orders")
    tried = {TRIGGER: "does not exist", FUNCTION: "must be owner", lasting: ""}
    assert settle(tried, (FUNCTION, lasting, fresh), UNDO_ALL) == (
        Finding(FUNCTION, Disposition.UNDO_FAILED, "must be owner"),
        Finding(lasting, Disposition.UNDO_FAILED, "still there"),
        Finding(fresh, Disposition.FLAGGED),
        Finding(TRIGGER, Disposition.UNDONE),
    )


def test_what_the_group_owns_by_then_is_still_the_same_thing() -> None:
    """The login owned it when the plan was run; removal then gives it to the group."""
    later = Change(
        Action.ADDED, FUNCTION.kind, "orders", FUNCTION.identity, "orders_owner", None, ""
    )
    assert settle({FUNCTION: "locked"}, (later,), UNDO_ALL) == (
        Finding(later, Disposition.UNDO_FAILED, "locked"),
    )
