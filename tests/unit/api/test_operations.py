"""The routes, the table of operations, their description and the client know the same calls."""

import json
import re
from collections import Counter

from api.app import make_app
from api.client import SHORT, Client
from api.keys import OPERATIONS
from api.openapi import describe
from broker.service.broker import Broker

APP = make_app(Broker.__new__(Broker))
OPERATIONS_OF_APP = APP[OPERATIONS]
DOCUMENT = describe(OPERATIONS_OF_APP, "https://pgcurfew.example.com/")


def test_all_that_is_versioned_stands_in_the_table() -> None:
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in APP.router.routes()
        if route.resource is not None
        and route.resource.canonical.startswith("/v1/")
        and route.method != "HEAD"
    }
    assert routes - {each.route for each in OPERATIONS_OF_APP} == set()


def test_every_operation_has_a_name_of_its_own() -> None:
    names = Counter(each.id for each in OPERATIONS_OF_APP)
    assert [name for name, count in names.items() if count > 1] == []
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []


def test_the_client_makes_every_call() -> None:
    """A method is called as its operation, but for those of which the verb says enough."""
    names = [SHORT.get(each.id, each.id) for each in OPERATIONS_OF_APP]
    assert [name for name in names if not callable(getattr(Client, name, None))] == []
    assert set(SHORT) - {each.id for each in OPERATIONS_OF_APP} == set()


def test_the_description_refers_to_nothing_that_is_not_there() -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT))):
        place = DOCUMENT
        for step in reference.split("/"):
            assert step in place, reference
            place = place[step]


def test_every_group_of_operations_is_described() -> None:
    described = {each["name"] for each in DOCUMENT["tags"]}
    assert {each.tag for each in OPERATIONS_OF_APP} == described


def test_what_an_operation_takes_and_may_answer_is_said() -> None:
    asking = DOCUMENT["paths"]["/v1/requests/{id}/approval"]["post"]
    assert asking["operationId"] == "approve_request"
    assert asking["summary"] == "Approves a request"
    assert asking["x-pgcurfew-access"] == {"approved": "decide"}
    assert set(asking["responses"]) >= {"201", "202", "401", "403", "404", "409", "413", "422"}
    names = [each.get("name", each.get("$ref")) for each in asking["parameters"]]
    assert names == ["id", "#/components/parameters/Idempotency-Key"]
    limit = next(
        each
        for each in DOCUMENT["paths"]["/v1/grants"]["get"]["parameters"]
        if each.get("name") == "limit"
    )
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}


def test_a_browsers_cookie_goes_by_the_name_that_it_has_there() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes["browser"]["name"] == "__Host-pgcurfew"
    plain = describe(OPERATIONS_OF_APP, None)
    assert plain["components"]["securitySchemes"]["browser"]["name"] == "pgcurfew"
    assert plain["servers"] == [{"url": "/"}]
