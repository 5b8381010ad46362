"""The page of one request: what has become of it, and what to do next."""

from html import escape

from aiohttp import web

from api.schemas import CommentView, DecisionView, RequestView
from api.visitor import Visitor
from api.web.page import copyable, facts, moment, page
from broker.domain.duration import format_duration
from broker.domain.request import RequestState
from broker.domain.size import format_size

_PENDING = """\
<p>Nobody has to keep this page open: the request waits. Load it again to see what has been
decided.</p>
"""


def request_page(view: RequestView, visitor: Visitor) -> web.Response:
    decisions = "".join(_decision(each) for each in view.decisions or ())
    comments = "".join(_comment(each) for each in view.comments or ())
    body = (
        facts([*_asked(view), *_progress(view)])
        + (f"<h2>Decisions</h2>{decisions}" if decisions else "")
        + (f"<h2>Comments</h2>{comments}" if comments else "")
        + _next(view, visitor)
    )
    return page(f"Request {view.id}", body, visitor=visitor)


def _asked(view: RequestView) -> list[tuple[str, str]]:
    return [
        ("State", view.state),
        ("Whose", view.person),
        ("Asked by", view.requester if view.requester != view.person else ""),
        ("Prolongs", view.extends or ""),
        ("Target", view.target),
        ("Role", view.role),
        ("Database", view.database),
        ("For", format_duration(view.duration) if view.duration else ""),
        ("More rows", f"{view.more_rows:,}" if view.more_rows else ""),
        ("More bytes", format_size(view.more_bytes) if view.more_bytes else ""),
        ("Reason", view.reason),
        ("From", ", ".join(map(str, view.networks))),
        ("Asked", moment(view.created_at)),
        ("Policy", view.policy),
        *(("Because", each) for each in view.why),
    ]


def _progress(view: RequestView) -> list[tuple[str, str]]:
    if view.state is not RequestState.PENDING:
        return []
    return [
        ("Waits until", moment(view.lapses_at)),
        ("Escalated", moment(view.escalated_at)),
        ("Approvers", ", ".join(view.approvers or ())),
        *(("Agreed", f"{each.label}: {each.have} of {each.need}") for each in view.progress or ()),
    ]


def _decision(decision: DecisionView) -> str:
    return facts(
        [
            (decision.verdict.capitalize(), f"by {decision.by}, {moment(decision.at)}"),
            ("For", format_duration(decision.duration) if decision.duration else ""),
            ("Comment", decision.comment),
            ("Break-glass", "yes" if decision.break_glass else ""),
        ]
    )


def _comment(comment: CommentView) -> str:
    return facts([(escape(comment.by), comment.text), ("At", moment(comment.at))])


def _next(view: RequestView, visitor: Visitor) -> str:
    is_own = visitor.email in (view.person, view.requester)
    if view.grant_id is not None and visitor.email == view.person:
        return (
            "<h2>Your access</h2>"
            f"{copyable('A new secret for it, shown once', f'pgcurfew credential {view.grant_id}')}"
            f"{copyable('Give it back early', f'pgcurfew relinquish {view.grant_id}')}"
        )
    if view.state is not RequestState.PENDING:
        return ""
    if is_own:
        withdraw = copyable("Withdraw it, in a terminal", f"pgcurfew cancel {view.id}")
        return f"<h2>And then</h2>{_PENDING}{withdraw}"
    return (
        "<h2>Decide, in a terminal</h2>"
        f"{copyable('Approve', f'pgcurfew approve {view.id}')}"
        f"{copyable('Deny', f'pgcurfew deny {view.id}')}"
    )
