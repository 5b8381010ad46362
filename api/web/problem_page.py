"""What goes wrong, as a page, for browsers that ask for one. Programs get problem+json."""

from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import hdrs, web

from api.callers.browsers import Handler
from api.problems import status_of
from api.web.rendering import lead_to, render
from broker.domain.errors import BrokerError, Unauthenticated

_TITLES = {
    HTTPStatus.UNAUTHORIZED: "Sign in first",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Nothing here",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not at the moment",
}
_SAID = {
    HTTPStatus.NOT_FOUND: "there is no such page",
    HTTPStatus.METHOD_NOT_ALLOWED: "this page does not work like that",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "this is too much text",
}


@web.middleware
async def page_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn failures into pages, and lead whoever has not signed in to where they can."""
    if not _is_for_a_page(request):
        return await handler(request)
    try:
        return await handler(request)
    except Unauthenticated as error:
        if request.method == hdrs.METH_GET:
            return lead_to(f"/sign-in?{urlencode({'to': request.path_qs})}")
        return _problem_page(request, status_of(error), str(error))
    except BrokerError as error:
        return _problem_page(request, status_of(error), str(error))
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        return _problem_page(request, status, _SAID.get(status, status.phrase))


def _is_for_a_page(request: web.Request) -> bool:
    return not request.path.startswith("/v1/") and "text/html" in request.headers.get("Accept", "")


def _problem_page(request: web.Request, status: HTTPStatus, said: str) -> web.Response:
    title = _TITLES.get(status, status.phrase)
    return render(request, "problem.html", status=status, title=title, said=said)
