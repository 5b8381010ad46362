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


class BrokerError(Exception):
    code = "broker-error"


class Invalid(BrokerError):
    code = "invalid"


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


class Unavailable(BrokerError):
    code = "unavailable"


class InvalidDuration(Invalid):
    code = "invalid-duration"

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"duration {text!r}: {why}; write 90s, 30m, 8h, 2d or ISO 8601, for example PT1H"
        )


class DurationTooLong(Invalid):
    code = "duration-too-long"

    def __init__(self, asked: str, longest: str, limit_set_by: str) -> None:
        super().__init__(f"{asked} is too long: {limit_set_by} allows at most {longest}")


class UnknownTarget(Invalid):
    code = "unknown-target"

    def __init__(self, target: str, allowed: Sequence[str]) -> None:
        super().__init__(f"unknown target {target!r}; you may ask for {_one_of(allowed)}")


class UnknownRole(Invalid):
    code = "unknown-role"

    def __init__(self, role: str, target: str, allowed: Sequence[str]) -> None:
        super().__init__(
            f"unknown role {role!r} on target {target!r}; you may ask for {_one_of(allowed)}"
        )


class UnknownPerson(Invalid):
    code = "unknown-person"

    def __init__(self, email: str) -> None:
        super().__init__(f"nobody is known as {email!r}; add them under identity.people")


class ReasonRequired(Invalid):
    code = "reason-required"

    def __init__(self, policy: str) -> None:
        super().__init__(f"policy {policy!r} wants a reason")


class PolicyDenied(Forbidden):
    code = "policy-denied"


class NotApprover(Forbidden):
    code = "not-approver"


class SelfApproval(Forbidden):
    code = "self-approval"

    def __init__(self) -> None:
        super().__init__("nobody approves their own request; ask one of the approvers")


class IllegalTransition(Conflict):
    code = "illegal-transition"

    def __init__(self, subject: str, state: str, event: str) -> None:
        super().__init__(f"{subject} is {state}: it cannot be {event} now")


class NotReady(Conflict):
    """The grant exists but its login cannot be handed out yet."""

    code = "not-ready"


class LedgerUnavailable(Unavailable):
    code = "ledger-unavailable"

    def __init__(self) -> None:
        super().__init__("the ledger cannot be reached; nothing was changed, try again")


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


def _one_of(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "nothing: no policy names you"
