"""The table of operations: what each route is called, what it takes, and what it answers.

A resource has a table. A decorator puts a handler into it: it reads what the handler takes, and
keeps what the OpenAPI description says, so that neither can say what the other does not do.

    @routes.post("/v1/requests/{id}/denial", "deny_request", body=Denial,
                 answers={200: RequestView})
    async def deny(request: web.Request, body: Denial) -> web.Response:

An operation's id is for ever, as its path is: generated clients name their methods after it.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar, overload

from aiohttp import hdrs, web
from pydantic import BaseModel, TypeAdapter, ValidationError

from api.input.faults import InvalidInput, faults_of
from api.input.queries import NoQuery, Query, QueryType, read_query
from api.schemas import Body


@dataclass(frozen=True, slots=True)
class Media:
    """An answer that is no JSON object: its media type and, if it has lines, what each of them is.

    One that is `live` ends when its reader has gone."""

    type: str
    line: TypeAdapter[Any] | None = None
    live: bool = False


# A view as JSON, something else, one of several as the query says, or nothing at all.
Content: TypeAlias = "type[BaseModel] | Media | tuple[Media, ...] | None"
Answers: TypeAlias = Mapping[int, Content]


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """`also` are statuses that it may answer with besides those that its kind may; `about` is what
    its handler says of it to the world, if anything."""

    id: str
    tag: str
    method: str
    path: str
    query: type[Query]
    body: type[Body]
    answers: Answers
    also: tuple[int, ...] = ()
    about: str | None = None

    @property
    def route(self) -> str:
        """As api.access has it."""
        return f"{self.method} {self.path}"


class NoBody(Body):
    """Of what is done by its path alone."""


_NOTHING = {NoQuery, NoBody}

BodyType = TypeVar("BodyType", bound=Body)
_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
_QueryHandler: TypeAlias = Callable[[web.Request, QueryType], Awaitable[web.StreamResponse]]
_BodyHandler: TypeAlias = Callable[[web.Request, BodyType], Awaitable[web.StreamResponse]]
_Any: TypeAlias = Callable[..., Awaitable[web.StreamResponse]]


class Operations(Sequence[web.AbstractRouteDef]):
    """The operations on one resource, after which they are grouped; to aiohttp, its routes."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._routes: list[web.RouteDef] = []
        self.table: list[Operation] = []

    @overload
    def get(
        self, path: str, id_: str, *, answers: Answers, allow_head: bool = True
    ) -> Callable[[_Handler], _Handler]: ...

    @overload
    def get(
        self,
        path: str,
        id_: str,
        *,
        query: type[QueryType],
        answers: Answers,
        allow_head: bool = True,
    ) -> "Callable[[_QueryHandler[QueryType]], _QueryHandler[QueryType]]": ...

    def get(
        self,
        path: str,
        id_: str,
        *,
        query: type[Query] = NoQuery,
        answers: Answers,
        allow_head: bool = True,
    ) -> Callable[[_Any], _Any]:
        """Add what shows something. HEAD would have to make all of it, to throw it away."""
        operation = self._operation(hdrs.METH_GET, path, id_, answers, query=query)
        return self._adder(operation, allow_head=allow_head)

    @overload
    def post(self, path: str, id_: str, *, answers: Answers) -> Callable[[_Handler], _Handler]: ...

    @overload
    def post(
        self,
        path: str,
        id_: str,
        *,
        body: type[BodyType],
        answers: Answers,
        most_bytes: int | None = None,
        also: tuple[int, ...] = (),
    ) -> "Callable[[_BodyHandler[BodyType]], _BodyHandler[BodyType]]": ...

    def post(
        self,
        path: str,
        id_: str,
        *,
        body: type[Body] = NoBody,
        answers: Answers,
        most_bytes: int | None = None,
        also: tuple[int, ...] = (),
    ) -> Callable[[_Any], _Any]:
        """Add what does something. Its body may be longer than others if `most_bytes` says so."""
        operation = self._operation(hdrs.METH_POST, path, id_, answers, body=body, also=also)
        return self._adder(operation, most_bytes=most_bytes)

    def delete(self, path: str, id_: str, *, answers: Answers) -> Callable[[_Handler], _Handler]:
        """Add what puts an end to something."""
        return self._adder(self._operation(hdrs.METH_DELETE, path, id_, answers))

    def _operation(
        self,
        method: str,
        path: str,
        id_: str,
        answers: Answers,
        *,
        query: type[Query] = NoQuery,
        body: type[Body] = NoBody,
        also: tuple[int, ...] = (),
    ) -> Operation:
        return Operation(id_, self._tag, method, path, query, body, answers, also)

    def _adder(
        self, operation: Operation, *, most_bytes: int | None = None, **options: Any
    ) -> Callable[[_Any], _Any]:
        def add(handler: _Any) -> _Any:
            self.table.append(replace(operation, about=handler.__doc__))
            reading = _reading(operation, handler, most_bytes)
            route = web.RouteDef(operation.method, operation.path, reading, options)
            self._routes.append(route)
            return handler

        return add

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[web.AbstractRouteDef]:
        return iter(self._routes)

    @overload
    def __getitem__(self, index: int) -> web.AbstractRouteDef: ...

    @overload
    def __getitem__(self, index: "slice[Any, Any, Any]") -> Sequence[web.AbstractRouteDef]: ...

    def __getitem__(
        self, index: "int | slice[Any, Any, Any]"
    ) -> web.AbstractRouteDef | Sequence[web.AbstractRouteDef]:
        return self._routes[index]


def _reading(operation: Operation, handler: _Any, most_bytes: int | None) -> _Handler:
    """Return the handler, given what it takes. Who names what is not taken hears of it, too."""

    async def handle(request: web.Request) -> web.StreamResponse:
        takes: list[Query | Body] = []
        if operation.path.startswith("/v1/"):  # what load balancers add elsewhere means nothing
            takes.append(read_query(request.query, operation.query))
        if request.method == hdrs.METH_POST:
            takes.append(await _read_body(request, operation.body, most_bytes))
        return await handler(request, *(each for each in takes if type(each) not in _NOTHING))

    return handle


async def _read_body(
    request: web.Request, schema: type[BodyType], most_bytes: int | None
) -> BodyType:
    """Return the JSON body; an empty one is an empty object. Raises InvalidInput.

    JSON has types of its own, so strictly: a number in quotes is none, and "no" is not false."""
    readable = request if most_bytes is None else request.clone(client_max_size=most_bytes)
    try:
        return schema.model_validate_json(await readable.read() or b"{}", strict=True)
    except ValidationError as error:
        raise InvalidInput(faults_of(error, sorted(schema.model_fields))) from None
