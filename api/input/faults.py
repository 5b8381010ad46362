"""What is wrong with what somebody sent, for people: the field, what it must be, what it may be."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from broker.domain.errors import Invalid

WHOLE = "body"
"""The field of a fault that no single field has."""

_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "frozen_set_type": "must be a list, each value once",
    "model_type": "must be an object of names and values",
    "dict_type": "must be an object of names and values",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} values",
    "too_short": "must have at least {min_length} values",
    "json_invalid": "is no JSON: {error}",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """`message` reads on after the field's name; `allowed` is empty where there is no list."""

    field: str
    message: str
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.field} {self.message}"


class InvalidInput(Invalid):
    """What came is not what the operation takes: every fault, none of the values."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(each) for each in faults))
        self.faults = tuple(faults)


def faults_of(error: ValidationError, known: Sequence[str] = ()) -> tuple[Fault, ...]:
    """Return one fault for each field that `error` complains about; `known` are all there are."""
    faults: dict[str, Fault] = {}
    for each in error.errors(include_url=False, include_input=False):
        fault = _fault(each, known)
        faults.setdefault(fault.field, fault)  # a union complains once for each member
    return tuple(faults.values())


def _fault(error: ErrorDetails, known: Sequence[str]) -> Fault:
    field = ".".join(str(part) for part in error["loc"]) or WHOLE
    context: Mapping[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden" if len(error["loc"]) == 1 and known:
            return Fault(field, f"is not known here; there are {', '.join(known)}")
        case "extra_forbidden":
            return Fault(field, "is not known here")
        case "enum" | "literal_error":
            allowed = tuple(_QUOTED.findall(context["expected"]))
            return Fault(field, f"must be one of {', '.join(allowed)}", allowed)
        case "string_too_short" | "too_short" if context["min_length"] == 1:
            return Fault(field, "must not be empty")
        case kind if kind in _WORDS:
            return Fault(field, _WORDS[kind].format(**context))
        case _:
            said = error["msg"].removeprefix("Value error, ")
            return Fault(field, said, tuple(context.get("allowed", ())))
