"""What a grant's sessions are held to, in JSON and in words."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.statement.conditions import (
    NO_CONDITIONS,
    CommitGate,
    Conditions,
    Recorded,
    StatementKind,
    conditions_from,
    describe,
    what_is_refused,
)
from broker.domain.statement.packed import SIZE, pack, unpack

GATE = CommitGate(rows=1000, within=timedelta(minutes=5))
AMOUNTS = st.none() | st.integers(1, 10**15)
CONDITIONS = st.builds(
    Conditions,
    parameters=st.sampled_from(Recorded),
    max_rows=AMOUNTS,
    max_bytes=AMOUNTS,
    commit_gate=st.none()
    | st.builds(
        CommitGate,
        rows=st.integers(0, 10**15),
        within=st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds)),
        by_approver=st.booleans(),
    ),
    refused=st.frozensets(st.sampled_from(StatementKind)),
)


@given(CONDITIONS)
def test_conditions_survive_the_ledger(conditions: Conditions) -> None:
    assert conditions_from(json.loads(json.dumps(conditions.to_json()))) == conditions


@given(CONDITIONS)
def test_conditions_survive_a_ticket(conditions: Conditions) -> None:
    packed = pack(conditions)
    assert len(packed) == SIZE
    assert unpack(packed) == conditions


@pytest.mark.parametrize(
    "data",
    [
        pack(NO_CONDITIONS)[:-1],
        b"\3" + pack(NO_CONDITIONS)[1:],
        b"\0\3" + pack(NO_CONDITIONS)[2:],
        b"\0\0\x80" + pack(NO_CONDITIONS)[3:],
    ],
    ids=["cut short", "recorded", "gate", "a kind from the future"],
)
def test_what_this_version_does_not_know_is_not_let_through(data: bytes) -> None:
    with pytest.raises(ValueError, match="conditions"):
        unpack(data)


@pytest.mark.parametrize(
    ("conditions", "bind", "watches"),
    [
        (NO_CONDITIONS, False, False),
        (Conditions(parameters=Recorded.VALUES), False, False),
        (Conditions(max_rows=1), True, False),
        (Conditions(max_bytes=1), True, False),
        (Conditions(commit_gate=GATE), True, True),
        (Conditions(refused=frozenset({StatementKind.COPY})), True, True),
    ],
)
def test_what_needs_a_proxy_and_what_needs_a_parser(
    *, conditions: Conditions, bind: bool, watches: bool
) -> None:
    assert (conditions.bind, conditions.watches_statements) == (bind, watches)


def test_conditions_are_told_in_sentences() -> None:
    assert describe(NO_CONDITIONS) == ()
    everything = Conditions(
        parameters=Recorded.TYPES,
        max_rows=100_000,
        max_bytes=1024**3,
        commit_gate=GATE,
        refused=frozenset({StatementKind.ROLE, StatementKind.DDL}),
    )
    assert describe(everything) == (
        "refused: statements that change the schema",
        "refused: statements that change roles and privileges",
        "at most 100,000 rows are returned",
        "at most 1GB are returned",
        "a transaction that changed more than 1,000 rows is held at COMMIT for at most 5m, "
        "until the grant's holder confirms it",
        "of the parameters of statements the types are recorded",
    )
    by_approver = CommitGate(rows=0, within=timedelta(minutes=1), by_approver=True)
    assert describe(Conditions(parameters=Recorded.VALUES, commit_gate=by_approver)) == (
        "a transaction that changed more than 0 rows is held at COMMIT for at most 1m, "
        "until an approver other than its holder confirms it",
        "the parameters of statements are recorded with their values",
    )


@pytest.mark.parametrize("kind", StatementKind)
def test_every_kind_that_may_be_refused_has_its_words(kind: StatementKind) -> None:
    refused = Conditions(refused=frozenset({kind}))
    assert describe(refused) == (f"refused: {what_is_refused(kind)}",)
