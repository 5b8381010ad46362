"""What /v1/policies takes and answers."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from api.input.values import Duration, Email, Identifier, Moment, Networks, Text
from api.schemas import Body, View
from broker.domain.grant import GrantKind

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.domain.errors import BrokerError
    from broker.domain.policy.access import Access
    from broker.domain.policy.explanation import Considered
    from broker.domain.policy.replay import Answer
    from broker.domain.policy.summary import Summary
    from broker.domain.version import Version
    from broker.ledger.policy_versions import Listed
    from broker.service.policy_history import InForce, VersionDetails
    from broker.service.policy_questions import Answered
    from broker.service.policy_replay import Shifted

LONGEST_FILE = 1_000_000  # characters: some 3,000 policies
_MOST_NAMES = 1000

Names = Annotated[frozenset[Identifier], Field(max_length=_MOST_NAMES)]


class PolicyQuestion(Body):
    """What if `person`, or who asks, wanted this, or `requester` wanted it for them? `at` another
    time, being in other `groups`, under another `manager`, being `on_call` by these schedules, with
    or without an approval in advance, with so many `living` grants. What is null is as it is."""

    person: Email | None = None
    requester: Email | None = None
    target: Identifier
    role: Identifier
    database: Identifier | None = None
    duration: Duration | None = None
    reason: Text = ""
    kind: GrantKind = GrantKind.LOGIN
    networks: Networks = ()
    at: Moment | None = None
    groups: Names | None = None
    manager: Email | None = None
    on_call: Names | None = None
    pre_approved: bool | None = None
    living: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class Replay(Body):
    """`policies` is the text of a policy file."""

    policies: str = Field(max_length=LONGEST_FILE)
    since: Moment


class CutView(View):
    to: Duration
    by: str


class ConsideredView(View):
    """What one policy has to do with the answer: decides, denies, fits (but one before it decides),
    misfit, others (it is for), elsewhere, disabled. `deny` says that it is one that denies."""

    policy: str
    part: str
    deny: bool
    why: tuple[str, ...]

    @classmethod
    def of(cls, considered: "Considered") -> "ConsideredView":
        return cls(
            policy=considered.policy.name,
            part=considered.part,
            deny=considered.policy.denies,
            why=considered.why,
        )


class AnswerView(View):
    """`outcome` is given (at once), ask (its approvers have to agree) or denied, then with the
    `code` of the error that who asks would get. `approvers` must each agree; `other_ways` are those
    in which it goes without them. `conditions` are what sessions would be held to. `silent` has
    schedules that did not say who is on call."""

    person: str
    groups: tuple[str, ...]
    manager: str | None
    requester: str
    target: str
    database: str
    role: str
    kind: GrantKind
    at: AwareDatetime
    asked: Duration | None
    outcome: str
    policy: str | None
    duration: Duration | None
    cuts: tuple[CutView, ...]
    networks: Networks
    conditions: tuple[str, ...]
    approvers: tuple[str, ...]
    other_ways: tuple[str, ...]
    silent: dict[str, str]
    why: tuple[str, ...]
    code: str | None
    considered: tuple[ConsideredView, ...]

    @classmethod
    def of(cls, answered: "Answered") -> "AnswerView":
        ask, decision, policy = answered.ask, answered.explanation.decision, answered.policy
        return cls.model_construct(
            person=ask.person.email,
            groups=tuple(sorted(ask.person.groups)),
            manager=ask.person.manager,
            requester=ask.requester.email,
            target=ask.target,
            database=ask.database,
            role=ask.role,
            kind=ask.kind,
            at=answered.facts.now,
            asked=ask.duration,
            outcome=decision.outcome.value,
            policy=policy.name if policy else None,
            duration=decision.duration,
            cuts=tuple(CutView.model_construct(to=cut.to, by=cut.by) for cut in decision.cuts),
            networks=decision.networks,
            conditions=answered.conditions,
            approvers=answered.approvers,
            other_ways=answered.other_ways,
            silent=dict(answered.silent),
            why=decision.why,
            code=decision.error.code if decision.error else None,
            considered=tuple(ConsideredView.of(each) for each in answered.explanation.considered),
        )


class SideView(View):
    """One of two answers to the same request."""

    outcome: str
    policy: str | None
    duration: Duration | None
    networks: Networks
    approvers: tuple[str, ...]
    other_ways: tuple[str, ...]
    conditions: tuple[str, ...]

    @classmethod
    def of(cls, answer: "Answer") -> "SideView":
        return cls.model_construct(
            outcome=answer.outcome.value,
            policy=answer.policy,
            duration=answer.duration,
            networks=answer.networks,
            approvers=answer.approvers,
            other_ways=answer.other_ways,
            conditions=answer.conditions,
        )


class ShiftLine(View):
    """A past request that the proposed policies would have answered otherwise, and in what."""

    type: Literal["shift"] = "shift"
    request: str
    at: AwareDatetime
    state: str
    person: str
    target: str
    database: str
    role: str
    kind: GrantKind
    asked: Duration
    changed: tuple[str, ...]
    before: SideView
    after: SideView
    why: tuple[str, ...]

    @classmethod
    def of(cls, shifted: "Shifted") -> "ShiftLine":
        request, shift = shifted.request, shifted.shift
        return cls.model_construct(
            request=request.id,
            at=request.created_at,
            state=request.state.value,
            person=request.person.email,
            target=request.target,
            database=request.database,
            role=request.role,
            kind=request.kind,
            asked=request.duration,
            changed=shift.changed,
            before=SideView.of(shift.before),
            after=SideView.of(shift.after),
            why=shift.why,
        )


class ProgressLine(View):
    type: Literal["progress"] = "progress"
    considered: int


class ErrorLine(View):
    """It stopped here."""

    type: Literal["error"] = "error"
    code: str
    detail: str

    @classmethod
    def of(cls, error: "BrokerError") -> "ErrorLine":
        return cls(code=error.code, detail=str(error))


class ReplayEndLine(View):
    """The last line: nothing is missing."""

    type: Literal["end"] = "end"
    considered: int
    shifted: int


ReplayLine = Annotated[
    ShiftLine | ProgressLine | ErrorLine | ReplayEndLine, Field(discriminator="type")
]
REPLAY_LINE: TypeAdapter[ReplayLine] = TypeAdapter(ReplayLine)


class VersionView(View):
    """A file as it came into force. `digest` is what sha256sum says of it."""

    number: int
    kind: str
    digest: str
    since: AwareDatetime
    loaded_by: str

    @classmethod
    def of(cls, listed: "Listed") -> "VersionView":
        return cls.model_construct(
            number=listed.number,
            kind=listed.kind.value,
            digest=listed.digest.hex(),
            since=listed.loaded_at,
            loaded_by=listed.loaded_by,
        )


class VersionList(View):
    """`next` is the value of `after` that continues the list, or null at its end."""

    items: tuple[VersionView, ...]
    next: int | None


class TextView(VersionView):
    """With the text, and the names of variables that win over what it says."""

    text: str
    environment: tuple[str, ...]

    @classmethod
    def of_version(cls, version: "Version") -> "TextView":
        return cls.model_construct(
            number=version.number,
            kind=version.written.kind.value,
            digest=version.written.digest.hex(),
            since=version.loaded_at,
            loaded_by=version.loaded_by,
            text=version.written.text,
            environment=version.written.environment,
        )


class PolicyView(View):
    """A policy in words: what it `gives` to any of `people`, or denies them, but not what is in
    `except_for`; for how long at most, and to who names no duration. `approvers` must each agree;
    none: nobody has to. `other_ways` are those in which it goes without them. `terms` are what it
    wants besides, and what it holds sessions to."""

    name: str
    enabled: bool
    denies: bool
    people: tuple[str, ...]
    gives: tuple[str, ...]
    except_for: tuple[str, ...]
    longest: Duration | None
    usual: Duration | None
    approvers: tuple[str, ...]
    other_ways: tuple[str, ...]
    terms: tuple[str, ...]

    @classmethod
    def of(cls, summary: "Summary") -> "PolicyView":
        return cls.model_construct(**{name: getattr(summary, name) for name in cls.model_fields})


class InForceView(View):
    """The policy file in force, and what it says, in the order of the file."""

    version: TextView
    policies: tuple[PolicyView, ...]

    @classmethod
    def of(cls, in_force: "InForce") -> "InForceView":
        return cls.model_construct(
            version=TextView.of_version(in_force.version),
            policies=tuple(PolicyView.of(each) for each in in_force.policies),
        )


class VersionDetailsView(View):
    """`diff` is against the version `before`; `lines_left_out` of it are not here."""

    version: TextView
    before: int | None
    diff: str
    lines_left_out: int

    @classmethod
    def of(cls, details: "VersionDetails") -> "VersionDetailsView":
        return cls.model_construct(
            version=TextView.of_version(details.version),
            before=details.before,
            diff=details.change.diff,
            lines_left_out=details.change.left_out,
        )


class AccessView(View):
    """Something that a person may ask for. `database` may be a glob. `approvers` must each agree;
    none: nobody has to. `notes` are what the policy wants besides, or what is in the way."""

    target: str
    database: str
    role: str
    policy: str
    longest: Duration
    approvers: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, access: "Access") -> "AccessView":
        return cls.model_construct(**{name: getattr(access, name) for name in cls.model_fields})
