"""What an idempotency key is, and what a call gets that comes again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.errors import AnswerNotKept, KeyInUse, KeyMalformed, KeyReused, OutcomeUnknown
from broker.domain.idempotency import (
    LONGEST_CALL,
    Answer,
    Call,
    Earlier,
    answer_again,
    fingerprint,
    read_key,
)

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = Call("psn_1", "key", b"one")
DONE = Answer(201, "application/json", "{}")
SOON, LATE = BEGAN + timedelta(seconds=1), BEGAN + LONGEST_CALL


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ('"8e03978e"', "8e03978e"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        ('"', '"'),
        ('a"b', 'a"b'),
        ("~" * 255, "~" * 255),
    ],
)
def test_a_key_is_read_as_a_quoted_string_and_as_it_is(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "é", "a\tb", "a\0", "\udcff"])
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(KeyMalformed):
        read_key(header)


_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


@given(st.tuples(_TEXT, _TEXT, st.binary()), st.tuples(_TEXT, _TEXT, st.binary()))
def test_only_the_same_call_has_the_same_fingerprint(
    one: tuple[str, str, bytes], other: tuple[str, str, bytes]
) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


@pytest.mark.parametrize("now", [SOON, LATE])
def test_a_call_that_was_answered_is_answered_again(now: datetime) -> None:
    earlier = Earlier(CALL.fingerprint, BEGAN, is_over=True, answer=DONE)
    assert answer_again(earlier, CALL, now) == DONE


@pytest.mark.parametrize(
    ("earlier", "now", "error"),
    [
        (Earlier(b"other", BEGAN, is_over=True, answer=DONE), SOON, KeyReused),
        (Earlier(b"other", BEGAN, is_over=False, answer=None), SOON, KeyReused),
        (Earlier(b"one", BEGAN, is_over=False, answer=None), SOON, KeyInUse),
        (Earlier(b"one", BEGAN, is_over=False, answer=None), LATE, OutcomeUnknown),
        (Earlier(b"one", BEGAN, is_over=True, answer=None), SOON, OutcomeUnknown),
        (
            Earlier(b"one", BEGAN, is_over=True, answer=Answer(201, "x", None)),
            SOON,
            AnswerNotKept,
        ),
    ],
)
def test_a_call_that_cannot_be_answered_again_says_why(
    earlier: Earlier, now: datetime, error: type[Exception]
) -> None:
    with pytest.raises(error):
        answer_again(earlier, CALL, now)
