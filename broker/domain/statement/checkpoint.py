"""Checkpoints: the newest link of every chain, signed, so that none can be made anew or cut off.

A checkpoint is worth most where the ledger is not: whoever keeps a copy of one can tell whether the
chains of today still have the links that it names. Each names the one before it by its hash.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, TypeAlias

KEY_ID_DIGITS = 16


class ChainName(StrEnum):
    RECEIPTS = "receipts"
    STATEMENTS = "statements"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Head:
    """The newest link of a chain. Number 0 is what the first link follows."""

    number: int
    hash: bytes


Heads: TypeAlias = Mapping[ChainName, Head]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """`body` is what is signed: canonical JSON, with a signature of Ed25519. `key_id` is the
    beginning of SHA-256 over the raw public key, as hexadecimal. `made_at` is RFC 3339."""

    number: int
    made_at: str
    body: str
    key_id: str
    signature: bytes

    @property
    def heads(self) -> Heads:
        """Raises ValueError for a body that is not one of ours."""
        facts = _facts(self.body)
        return {name: _head(facts.get(name)) for name in ChainName}

    @property
    def previous(self) -> str | None:
        """What it says of the one before. Raises ValueError for a body that is not one of ours."""
        previous = _facts(self.body).get("previous")
        return previous if isinstance(previous, str) else None

    @property
    def digest(self) -> str:
        """What the next checkpoint says of this one."""
        return sha256(self.body.encode()).hexdigest()


# Says whether a key that is trusted signed it.
IsGenuine: TypeAlias = Callable[[Checkpoint], bool]


def checkpoint_body(number: int, made_at: str, heads: Heads, previous: Checkpoint | None) -> str:
    """Return the text to sign. `made_at` is RFC 3339."""
    facts = {
        "number": number,
        "made_at": made_at,
        **{
            name.value: {"number": head.number, "hash": head.hash.hex()}
            for name, head in heads.items()
        },
        "previous": previous.digest if previous is not None else None,
    }
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def key_id(raw_public_key: bytes) -> str:
    return sha256(raw_public_key).hexdigest()[:KEY_ID_DIGITS]


def check_checkpoint(found: Checkpoint, number: int, previous: str | None) -> str | None:
    """Say what is wrong, if anything, with what should be checkpoint `number` and follow the one of
    this digest. Nothing is said of its signature."""
    if found.number != number:
        return f"checkpoint {number} is missing"
    try:
        facts = _facts(found.body)
        names_all = len(found.heads) == len(ChainName)
    except ValueError:
        return f"checkpoint {number} is not one"
    is_itself = facts.get("number") == number and facts.get("made_at") == found.made_at
    if not names_all or not is_itself:
        return f"checkpoint {number} says that it is another"
    if facts.get("previous") != previous:
        return f"checkpoint {number} does not follow the one before it"
    return None


def _facts(body: str) -> dict[str, Any]:
    try:
        facts = json.loads(body)
    except RecursionError:
        facts = None
    if not isinstance(facts, dict):
        raise ValueError("not an object")  # noqa: TRY004  (it is a bad value, of a file)
    return facts


def _head(facts: Any) -> Head:
    try:
        return Head(int(facts["number"]), bytes.fromhex(facts["hash"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a head: {error}") from None
