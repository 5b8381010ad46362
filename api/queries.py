"""Query strings, as pydantic knows them: what each list may be asked for.

A name that a query does not have is refused, and so is one that comes twice: a filter that is
misspelt would otherwise show everything, as if nothing had been left out.
"""

from typing import Annotated, TypeVar, get_origin

from multidict import MultiMapping
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.faults import Fault, InvalidInput, faults_of
from api.values import Whole, id_of
from broker.domain.ids import IdKind
from broker.domain.request import RequestState

MOST_AT_ONCE = 500

Limit = Annotated[
    Whole,
    Field(ge=1, le=MOST_AT_ONCE, description="How many at most."),
]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NoQuery(Query):
    """Of what takes no parameters."""


QueryType = TypeVar("QueryType", bound=Query)


def read_query(given: MultiMapping[str], schema: type[QueryType]) -> QueryType:
    """Return what a query string asks for. Raises InvalidInput."""
    lists = {name for name, field in schema.model_fields.items() if _is_list(field.annotation)}
    values = {name: given.getall(name) for name in given}
    twice = [
        Fault(name, "is here more than once")
        for name, found in values.items()
        if len(found) > 1 and name not in lists
    ]
    if twice:
        raise InvalidInput(twice)
    try:
        return schema.model_validate(
            {name: found if name in lists else found[0] for name, found in values.items()}
        )
    except ValidationError as error:
        raise InvalidInput(faults_of(error, sorted(schema.model_fields))) from None


def _is_list(annotation: object) -> bool:
    return get_origin(annotation) is tuple


class PageQuery(Query):
    limit: Limit = 50


class RequestsQuery(PageQuery):
    status: RequestState | None = None
    after: Annotated[str, id_of(IdKind.REQUEST, "a request")] | None = None
