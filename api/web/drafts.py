"""What somebody has sent with a form that does not fit: shown again, beside what is wrong."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from api.input.faults import faults_of
from api.problems import faults_in
from broker.domain.errors import BrokerError

BodyType = TypeVar("BodyType", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """`form` names the form, and `about` the request. `errors` say what is wrong with which of its
    fields, and `notice` what else is."""

    form: str
    about: str
    typed: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    notice: str = ""


class Unfit(Exception):
    """`errors` say what to write beside which field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(errors)
        self.errors = errors


def fit(schema: type[BodyType], values: Mapping[str, Any]) -> BodyType:
    """Return what a form sent as the body that the API takes. Raises Unfit."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        faults = {each.field.partition(".")[0]: each.message for each in faults_of(error)}
        raise Unfit(faults) from None


def errors_in(error: BrokerError, known: Collection[str]) -> Mapping[str, str]:
    """Return which of the `known` fields a refusal is about."""
    faults = {each.field: each.message for each in faults_in(error)}
    return {name: text for name, text in faults.items() if name in known}
