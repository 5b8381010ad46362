"""Files that people write, read without losing anything in silence."""

from itertools import pairwise
from pathlib import Path

import pytest

from broker.config.faults import SettingsError
from broker.config.yaml_file import parse_yaml, read_yaml


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: 2\na: 3\n", 3), ("a:\n  b: 1\n  b: 2\n", 3)])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str, line: int) -> None:
    """The last one would win, and it may be the wrong one of two rules."""
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"at line {line}: the key [ab] is there twice"):
        read_yaml(path, "a: 1")


def test_the_same_key_in_two_places_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("a: {b: 1}\nc: {b: 1}\n")
    assert read_yaml(path, "a: 1") == {"a": {"b": 1}, "c": {"b": 1}}


def test_the_line_of_every_key_and_item_is_known() -> None:
    document = parse_yaml("a:\n  - b: 1\n    c:\n      - d\n  - e\n", "x.yaml", "a: 1")
    assert document.values == {"a": [{"b": 1, "c": ["d"]}, "e"]}
    paths = (("a",), ("a", "0"), ("a", "0", "b"), ("a", "0", "c"), ("a", "0", "c", "0"), ("a", "1"))
    assert [document.line(path) for path in paths] == [1, 2, 2, 3, 4, 5]


def test_what_is_missing_has_the_line_of_what_should_hold_it() -> None:
    document = parse_yaml("a: 1\nb:\n  c: 1\n", "x.yaml", "a: 1")
    assert document.line(("b", "d", "e")) == 2
    assert document.line(("z",)) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &a [*a]", "it is not YAML at line 1: something holds itself"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
                for before, name in pairwise("abcdefg")
            ),
            "it is not YAML: aliases repeat too much of it",
        ),
        ("a: " + "[" * 2000, "it is nested too deeply to be read"),
    ],
    ids=["endless", "far too long", "deep"],
)
def test_a_small_file_that_stands_for_a_huge_one_is_refused(text: str, why: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_yaml(text, "x.yaml", "a: 1")
    assert str(error.value).splitlines()[1].startswith(f"  {why}")


@pytest.mark.parametrize("text", ["{[a]: 1}", "? {a: 1}\n: 2\n"])
def test_what_cannot_be_a_key_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="it is not YAML at line 1: found unhashable key"):
        parse_yaml(text, "x.yaml", "a: 1")
