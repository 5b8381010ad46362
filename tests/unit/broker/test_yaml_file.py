"""Files that people write, read without losing anything in silence."""

from pathlib import Path

import pytest

from broker.settings_faults import SettingsError
from broker.yaml_file import read_yaml


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
