"""Whose requests, grants and sessions a person may see: one rule for every list."""

from dataclasses import dataclass, field

from broker.domain.person import Person

_DECIDED = """
    (r.policy = ANY (${}) OR (r.person_manager = ${} AND r.policy = ANY (${}))
     OR (r.escalated_at IS NOT NULL AND r.policy = ANY (${})))
"""
# Of a row `r` of requests, with `Visible.deciding` as the first four parameters.
DECIDED = _DECIDED.format(1, 2, 3, 4)
# The same, with `Visible.arguments` as the first six.
VISIBLE = f"($1 OR r.person_id = $2 OR r.requester_id = $2 OR {_DECIDED.format(3, 4, 5, 6)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """What one person may see: requests by and for them, and those that they approve, by policy.

    `policies` always; `managed` if they manage the person; `on_call` if escalated. `everything` for
    those who see all, of whom those with `operates` also act on it.
    """

    person: Person
    policies: list[str]
    managed: list[str] = field(default_factory=list)
    on_call: list[str] = field(default_factory=list)
    everything: bool = False
    operates: bool = False

    @property
    def deciding(self) -> tuple[list[str], str, list[str], list[str]]:
        return self.policies, self.person.email, self.managed, self.on_call

    @property
    def arguments(self) -> tuple[bool, str, list[str], str, list[str], list[str]]:
        return self.everything, self.person.id, *self.deciding


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Whose pending requests one person may decide now, by policy, like others who agree: theirs
    are not among them, except under `one_party` policies."""

    person: Person
    policies: list[str]
    managed: list[str]
    on_call: list[str]
    one_party: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What of a request says who may see it, and what came of it; the same of what somebody agreed
    to beforehand."""

    person_id: str
    requester_id: str
    person_manager: str | None
    policy: str
    is_escalated: bool
