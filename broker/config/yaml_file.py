"""Reading YAML that people write: what is wrong is said, with its line, and nothing is lost in
silence."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from broker.config.faults import SettingsError

# Aliases let a small file stand for an endless one.
_MOST_VALUES = 1_000_000
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping, and the line at which each of its keys and items stands."""

    values: dict[str, Any]
    lines: Mapping[_Path, int]

    def line(self, path: Sequence[str]) -> int:
        """Return the line of what `path` names, or of what should hold it."""
        known = (self.lines.get(tuple(path[:length])) for length in range(len(path), 0, -1))
        return next((line for line in known if line is not None), 1)


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys, which may be the wrong one of two rules."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  (as PyYAML declares it)
        seen = set()
        for key, _value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list is no key, as PyYAML is about to say
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """Return the mapping in the file at `path`. Raises OSError and SettingsError."""
    return parse_yaml(path.read_bytes(), str(path), example).values


def parse_yaml(text: str | bytes, source: str, example: str) -> Document:
    """Raises SettingsError, which names `source`."""
    try:
        values, lines = _load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a thirteenth month, for example
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise SettingsError(
            source, [f"  it is not YAML{line}: {_yaml_problem(error)}; for example: {example}"]
        ) from None
    except RecursionError:
        raise SettingsError(source, ["  it is nested too deeply to be read"]) from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise SettingsError(
            source, [f"  it must be a mapping of keys to values; for example: {example}"]
        )
    return Document(values, lines)


def _load(text: str | bytes) -> tuple[Any, dict[_Path, int]]:
    loader = _UniqueKeys(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _refuse_endless(node)
        return loader.construct_document(node), dict(_lines(node, (), set()))
    finally:
        loader.dispose()


def _refuse_endless(root: yaml.Node) -> None:
    """Raise ConstructorError if aliases hold themselves, or far more than was written."""
    sizes: dict[int, int] = {}
    around: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in around:
            raise yaml.constructor.ConstructorError(
                None, None, "something holds itself", node.start_mark
            )
        if id(node) not in sizes:
            around.add(id(node))
            sizes[id(node)] = 1 + sum(size(each) for each in _parts(node))
            around.remove(id(node))
        return sizes[id(node)]

    if size(root) > _MOST_VALUES:
        raise yaml.constructor.ConstructorError(None, None, "aliases repeat too much of it", None)


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                yield key
                yield value
        case yaml.SequenceNode():
            yield from node.value


def _lines(node: yaml.Node, path: _Path, seen: set[int]) -> Iterator[tuple[_Path, int]]:
    """Yield where the keys and items stand. What an alias repeats stands where it is written, and
    is known by its first path only."""
    if id(node) in seen:
        return
    seen.add(id(node))
    match node:
        case yaml.MappingNode():
            parts = [(str(key.value), key, value) for key, value in node.value]
        case yaml.SequenceNode():
            parts = [(str(number), value, value) for number, value in enumerate(node.value)]
        case _:
            return
    for name, marked, value in parts:
        yield (*path, name), marked.start_mark.line + 1
        yield from _lines(value, (*path, name), seen)


def _yaml_problem(error: Exception) -> str:
    """Return what is wrong, without words of the file: a password `*…` is an alias to YAML."""
    problem: str = getattr(error, "problem", None) or "a value or a character cannot be read"
    return re.sub(r"\b(alias|tag|handle) .*", r"\1", problem)
