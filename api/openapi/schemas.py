"""What pydantic says of all that operations take and answer, for the OpenAPI description."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from api.input.queries import Query
from api.operations import Media, NoBody, Operation
from api.schemas.problems import ProblemView

Json: TypeAlias = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"


class _Untitled(GenerateJsonSchema):
    """A title for every field would only say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


class Schemas:
    """What pydantic says of every type, under the names that it goes by."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        kinds = {(kind, mode): None for each in operations for kind, mode in _kinds(each)}
        self._by_kind, rest = TypeAdapter.json_schemas(
            [(kind, mode, _adapter(kind)) for kind, mode in kinds],
            ref_template=REFERENCE,
            schema_generator=_Untitled,
        )
        self._all: Json = rest["$defs"]
        self._queries = {self._name(kind, mode) for kind, mode in kinds if is_a(kind, Query)}

    def of(self, kind: object, mode: JsonSchemaMode) -> Json:
        return self._by_kind[kind, mode]

    def of_query(self, query: type[Query]) -> Json:
        return dict(self._all[self._name(query, "validation")])

    @property
    def components(self) -> Json:
        """Return what others refer to. Queries stand with their operations."""
        return {name: self._all[name] for name in sorted(self._all) if name not in self._queries}

    def _name(self, kind: object, mode: JsonSchemaMode) -> str:
        return str(self.of(kind, mode)["$ref"].rpartition("/")[2])


def _kinds(operation: Operation) -> Iterator[tuple[Any, JsonSchemaMode]]:
    yield ProblemView, "serialization"
    yield operation.query, "validation"
    if operation.body is not NoBody:
        yield operation.body, "validation"
    for content in operation.answers.values():
        for each in content if isinstance(content, tuple) else (content,):
            kind = each.line if isinstance(each, Media) else each
            if kind is not None:
                yield kind, "serialization"


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)


def is_a(kind: object, base: type[BaseModel]) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)
