"""What the link in a refusal becomes: commands to run, that cannot be made to do harm."""

import json
import shlex

import pytest

from api.web.wish_link import Asked, BrokenLink, command, http_call, read_link

ORDERS = {"target": "orders", "role": "orders_reader", "for": "1h"}


def _asked(**changes: str) -> Asked:
    return read_link({**ORDERS, **changes})


def test_it_becomes_commands_and_an_http_call() -> None:
    asked = _asked()
    for verb in ("request", "connect"):
        said = f"pgcurfew {verb} orders orders_reader --for 1h --reason '…'"
        assert command(verb, asked) == said
    words = shlex.split(http_call(asked))
    assert words[:3] == ["curl", "-sS", "$PGCURFEW_URL/v1/requests"]
    assert json.loads(words[-1]) == {
        "target": "orders",
        "role": "orders_reader",
        "duration": "PT1H",
        "reason": "…",
    }


def test_the_database_comes_along_and_an_hour_is_what_one_gets_otherwise() -> None:
    asked = read_link({"target": "orders", "role": "r", "database": "old orders"})
    assert command("request", asked) == (
        "pgcurfew request orders r --for 1h --database 'old orders' --reason '…'"
    )
    assert json.loads(shlex.split(http_call(asked))[-1])["database"] == "old orders"


@pytest.mark.parametrize("text", ["90s", "PT1H30M", "2d"])
def test_a_duration_stays_one_that_the_command_reads(text: str) -> None:
    asked = _asked(**{"for": text})
    words = shlex.split(command("request", asked))
    again = _asked(**{"for": words[words.index("--for") + 1]})
    assert again.duration == asked.duration


@pytest.mark.parametrize(
    "role",
    [
        "<script>alert(1)</script>",
        "'; rm -rf / #",
        "$(id)`id`\\",
        '"&amp;&lt;',
        "{{ title }}",
        "--json",
        "rôle",
    ],
)
def test_whatever_a_role_is_called_stays_one_word_of_text(role: str) -> None:
    asked = _asked(role=role)
    for verb in ("request", "connect"):
        words = shlex.split(command(verb, asked))
        assert role in words
        assert role[0] != "-" or words.index("--") < words.index(role)
    assert json.loads(shlex.split(http_call(asked))[-1])["role"] == role


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"target": ""}, "target"),
        ({"target": "Orders!"}, "target"),
        ({"target": "x" * 64}, "target"),
        ({"role": ""}, "role"),
        ({"role": "é" * 32}, "role"),
        ({"role": "a\nb"}, "role"),
        ({"role": "a\x1b[2Jb"}, "role"),
        ({"role": "a\u202eb"}, "role"),
        ({"role": "a\u200bb"}, "role"),
        ({"database": "a\0b"}, "database"),
        ({"for": "soon"}, "for"),
        ({"for": "0s"}, "for"),
    ],
)
def test_a_link_that_makes_no_sense_names_what_and_does_not_repeat_it(
    change: dict[str, str], named: str
) -> None:
    with pytest.raises(BrokenLink) as broken:
        _asked(**change)
    assert list(broken.value.rules) == [named]
    assert "Orders!" not in str(broken.value.rules)


def test_without_parameters_it_names_those_that_it_needs() -> None:
    with pytest.raises(BrokenLink) as broken:
        read_link({})
    assert list(broken.value.rules) == ["target", "role"]


def test_what_else_a_link_carries_is_ignored() -> None:
    assert _asked(utm_source="chat") == _asked()
