"""Requests and grants, printed for people or for programs."""

from api.cli.output import moment, out, print_fields, print_json, time_left
from api.schemas import DecisionView, GrantView, RequestView
from broker.domain.duration import format_duration


def print_decided(view: RequestView) -> None:
    said = [each.comment for each in view.decisions or () if each.comment]
    because = f": {said[-1]}" if said else ""
    out.print(f"{view.id} is {view.state}{because}", markup=False)
    if view.grant_id:
        out.print(f"Next: pgcurfew credential {view.grant_id}")


def print_request(view: RequestView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    print_fields(
        [
            ("request", view.id),
            ("state", view.state),
            ("requester", view.requester),
            ("target", view.target),
            ("database", view.database),
            ("role", view.role),
            ("for", format_duration(view.duration)),
            ("reason", view.reason),
            ("from", view.source or ""),
            ("policy", view.policy),
            ("approvers", names(view.approvers)),
            ("made", moment(view.created_at)),
            (
                "lapses" if view.closed_at is None else "closed",
                moment(view.closed_at or view.lapses_at),
            ),
            ("grant", view.grant_id or ""),
        ]
        + [(each.verdict, _said(each)) for each in view.decisions or ()]
    )


def print_grant(view: GrantView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    ended = view.state in ("revoking", "ended")
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
            ("login", view.login),
            ("until", moment(view.expires_at) + left),
            ("end", how),
            ("because", view.end_comment or ""),
            ("gone", moment(view.ended_at)),
            ("problem", view.last_error or ""),
        ]
    )
    if view.state == "active":
        out.print(f"\nNext, as {view.person}: pgcurfew connect {view.target} {view.role}")


def _said(decision: DecisionView) -> str:
    lasting = f"for {format_duration(decision.duration)} " if decision.duration else ""
    comment = f": {decision.comment}" if decision.comment else ""
    return f"{lasting}by {decision.by} at {moment(decision.at)}{comment}"


def names(approvers: tuple[str, ...] | None) -> str:
    return ", ".join(approvers or ()) or "nobody: the policy is gone"
