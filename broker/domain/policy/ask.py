"""What is asked for, before it is a request, and what is known at that moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from broker.domain.grant import GrantKind
from broker.domain.network import Network
from broker.domain.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """`person` is to get the role, `requester` asks for it: the same, unless on behalf.

    Without a duration they take what the policy gives to those who name none; without networks,
    the policy's.
    """

    person: Person
    requester: Person
    target: str
    database: str
    role: str
    kind: GrantKind = GrantKind.LOGIN
    duration: timedelta | None = None
    reason: str = ""
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`on_call` has the e-mail addresses by schedule. `pre_approved` has what was agreed to in
    advance for this person and resource: by the policy under which it was, the longest that may be
    taken now. `living` is how many living grants the person has, without the one in question."""

    now: datetime
    on_call: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pre_approved: Mapping[str, timedelta] = field(default_factory=dict)
    living: int = 0
