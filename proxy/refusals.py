"""What people are told when they are not let in, or when their session ends: the pinned errors.

An SQLSTATE for programs, a sentence for people, and what to do next. Nothing here names a host, a
policy or anybody's secret.
"""

from broker.domain.grant import Grant, ending_sentence
from proxy.ipfilter import Address
from proxy.relay import Goodbye
from proxy.wire.messages import ServerError, encode_error


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
        self.encoded = encode_error(sqlstate, message, detail=detail, hint=hint)


def wrong_secret(user: str) -> Refusal:
    """The same for a login that does not exist."""
    return Refusal("28P01", f'password authentication failed for user "{user}"')


def no_access_from(address: Address) -> Refusal:
    return Refusal(
        "28000",
        "no access from this address",
        detail=f"Your address is {address}.",
        hint="Connect from an allowed network, or ask the operators of this server.",
    )


def no_live_grant(grant: Grant) -> Refusal:
    sentence = ending_sentence(grant)
    return Refusal(
        "28000",
        "no live grant for this login",
        detail=f"{sentence[0].upper()}{sentence[1:]}.",
        hint=_ask_again(grant),
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


def target_down(grant: Grant) -> Refusal:
    return Refusal(
        "08006",
        f'target "{grant.target}" cannot be reached at the moment',
        hint="Try again; if it stays so, tell the operators of this server.",
    )


def keys_not_accepted(grant: Grant) -> Refusal:
    return Refusal(
        "28000",
        "the target does not accept this login",
        detail="Its password on the target was changed, or the grant is just ending.",
        hint=_ask_again(grant),
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


def our_fault() -> Refusal:
    return Refusal("XX000", "something went wrong on our side")


def ended(goodbye: Goodbye) -> Refusal:
    """The grant ended while its session was still beginning."""
    return Refusal(goodbye.sqlstate, goodbye.message, hint=goodbye.hint)


def goodbye_of(grant: Grant) -> Goodbye:
    """Return what an open session hears when its grant ends."""
    reason = grant.end_reason.value if grant.end_reason else "expired"
    return Goodbye(reason, "57P01", ending_sentence(grant), _ask_again(grant))


def _ask_again(grant: Grant) -> str:
    return f"Ask again: pgcurfew request {grant.target} {grant.role} --for 1h"
