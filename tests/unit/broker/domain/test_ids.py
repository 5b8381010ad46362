"""Ids as people see them: short, sortable, typed."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.ids import IdKind, bare_id, new_id, suffix

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def number_in(text: str) -> int:
    return sum(DIGITS.index(digit) * 32**place for place, digit in enumerate(reversed(text)))


def test_an_id_is_its_kind_the_milliseconds_since_1970_and_the_random_part() -> None:
    one_second_in = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    kind, _, rest = new_id(IdKind.GRANT, one_second_in, bytes([1, 2, 3, 4])).partition("_")
    assert (kind, len(rest), number_in(rest)) == ("grt", 16, 1000 * 2**32 + 0x01020304)


def test_an_id_is_lower_case_so_that_a_login_name_needs_no_quotes() -> None:
    assert new_id(IdKind.REQUEST, NOON, bytes(4)) == "req_06eajh8a00000000"


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (IdKind.PERSON, "per"),
        (IdKind.TOKEN, "tok"),
        (IdKind.REQUEST, "req"),
        (IdKind.DECISION, "dec"),
        (IdKind.GRANT, "grt"),
        (IdKind.SESSION, "ses"),
        (IdKind.WORKER, "wrk"),
        (IdKind.HELD_COMMIT, "hld"),
    ],
)
def test_every_kind_of_id_can_be_told_by_its_prefix(kind: IdKind, prefix: str) -> None:
    assert new_id(kind, NOON, bytes(4)).split("_")[0] == prefix


def test_the_same_moment_gives_the_same_id_in_every_time_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert new_id(IdKind.GRANT, elsewhere, bytes(4)) == new_id(IdKind.GRANT, NOON, bytes(4))


@given(
    st.integers(min_value=0, max_value=10**12),
    st.integers(min_value=1, max_value=10**12),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=4, max_size=4),
)
def test_a_later_id_sorts_after_an_earlier_one(
    milliseconds: int, gap: int, random: bytes, other_random: bytes
) -> None:
    assert bare_id(milliseconds, random) < bare_id(milliseconds + gap, other_random)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_an_id_never_gets_less_or_more_randomness_than_it_has_room_for(size: int) -> None:
    with pytest.raises(ValueError, match=rf"^an id needs 4 random bytes, got {size}$"):
        new_id(IdKind.GRANT, NOON, bytes(size))


def test_a_login_name_carries_the_id_without_its_kind() -> None:
    assert suffix("grt_06eajh8a00000000") == "06eajh8a00000000"
