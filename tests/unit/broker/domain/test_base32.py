"""Crockford's base32, as secrets and ids are written in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.base32 import ALPHABET, encode


def test_nobody_has_to_tell_one_from_l_or_zero_from_o() -> None:
    assert ALPHABET == "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.mark.parametrize(
    ("value", "length", "text"),
    [
        (0, 1, "0"),
        (31, 1, "Z"),
        (32, 2, "10"),
        (1234, 4, "016J"),
        (2**130 - 1, 26, "Z" * 26),
        (0, 0, ""),
    ],
)
def test_a_number_reads_from_its_highest_digit_and_is_padded_with_zeros(
    value: int, length: int, text: str
) -> None:
    assert encode(value, length) == text


def test_bits_that_do_not_fit_are_cut_from_the_top() -> None:
    assert encode(0b1_00001_00010, 2) == "12"


@given(st.integers(min_value=0, max_value=2**130 - 1))
def test_no_bit_of_a_secret_is_lost(value: int) -> None:
    read_back = 0
    for character in encode(value, 26):
        read_back = read_back * 32 + ALPHABET.index(character)
    assert read_back == value


@given(st.tuples(*[st.integers(min_value=0, max_value=2**80 - 1)] * 2))
def test_text_of_one_length_sorts_as_the_numbers_do(pair: tuple[int, int]) -> None:
    lower, upper = sorted(pair)
    assert encode(lower, 16) <= encode(upper, 16)
