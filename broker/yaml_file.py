"""Reading YAML files that people write: what is wrong is said, and nothing is lost in silence."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from broker.settings_faults import SettingsError


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys, which may be the wrong one of two rules."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  (as PyYAML declares it)
        seen = set()
        for key, _value in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is there twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """Return the mapping in the file at `path`. Raises OSError and SettingsError."""
    try:
        values = yaml.load(path.read_bytes(), _UniqueKeys)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a thirteenth month, for example
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise SettingsError(
            str(path), [f"  it is not YAML{line}: {_yaml_problem(error)}; for example: {example}"]
        ) from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise SettingsError(
            str(path), [f"  it must be a mapping of keys to values; for example: {example}"]
        )
    return values


def _yaml_problem(error: Exception) -> str:
    """Return what is wrong, without words of the file: a password `*…` is an alias to YAML."""
    problem: str = getattr(error, "problem", None) or "a value or a character cannot be read"
    return re.sub(r"\b(alias|tag|handle) .*", r"\1", problem)
