"""What became of a request, in a sentence: who decided, what and when."""

from collections.abc import Sequence
from datetime import datetime

from broker.domain.duration import format_duration
from broker.domain.request import AccessRequest, Decision, RequestState, Verdict
from broker.domain.timeline_words import moment, quoted


def told(request: AccessRequest, decisions: Sequence[Decision], reader: str, now: datetime) -> str:
    """Return it for `reader`, an e-mail address, who is spoken to as you; nothing while the request
    waits. `decisions` are in the order in which they were made."""
    match request.state:
        case RequestState.APPROVED:
            return _approved(request, decisions, reader)
        case RequestState.DENIED:
            last = next(each for each in reversed(decisions) if each.verdict is Verdict.DENIAL)
            who = _name(last.decider.email, reader)
            return f"{who} denied this {_at(last.decided_at)}{quoted(last.comment)}"
        case RequestState.CANCELLED:
            return f"this was withdrawn {_at(request.closed_at)}"
        case RequestState.LAPSED:
            return _lapsed(request)
        case _:
            return _lapsed(request) if now >= request.lapses_at else ""


def agreed_before(decisions: Sequence[Decision], reader: str) -> str:
    """Return when the reader agreed, if they have."""
    mine = [
        each
        for each in decisions
        if each.decider.email == reader and each.verdict is Verdict.APPROVAL
    ]
    return f"you agreed to this already, {_at(mine[-1].decided_at)}" if mine else ""


def _approved(request: AccessRequest, decisions: Sequence[Decision], reader: str) -> str:
    consents = [each for each in decisions if each.verdict is Verdict.APPROVAL]
    if not consents:
        return f"this was given {_at(request.closed_at)}: nobody had to agree"
    last = consents[-1]
    others = sorted({each.decider.email for each in consents} - {last.decider.email})
    names = f", as {' and '.join(_name(each, reader) for each in others)} had" if others else ""
    chosen = [each.duration for each in consents if each.duration is not None]
    # An approver may give less, and one that extends a grant may give only rows or bytes.
    lasting = min([request.duration, *chosen])
    time = f" for {format_duration(lasting)}" if lasting else ""
    who = _name(last.decider.email, reader)
    return f"{who} approved this{time} {_at(last.decided_at)}{names}{quoted(last.comment)}"


def _lapsed(request: AccessRequest) -> str:
    return f"this lapsed {_at(request.closed_at or request.lapses_at)}: nobody decided in time"


def _name(email: str, reader: str) -> str:
    return "you" if email == reader else email


def _at(at: datetime | None) -> str:
    return f"on {moment(at)}" if at is not None else ""
