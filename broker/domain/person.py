"""Who acts: a human or a machine identity, and the groups they belong to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody known to the ledger. `email` is lower case; `groups` come from identity."""

    id: str
    email: str
    name: str
    groups: frozenset[str] = frozenset()


SYSTEM = "system"
"""The actor of what no person did: expiry, the reaper, a proxy."""
