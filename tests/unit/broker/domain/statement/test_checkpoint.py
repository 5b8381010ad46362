"""Checkpoints: what is signed, and what follows what."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from broker.domain.statement.chain import GENESIS
from broker.domain.statement.checkpoint import (
    ChainName,
    Checkpoint,
    Head,
    check_checkpoint,
    checkpoint_body,
    key_id,
)

HEADS = {
    ChainName.RECEIPTS: Head(0, GENESIS),
    ChainName.STATEMENTS: Head(7, b"s" * 32),
    ChainName.AUDIT: Head(9, b"a" * 32),
}
FIRST = Checkpoint(
    number=1,
    made_at="2026-03-01T12:00:00.000000Z",
    body=checkpoint_body(1, "2026-03-01T12:00:00.000000Z", HEADS, None),
    key_id="k",
    signature=b"",
)


def test_what_is_signed_is_canonical_and_names_every_head_and_the_one_before() -> None:
    body = checkpoint_body(2, "2026-03-01T12:10:00.000000Z", HEADS, FIRST)
    facts = json.loads(body)
    assert facts["previous"] == sha256(FIRST.body.encode()).hexdigest()
    assert facts["statements"] == {"number": 7, "hash": "73" * 32}
    assert body == json.dumps(facts, sort_keys=True, separators=(",", ":"))
    assert FIRST.heads == HEADS
    second = replace(FIRST, number=2, made_at="2026-03-01T12:10:00.000000Z", body=body)
    assert (FIRST.previous, second.previous) == (None, FIRST.digest)
    assert check_checkpoint(FIRST, 1, None) is None
    assert check_checkpoint(second, 2, FIRST.digest) is None
    assert check_checkpoint(second, 2, None) == "checkpoint 2 does not follow the one before it"
    assert check_checkpoint(second, 1, None) == "checkpoint 1 is missing"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"body": "[]"}, "checkpoint 1 is not one"),
        ({"body": "nothing"}, "checkpoint 1 is not one"),
        ({"body": "{}"}, "checkpoint 1 is not one"),
        ({"body": "[" * 100_000}, "checkpoint 1 is not one"),
        ({"body": FIRST.body.replace('"number":7', '"number":"x"')}, "checkpoint 1 is not one"),
        (
            {"body": FIRST.body.replace('"number":1', '"number":3')},
            "checkpoint 1 says that it is another",
        ),
        ({"made_at": "2026-03-01T12:00:00.000001Z"}, "checkpoint 1 says that it is another"),
    ],
)
def test_one_that_was_changed_is_named(changes: dict[str, Any], why: str) -> None:
    assert check_checkpoint(replace(FIRST, **changes), 1, None) == why


def test_a_keys_id_is_the_beginning_of_its_hash() -> None:
    assert key_id(b"k" * 32) == sha256(b"k" * 32).hexdigest()[:16]
