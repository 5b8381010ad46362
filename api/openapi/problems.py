"""What may come of a call besides its answer: problems, by their status."""

from http import HTTPStatus

from api.openapi.schemas import REFERENCE, Json
from api.problems import codes
from api.schemas.problems import ProblemView

_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
}


def all_problems() -> Json:
    """Return the answer of each status, with the codes that it may have."""
    return {_name(status): _problem(status, those) for status, those in codes().items()}


def reference_to(status: HTTPStatus) -> Json:
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _name(status: HTTPStatus) -> str:
    """Not by its own: Python has renamed some from one version to the next."""
    return f"Problem{status.value}"


def _problem(status: HTTPStatus, of_status: frozenset[str]) -> Json:
    told = {each: {"$ref": f"#/components/headers/{each}"} for each in _HEADERS.get(status, ())}
    return {
        "description": status.phrase,
        **({"headers": told} if told else {}),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        {"$ref": REFERENCE.format(model=ProblemView.__name__)},
                        {"properties": {"code": {"enum": sorted(of_status)}}},
                    ]
                }
            }
        },
    }
