"""The API against its own OpenAPI description, as each kind of person: what it answers is what it
says that it answers, and what it says that it does not take it does not.

The calls are schemathesis's. `--fuzz-seconds` makes more of them.
"""

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks as conformance

from tests.support.house import AUDITOR, JOB, NOBODY, OPERATOR, House, house_on
from tests.support.stage import DEV, POLICIES, REVIEWER, Stage

pytestmark = pytest.mark.newest

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]

KINDS = (NOBODY, DEV, REVIEWER, OPERATOR, AUDITOR, JOB)
CHECKS = [
    schemathesis.checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.negative_data_rejection,
]
# They go on until their reader has gone. What they say, their own tests look at.
ENDLESS = {"follow_events"}
# What is longer than its longest field would be megabytes, for each kind of person.
HUGE = {"replay_policies"}
EXAMPLES, EXAMPLES_PER_S = 2, 1  # of each operation, right and wrong: at least, for --fuzz-seconds
# Some of what has to come about, so that answers that are as they should be have been looked at.
WORKING = {
    "create_request",
    "list_requests",
    "get_request",
    "comment_on_request",
    "get_grant",
    "get_receipt",
    "list_sessions",
    "get_privilege_fit",
    "test_policies",
    "list_targets",
    "export_record",
    "follow_record",
    "verify_record",
    "create_token",
}
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Sense:
    """What makes a call that is right one that could also work: things that there are."""

    paths: Mapping[str, Mapping[str, str]]
    fields: Mapping[str, Any]

    def put_into(self, case: Case[Any]) -> None:
        place = case.operation.path.split("/")[2] if case.operation.path.count("/") > 1 else ""
        for name in case.path_parameters or ():
            case.path_parameters[name] = self.paths[place][name]
        if isinstance(case.body, dict):
            case.body.update({name: self.fields[name] for name in case.body if name in self.fields})


async def sense_of(house: House) -> Sense:
    holding = await house.holding_of(DEV)
    await house.review_due(holding.grant)
    paths = {
        "requests": {"id": holding.request},
        "grants": {"id": holding.grant},
        "sessions": {"id": holding.session},
        "held-commits": {"id": await house.held_commit(holding)},
        "alarms": {"id": await house.alarm(holding.grant)},
        "allowances": {"id": await house.allowance(DEV)},
        "tokens": {"id": await house.spare_token(DEV)},
        "bans": {"key": (await house.ban()).replace("/", "%2F")},
        "policies": {"number": str(house.broker.context.policy_version)},
        "targets": {"name": "orders"},
        "people": {"email": DEV},
    }
    fields: dict[str, Any] = {
        "target": "orders",
        "role": "orders_reader",
        "database": None,
        "networks": [],
        "duration": "PT1H",
        "person": DEV,
        "requester": DEV,
        "ends_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "starts_at": None,
        "policies": yaml.safe_dump(POLICIES),
    }
    return Sense(paths, fields)


@dataclass(frozen=True, slots=True)
class Calls:
    """Every case, sent as each kind of person; and what was wrong with the answers."""

    tokens: Mapping[str, str | None]
    sense: Sense
    examples: int
    session: requests.Session = field(default_factory=requests.Session)
    wrong: dict[str, str] = field(default_factory=dict)
    done: set[tuple[str, str]] = field(default_factory=set)
    """Which operation worked, as which kind of person."""

    def make(self, operation: Operation, mode: GenerationMode) -> None:
        turn = itertools.count()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=self.examples,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def send(case: Case[Any]) -> None:
            if mode is GenerationMode.POSITIVE and next(turn) % 2 == 0:
                self.sense.put_into(case)
            if case.operation.path == "/v1/audit/stream":
                case.query["follow"] = "false"
            for kind in self.tokens:
                self._send(case, kind)

        with suppress(Unsatisfiable):  # nothing of it can be wrong
            send()

    def _send(self, case: Case[Any], kind: str) -> None:
        token = self.tokens[kind]
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        response = case.call(session=self.session, headers=headers, timeout=TIMEOUT_S)
        if response.status_code < 300:
            self.done.add((operation_id(case.operation), kind))
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as found:
            for each in found.exceptions:
                what = f"{case.operation.label} as {kind}: {each.title}"
                said = f"{each}\n{response.text[:500]}\n{case.as_curl_command()}"
                self.wrong.setdefault(what, said)


def operation_id(operation: Operation) -> str:
    return str(operation.definition.raw["operationId"])


def operations_of(document: dict[str, Any], url: str) -> Iterator[Operation]:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    schema.config.generation.update(with_security_parameters=False)
    # What is far too long is refused for that alone.
    rejection = schema.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]
    for each in schema.get_all_operations():
        assert isinstance(each, Ok)
        operation = each.ok()
        if operation_id(operation) not in ENDLESS:
            yield operation


async def test_the_api_does_what_it_says(stage: Stage, pytestconfig: pytest.Config) -> None:
    seconds = float(pytestconfig.getoption("--fuzz-seconds"))
    async with house_on(stage) as house:
        url = str(house.client.make_url("")).rstrip("/")
        _, document = await house.call(NOBODY, "GET", "/openapi.json")
        tokens = {kind: None if kind == NOBODY else await house.token(kind) for kind in KINDS}
        examples = max(EXAMPLES, int(seconds * EXAMPLES_PER_S))
        calls = Calls(tokens, await sense_of(house), examples)

        def all_of_it() -> None:
            for operation in operations_of(document, url):
                calls.make(operation, GenerationMode.POSITIVE)
                if operation_id(operation) not in HUGE:
                    calls.make(operation, GenerationMode.NEGATIVE)

        await asyncio.to_thread(all_of_it)
    assert {each for each, _ in calls.done} >= WORKING
    assert not calls.wrong, "\n\n".join(f"{call}\n{why}" for call, why in calls.wrong.items())
