"""Bits by something that is measured."""

from broker.domain.policy.scales import Scale

SCALE: Scale[int] = Scale.of([(10, 0b1), (30, 0b100), (20, 0b10), (30, 0b1000)])


def test_a_scale_tells_what_is_less_and_what_is_the_same() -> None:
    assert [SCALE.below(value) for value in (9, 10, 11, 30, 31)] == [0, 0, 0b1, 0b11, 0b1111]
    assert [SCALE.up_to(value) for value in (9, 10, 11, 30, 31)] == [0, 0b1, 0b1, 0b1111, 0b1111]


def test_a_scale_tells_which_of_some_are_the_greatest() -> None:
    assert SCALE.greatest(0b1111) == 0b1100
    assert SCALE.greatest(0b0101) == 0b0100
    assert SCALE.greatest(0b0011) == 0b0010
    assert SCALE.greatest(0b0001) == 0b0001
