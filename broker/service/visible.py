"""What a person may see, and in which ways they have to do with it.

What somebody sees follows from who they are alone, so no door to the broker has to say it, or could
say more: operators and auditors see everything, everybody else requests and grants by and for them,
and those that they approve. What may be done in several ways, such as ending a session as its
holder, as an approver or as an operator, also takes `reach`: how far the door found that what the
caller came with goes.

The same rule stands here for one and in `ledger.sight` for many.
"""

from contextlib import suppress

from broker.domain.authorization import Reach
from broker.domain.errors import NotApprover, NotFound
from broker.domain.grant import Grant
from broker.domain.on_call import OnCallNow
from broker.domain.person import Person, PersonKind
from broker.domain.policy.quorum import Panel
from broker.domain.policy.rule import Policy
from broker.domain.request import AccessRequest
from broker.ledger import grants, requests, sessions
from broker.ledger.connection import Db
from broker.ledger.sessions import SessionRow
from broker.ledger.sight import Deciding, Subject, Visible
from broker.service.context import Context


async def visible_to(context: Context, person: Person) -> Visible:
    """Asks who is on call, so never inside a transaction."""
    policies = context.policies.policies
    return Visible(
        person=person,
        policies=context.policies.approvable_by(person),
        managed=[each.name for each in policies if _asks_managers(each)],
        on_call=await _escalated_to(context, person),
        everything=context.authority.sees_everything(person),
        operates=context.authority.operates(person),
    )


def deciding_of(context: Context, visible: Visible) -> Deciding:
    """Return what the person agrees to, as others do; machines agree to nothing."""
    person = visible.person
    human = person.kind is PersonKind.HUMAN
    return Deciding(
        person=person,
        policies=context.policies.decidable_by(person),
        managed=visible.managed if human else [],
        on_call=visible.on_call if human else [],
        one_party=[
            each.name
            for each in context.policies.policies
            if each.approval is not None and each.approval.one_party
        ],
    )


def only_own_of(person: Person) -> Visible:
    return Visible(person=person, policies=[])


def decides(visible: Visible, request: AccessRequest) -> bool:
    """Say whether the person is one of those who decide about such requests, and may take away what
    was given."""
    return decides_about(visible, _subject(request))


def is_own(visible: Visible, request: AccessRequest) -> bool:
    return visible.person.id in (request.person.id, request.requester.id)


def shows(visible: Visible, request: AccessRequest) -> bool:
    return shows_subject(visible, _subject(request))


def decides_about(visible: Visible, subject: Subject) -> bool:
    return (
        subject.policy in visible.policies
        or (subject.person_manager == visible.person.email and subject.policy in visible.managed)
        or (subject.is_escalated and subject.policy in visible.on_call)
    )


def shows_subject(visible: Visible, subject: Subject) -> bool:
    return (
        visible.everything
        or visible.person.id in (subject.person_id, subject.requester_id)
        or decides_about(visible, subject)
    )


def ties(visible: Visible, request: AccessRequest, *, own: bool) -> frozenset[Reach]:
    """Return in which ways the person has to do with a request and what came of it; whether it is
    their own, the caller says."""
    found = {
        Reach.OWN: own,
        Reach.APPROVED: decides(visible, request),
        Reach.EVERYTHING: visible.operates,
    }
    return frozenset(each for each, is_so in found.items() if is_so)


async def require_visible(db: Db, visible: Visible, grant_id: str) -> tuple[Grant, AccessRequest]:
    """Return a grant with its request. Raises NotFound for one that is not there or not this
    person's to see."""
    grant = await grants.fetch(db, grant_id)
    request = await requests.fetch(db, grant.request_id) if grant is not None else None
    if grant is None or request is None or not shows(visible, request):
        raise NotFound("grant", grant_id)
    return grant, request


async def find_session(db: Db, visible: Visible, session_id: str) -> tuple[SessionRow, Grant]:
    """Return a session with its grant. Raises NotFound for one that is not there or not this
    person's to see."""
    for row in await sessions.fetch(db, [session_id]):
        with suppress(NotFound):
            grant, _request = await require_visible(db, visible, row.grant_id)
            return row, grant
    raise NotFound("session", session_id)


async def require_ender(db: Db, visible: Visible, grant_id: str, reach: frozenset[Reach]) -> Grant:
    """Return a grant whose sessions the person may end: its holder, who decides about it, and an
    operator. Raises NotFound or NotApprover."""
    grant, request = await require_visible(db, visible, grant_id)
    if not reach & ties(visible, request, own=visible.person.id == grant.person.id):
        raise NotApprover("only who holds a grant, or approves it, ends its sessions")
    return grant


def visible_roles(context: Context, person: Person) -> dict[str, list[str]]:
    """Return the roles that the person may ask for, or all there are, by target."""
    if context.authority.sees_everything(person):
        return {name: sorted(target.roles) for name, target in context.catalog.targets.items()}
    return context.catalog.allowed_to(person, context.policies)


def panel_of(
    policy: Policy, request: AccessRequest, requester: Person, on_call: OnCallNow
) -> Panel:
    """Return who decides about the request; `requester` asked for what it gives, or extends."""
    called: set[str] = set()
    if request.escalated_at is not None and policy.approval is not None:
        for schedule in policy.approval.escalation:
            called |= on_call.get(schedule, frozenset())
    return Panel(
        policy=policy,
        person=request.person,
        requester=requester,
        on_call_approvers=frozenset(called),
    )


def _subject(request: AccessRequest) -> Subject:
    return Subject(
        person_id=request.person.id,
        requester_id=request.requester.id,
        person_manager=request.person.manager,
        policy=request.policy,
        is_escalated=request.escalated_at is not None,
    )


def _asks_managers(policy: Policy) -> bool:
    return policy.approval is not None and any(each.manager for each in policy.approval.agreements)


async def _escalated_to(context: Context, person: Person) -> list[str]:
    escalating = [
        (policy.name, policy.approval.escalation)
        for policy in context.policies.policies
        if policy.approval is not None and policy.approval.escalation
    ]
    if not escalating:
        return []
    schedules = frozenset[str]().union(*(each for _name, each in escalating))
    on_call = await context.on_call.who(schedules)
    mine = {name for name, people in on_call.items() if person.email in people}
    return [name for name, each in escalating if each & mine]
