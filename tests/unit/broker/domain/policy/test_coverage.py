"""Which policies concern a person and a resource, found without looking at each."""

from hypothesis import given
from hypothesis import strategies as st

from broker.domain.policy.coverage import NameIndex, numbers
from broker.domain.policy.resources import Resource

PATTERNS = st.text("ab*?[]!-\n", max_size=5)


@given(st.lists(PATTERNS, max_size=8), st.text("ab[\n", max_size=4))
def test_an_index_of_globs_finds_what_each_of_them_would(patterns: list[str], name: str) -> None:
    found = set(numbers(NameIndex.of(patterns).bits(name)))
    assert found == {
        number
        for number, pattern in enumerate(patterns)
        if Resource(role=pattern).matches_somewhere("t", name)
    }
