"""What is kept of an answer, and which failures leave a call undone."""

import pytest
from aiohttp import web

from api.guards.idempotency import answer_of, is_refusal
from broker.domain.idempotency import Answer


def test_an_answer_is_kept_as_it_was() -> None:
    response = web.Response(status=201, text='{"é": 1}', content_type="application/json")
    assert answer_of(response) == Answer(201, "application/json", '{"é": 1}')
    assert answer_of(web.Response(status=204)).body == ""


def test_a_secret_is_not_kept() -> None:
    secret = web.Response(text="hunter2", headers={"Cache-Control": "no-store"})
    assert answer_of(secret).body is None
    assert answer_of(web.StreamResponse()).body is None


@pytest.mark.parametrize(
    ("status", "refused"), [(200, False), (400, True), (409, True), (500, False), (503, False)]
)
def test_only_a_refusal_says_that_nothing_was_done(status: int, *, refused: bool) -> None:
    assert is_refusal(status) == refused
