"""What a session asks of whoever lets it in: the ledger's gate, or a ticket that somebody holds."""

from typing import Protocol

from broker.domain.grant import Grant
from broker.domain.network import Address
from broker.ledger.bans import ThrottleRules
from broker.ledger.logins import ProxyLogin
from broker.ledger.sessions import EndedSession, NewSession


class Door(Protocol):
    @property
    def counts_from_first_use(self) -> bool:
        """Whether a session's record starts a clock: it is then written once the target has let
        the login in, so that one that is down costs nobody their time."""

    async def find(self, user: str, database: str) -> list[ProxyLogin]:
        """Return the logins that may be meant, the likeliest first, whether their grants live or
        not. Raises LedgerUnavailable."""

    async def is_banned(self, user: str, candidates: list[ProxyLogin], address: Address) -> bool:
        """Say whether nobody gets in by this name for now, whatever they prove. Raises
        LedgerUnavailable."""

    async def count_failure(self, user: str, address: Address, rules: ThrottleRules) -> None:
        """Write a wrong secret down, and ban who has tried too many. Raises LedgerUnavailable."""

    async def look_again(self, login: ProxyLogin) -> ProxyLogin:
        """Return the login as it is now, once its secret is proved. Raises Refusal."""

    async def open_session(self, session: NewSession, grant: Grant, user: str) -> Grant:
        """Write the session down before it begins: no audit, no access.

        Returns the grant as it is now; if that has ended, or belongs to another address, nothing is
        written. Raises LedgerUnavailable or Refusal.
        """

    def close_session(self, ended: EndedSession) -> None:
        """Write the end of a session down, now or as soon as it is possible."""

    async def record_refusal(self, login: ProxyLogin, address: Address, reason: str) -> None:
        """Write down that somebody with the right secret was not let in. Raises
        LedgerUnavailable."""

    async def report_rejected(self, login: ProxyLogin) -> None:
        """Tell the broker that the target refused the keys of this very secret. Raises
        LedgerUnavailable."""

    def bounded(self, grant: Grant) -> Grant:
        """Return what the ledger says of the grant, as far as it counts for sessions let in
        here."""
