"""Asking, and deciding."""

from typing import TYPE_CHECKING, Annotated

from pydantic import AwareDatetime, Field

from api.input.values import Conversation, Duration, Email, Identifier, Networks, Stretch, Text
from api.schemas.base import Body, View
from broker.domain.grant import GrantKind
from broker.domain.request import AccessRequest, Comment, Decision, RequestState

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.domain.policy.quorum import Progress
    from broker.service.requests import RequestDetails


class NewRequest(Body):
    """`conversation` is where it is talked over: a link for all who see the request."""

    target: Identifier
    role: Identifier
    kind: GrantKind = GrantKind.LOGIN
    duration: Duration | None = None
    database: Identifier | None = None
    reason: Text = ""
    networks: Networks = ()
    pin_address: bool = False
    person: Email | None = None
    conversation: Conversation | None = None


class Approval(Body):
    """Without `networks` the request's stay; an empty list means anywhere."""

    duration: Duration | None = None
    comment: Text = ""
    networks: Networks | None = None
    pin_address: bool = False
    break_glass: bool = False


class NewComment(Body):
    text: Annotated[Text, Field(min_length=1)]


class Denial(Body):
    reason: Text = ""


class DecisionView(View):
    by: str
    verdict: str
    duration: Duration | None
    comment: str
    at: AwareDatetime
    networks: Networks | None
    pin_address: bool
    break_glass: bool
    allowance_id: str | None

    @classmethod
    def of(cls, decision: Decision) -> "DecisionView":
        return cls.model_construct(
            by=decision.decider.email,
            verdict=decision.verdict.value,
            duration=decision.duration,
            comment=decision.comment,
            at=decision.decided_at,
            networks=decision.networks,
            pin_address=decision.pin_address,
            break_glass=decision.break_glass,
            allowance_id=decision.allowance_id,
        )


class CommentView(View):
    by: str
    text: str
    at: AwareDatetime

    @classmethod
    def of(cls, comment: Comment) -> "CommentView":
        return cls.model_construct(by=comment.author.email, text=comment.text, at=comment.made_at)


class ProgressView(View):
    """One of those that must each agree: how many have, of how many that are needed."""

    label: str
    have: int
    need: int

    @classmethod
    def of(cls, progress: "Progress") -> "ProgressView":
        return cls.model_construct(label=progress.label, have=progress.have, need=progress.need)


class RequestView(View):
    """A request by `requester`, that `person` get something; `why` are the policy's reasons.

    One that `extends` a grant wants it to end that much later, or more rows and bytes of its
    budgets. `approvers`, `progress`, `decisions` and `comments` come with a single request, not in
    lists.
    """

    id: str
    state: RequestState
    person: str
    requester: str
    kind: GrantKind
    target: str
    database: str
    role: str
    duration: Stretch
    reason: str
    source: str | None
    networks: Networks
    pin_address: bool
    policy: str
    why: tuple[str, ...]
    created_at: AwareDatetime
    lapses_at: AwareDatetime
    escalated_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    extends: str | None
    more_rows: int
    more_bytes: int
    grant_id: str | None
    conversation: str | None
    approvers: tuple[str, ...] | None = None
    progress: tuple[ProgressView, ...] | None = None
    decisions: tuple[DecisionView, ...] | None = None
    comments: tuple[CommentView, ...] | None = None

    @classmethod
    def of(cls, request: AccessRequest) -> "RequestView":
        return cls.model_construct(
            id=request.id,
            state=request.state,
            person=request.person.email,
            requester=request.requester.email,
            kind=request.kind,
            target=request.target,
            database=request.database,
            role=request.role,
            duration=request.duration,
            reason=request.reason,
            source=request.source,
            networks=request.networks,
            pin_address=request.pin_address,
            policy=request.policy,
            why=request.why,
            created_at=request.created_at,
            lapses_at=request.lapses_at,
            escalated_at=request.escalated_at,
            closed_at=request.closed_at,
            extends=request.extends,
            more_rows=request.more.rows,
            more_bytes=request.more.bytes,
            grant_id=request.grant_id,
            conversation=request.conversation,
        )

    @classmethod
    def with_details(cls, details: "RequestDetails") -> "RequestView":
        return cls.of(details.request).model_copy(
            update={
                "approvers": details.approvers,
                "progress": tuple(ProgressView.of(each) for each in details.progress),
                "decisions": tuple(DecisionView.of(each) for each in details.decisions),
                "comments": tuple(CommentView.of(each) for each in details.comments),
            }
        )
