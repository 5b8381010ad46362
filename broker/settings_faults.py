"""What is wrong with settings, for an operator: the dotted path, what it is, an example.


pydantic never gets to repeat the value: it may be a secret, written where it does not belong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """The settings cannot be used: one line per fault, each with path, reason and example."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__("\n".join([f"settings in {source} cannot be used:", *faults]))


_WORDS = {
    "missing": "is missing",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "string_type": "must be text; in quotes, if it looks like something else",
    "path_type": "must be a path",
    "too_short": "must not be empty",
}


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each place in `model` that `error` complains about."""
    lines: dict[str, str] = {}
    for fault in error.errors(include_url=False, include_input=False):
        place = _find(model, fault["loc"])
        path, why = _unknown(place, fault) if _is_unknown_key(fault) else _wrong(place, fault)
        lines.setdefault(path, f"  {path}: {why}")  # a union complains once for each member
    return list(lines.values())


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the settings a fault is, without pydantic's own labels for unions and keys."""

    path: tuple[str, ...]
    field: FieldInfo | None
    kind: Any


def _find(model: type[BaseModel], location: tuple[int | str, ...]) -> _Place:
    place = _Place((), None, model)
    for part in location:
        steps = (_step(place, kind, part) for kind in _members(place.kind))
        place = next(filter(None, steps), place)
    return place


def _step(place: _Place, kind: Any, part: int | str) -> _Place | None:
    """Return what `part` names inside a value of type `kind`, if it names anything there."""
    path = (*place.path, str(part))
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return _Place(path, field, field.annotation) if field else None
    if get_origin(kind) is dict:
        return _Place(path, place.field, get_args(kind)[1])
    if get_origin(kind) in (tuple, frozenset):
        return _Place(path, place.field, get_args(kind)[0])
    return None


def _members(kind: Any) -> Iterator[Any]:
    """Yield the types that `kind` may be, without the unions around them."""
    if get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _members(member)
    else:
        yield kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_unknown_key(fault: ErrorDetails) -> bool:
    return fault["type"] in ("extra_forbidden", "invalid_key")


def _wrong(place: _Place, fault: ErrorDetails) -> tuple[str, str]:
    said = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    why = _WORDS.get(fault["type"], said)
    return ".".join(place.path), f"{why}; for example: {_example(place.field)}"


def _unknown(place: _Place, fault: ErrorDetails) -> tuple[str, str]:
    known: dict[str, FieldInfo] = next(filter(_is_model, _members(place.kind))).model_fields
    # A forgotten space makes a key of both: the rest of `password:…` may be a secret.
    key, colon, _ = str(fault["loc"][-1]).partition(":")
    close = get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)};"
    name = close[0] if close else next(iter(known))
    example = f"for example: {name}: {_example(known[name])}"
    path = ".".join((*place.path, key)) + (":…" if colon else "")
    return path, f"is not a known key; {hint} {example}"


def _example(field: FieldInfo | None) -> Any:
    assert field is not None and field.examples, "every setting has an example"  # noqa: PT018
    return field.examples[0]
