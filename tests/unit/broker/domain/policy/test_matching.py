"""Who counts for what."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.policy.matching import Need, fill


def need(count: int, *people: str) -> Need:
    return Need(count, frozenset(people))


def test_each_person_counts_once() -> None:
    assert fill([need(1, "a"), need(1, "a")]) == (1, 0)
    assert fill([need(2, "a")]) == (1,)


def test_somebody_makes_room_for_who_counts_for_nothing_else() -> None:
    """`a` comes first and would take the seat that only `b` and `c` could have."""
    assert fill([need(1, "a", "b"), need(1, "a")]) == (1, 1)
    assert sum(fill([need(2, "a", "b", "c"), need(1, "a"), need(1, "b")])) == 3
    assert fill([need(1, "a", "b"), need(1, "b", "c"), need(1, "a", "c")]) == (1, 1, 1)


def test_nothing_is_needed_of_nobody() -> None:
    assert fill([]) == ()
    assert fill([need(1)]) == (0,)


@given(
    st.lists(st.builds(Need, st.integers(1, 3), st.frozensets(st.sampled_from("abcd"))), max_size=3)
)
def test_as_many_as_possible_count(needs: list[Need]) -> None:
    """Compared with every way to give each person one need, or none."""
    people = sorted({person for each in needs for person in each.people})
    best = 0
    for choice in product(range(-1, len(needs)), repeat=len(people)):
        counts = [0] * len(needs)
        fits = True
        for person, number in zip(people, choice, strict=True):
            if number >= 0:
                counts[number] += 1
                fits = fits and person in needs[number].people
        if fits and all(count <= each.count for count, each in zip(counts, needs, strict=True)):
            best = max(best, sum(counts))
    filled = fill(needs)
    assert sum(filled) == best
    assert all(count <= each.count for count, each in zip(filled, needs, strict=True))
