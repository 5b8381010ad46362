"""The table of who may use which route, the routes that there are, and the docs say the same."""

import re
from pathlib import Path

from api.access import ROUTES, Access
from api.app import make_app
from broker.domain.authorization import Reach
from broker.service.broker import Broker

DOCS = Path(__file__).parents[3] / "docs" / "authorization.md"
# What each kind of person reaches by being one; the narrower is not told beside the wider.
KINDS = {
    "Requester": {Reach.OWN},
    "Reviewer": {Reach.OWN, Reach.APPROVED},
    "Operator": {Reach.OWN, Reach.EVERYTHING},
    "Auditor": {Reach.OWN, Reach.EVERYTHING},
    "Machine": {Reach.OWN},
}
NOTHING = "\u2013"
LEFT = {"Auditor": {"read", "tokens", "sign"}, "Machine": {"read", "ask", "give_back"}}


def routes_of_the_app() -> set[str]:
    """Return the routes as the table names them. They do not depend on the broker's settings."""
    app = make_app(Broker.__new__(Broker))
    return {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


def cell(access: Access, kind: str) -> str:
    """Return what the docs say of a route to one kind of person."""
    if access.is_open:
        return "everybody"
    reached = [
        each.value
        for each in Reach
        if each in KINDS[kind]
        and each in access.through
        and access.through[each].value in LEFT.get(kind, {access.through[each].value})
    ]
    if Reach.EVERYTHING in reached:
        return "everything"
    return ", ".join(reached) or NOTHING


def row(route: str) -> str:
    """Return the route's row in the docs."""
    access = ROUTES[route]
    actions = dict.fromkeys(action.value for action in access.through.values())
    cells = [f"`{route}`", access.does, *(cell(access, kind) for kind in KINDS)]
    return f"| {' | '.join([*cells, ', '.join(actions) or NOTHING])} |"


def rows_in_the_docs() -> list[str]:
    return re.findall(r"^\| `[A-Z]+ /.*\|$", DOCS.read_text(), re.MULTILINE)


def test_every_route_is_in_the_table() -> None:
    missing = sorted(routes_of_the_app() - set(ROUTES))
    lines = "".join(f'\n    "{each}": Access("…", {{OWN: READ, …}}),' for each in missing)
    assert not missing, f"nobody may use these; say in ROUTES of api/access.py who may:{lines}"


def test_the_table_has_no_route_that_is_gone() -> None:
    gone = sorted(set(ROUTES) - routes_of_the_app())
    assert not gone, f"take these out of ROUTES of api/access.py: {', '.join(gone)}"


def test_the_docs_have_the_same_table() -> None:
    wanted, found = [row(each) for each in ROUTES], rows_in_the_docs()
    missing = "".join(f"\n{each}" for each in wanted if each not in found)
    assert not missing, f"docs/authorization.md lacks:{missing}"
    wrong = "".join(f"\n{each}" for each in found if each not in wanted)
    assert not wrong, f"docs/authorization.md has rows that api/access.py has not:{wrong}"
    assert found == wanted, "docs/authorization.md has the rows in another order than the table"


def test_what_changes_something_takes_more_than_reading() -> None:
    """But for what is asked with a body and changes nothing, which is to be named here."""
    reading = {
        route
        for route, access in ROUTES.items()
        if not route.startswith("GET ") and "read" in access.through.values()
    }
    assert reading == {"POST /v1/policies/test", "POST /v1/policies/replay"}


def test_what_only_looks_takes_no_more_than_reading() -> None:
    """But for the pages through which one signs in."""
    assert [
        route
        for route, access in ROUTES.items()
        if route.startswith("GET ") and set(access.through.values()) - {"read", "sign"}
    ] == []
