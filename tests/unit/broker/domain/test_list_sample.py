import pytest

from broker.domain.list_sample import Sample


def _sample(**changes: int) -> Sample:
    counts = {"along": 1_000, "near": 1_000, "there": 1_000, "wanted": 1_000, **changes}
    return Sample(rows=1_000_000, looked_at=1_000, words=[600, 500, 45], **counts)


@pytest.mark.parametrize(
    ("wanted", "steps", "walks"), [(1_000, 50, True), (10, 5_000, True), (7, 7_143, False)]
)
def test_what_is_common_is_walked_to_and_what_is_rare_gathered(
    wanted: int, steps: int, *, walks: bool
) -> None:
    sample = _sample(wanted=wanted)
    assert sample.steps(50) == steps
    assert sample.is_walked_to(50) is walks


def test_what_a_sample_has_nothing_of_is_gathered() -> None:
    assert not _sample(wanted=0).is_walked_to(50)


def test_a_walk_among_few_is_short() -> None:
    assert _sample(along=20, wanted=10).steps(50) == 100


def test_a_word_is_common_if_half_have_it_or_more_than_are_near() -> None:
    assert [_sample().is_common(word) for word in range(3)] == [True, False, False]
    assert [_sample(near=11).is_common(word) for word in range(3)] == [True, True, True]


@pytest.mark.parametrize(("there", "few"), [(5, True), (6, False)])
def test_few_are_soon_looked_at(there: int, *, few: bool) -> None:
    assert _sample(there=there).few_are_there is few
