"""The two answers to "who is this?"."""

from dataclasses import dataclass

from broker.domain.person import PersonKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Who a provider or a workload's issuer vouches for. `provider` is its name in the settings,
    `subject` what it calls them; `email` is lower case, and made up for a machine."""

    email: str
    name: str
    groups: frozenset[str]
    manager: str | None
    kind: PersonKind
    provider: str
    subject: str


@dataclass(frozen=True, slots=True)
class Refused:
    """`reason` is for operators: whoever knocks is never told."""

    reason: str
