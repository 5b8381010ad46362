"""One operation, as OpenAPI describes it."""

from collections.abc import Iterator
from http import HTTPStatus

from aiohttp import hdrs
from pydantic import BaseModel

from api.access import ROUTES, Access
from api.input.paths import PathParameter, parameters_of
from api.openapi.problems import reference_to
from api.openapi.schemas import Json, Schemas, is_a
from api.operations import Content, Media, NoBody, Operation
from api.server_sent import MEDIA_TYPE
from broker.domain.authorization import Action, Reach

_JSON = "application/json"
# What may come of a call besides its answer, and when.
_ON_POST = (400, 409, 413, 415)
_EVERYWHERE = (429, 503)
_WHOSE = {
    Reach.OWN: "one's own",
    Reach.APPROVED: "what is under policies that one approves",
    Reach.EVERYTHING: "everything",
}


def describe_operation(operation: Operation, schemas: Schemas) -> Json:
    access = ROUTES[operation.route]
    described: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": f"{access.does[0].upper()}{access.does[1:]}",
        "description": _description(operation, access),
        "parameters": list(_parameters(operation, schemas)),
        "responses": _responses(operation, access, schemas),
        "security": [] if access.is_open else [{"token": []}, {"browser": []}],
        "x-pgcurfew-access": {reach.value: each.value for reach, each in access.through.items()},
    }
    if operation.body is not NoBody:
        described["requestBody"] = {
            "required": any(each.is_required() for each in operation.body.model_fields.values()),
            "content": {_JSON: {"schema": schemas.of(operation.body, "validation")}},
        }
    return described


def _description(operation: Operation, access: Access) -> str:
    about = " ".join(operation.about.split()) if operation.about else ""
    if access.is_open:
        return f"{about}\n\nFor everybody.".strip()
    ways = "; ".join(
        f"`{each.value}` for {_WHOSE[reach]}" for reach, each in access.through.items()
    )
    return f"{about}\n\nTakes {ways}.".strip()


def _parameters(operation: Operation, schemas: Schemas) -> Iterator[Json]:
    for name, each in parameters_of(operation.path).items():
        yield _path_parameter(name, each)
    query = schemas.of_query(operation.query)
    for name, schema in query.get("properties", {}).items():
        yield {
            "name": name,
            "in": "query",
            "required": name in query.get("required", ()),
            **_without_null(schema),
        }
    if _is_for_once(operation):
        yield {"$ref": "#/components/parameters/Idempotency-Key"}
    if _has_etag(operation):
        yield {"$ref": "#/components/parameters/If-None-Match"}
    if _is_of_events(operation):
        yield {"$ref": "#/components/parameters/Last-Event-ID"}


def _path_parameter(name: str, parameter: PathParameter) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"Which {parameter.what}.",
        "schema": {
            "type": "string",
            "pattern": f"^(?:{parameter.pattern})$",
            "examples": [parameter.example],
        },
    }


def _without_null(schema: Json) -> Json:
    """Return a parameter's description and schema: one that is not there is not null."""
    about = {"description": schema["description"]} if "description" in schema else {}
    bare = {key: each for key, each in schema.items() if key != "description"}
    (some, *_) = [each for each in bare.pop("anyOf", [{}]) if each.get("type") != "null"]
    if bare.get("default", 0) is None:
        del bare["default"]
    inner = {key: each for key, each in some.items() if key != "description"}
    if "description" in some:
        about.setdefault("description", some["description"])
    return {**about, "schema": {**bare, **inner}}


def _responses(operation: Operation, access: Access, schemas: Schemas) -> Json:
    found = {
        status: _answer(HTTPStatus(status), content, schemas)
        for status, content in operation.answers.items()
    }
    if _has_etag(operation):
        found[200]["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
        found[304] = {"description": "It is as it was."}
    for status in _troubles(operation, access):
        found.setdefault(status, reference_to(HTTPStatus(status)))
    return {str(status): found[status] for status in sorted(found)}


def _answer(status: HTTPStatus, content: Content, schemas: Schemas) -> Json:
    described: Json = {"description": status.phrase}
    match content:
        case None:
            pass
        case Media() | tuple():
            media = content if isinstance(content, tuple) else (content,)
            described["content"] = {each.type: _media(each, schemas) for each in media}
        case _:
            described["content"] = {_JSON: {"schema": schemas.of(content, "serialization")}}
    return described


def _media(media: Media, schemas: Schemas) -> Json:
    """Of lines OpenAPI 3.1 cannot say what each is; 3.2 has `itemSchema` for it."""
    line = {} if media.line is None else {"x-item-schema": schemas.of(media.line, "serialization")}
    return {"schema": {"type": "object" if media.type == _JSON else "string"}, **line}


def _troubles(operation: Operation, access: Access) -> Iterator[int]:
    yield from _EVERYWHERE
    if _is_known(operation):
        yield 422
    if not access.is_open:
        yield from (401, 403)
    if parameters_of(operation.path):
        yield 404
    if operation.method == hdrs.METH_POST:
        yield from _ON_POST
    if operation.method == hdrs.METH_DELETE:
        yield 409
    yield from operation.also


def _is_known(operation: Operation) -> bool:
    """Say whether it belongs to what is versioned, and held to what it says."""
    return operation.path.startswith("/v1/")


def _is_for_once(operation: Operation) -> bool:
    """Say whether it does something, so that doing it twice would be another thing."""
    through = ROUTES[operation.route].through.values()
    return operation.method == hdrs.METH_POST and bool(through) and Action.READ not in through


def _has_etag(operation: Operation) -> bool:
    return (
        operation.method == hdrs.METH_GET
        and _is_known(operation)
        and is_a(operation.answers.get(200), BaseModel)
    )


def _is_of_events(operation: Operation) -> bool:
    content = operation.answers.get(200)
    return isinstance(content, Media) and content.type == MEDIA_TYPE
