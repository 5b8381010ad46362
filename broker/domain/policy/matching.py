"""Who counts for what: each person for one need at most, and as many needs as possible are met."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    """So many of these people."""

    count: int
    people: frozenset[str]


def fill(needs: Sequence[Need]) -> tuple[int, ...]:
    """Return how many people each need gets, when as many as possible are put to use.

    It is a maximum bipartite matching by augmenting paths: somebody who would be one too many for a
    need makes room if somebody else of it can go to another one.
    """
    taken: list[list[str]] = [[] for _ in needs]

    def place(person: str, tried: set[int]) -> bool:
        for number, need in enumerate(needs):
            if number in tried or person not in need.people:
                continue
            tried.add(number)
            if len(taken[number]) < need.count:
                taken[number].append(person)
                return True
            for seat, other in enumerate(taken[number]):
                if place(other, tried):
                    taken[number][seat] = person
                    return True
        return False

    for person in sorted(frozenset().union(*(need.people for need in needs))):
        place(person, set())
    return tuple(len(people) for people in taken)
