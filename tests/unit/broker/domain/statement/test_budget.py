"""How much of a grant's budgets is used, and how they grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.errors import BudgetTooLarge, NoSuchBudget
from broker.domain.statement.budget import (
    NOTHING,
    Used,
    exceeded,
    extended,
    left,
    share,
    spent,
    why_not_more,
)
from broker.domain.statement.conditions import NO_CONDITIONS, Conditions, Recorded

BOTH = Conditions(max_rows=1000, max_bytes=1024**2)


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (NOTHING, None),
        (Used(999, 1024**2 - 1), None),
        (Used(1000, 0), "1,000 of 1,000 rows were returned"),
        (Used(1200, 1024**2), "1,200 of 1,000 rows were returned"),
        (Used(3, 1024**2 + 9000), "1.0MB of 1MB were returned"),
    ],
)
def test_a_budget_is_spent_once_all_of_it_was_returned(used: Used, said: str | None) -> None:
    assert spent(BOTH, used) == said


@pytest.mark.parametrize(
    ("wanted", "limit"),
    [
        (Used(1000, 1024**2), None),
        (Used(1001, 0), "1,000 rows"),
        (Used(0, 1024**2 + 1), "1MB"),
    ],
)
def test_all_of_a_budget_may_be_sent_and_no_more(wanted: Used, limit: str | None) -> None:
    assert exceeded(BOTH, wanted) == limit
    assert exceeded(NO_CONDITIONS, wanted) is None


def test_what_is_not_bounded_is_never_spent() -> None:
    assert spent(NO_CONDITIONS, Used(10**15, 10**15)) is None
    assert share(NO_CONDITIONS, Used(10**15, 10**15)) == 0.0


@pytest.mark.parametrize(
    ("used", "part"),
    [
        (NOTHING, 0.0),
        (Used(800, 0), 0.8),
        (Used(10, 1024**2 // 2), 0.5),
        (Used(2000, 1), 2.0),
    ],
)
def test_the_budget_that_is_nearest_to_its_end_counts(used: Used, part: float) -> None:
    assert share(BOTH, used) == part


def test_what_is_left_is_never_less_than_nothing() -> None:
    assert [left(None, 5), left(10, 4), left(10, 12)] == [None, 6, 0]


def test_an_extension_is_held_to_what_the_policy_says_now() -> None:
    now = Conditions(parameters=Recorded.TYPES, max_rows=1000)
    assert extended(now, NO_CONDITIONS, Used(400, 0), NOTHING) == Conditions(
        parameters=Recorded.TYPES, max_rows=1400
    )
    assert extended(NO_CONDITIONS, BOTH, Used(400, 0), NOTHING) == NO_CONDITIONS


@pytest.mark.parametrize(
    ("at_once", "was", "used", "more", "most"),
    [
        (1000, 1000, 400, 0, 1000),  # more time is no more rows
        (1000, 1000, 400, 300, 1300),
        (1000, 1000, 1200, 500, 1700),  # what was on the way when it ended is paid for
        (100, 1000, 400, 0, 500),  # the policy has become stricter
        (5000, 1000, 400, 0, 1000),  # or more generous, which has to be asked for
    ],
)
def test_a_budget_grows_by_what_was_asked_for(
    at_once: int, was: int, used: int, more: int, most: int
) -> None:
    found = extended(
        Conditions(max_rows=at_once), Conditions(max_rows=was), Used(used, 0), Used(more, 0)
    )
    assert found.max_rows == most


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 2000), st.integers(0, 1000))
def test_never_is_more_left_than_the_policy_gives_at_once(
    at_once: int, was: int, used: int, more: int
) -> None:
    found = extended(
        Conditions(max_bytes=at_once), Conditions(max_bytes=was), Used(0, used), Used(0, more)
    )
    assert found.max_bytes is not None
    assert 0 <= found.max_bytes - used <= at_once


def test_more_than_the_policy_gives_at_once_is_refused() -> None:
    def refusal(more: Used) -> str:
        return str(why_not_more("readers", BOTH, BOTH, Used(400, 1024**2 // 2), more))

    assert refusal(Used(401, 0)) == (
        "401 more rows are too many: policy 'readers' allows at most 400 rows more now"
    )
    assert refusal(Used(0, 1024**2)) == (
        "1MB more are too many: policy 'readers' allows at most 524,288 bytes more now"
    )
    assert isinstance(
        why_not_more("readers", Conditions(max_rows=9), BOTH, NOTHING, Used(1)), BudgetTooLarge
    )


def test_what_fits_is_not_refused() -> None:
    used = Used(400, 1024)
    assert why_not_more("readers", BOTH, BOTH, used, NOTHING) is None
    assert why_not_more("readers", BOTH, BOTH, used, Used(400, 1024)) is None
    assert why_not_more("readers", NO_CONDITIONS, BOTH, used, Used(10**9, 10**9)) is None


@pytest.mark.parametrize("more", [Used(1, 0), Used(0, 1)])
def test_of_what_is_not_bounded_nobody_needs_more(more: Used) -> None:
    refusal = why_not_more("readers", BOTH, NO_CONDITIONS, NOTHING, more)
    assert isinstance(refusal, NoSuchBudget)
