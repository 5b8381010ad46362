"""Sets of people, as policies name them."""

import pytest

from broker.domain.person import Person
from broker.domain.policy.people import NOBODY, People
from tests.support.policies import ANYONE, DEPLOY, DEV, REVIEWER, group, people


@pytest.mark.parametrize(
    ("those", "dev", "reviewer", "machine"),
    [
        (ANYONE, True, True, False),
        (people("reviewer@example.com"), False, True, False),
        (group("dba"), False, True, False),
        (group("dba", "developers"), True, True, False),
        (people("dev@example.com") | group("dba"), True, True, False),
        (people("developers") | group("dev@example.com"), False, False, False),
        (People(machines=frozenset({"deploy@github.machine"})), False, False, True),
        (group("deployers"), False, False, True),
        (people("deploy@github.machine"), False, False, False),
        (People(machines=frozenset({"dev@example.com"})), False, False, False),
        (NOBODY, False, False, False),
    ],
    ids=[
        "anyone is any human",
        "email",
        "group",
        "groups",
        "email or group",
        "never mixed up",
        "machine",
        "group of machines",
        "a machine is in by no human's address",
        "nor a human by a machine's",
        "nobody",
    ],
)
def test_people_are_named_by_email_by_group_or_are_anyone_and_machines_by_name(
    *, those: People, dev: bool, reviewer: bool, machine: bool
) -> None:
    named: list[tuple[Person, bool]] = [(DEV, dev), (REVIEWER, reviewer), (DEPLOY, machine)]
    assert [those.includes(person) for person, _ in named] == [wanted for _, wanted in named]


def test_only_nobody_is_nobody() -> None:
    assert NOBODY.is_nobody
    assert not any(each.is_nobody for each in (ANYONE, group("dba"), people("dev@example.com")))


def test_two_sets_together_are_everybody_in_either() -> None:
    both = ANYONE | People(machines=frozenset({"m@x.machine"}))
    assert both == People(anyone=True, machines=frozenset({"m@x.machine"}))
    assert people("a@example.com") | group("dba") == People(
        emails=frozenset({"a@example.com"}), groups=frozenset({"dba"})
    )


@pytest.mark.parametrize(
    ("those", "names"),
    [
        (ANYONE | people("dev@example.com"), ("anyone else",)),
        (
            people("reviewer@example.com", "dev@example.com") | group("oncall", "dba"),
            ("dev@example.com", "reviewer@example.com", "group dba", "group oncall"),
        ),
        (People(machines=frozenset({"m@x.machine"})), ("machine m@x.machine",)),
        (NOBODY, ()),
    ],
)
def test_who_waits_for_an_approval_is_told_whom_to_ask(
    those: People, names: tuple[str, ...]
) -> None:
    assert those.describe() == names
