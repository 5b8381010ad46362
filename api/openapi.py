"""The OpenAPI 3.1 description of the API: made of the table of operations, of who may use them, and
of what pydantic knows of queries, bodies and views. https://spec.openapis.org/oas/v3.1.1.html"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, TypeAlias

from aiohttp import hdrs
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from api.access import ROUTES, Access
from api.operations import Content, Media, NoBody, Operation
from api.paths import PathParameter, parameters_of
from api.problem_schemas import ProblemView
from api.problems import codes
from api.queries import Query
from api.same_site import CSRF_HEADER
from broker.domain.authorization import Action, Reach

Json: TypeAlias = dict[str, Any]

_REFERENCE = "#/components/schemas/{model}"
_JSON, _PROBLEM = "application/json", "application/problem+json"
_ABOUT = """\
Every PostgreSQL credential gets a curfew: requests, approvals, short-lived logins, and a record of
what was done with them.

Times are RFC 3339, durations ISO 8601; going in, also `90s`, `30m`, `8h` and `2d`. A page is
`{"items": […], "next": …}`: give `next` as `after` to go on, until it is null. Parameters and
fields that are not described here are refused. Every failure is a problem (RFC 9457) with a stable
`code`.
"""
_TAGS = {
    "requests": "Asking for access, and deciding.",
    "grants": "What was given, its secret, and its end.",
    "timelines": "The whole life of a request and its grant.",
    "allowances": "What approvers agree to beforehand.",
    "sessions": "Who is, and was, connected, and putting an end to it.",
    "held-commits": "Transactions that wait for somebody to confirm them.",
    "record": "Statements and events, as they were and as they come.",
    "events": "What happens, as it happens: server-sent events.",
    "audit": "The audit trail, and whether the record is as it was written.",
    "targets": "What there is to ask for, whether it answers, and what is wrong with it.",
    "policies": "What is in force, what was, and what it would say.",
    "alarms": "What somebody has to look at.",
    "bans": "Whom wrong secrets have shut out.",
    "overview": "What needs attention, and how much there is of everything.",
    "oneself": "Who one is to us.",
    "tokens": "Bearer tokens.",
    "sign-in": "Signing in, for programs that people run.",
    "service": "Whether it serves, how it does, and this description.",
}
# What may come of a call besides its answer, and when.
_ON_POST = (400, 409, 413, 415)
_EVERYWHERE = (429, 503)
_WHOSE = {
    Reach.OWN: "one's own",
    Reach.APPROVED: "what is under policies that one approves",
    Reach.EVERYTHING: "everything",
}
_HEADERS: Mapping[str, Json] = {
    "ETag": {
        "description": "Send it as If-None-Match: what has not changed is not sent again.",
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "In so many seconds it is worth trying again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"schema": {"type": "string"}},
}
_PARAMETERS: Mapping[str, Json] = {
    "If-None-Match": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of what is there already: 304 if it is as it was.",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Any text made for this one call. Sent again with it, the call is not done "
        "again: its first answer comes.",
        "schema": {"type": "string", "pattern": "^[ -~]{1,255}$", "examples": ["8e03978e-40d5"]},
    },
}


def describe(operations: Sequence[Operation], server: str | None) -> Json:
    """Return the document. `server` is our address as people know it."""
    schemas = _Schemas(operations)
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "pgcurfew",
            "version": version("pgcurfew"),
            "description": _ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": (server or "").rstrip("/") or "/"}],
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {
                _name(status): _problem(status, each) for status, each in codes().items()
            },
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _security(server or ""),
        },
    }


def _security(server: str) -> Json:
    cookie = "__Host-pgcurfew" if server.startswith("https://") else "pgcurfew"
    return {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of ours, or the ID token of a workload.",
        },
        "browser": {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "A browser that has signed in. What changes something takes the header "
            f"{CSRF_HEADER} besides.",
        },
    }


class _Untitled(GenerateJsonSchema):
    """A title for every field would only say its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


class _Schemas:
    """What pydantic says of every type, under the names that it goes by."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        kinds = {(kind, mode): None for each in operations for kind, mode in _kinds(each)}
        self._by_kind, rest = TypeAdapter.json_schemas(
            [(kind, mode, _adapter(kind)) for kind, mode in kinds],
            ref_template=_REFERENCE,
            schema_generator=_Untitled,
        )
        self._all: Json = rest["$defs"]
        self._queries = {self._name(kind, mode) for kind, mode in kinds if _is_a(kind, Query)}

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


def _is_a(kind: object, base: type[BaseModel]) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _operation(operation: Operation, schemas: _Schemas) -> Json:
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


def _parameters(operation: Operation, schemas: _Schemas) -> Iterator[Json]:
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
    bare = {key: each for key, each in schema.items() if key not in {"title", "description"}}
    (some, *_) = [each for each in bare.pop("anyOf", [{}]) if each.get("type") != "null"]
    if bare.get("default", 0) is None:
        del bare["default"]
    inner = {key: each for key, each in some.items() if key != "description"}
    if "description" in some:
        about.setdefault("description", some["description"])
    return {**about, "schema": {**bare, **inner}}


def _responses(operation: Operation, access: Access, schemas: _Schemas) -> Json:
    found = {
        status: _answer(HTTPStatus(status), content, schemas)
        for status, content in operation.answers.items()
    }
    if _has_etag(operation):
        found[200]["headers"] = {"ETag": {"$ref": "#/components/headers/ETag"}}
        found[304] = {"description": "It is as it was."}
    for status in _troubles(operation, access):
        found.setdefault(status, {"$ref": f"#/components/responses/{_name(HTTPStatus(status))}"})
    return {str(status): found[status] for status in sorted(found)}


def _answer(status: HTTPStatus, content: Content, schemas: _Schemas) -> Json:
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


def _media(media: Media, schemas: _Schemas) -> Json:
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
        and _is_a(operation.answers.get(200), BaseModel)
    )


def _name(status: HTTPStatus) -> str:
    return "".join(word.capitalize() for word in status.name.split("_"))


def _problem(status: HTTPStatus, of_status: frozenset[str]) -> Json:
    headers = {
        HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
        HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    }.get(status, ())
    told = {each: {"$ref": f"#/components/headers/{each}"} for each in headers}
    return {
        "description": status.phrase,
        **({"headers": told} if told else {}),
        "content": {
            _PROBLEM: {
                "schema": {
                    "allOf": [
                        {"$ref": _REFERENCE.format(model=ProblemView.__name__)},
                        {"properties": {"code": {"enum": sorted(of_status)}}},
                    ]
                }
            }
        },
    }
