"""What is to become of findings: accepted, flagged for a human, or undone.

Undoing is for the login itself, which inherits its group, and never for anybody stronger: so it
cannot reach further than the person could. Each statement is tried in a savepoint of its own, and
none has CASCADE. Whether it helped, a third picture tells.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from broker.domain.picture import Change, Disposition, Finding, FindingKind, place

# What others depend on comes later. Within a kind the catalog does not tell, so whoever runs a
# plan goes through it again while that still helps.
_ORDER = (
    FindingKind.EVENT_TRIGGER,
    FindingKind.SUBSCRIPTION,
    FindingKind.PUBLICATION,
    FindingKind.TRIGGER,
    FindingKind.RULE,
    FindingKind.POLICY,
    FindingKind.EXPRESSION,
    FindingKind.DEFAULT_PRIVILEGE,
    FindingKind.PRIVILEGE,
    FindingKind.USER_MAPPING,
    FindingKind.LARGE_OBJECT,
    FindingKind.OBJECT,
    FindingKind.SECURITY_DEFINER_FUNCTION,
    FindingKind.FOREIGN_SERVER,
    FindingKind.EXTENSION,
    FindingKind.SETTING,
    FindingKind.ADMIN_OPTION,
    FindingKind.MEMBERSHIP,
    FindingKind.ROLE,
    FindingKind.PASSWORD,
)
CANNOT_BE_UNDONE = "cannot be undone"


@dataclass(frozen=True, slots=True)
class SweepRules:
    """What the operator decided by kind. What they did not name is flagged."""

    accept: frozenset[FindingKind] = frozenset()
    undo: frozenset[FindingKind] = frozenset()

    def __post_init__(self) -> None:
        if both := self.accept & self.undo:
            raise ValueError(f"both accepted and undone: {', '.join(sorted(both))}")


@dataclass(frozen=True, slots=True)
class UndoStep:
    """Statements of one database (None: any), to be run together."""

    change: Change
    statements: tuple[str, ...]


def judge(changes: Iterable[Change], rules: SweepRules) -> tuple[Finding, ...]:
    """Return the findings as they stand before anything is undone."""
    return tuple(_judged(change, rules) for change in changes)


def _judged(change: Change, rules: SweepRules) -> Finding:
    if change.kind in rules.accept:
        return Finding(change, Disposition.ACCEPTED)
    cannot = change.kind in rules.undo and undo_statements(change) is None
    return Finding(change, Disposition.FLAGGED, CANNOT_BE_UNDONE if cannot else "")


def undo_statements(change: Change) -> tuple[str, ...] | None:
    """Return what undoes the change, None if only a human can."""
    return change.undo or None


def undo_plan(changes: Iterable[Change], rules: SweepRules) -> tuple[UndoStep, ...]:
    """Return what the operator wants undone, dependents first."""
    steps = [
        UndoStep(change, statements)
        for change in changes
        if change.kind in rules.undo and (statements := undo_statements(change)) is not None
    ]
    return tuple(sorted(steps, key=lambda step: _ORDER.index(step.change.kind)))


def settle(
    tried: Mapping[Change, str], left: Iterable[Change], rules: SweepRules
) -> tuple[Finding, ...]:
    """Return the findings after a plan was run: all that is left, and what was undone.

    `tried` has what PostgreSQL said to each change's statements, "" when it did them. `left` is the
    difference between the first picture and one taken afterwards, which has the last word.
    """
    answers = {_subject(change): answer for change, answer in tried.items()}
    found = judge(left, rules)
    there = {_subject(finding.change) for finding in found}
    undone = [
        Finding(change, Disposition.UNDONE) for change in tried if _subject(change) not in there
    ]
    failed = [
        replace(finding, disposition=Disposition.UNDO_FAILED, note=answer or "still there")
        if (answer := answers.get(_subject(finding.change))) is not None
        else finding
        for finding in found
    ]
    return tuple(sorted(undone + failed, key=lambda finding: place(finding.change)))


def _subject(change: Change) -> tuple[str | None, str]:
    return change.database, change.identity
