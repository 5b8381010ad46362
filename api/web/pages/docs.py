"""/docs: the OpenAPI description, shown by Swagger UI, which is in the package."""

from aiohttp import web

from api.web.rendering import render

# Swagger UI writes styles into the page, and has its pictures in its own. Nothing else is other
# than on every page of ours: no script but our files, and nothing from or to anywhere else.
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'none'"
)

routes = web.RouteTableDef()


@routes.get("/docs")
async def docs(request: web.Request) -> web.Response:
    return render(request, "docs.html", headers={"Content-Security-Policy": _POLICY})
