"""Requests and grants, printed for people or for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape

from api.cli.output import moment, out, print_fields, print_json, print_table, time_left
from api.schemas import (
    AlarmView,
    ApprovalView,
    CommentView,
    DecisionView,
    FindingView,
    GrantView,
    ReceiptView,
    RequestView,
    ReviewView,
)
from broker.domain.duration import format_duration
from broker.domain.grant import ENDING_STATES, GrantState
from broker.domain.network import Address, Network
from broker.domain.size import format_size, rough_size

_NAMED_BRIEFLY = 2
_SIGNS = {"accepted": "·", "undone": "✓"}


def print_decided(view: RequestView) -> None:
    said = [each.comment for each in view.decisions or () if each.comment]
    because = f": {said[-1]}" if said else ""
    out.print(f"{view.id} is {view.state}{because}", markup=False)
    if view.grant_id:
        out.print(f"Next: pgcurfew credential {view.grant_id}")


def print_pending(view: RequestView) -> None:
    """Say who has to agree, and how they do."""
    out.print(f"[bold]{view.id}[/] is pending until {moment(view.lapses_at)}.")
    out.print(f"Approvers: {names(view.approvers)}", markup=False)
    for each in view.progress or ():
        if each.need > 1 or each.have:
            out.print(f"  {each.label}: {each.have} of {each.need}", markup=False)
    out.print(f"They run: pgcurfew approve {view.id}")


def print_approval(view: ApprovalView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
    elif view.grant is not None:
        print_grant(view.grant, as_json=False)
    else:
        out.print("Your approval counts; others have to agree, too.")
        print_pending(view.request)


def print_review(view: ReviewView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_fields(
        [
            ("grant", view.grant_id),
            ("due", moment(view.due_at)),
            ("written", moment(view.written_at)),
            ("by", view.writer or ""),
            ("review", view.text or "not yet written: pgcurfew review GRANT --text …"),
        ]
    )


def print_request(view: RequestView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_fields(
        [
            ("request", view.id),
            ("state", view.state),
            ("person", view.person),
            ("asked by", view.requester if view.requester != view.person else ""),
            ("extends", view.extends or ""),
            ("target", view.target),
            ("database", view.database),
            ("role", view.role),
            ("for", format_duration(view.duration) if view.duration else ""),
            ("more rows", f"{view.more_rows:,}" if view.more_rows else ""),
            ("more bytes", format_size(view.more_bytes) if view.more_bytes else ""),
            ("reason", view.reason),
            ("asked from", view.source or ""),
            ("from", where_from(view.networks, pinned=view.pin_address)),
            ("policy", view.policy),
            *(("because", each) for each in view.why),
            ("approvers", names(view.approvers)),
            *((each.label, f"{each.have} of {each.need}") for each in view.progress or ()),
            ("escalated", moment(view.escalated_at)),
            ("made", moment(view.created_at)),
            (
                "lapses" if view.closed_at is None else "closed",
                moment(view.closed_at or view.lapses_at),
            ),
            ("grant", view.grant_id or ""),
        ]
        + [(each.verdict, _said(each)) for each in view.decisions or ()]
        + [("comment", _commented(each)) for each in view.comments or ()]
    )


def print_grant(view: GrantView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    ended = view.state in (*ENDING_STATES, GrantState.ENDED)
    left = "" if ended else f" ({time_left(view.expires_at)})"
    how = f"{view.end_reason} by {view.ended_by}" if view.ended_by else view.end_reason or ""
    print_fields(
        [
            ("grant", view.id),
            ("state", view.state),
            ("person", view.person),
            ("target", view.target),
            ("database", view.database),
            ("role", view.role),
            ("login", view.login or ""),
            ("member", view.member or ""),
            ("from", where_from(view.networks, pinned=view.pin_address, to=view.pinned_to)),
            ("break-glass", "yes: a review has to be written" if view.break_glass else ""),
            (
                ("use it by", moment(view.expires_at) + left)
                if view.state is GrantState.WAITING
                else ("until", moment(view.expires_at) + left)
            ),
            ("for", format_duration(view.duration) if view.state is GrantState.WAITING else ""),
            ("held to", "\n".join(view.conditions)),
            ("returned", _returned(view)),
            ("end", how),
            ("because", view.end_comment or ""),
            ("gone", moment(view.ended_at)),
            ("problem", view.last_error or ""),
        ]
    )
    if view.state is GrantState.WAITING:
        out.print("\nThe clock starts when its secret is first taken.")
    if view.state is GrantState.ACTIVE and view.sealed:
        out.print("\nIt is a sealed ticket's: pgcurfew break-glass use FILE")
    elif view.state is GrantState.WAITING or (view.state is GrantState.ACTIVE and view.login):
        out.print(f"\nNext, as {view.person}: pgcurfew connect {view.target} {view.role}")


def _returned(view: GrantView) -> str:
    """Say what sessions were sent, where that is bounded."""
    parts = []
    if view.max_rows is not None:
        parts.append(f"{view.rows_sent:,} of {view.max_rows:,} rows")
    if view.max_bytes is not None:
        parts.append(f"{rough_size(view.bytes_sent)} of {format_size(view.max_bytes)}")
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class GrantStory:
    """A grant, what its life changed on the target, and once it has ended the proof of that."""

    grant: GrantView
    findings: tuple[FindingView, ...]
    receipt: ReceiptView | None


def print_grant_story(story: GrantStory, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(story))
        return
    print_grant(story.grant, as_json=False)
    if story.findings:
        out.print("\n[bold]Changed on the target meanwhile[/]")
        for finding in story.findings:
            out.print(
                f"  {_SIGNS.get(finding.disposition, '!')} {finding.description}", markup=False
            )
    if story.receipt is not None:
        _print_receipt(story.receipt)


def _print_receipt(view: ReceiptView) -> None:
    facts = view.receipt
    verdict = "[green]proved[/]" if facts.proved else "[red]not proved[/]"
    out.print(f"\n[bold]Receipt {view.number}[/] {view.hash[:16]}… {verdict}")
    for line in facts.lines:
        found = "could not be asked" if line.count is None else f"found {line.count}"
        sign = "[green]✓[/]" if line.proved else "[red]✗[/]"
        rest = "" if line.proved else f" ({found}{': ' if line.note else ''}{line.note})"
        out.print(f"  {sign} {escape(line.claim + rest)}")
    if facts.unseen:
        out.print(f"  ? not looked at: {', '.join(facts.unseen)}", markup=False)


def print_alarms(views: tuple[AlarmView, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(views)
        return
    print_table(
        "Alarms",
        ("id", "raised", "over", "message"),
        [
            (each.id, moment(each.raised_at), moment(each.cleared_at), each.message)
            for each in views
        ],
    )


def _said(decision: DecisionView) -> str:
    lasting = f"for {format_duration(decision.duration)} " if decision.duration else ""
    comment = f": {decision.comment}" if decision.comment else ""
    how = ", by breaking the glass" if decision.break_glass else ""
    how += ", beforehand" if decision.allowance_id else ""
    return f"{lasting}by {decision.by}{how} at {moment(decision.at)}{comment}"


def _commented(comment: CommentView) -> str:
    return f"{comment.by} at {moment(comment.at)}: {comment.text}"


def names(approvers: tuple[str, ...] | None) -> str:
    return ", ".join(approvers or ()) or "nobody: the policy is gone"


def where_from(networks: Sequence[Network], *, pinned: bool, to: Address | None = None) -> str:
    """Say where sessions may come from, or nothing if that is anywhere."""
    return _joined([str(each) for each in networks], pinned=pinned, to=to)


def where_from_briefly(
    networks: Sequence[Network], *, pinned: bool, to: Address | None = None
) -> str:
    """Like `where_from`, for a line of a table."""
    named = [str(each) for each in networks]
    return _joined(
        named if len(named) <= _NAMED_BRIEFLY else [f"{len(named)} networks"], pinned=pinned, to=to
    )


def _joined(places: list[str], *, pinned: bool, to: Address | None) -> str:
    pin = [f"only {to}" if to is not None else "only the first address"] if pinned else []
    return ", ".join([*places, *pin])
