"""People's commands: ask, decide, look, give back."""

from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from api.cli.calling import wait_for_decision, with_client
from api.cli.options import (
    AsJson,
    Database,
    From,
    GrantId,
    MaybeFor,
    Patience,
    PinAddress,
    Reason,
    RequestId,
    size_option,
)
from api.cli.output import ExitCode, out, print_json, print_table, time_left
from api.cli.role_views import print_blast_radius
from api.cli.timeline_views import print_timeline
from api.cli.views import (
    GrantStory,
    names,
    print_alarms,
    print_approval,
    print_decided,
    print_grant,
    print_grant_story,
    print_pending,
    print_request,
    print_review,
    where_from_briefly,
)
from api.client import Client
from api.schemas import AlarmView, ApprovalView, GrantView, RequestView, ReviewView
from api.schemas.insight import BlastRadiusView
from api.schemas.timeline import TimelineView
from broker.domain.duration import format_duration
from broker.domain.grant import GrantKind, GrantState


def register(app: typer.Typer) -> None:
    for command in (
        request,
        approve,
        deny,
        cancel,
        comment,
        escalate,
        ls,
        show,
        extend,
        relinquish,
        revoke,
        review,
        alarms,
        acknowledge,
    ):
        app.command()(command)


def request(
    target: str,
    role: str,
    duration: MaybeFor = None,
    reason: Reason = "",
    database: Database = None,
    person: Annotated[
        str | None, typer.Option("--person", metavar="EMAIL", help="For somebody else.")
    ] = None,
    membership: Annotated[
        bool, typer.Option("--membership", help="For your own role there, not a new login.")
    ] = False,
    networks: From = None,
    pin_address: PinAddress = False,
    conversation: Annotated[
        str | None,
        typer.Option("--conversation", metavar="URL", help="Where it is talked over: https://…"),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the decision.")] = False,
    timeout: Patience = timedelta(hours=1),
    as_json: AsJson = False,
) -> None:
    """Ask for a role on a target."""
    kind = GrantKind.MEMBERSHIP if membership else GrantKind.LOGIN

    async def ask(client: Client) -> RequestView:
        view = await client.request(
            target,
            role,
            duration=duration,
            reason=reason,
            database=database,
            kind=kind,
            networks=networks or (),
            pin_address=pin_address,
            person=person,
            conversation=conversation,
        )
        if wait and view.state == "pending":
            out.print(f"{view.id}: waiting for {names(view.approvers)} …") if not as_json else None
            view = await wait_for_decision(client, view, timeout)
        return view

    view = with_client(ask)
    if as_json:
        print_json(view)
    elif view.state == "pending":
        print_pending(view)
    else:
        print_decided(view)
    if wait and view.grant_id is None:
        raise typer.Exit(ExitCode.DENIED)


def approve(
    request_id: RequestId,
    duration: MaybeFor = None,
    comment: Annotated[str, typer.Option("--comment")] = "",
    networks: From = None,
    pin_address: PinAddress = False,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass", help="Alone, in an emergency: an alarm, and a review to be written."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Approve a request as it is, or for as long as --for and from where --from says."""

    async def decide(client: Client) -> ApprovalView:
        return await client.approve(
            request_id,
            duration=duration,
            comment=comment,
            networks=networks or None,
            pin_address=pin_address,
            break_glass=break_glass,
        )

    print_approval(with_client(decide), as_json=as_json)


def deny(
    request_id: RequestId,
    reason: Annotated[str, typer.Option("--reason", help="Why not.")] = "",
    as_json: AsJson = False,
) -> None:
    """Deny a request."""

    async def decide(client: Client) -> RequestView:
        return await client.deny(request_id, reason=reason)

    print_request(with_client(decide), as_json=as_json)


def cancel(request_id: RequestId, as_json: AsJson = False) -> None:
    """Withdraw your own pending request."""

    async def withdraw(client: Client) -> RequestView:
        return await client.cancel(request_id)

    print_request(with_client(withdraw), as_json=as_json)


def comment(
    request_id: RequestId,
    text: Annotated[str, typer.Argument(help="All who see the request read it, for ever.")],
    as_json: AsJson = False,
) -> None:
    """Say something about a request."""

    async def say(client: Client) -> RequestView:
        return await client.comment(request_id, text)

    print_request(with_client(say), as_json=as_json)


def escalate(request_id: RequestId, as_json: AsJson = False) -> None:
    """Let the people on call approve your pending request, too, and have them paged."""

    async def ask_more(client: Client) -> RequestView:
        return await client.escalate(request_id)

    print_request(with_client(ask_more), as_json=as_json)


def ls(
    everything: Annotated[
        bool, typer.Option("--all", help="Ended grants and decided requests too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List your access, and what waits for your decision."""

    async def fetch(client: Client) -> tuple[list[GrantView], list[RequestView]]:
        requests = await client.list_requests(status=None if everything else "pending")
        grants = await client.list_grants()
        living = [each for each in grants.items if everything or each.state != "ended"]
        return living, list(requests.items)

    grants, requests = with_client(fetch)
    if as_json:
        print_json({"grants": grants, "requests": requests})
        return
    print_table(
        "Grants",
        ("id", "state", "person", "target", "role", "from", "until"),
        [
            (
                each.id,
                each.state,
                each.person,
                each.target,
                each.role,
                where_from_briefly(each.networks, pinned=each.pin_address, to=each.pinned_to),
                each.end_reason or time_left(each.expires_at),
            )
            for each in grants
        ],
    )
    out.print()
    print_table(
        "Requests",
        ("id", "state", "requester", "target", "role", "from", "for", "reason"),
        [
            (
                each.id,
                each.state,
                each.requester,
                each.target,
                each.role,
                where_from_briefly(each.networks, pinned=each.pin_address),
                format_duration(each.duration) if each.duration else "",
                each.reason,
            )
            for each in requests
        ],
    )


def show(
    some_id: Annotated[str, typer.Argument(metavar="ID", help="A request or a grant.")],
    timeline: Annotated[
        bool, typer.Option("--timeline", help="All that happened with it, from its beginning on.")
    ] = False,
    blast_radius: Annotated[
        bool, typer.Option("--blast-radius", help="What approving this request would risk.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a request or a grant with all that is known of it."""
    if blast_radius:

        async def fetch_radius(client: Client) -> BlastRadiusView:
            return await client.get_blast_radius(some_id)

        print_blast_radius(with_client(fetch_radius), as_json=as_json)
        return
    if timeline:

        async def fetch_timeline(client: Client) -> TimelineView:
            if some_id.startswith("grt_"):
                return await client.get_grant_timeline(some_id)
            return await client.get_request_timeline(some_id)

        print_timeline(with_client(fetch_timeline), as_json=as_json)
        return
    if some_id.startswith("grt_"):
        print_grant_story(with_client(partial(_fetch_story, some_id)), as_json=as_json)
        return

    async def fetch_request(client: Client) -> RequestView:
        return await client.get_request(some_id)

    print_request(with_client(fetch_request), as_json=as_json)


async def _fetch_story(grant_id: str, client: Client) -> GrantStory:
    grant = await client.get_grant(grant_id)
    findings = (await client.list_findings(grant_id)).items
    ended = grant.state is GrantState.ENDED
    return GrantStory(grant, findings, await client.get_receipt(grant_id) if ended else None)


def extend(
    grant_id: GrantId,
    duration: MaybeFor = None,
    rows: Annotated[
        int, typer.Option("--more-rows", min=0, help="Let it return so many rows more.")
    ] = 0,
    size: Annotated[
        int, size_option("--more-bytes", "Let it return so much more: 500MB, 1GB …")
    ] = 0,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask that a grant ends later or returns more, or let it, as an approver. Sessions go on."""

    async def move(client: Client) -> ApprovalView:
        return await client.extend(grant_id, duration=duration, rows=rows, size=size, reason=reason)

    view = with_client(move)
    if not as_json and view.request.state == "pending":
        print_pending(view.request)
        return
    print_approval(view, as_json=as_json)


def review(
    grant_id: GrantId,
    text: Annotated[
        str | None,
        typer.Option("--text", help="What happened, why, and what follows. It stays for ever."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the review of a grant that was given with the glass broken, or read it."""

    async def write(client: Client) -> ReviewView:
        if text is None:
            return await client.get_review(grant_id)
        return await client.write_review(grant_id, text)

    print_review(with_client(write), as_json=as_json)


def alarms(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what somebody has to look at. For approvers."""

    async def fetch(client: Client) -> tuple[AlarmView, ...]:
        return (await client.list_alarms(status="all" if everything else "open")).items

    print_alarms(with_client(fetch), as_json=as_json)


def acknowledge(
    alarm_id: Annotated[str, typer.Argument(metavar="ALARM")], as_json: AsJson = False
) -> None:
    """Close an alarm that you have seen to. If the trouble lasts, it is raised anew."""

    async def close(client: Client) -> AlarmView:
        return await client.acknowledge_alarm(alarm_id)

    print_alarms((with_client(close),), as_json=as_json)


def relinquish(grant_id: GrantId, as_json: AsJson = False) -> None:
    """Give a grant back before its time."""

    async def give_back(client: Client) -> GrantView:
        return await client.relinquish(grant_id)

    print_grant(with_client(give_back), as_json=as_json)


def revoke(
    grant_id: GrantId,
    reason: Annotated[str, typer.Option("--reason", help="Why; the person reads it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take a grant away, as one of its approvers."""

    async def take_away(client: Client) -> GrantView:
        return await client.revoke(grant_id, reason=reason)

    print_grant(with_client(take_away), as_json=as_json)
