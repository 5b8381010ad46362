"""What stands in paths: the ids of things, and names. What is none of them is not found, like a
thing that is not there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from api.input.values import ID_EXAMPLE, id_pattern
from broker.domain.errors import NotFound
from broker.domain.ids import IdKind


@dataclass(frozen=True, slots=True)
class PathParameter:
    """`what` it names, and the `pattern` that it is from end to end."""

    what: str
    pattern: str
    example: str


def _id(kind: IdKind, what: str) -> PathParameter:
    return PathParameter(what, id_pattern(kind), f"{kind}_{ID_EXAMPLE}")


# By the collection that they stand behind, and their name.
_PARAMETERS: Mapping[tuple[str, str], PathParameter] = {
    ("requests", "id"): _id(IdKind.REQUEST, "request"),
    ("grants", "id"): _id(IdKind.GRANT, "grant"),
    ("access", "id"): _id(IdKind.GRANT, "grant"),
    ("sessions", "id"): _id(IdKind.SESSION, "session"),
    ("held-commits", "id"): _id(IdKind.HELD_COMMIT, "held commit"),
    ("allowances", "id"): _id(IdKind.ALLOWANCE, "allowance"),
    ("alarms", "id"): _id(IdKind.ALARM, "alarm"),
    ("tokens", "id"): _id(IdKind.TOKEN, "token"),
    ("versions", "number"): PathParameter("version", "[0-9]{1,18}", "12"),
    ("targets", "name"): PathParameter("target", "[a-z0-9][a-z0-9._-]{0,62}", "orders"),
    ("people", "email"): PathParameter("person", r"me|[^@\s/]+@[^@\s/]+", "me"),
    ("bans", "key"): PathParameter("ban", r"[^\x00-\x1f\x7f]{1,400}", "address 192.0.2.7"),
}
_IN_PATH = re.compile(r"/([a-z-]+)/\{([a-z]+)\}")


def parameters_of(path: str) -> Mapping[str, PathParameter]:
    """Return what a path such as `/v1/grants/{id}/review` has in it, by name."""
    return {name: _PARAMETERS[place, name] for place, name in _IN_PATH.findall(path)}


def in_path(request: web.Request) -> str:
    """Return what the path names. Raises NotFound for what can be the name of nothing."""
    resource = request.match_info.route.resource
    assert resource is not None, "a route of ours matched"
    ((name, parameter),) = parameters_of(resource.canonical).items()
    text = request.match_info[name]
    if not re.fullmatch(parameter.pattern, text):
        raise NotFound(parameter.what, text)
    return text
