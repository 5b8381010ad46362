"""Who looks at a page: somebody that we know, or nobody."""

from dataclasses import dataclass, field

from aiohttp import web

from api.callers.same_site import csrf_token
from api.keys import ACTOR, SIGNED_IN


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whom a page is for, and what its forms have to bring along from a browser."""

    email: str
    csrf: str | None = field(default=None, repr=False)


def visitor_of(request: web.Request) -> Visitor | None:
    """Return them with the token that their pages' forms need, if a browser has signed them in."""
    if ACTOR not in request:
        return None
    signed_in = request.get(SIGNED_IN)
    csrf = csrf_token(signed_in.shown.secret) if signed_in is not None else None
    return Visitor(request[ACTOR].email, csrf)
