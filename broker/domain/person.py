"""Who acts: a human or a machine identity, and the groups they belong to."""

from dataclasses import dataclass
from enum import StrEnum


class PersonKind(StrEnum):
    HUMAN = "human"
    MACHINE = "machine"  # a CI job, a service


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody known to the ledger. `email` is lower case; `groups` and `manager`, an e-mail
    address, come from identity. A machine's e-mail address is made up and ends in `.machine`."""

    id: str
    email: str
    name: str
    groups: frozenset[str] = frozenset()
    manager: str | None = None
    kind: PersonKind = PersonKind.HUMAN


SYSTEM = "system"
"""The actor of what no person did: expiry, the reaper, a proxy."""
