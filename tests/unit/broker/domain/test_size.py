"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.errors import InvalidSize
from broker.domain.size import format_size, parse_size, rough_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("0B", 0), ("512kB", 512 * 1024), ("16 MB", 16 * 1024**2), ("1GB", 1024**3), ("2TB", 2**41)],
)
def test_a_size_is_read_in_the_units_of_postgresql(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1", "1KB", "1gb", "1.5GB", "-1B", "1  GB", "1GB ", "٣GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidSize):
        parse_size(text)


@given(st.integers(0, 10**14))
def test_what_is_written_is_what_is_read(size: int) -> None:
    assert parse_size(format_size(size).replace(",", "")) == size


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0B"), (1023, "1,023B"), (1024, "1kB"), (1536 * 1024, "1,536kB"), (1024**3, "1GB")],
)
def test_a_size_is_written_exactly(size: int, said: str) -> None:
    assert format_size(size) == said


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0B"), (1000, "1000B"), (1536, "1.5kB"), (1024**3 + 1, "1.0GB")]
)
def test_or_roughly(size: int, said: str) -> None:
    assert rough_size(size) == said
