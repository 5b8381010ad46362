"""What is wrong with settings, for an operator: the dotted path, what it is, an example.

pydantic never gets to repeat the value: it may be a secret, written where it does not belong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

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


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a place, with an example."""

    path: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.why}"


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line for each place in `model` that `error` complains about."""
    return [f"  {fault}" for fault in find_faults(error, model)]


def find_faults(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """Return one fault for each place in `model` that `error` complains about."""
    faults: dict[tuple[str, ...], Fault] = {}
    found = error.errors(include_url=False, include_input=False)
    for fault in found:
        if fault["type"] == "too_short" and any(_is_inside(each, fault) for each in found):
            continue  # not empty: pydantic does not count the members that it complains about
        place = _find(model, fault["loc"])
        said = _unknown(place, fault) if _is_unknown_key(fault) else _wrong(place, fault)
        faults.setdefault(said.path, said)  # a union complains once for each member
    return list(faults.values())


def _is_inside(fault: ErrorDetails, outer: ErrorDetails) -> bool:
    location = outer["loc"]
    return len(fault["loc"]) > len(location) and fault["loc"][: len(location)] == location


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
        field = keys(kind).get(str(part))
        return _Place(path, field, field.annotation) if field else None
    if get_origin(kind) is dict:
        return _Place(path, place.field, get_args(kind)[1])
    if get_origin(kind) in (tuple, frozenset) and isinstance(part, int):
        return _Place(path, place.field, get_args(kind)[0])
    return None


def keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by the keys that people write: `from` is no name in Python."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _members(kind: Any) -> Iterator[Any]:
    """Yield the types that `kind` may be, without the unions around them."""
    if get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _members(member)
    else:
        yield kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_unknown_key(fault: ErrorDetails) -> bool:
    return fault["type"] in ("extra_forbidden", "invalid_key")


def _wrong(place: _Place, fault: ErrorDetails) -> Fault:
    said = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    said = said.replace("should be", "must be")
    why = _WORDS.get(fault["type"], said)
    return Fault(place.path, f"{why}; for example: {_example(place.field)}")


def _unknown(place: _Place, fault: ErrorDetails) -> Fault:
    known = keys(next(filter(_is_model, _members(place.kind))))
    # A forgotten space makes a key of both: the rest of `password:…` may be a secret.
    key, colon, _ = str(fault["loc"][-1]).partition(":")
    close = get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)};"
    name = close[0] if close else next(iter(known))
    example = f"for example: {name}: {_example(known[name])}"
    path = (*place.path, key + (":…" if colon else ""))
    return Fault(path, f"is not a known key; {hint} {example}")


def _example(field: FieldInfo | None) -> Any:
    assert field is not None and field.examples, "every setting has an example"  # noqa: PT018
    return field.examples[0]
