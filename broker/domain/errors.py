"""Every deliberate failure of the broker, each with a stable `code` that clients may rely on.

    BrokerError
    ├── Invalid        the question makes no sense (HTTP 422)
    ├── Forbidden      the person may not (403)
    ├── NotFound       no such thing, or none that this person may see (404)
    ├── Conflict       it makes no sense now (409)
    ├── Unauthenticated  who are you? (401)
    └── Unavailable    not our caller's fault, try again (503)

The message is written for the person who asked: what is wrong and what to do next. The cause,
if any, goes to the log through `__cause__`.
"""

from collections.abc import Sequence
from datetime import timedelta

from broker.domain.identity.unverified import NOTHING, Unverified


class BrokerError(Exception):
    code = "broker-error"


class Invalid(BrokerError):
    """`field` is the one that is wrong, if it is one of the question; `allowed` what it may be."""

    code = "invalid"
    field: str | None = None
    allowed: tuple[str, ...] = ()


class Forbidden(BrokerError):
    code = "forbidden"


class NotFound(BrokerError):
    code = "not-found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"no {what} {name}, or none that you may see")


class Conflict(BrokerError):
    code = "conflict"


class Unauthenticated(BrokerError):
    code = "unauthenticated"

    def __init__(self, message: str = "a valid bearer token is needed") -> None:
        super().__init__(message)


class NotIdentified(Unauthenticated):
    """What somebody showed does not prove who they are. Nobody but operators learns the `reason`,
    or what the thing said of itself."""

    def __init__(self, reason: str, unverified: Unverified = NOTHING) -> None:
        super().__init__()
        self.reason = reason
        self.unverified = unverified


class Unavailable(BrokerError):
    code = "unavailable"


class SignInFailed(Unauthenticated):
    """Somebody wanted to sign in, and did not prove who they are."""

    code = "sign-in-failed"


class SignInOver(Unauthenticated):
    """Somebody was signed in, and is no longer."""

    code = "sign-in-over"


class NotFromOurPage(Forbidden):
    """A browser brought a cookie along, but not what only a page of ours could add."""

    code = "not-from-our-page"

    def __init__(self) -> None:
        super().__init__("this did not come from a page of ours; open the page again, then send")


class InvalidDuration(Invalid):
    code = "invalid-duration"
    field = "duration"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"duration {text!r}: {why}; write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
        )


class InvalidSize(Invalid):
    code = "invalid-size"

    def __init__(self) -> None:
        super().__init__("a size is a whole number with its unit: B, kB, MB, GB or TB")


class DurationTooLong(Invalid):
    code = "duration-too-long"
    field = "duration"

    def __init__(self, asked: str, longest: str, limit_set_by: str) -> None:
        super().__init__(f"{asked} is too long: {limit_set_by} allows at most {longest}")


class BudgetTooLarge(Invalid):
    """More of a budget would be left than its policy gives at once."""

    code = "budget-too-large"

    def __init__(self, asked: str, policy: str, most: int, what: str) -> None:
        super().__init__(
            f"{asked} are too many: policy {policy!r} allows at most {most:,} {what} more now"
        )


class KeyMalformed(Invalid):
    code = "idempotency-key-malformed"

    def __init__(self) -> None:
        super().__init__(
            "an Idempotency-Key is 1 to 255 printable ASCII characters, such as a new UUID"
        )


class KeyReused(Invalid):
    code = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__(
            "you have sent this Idempotency-Key with another call; every call takes a new one"
        )


class NoSuchBudget(Invalid):
    code = "no-such-budget"

    def __init__(self, what: str) -> None:
        super().__init__(f"the {what} of this grant are not bounded: it needs no more of them")


class ScopeTooWide(Forbidden):
    """A token would be good for more than the one that it is made with."""

    code = "scope-too-wide"

    def __init__(self, scope: str) -> None:
        super().__init__(f"your own token is not good for {str(scope)!r}, so you make none that is")


class InvalidPlace(Invalid):
    """Where a page is to go on is no place in the list that is asked for."""

    code = "invalid-place"
    field = "after"

    def __init__(self, sort: str) -> None:
        super().__init__(
            f"after must be what `next` of a page with sort={sort} was; leave it out to begin anew"
        )


class InvalidStretch(Invalid):
    code = "invalid-stretch"
    field = "since"

    def __init__(self) -> None:
        super().__init__("since must be before until")


class InvalidSearch(Invalid):
    code = "invalid-search"
    field = "q"

    def __init__(self, why: str) -> None:
        super().__init__(f"q {why}")


class InvalidNetwork(Invalid):
    code = "invalid-network"
    field = "networks"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"network {text!r}: {why}; write 10.0.0.0/8, 2001:db8::/32 or a single address"
        )


class UnknownTarget(Invalid):
    code = "unknown-target"
    field = "target"

    def __init__(self, target: str, allowed: Sequence[str]) -> None:
        super().__init__(f"unknown target {target!r}; you may ask for {_one_of(allowed)}")
        self.allowed = tuple(allowed)


class UnknownRole(Invalid):
    code = "unknown-role"
    field = "role"

    def __init__(self, role: str, target: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"unknown role {role!r} on target {target!r}; you may ask for {_one_of(allowed)}"
        )
        self.allowed = tuple(allowed)


class NotInCatalog(Invalid):
    code = "not-in-catalog"

    def __init__(self, what: str, name: str, there_are: Sequence[str]) -> None:
        super().__init__(f"there is no {what} {name!r}; there are {', '.join(there_are)}")


class UnusablePolicies(Invalid):
    """A policy file that somebody sent: every fault, with its line."""

    code = "unusable-policies"


class UnknownPerson(Invalid):
    code = "unknown-person"

    def __init__(self, email: str) -> None:
        section = "machines" if email.endswith(".machine") else "people"
        super().__init__(f"nobody is known as {email!r}; add them under identity.{section}")


class RoleUnusable(Invalid):
    """The target has the role in a state in which nobody may be given it."""

    code = "role-unusable"
    field = "role"

    def __init__(self, role: str, target: str, faults: Sequence[str]) -> None:
        super().__init__(
            f"role {role!r} on target {target!r} cannot be given at the moment: {'; '.join(faults)}"
        )


class KindNotOffered(Invalid):
    code = "kind-not-offered"
    field = "kind"

    def __init__(self, role: str, kind: str, offered: Sequence[str]) -> None:
        super().__init__(
            f"role {role!r} is not given as a {kind}, only as a {' or a '.join(offered)}"
        )
        self.allowed = tuple(offered)


class NoPersonalRole(Invalid):
    code = "no-personal-role"

    def __init__(self, email: str, target: str) -> None:
        super().__init__(
            f"{email} has no role of their own on target {target!r} that could become a member; "
            "add it under identity.people: personal_roles, or ask for a login"
        )


class NotThroughProxy(Invalid):
    """Only the proxy looks at where sessions come from."""

    code = "not-through-proxy"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"a membership of {role!r} is used without the proxy, so nothing would keep it to "
            "networks, to one address, or to what is said of statements; ask for a login"
        )


class TicketTooLong(Invalid):
    """A sealed ticket travels as a user name, for which clients and protocol leave so much room."""

    code = "ticket-too-long"

    def __init__(self, size: int, longest: int) -> None:
        super().__init__(
            f"the ticket would have {size} bytes, and {longest} are the most: name fewer networks"
        )


class ReasonRequired(Invalid):
    code = "reason-required"
    field = "reason"

    def __init__(self, policy: str) -> None:
        super().__init__(f"policy {policy!r} wants a reason")


class DurationRequired(Invalid):
    code = "duration-required"
    field = "duration"

    def __init__(self, policy: str, longest: str) -> None:
        super().__init__(f"policy {policy!r} wants a duration; it allows at most {longest}")


class NetworkOutside(Invalid):
    code = "network-outside"
    field = "networks"

    def __init__(self, network: str, policy: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"network {network} is not within what policy {policy!r} allows: {', '.join(allowed)}"
        )


class PolicyDenied(Forbidden):
    code = "policy-denied"


class ApprovalNeeded(Forbidden):
    """It is not given at once, so nothing was asked for."""

    code = "approval-needed"

    def __init__(self, policy: str, approvers: Sequence[str]) -> None:
        super().__init__(
            f"under policy {policy!r} somebody has to agree first: {_either(approvers)}; "
            "make a request, and wait for the approval"
        )


class OutsideHours(Forbidden):
    code = "outside-hours"

    def __init__(self, policy: str, hours: str, opens: str) -> None:
        super().__init__(f"policy {policy!r} gives access only {hours}: it opens {opens}")


class PreApprovalRequired(Forbidden):
    code = "pre-approval-required"

    def __init__(self, policy: str) -> None:
        super().__init__(f"policy {policy!r} wants an approval in advance, and there is none now")


class NobodyCouldApprove(Forbidden):
    code = "nobody-could-approve"

    def __init__(self, policy: str, needed: Sequence[str]) -> None:
        super().__init__(
            f"policy {policy!r} needs the approval of {' and of '.join(needed)}; "
            "nobody could give it for this request"
        )


class ApproversOnly(Forbidden):
    code = "approvers-only"

    def __init__(self) -> None:
        super().__init__(
            "policies are shown to those who approve under one of them; "
            "what they say about you, pgcurfew policy show and policy test tell"
        )


class NotApprover(Forbidden):
    code = "not-approver"


class NotYoursToConfirm(Forbidden):
    """A held commit waits for somebody else."""

    code = "not-yours-to-confirm"

    def __init__(self, *, by_approver: bool) -> None:
        whom = "an approver of the grant, who is not its holder" if by_approver else "its person"
        super().__init__(f"this commit waits for {whom}, and may be rolled back by either")


class SelfApproval(Forbidden):
    code = "self-approval"

    def __init__(self) -> None:
        super().__init__("nobody approves their own request; ask one of the approvers")


class AuditorChangesNothing(Forbidden):
    code = "auditor-changes-nothing"

    def __init__(self, why: str = "somebody else has to do this") -> None:
        super().__init__(f"auditors see everything and change nothing: {why}")


class StandingNeeded(Forbidden):
    """Nobody of this person's standing does such things."""

    code = "standing-needed"

    def __init__(self, standings: Sequence[str]) -> None:
        super().__init__(f"this is for {' and '.join(f'{each}s' for each in standings)}")


class NotForMachines(Forbidden):
    code = "not-for-machines"

    def __init__(self) -> None:
        super().__init__("machines ask for access and use it; all else is for people")


class OutOfScope(Forbidden):
    """The person might, but not with this token."""

    code = "out-of-scope"

    def __init__(self, action: str, scopes: Sequence[str]) -> None:
        allowed = f"only for: {', '.join(scopes)}" if scopes else "good for nothing"
        super().__init__(f"this takes a token for {action!r}; yours is {allowed}")


class NotYourToken(Forbidden):
    code = "not-your-token"

    def __init__(self) -> None:
        super().__init__("people make tokens of their own, and operators those of machines")


class UnlistedRoute(Forbidden):
    """Nothing says who may use it, so nobody may."""

    code = "unlisted-route"

    def __init__(self) -> None:
        super().__init__("nothing says who may do this, so nobody may")


class IllegalTransition(Conflict):
    code = "illegal-transition"

    def __init__(self, subject: str, state: str, event: str) -> None:
        super().__init__(f"{subject} is {state}: it cannot be {event} now")


class KeyInUse(Conflict):
    """The first call with this idempotency key is still under way."""

    code = "idempotency-key-in-use"

    def __init__(self) -> None:
        super().__init__("your first call with this Idempotency-Key is under way; send it again")


class OutcomeUnknown(Conflict):
    """The first call with this idempotency key was cut off, before or after it did what it did."""

    code = "idempotency-outcome-unknown"

    def __init__(self) -> None:
        super().__init__(
            "your first call with this Idempotency-Key was cut off, and may have been done; "
            "look at what became of it, and if nothing did, call with a new key"
        )


class AnswerNotKept(Conflict):
    """The first call with this idempotency key was answered with a secret."""

    code = "idempotency-answer-not-kept"

    def __init__(self) -> None:
        super().__init__(
            "your first call with this Idempotency-Key was done, and its answer had a secret, "
            "which nobody keeps; call with a new key for a new one"
        )


class TooManyAtOnce(Conflict):
    code = "too-many-at-once"

    def __init__(self, policy: str, living: int, most: int) -> None:
        super().__init__(
            f"{living} grants live already, and policy {policy!r} allows {most} at once; "
            "relinquish one, or wait for its end"
        )


class SessionOver(Conflict):
    code = "session-over"

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} has already ended")


class CommitSettled(Conflict):
    code = "commit-settled"

    def __init__(self, held_id: str, decision: str) -> None:
        super().__init__(f"commit {held_id} waits no longer: it was {decision}")


class NothingInCommon(Conflict):
    """The networks that the approvers named have no address in common."""

    code = "nothing-in-common"

    def __init__(self) -> None:
        super().__init__(
            "the approvers' networks have no address in common; "
            "deny the request, or let it be asked again"
        )


class AlreadyDecided(Conflict):
    code = "already-decided"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"you have approved request {request_id} already; others still have to")


class NotEscalatable(Forbidden):
    code = "not-escalatable"

    def __init__(self, policy: str) -> None:
        super().__init__(f"policy {policy!r} names nobody on call who could be asked instead")


class ReviewOverdue(Forbidden):
    code = "review-overdue"

    def __init__(self, grant_id: str) -> None:
        super().__init__(
            f"the review of break-glass grant {grant_id} is overdue; until it is written, "
            "nobody breaks the glass for you again"
        )


class NotASignIn(Conflict):
    code = "not-a-sign-in"

    def __init__(self) -> None:
        super().__init__(
            "this token was made to be kept, not by signing in; it ends with pgcurfew token revoke"
        )


class NotReady(Conflict):
    """The grant exists but its login cannot be handed out yet."""

    code = "not-ready"


class HeldByTicket(Conflict):
    """The grant is that of a sealed ticket, which already says how it may be used."""

    code = "held-by-ticket"

    def __init__(self, grant_id: str) -> None:
        super().__init__(
            f"grant {grant_id} belongs to a sealed ticket, which holds its only secret and all of "
            "its time; make a request of your own"
        )


class LedgerUnavailable(Unavailable):
    code = "ledger-unavailable"

    def __init__(self) -> None:
        super().__init__("the ledger cannot be reached; nothing was changed, try again")


class ProviderUnreachable(Unavailable):
    """An issuer's keys cannot be had, and none are held."""

    code = "provider-unreachable"

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"who you are cannot be checked: {provider} does not answer as it should; try again"
        )


class TargetUnreachable(Unavailable):
    """The managed server did not answer, or not in time."""

    code = "target-unreachable"

    def __init__(self, target: str) -> None:
        super().__init__(f"target {target!r} cannot be reached at the moment")


class TargetGone(Conflict):
    """The settings no longer have the target, or the role on it."""

    code = "target-gone"

    def __init__(self, target: str, role: str) -> None:
        super().__init__(f"role {role!r} on target {target!r} is no longer in the settings")


class TargetRefused(Unavailable):
    """The managed server answered with an error. Carries its SQLSTATE."""

    code = "target-refused"

    def __init__(self, target: str, sqlstate: str, message: str) -> None:
        super().__init__(f"target {target!r} refused: {message} ({sqlstate})")
        self.sqlstate = sqlstate


class PageFailed(Unavailable):
    """The people on call could not be paged this time. Not to be tried before `retry_after`."""

    code = "page-failed"

    def __init__(self, schedule: str, why: str, retry_after: timedelta | None = None) -> None:
        super().__init__(f"who is on call in {schedule!r} could not be paged: {why}")
        self.retry_after = retry_after


def _either(names: Sequence[str]) -> str:
    return " or ".join(names)


def _one_of(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing: no policy names you"
