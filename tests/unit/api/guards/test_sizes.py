"""How many parameters are too many."""

from api.guards.sizes import has_too_many_parameters


def test_a_hundred_parameters_are_enough() -> None:
    assert not has_too_many_parameters("")
    assert not has_too_many_parameters("&".join(["a=1"] * 100))
    assert has_too_many_parameters("&".join(["a=1"] * 101))
