"""What the API is sent is JSON. Forms of other sites cannot send any without asking first (CORS),
so this keeps them out, too."""

from aiohttp import web

from api.callers.browsers import Handler

_JSON = "application/json"


@web.middleware
async def media_types(request: web.Request, handler: Handler) -> web.StreamResponse:
    is_for_programs = request.path.startswith("/v1/")
    if is_for_programs and request.can_read_body and not is_json(request.content_type):
        raise web.HTTPUnsupportedMediaType(
            text=f"a body here is JSON; send it with Content-Type: {_JSON}"
        )
    return await handler(request)


def is_json(media_type: str) -> bool:
    """Say so of a type without its parameters, in lower case."""
    return media_type == _JSON or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
