"""What people are told when they are not let in, or when their session ends: the pinned errors.

An SQLSTATE for programs, a sentence for people, and what to do next. Nothing here names a host, a
policy or anybody's secret.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from broker.domain.duration import format_duration
from broker.domain.grant import Grant, ending_sentence
from broker.domain.network import Address
from broker.domain.statement.held_commit import CommitDecision, HeldCommit, Settled
from broker.domain.ticket import is_ticket_name
from proxy.goodbye import Goodbye
from proxy.ipfilter import Deny, Layer
from proxy.wire.messages import ServerError, encode_error, encode_notice

_SHOWN_OF_TICKETS = 20  # characters


class Refusal(Exception):
    """The client is told why, and that was it."""

    def __init__(
        self,
        sqlstate: str,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.detail = detail
        self.encoded = encode_error(sqlstate, message, detail=detail, hint=hint)


@dataclass(frozen=True, slots=True)
class Guide:
    """What to do next, for people who need access again. `public_url` is where the API is reached,
    without a slash at its end."""

    public_url: str | None = None

    def ask_for_more(self, grant: Grant) -> str:
        return f"Ask for more: pgcurfew extend {grant.id} --more-rows N or --more-bytes SIZE"

    def ask_again(self, grant: Grant) -> str:
        command = f"pgcurfew request {grant.target} {grant.role} --for 1h"
        if self.public_url is None:
            return f"Ask again: {command}"
        wish = urlencode({"target": grant.target, "role": grant.role, "for": "1h"})
        return f"Ask again: {self.public_url}/request?{wish} or: {command}"


def wrong_secret(user: str) -> Refusal:
    """The same for a login that does not exist."""
    return Refusal("28P01", f'password authentication failed for user "{shown(user)}"')


def shown(user: str) -> str:
    """Return a user name for messages and logs, which are no place for a ticket's verifier."""
    return f"{user[:_SHOWN_OF_TICKETS]}…" if is_ticket_name(user) else user


def no_access_from(address: Address) -> Refusal:
    return Refusal(
        "28000",
        "no access from this address",
        detail=f"Your address is {address}.",
        hint="Connect from an allowed network, or ask the operators of this server.",
    )


def banned(address: Address, until: datetime) -> Refusal:
    return Refusal(
        "28000",
        "no access from this address",
        detail=f"Too many wrong secrets came from {address}.",
        hint=f"Try again after {until:%H:%M:%S} UTC, or ask the operators of this server.",
    )


def not_from_here(grant: Grant, address: Address, denied: Deny) -> Refusal:
    whose = {
        Layer.TARGET: f'target "{grant.target}"',
        Layer.ROLE: f'role "{grant.role}"',
        Layer.GRANT: f"grant {grant.id}",
        Layer.SETTINGS: "the settings",
    }[denied.layer]
    allowed = ", ".join(map(str, grant.networks)) if denied.layer is Layer.GRANT else ""
    return Refusal(
        "28000",
        "no access from this address",
        detail=f"Your address is {address}, which {whose} does not allow.",
        hint=f"Connect from {allowed}." if allowed else "Connect from an allowed network.",
    )


def pinned_elsewhere(grant: Grant, address: Address) -> Refusal:
    return Refusal(
        "28000",
        "no access from this address",
        detail=f"Your address is {address}; grant {grant.id} is held to {grant.pinned_to}, where "
        "its first session came from.",
        hint="Connect from there, or request access anew.",
    )


def not_your_certificate(grant: Grant) -> Refusal:
    return Refusal(
        "28000",
        "the client certificate is another person's",
        detail=f"Grant {grant.id} belongs to {grant.person.email}.",
        hint="Connect with a certificate of your own.",
    )


def no_live_grant(grant: Grant, guide: Guide) -> Refusal:
    sentence = ending_sentence(grant)
    return Refusal(
        "28000",
        "no live grant for this login",
        detail=f"{sentence[0].upper()}{sentence[1:]}.",
        hint=guide.ask_again(grant),
    )


def old_secret(grant: Grant, living: Grant) -> Refusal:
    """The secret is right, but of a grant that ended, while another one lives."""
    sentence = ending_sentence(grant)
    return Refusal(
        "28000",
        "this secret belongs to a grant that has ended",
        detail=f"{sentence[0].upper()}{sentence[1:]}. Grant {living.id} lives until "
        f"{living.expires_at:%Y-%m-%d %H:%M:%S} UTC.",
        hint=f"Get its secret: pgcurfew credential {living.id}",
    )


def not_this_database(grant: Grant, database: str) -> Refusal:
    return Refusal(
        "28000",
        f'no access to database "{database}"',
        detail=f'Grant {grant.id} is for database "{grant.database}".',
        hint=f"Connect with dbname={grant.database}, or request the other database.",
    )


def not_served(grant: Grant) -> Refusal:
    return Refusal("28000", f'target "{grant.target}" is not served here')


def ticket_closed(grant: Grant, reason: str, guide: Guide) -> Refusal:
    return Refusal(
        "28000",
        "this ticket opens nothing any more",
        detail=f"{reason[0].upper()}{reason[1:]}.",
        hint=f"Take another ticket. {guide.ask_again(grant)}",
    )


def ticket_unrecordable() -> Refusal:
    return Refusal(
        "58030",
        "the use of this ticket cannot be written down here",
        detail="Without a record on this machine nobody comes in.",
        hint="Let the proxy write to the folder tickets in its state_dir, and try again.",
    )


def target_down(grant: Grant) -> Refusal:
    return Refusal(
        "08006",
        f'target "{grant.target}" cannot be reached at the moment',
        hint="Try again; if it stays so, tell the operators of this server.",
    )


def too_many_sessions(grant: Grant, limit: int) -> Refusal:
    return Refusal(
        "53300",
        f"too many sessions for grant {grant.id}: at most {limit}",
        hint=f"Close one: pgcurfew sessions ls --grant {grant.id}",
    )


def keys_not_accepted(grant: Grant, guide: Guide) -> Refusal:
    return Refusal(
        "28000",
        "the target does not accept this login",
        detail="Its password on the target was changed, or the grant is just ending.",
        hint=guide.ask_again(grant),
    )


def as_the_target_says(error: ServerError) -> Refusal:
    return Refusal(
        error.sqlstate,
        error.message,
        detail=error.fields.get("D"),
        hint=error.fields.get("H"),
    )


def ledger_away() -> Refusal:
    return Refusal("57P03", "access cannot be checked at the moment", hint="Try again.")


def nothing_can_be_recorded(why: str) -> Refusal:
    return Refusal(
        "57P03",
        "no session can begin at the moment, because it could not be recorded",
        detail=f"{why[:1].upper()}{why[1:]}.",
        hint="Try again later, or tell the operators of this server.",
    )


def our_fault() -> Refusal:
    return Refusal("XX000", "something went wrong on our side")


def ended(goodbye: Goodbye) -> Refusal:
    """The session was to end while it was still beginning."""
    return Refusal(goodbye.sqlstate, goodbye.message, hint=goodbye.hint)


def goodbye_of(grant: Grant, guide: Guide) -> Goodbye:
    """Return what an open session hears when its grant ends."""
    reason = grant.end_reason.value if grant.end_reason else "expired"
    return Goodbye(reason, "57P01", ending_sentence(grant), guide.ask_again(grant))


def killed(session_id: str, by: str) -> Goodbye:
    message = f"session {session_id} was ended by {by}"
    return Goodbye("killed", "57P01", message, "The grant lives: connect again.")


def record_full(session_id: str) -> Goodbye:
    return Goodbye(
        "record full",
        "57P01",
        f"session {session_id} ended, because what it does could not be recorded any more",
        "Try again later, or tell the operators of this server.",
    )


def budget_spent(grant: Grant, what: str, guide: Guide) -> Refusal:
    """Somebody connects although nothing is left to be read."""
    return Refusal(
        "53400",
        f"the budget of grant {grant.id} is used up",
        detail=f"{what[:1].upper()}{what[1:]}.",
        hint=guide.ask_for_more(grant),
    )


def budget_reached(grant: Grant, limit: str, guide: Guide) -> Goodbye:
    return Goodbye(
        "budget",
        "53400",
        f"access ended: the budget of grant {grant.id} is used up: {limit}, and no more",
        guide.ask_for_more(grant),
    )


def budget_nearly_spent(grant: Grant, share: float, guide: Guide) -> bytes:
    return encode_notice(
        f"{share:.0%} of the budget of grant {grant.id} is used", hint=guide.ask_for_more(grant)
    )


def commit_is_held(held: HeldCommit, limit: int) -> bytes:
    """`limit` is how many rows may be changed without this."""
    who = "somebody who approves this grant has" if held.by_approver else "you have"
    what = f"{held.rows:,} rows" if held.rows > limit else "rows that are not counted"
    return encode_notice(
        f"COMMIT is held: the transaction changed {what}, and {who} to confirm it"
        f" before {held.ends_at:%H:%M:%S} UTC, or it is rolled back",
        hint=f"pgcurfew commits confirm {held.id} or: pgcurfew commits roll-back {held.id}",
    )


def commit_refused(settled: Settled | None) -> Goodbye:
    match settled:
        case Settled(decision=CommitDecision.ROLLED_BACK, by=by):
            why = f"{by} did not confirm its COMMIT"
        case Settled(decision=CommitDecision.TIMED_OUT):
            why = "nobody confirmed its COMMIT in time"
        case _:
            why = "nobody could be asked to confirm its COMMIT"
    return Goodbye(
        "commit refused",
        "40000",
        f"the transaction was rolled back, and its session ended: {why}",
        "The grant lives: connect again.",
    )


def too_long(longest: timedelta) -> Goodbye:
    return Goodbye(
        "longest session",
        "57P01",
        f"this session has lasted {format_duration(longest)}, which is the longest allowed",
        "Connect again.",
    )


def too_idle(timeout: timedelta) -> Goodbye:
    return Goodbye(
        "idle",
        "57P05",
        f"this session has been idle for {format_duration(timeout)}, which is the longest allowed",
        "Connect again.",
    )


def ends_soon(grant: Grant, left: timedelta) -> bytes:
    """Return the notice that comes before the curfew."""
    return encode_notice(
        f"access ends in {format_duration(left)}: grant {grant.id} expires at "
        f"{grant.expires_at:%Y-%m-%d %H:%M:%S} UTC",
        hint="A ticket cannot be extended; another one can be used."
        if grant.sealed
        else f"An approver can give more time: pgcurfew extend {grant.id} --for 1h",
    )


def session_ends_soon(left: timedelta) -> bytes:
    """Return the notice that comes before the end of the longest session."""
    message = f"this session ends in {format_duration(left)}"
    return encode_notice(message, hint="Connect again then.")
