"""Everybody who knocks, from accept to goodbye: turned away, cancelled for, or let in.

    real address → network filter and bans → half-open limits → TLS and first message → session

Whether an address is refused is decided before anything is read, but can only be said once the
client listens: libpq shows no error that comes before the end of the TLS handshake. That is dear,
so only some are told a second; the others are just closed.
"""

import asyncio
import logging
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime

from broker.domain.buckets import PerAddressBuckets, TokenBucket
from broker.domain.errors import LedgerUnavailable
from broker.domain.network import Address
from proxy.dial import TargetDown
from proxy.gate import Gate
from proxy.ipfilter import Deny
from proxy.limits import HalfOpen
from proxy.opening import CancelWish, Client, open_client
from proxy.real_address import read_source
from proxy.refusals import Refusal, banned, no_access_from
from proxy.registry import Cancellable, cancel_digest
from proxy.rules import Rules
from proxy.session import Origin, Session
from proxy.stream import Disconnected
from proxy.throttle import Bans, address_key
from proxy.ticket_office import TicketOffice
from proxy.tickets import door_for
from proxy.wire.errors import WireError
from proxy.wire.messages import CancelRequest
from proxy.wire.proxy_header import MalformedProxyHeader
from proxy.workplace import Workplace

_BURST_S = 2  # of cancel requests and explained refusals, at their rates
_REMEMBERED_ADDRESSES = 10_000
_CANCELLED_ELSEWHERE_S = (
    1.0  # how long another worker has to say so; most keys are still somebody's
)

_log = logging.getLogger(__name__)


class Reception:
    """What all connections of a worker share, and what becomes of each."""

    def __init__(
        self,
        rules: Rules,
        gate: Gate,
        office: TicketOffice,
        place: Workplace,
        bans: Bans,
    ) -> None:
        self._gate = gate
        self._office = office
        self._place = place
        self._bans = bans
        self._half_open = HalfOpen(rules.limits.half_open, rules.limits.half_open_per_address)
        self._turned_away = 0
        self._cancelled_elsewhere: dict[str, asyncio.Event] = {}
        self.adopt(rules)

    def adopt(self, rules: Rules) -> None:
        """Treat everybody who comes from now on by these rules."""
        self._rules = rules
        limits = rules.limits
        self._half_open.resize(limits.half_open, limits.half_open_per_address)
        self._cancels = PerAddressBuckets(
            limits.cancels_per_s, _BURST_S * limits.cancels_per_s, _REMEMBERED_ADDRESSES
        )
        self._explanations = TokenBucket(
            limits.explained_refusals_per_s, _BURST_S * limits.explained_refusals_per_s
        )

    @property
    def rules(self) -> Rules:
        return self._rules

    def take_turned_away(self) -> int:
        """Return how many were closed without a word since this was asked last."""
        count, self._turned_away = self._turned_away, 0
        return count

    def receive(self, sock: socket.socket, peer: Address) -> Coroutine[None, None, None] | None:
        """Return what serves a connection to its end, and never raises but for cancellation; None
        if it was closed already."""
        deadline = asyncio.get_running_loop().time() + self._rules.startup_timeout_s
        if self._rules.behind.find(peer) is not None:
            return self._serve_behind(sock, peer, deadline)
        return self._admit(sock, peer, deadline)

    async def _serve_behind(self, sock: socket.socket, balancer: Address, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                address = await read_source(sock, balancer)
        except OSError:  # TimeoutError is one
            sock.close()
            return
        except MalformedProxyHeader as error:
            _log.warning(
                "closed a connection from %s, which proxy.behind names: %s", balancer, error
            )
            sock.close()
            return
        serving = self._admit(sock, address, deadline)
        if serving is not None:
            await serving

    def _admit(
        self, sock: socket.socket, address: Address, deadline: float
    ) -> Coroutine[None, None, None] | None:
        """Turn away whom nothing more is to be spent on."""
        refusal = self._why_not(address)
        if (refusal is not None and not self._may_explain()) or not self._half_open.enter(address):
            self._turned_away += 1
            sock.close()
            return None
        return self._serve(sock, address, refusal, deadline)

    async def _serve(
        self, sock: socket.socket, address: Address, refusal: Refusal | None, deadline: float
    ) -> None:
        try:
            session = await self._let_in(sock, address, refusal, deadline)
        finally:
            self._half_open.leave(address)
        if session is not None:
            try:
                await session.relay()
            finally:
                session.close()

    async def cancel_for_another(self, digest: str) -> None:
        """Cancel what the session with this cancel key is doing, if it is one of ours, and say
        so to the worker that was asked for it."""
        session = self._place.registry.find_cancellable(digest)
        if session is not None:
            await _cancel_query(session)
            try:
                await self._gate.confirm_cancel(digest)
            except LedgerUnavailable:
                _log.debug("nobody can be told that a query was cancelled")

    def cancelled_elsewhere(self, digest: str) -> None:
        if digest in self._cancelled_elsewhere:
            self._cancelled_elsewhere[digest].set()

    def _why_not(self, address: Address) -> Refusal | None:
        """Decide about somebody of whom only the address is known."""
        if isinstance(self._rules.networks.decide(address), Deny):
            return no_access_from(address)
        until = self._bans.is_banned(address_key(address), datetime.now(UTC))
        return banned(address, until) if until is not None else None

    def _may_explain(self) -> bool:
        return self._explanations.take(asyncio.get_running_loop().time())

    async def _let_in(
        self, sock: socket.socket, address: Address, refusal: Refusal | None, deadline: float
    ) -> Session | None:
        """Return a session that is ready to relay, or None if there is nobody to be let in."""
        tls = self._rules.tls
        try:
            async with asyncio.timeout_at(deadline):
                arrival = await open_client(
                    sock,
                    tls.context if tls is not None else None,
                    tls_required=self._rules.tls_required,
                )
                if isinstance(arrival, CancelWish):
                    try:
                        if refusal is None:
                            await self._cancel(arrival.request, address)
                    finally:
                        arrival.close()
                    return None
        except (Disconnected, TimeoutError) as error:
            if isinstance(error.__cause__, WireError):
                _log.info("closed a connection from %s: %s", address, error.__cause__)
            sock.close()
            return None
        if refusal is not None:
            _log.info("refused a connection from %s: %s", address, refusal.detail)
            arrival.stream.say_goodbye(refusal.encoded)
            return None
        binding = tls.channel_binding if tls is not None and arrival.stream.encrypted else None
        return await self._begin(arrival, Origin(address, binding), deadline)

    async def _begin(self, client: Client, origin: Origin, deadline: float) -> Session | None:
        rules, user = self._rules, client.startup.parameters["user"]
        door = door_for(self._office, user, origin.address, rules) or self._gate
        session = Session(client, origin, rules, door, self._place)
        begun = False
        try:
            async with asyncio.timeout_at(deadline):
                begun = await session.begin()
        except TimeoutError:
            session.out_of_time()
        finally:
            if not begun:
                session.close()
        return session if begun else None

    async def _cancel(self, request: CancelRequest, address: Address) -> None:
        """Cancel the query that the key belongs to, here or on another worker, and wait until that
        is done. There is no answer."""
        if not self._cancels.take(address, asyncio.get_running_loop().time()):
            _log.warning("dropped a cancel request from %s: too many of them", address)
            return
        digest = cancel_digest(request.pid, request.key)
        session = self._place.registry.find_cancellable(digest)
        if session is not None:
            await _cancel_query(session)
            return
        done = self._cancelled_elsewhere.setdefault(digest, asyncio.Event())
        try:
            await self._gate.pass_on_cancel(digest)
            async with asyncio.timeout(_CANCELLED_ELSEWHERE_S):
                await done.wait()
        except LedgerUnavailable:
            _log.warning("a cancel request for another worker was lost: the ledger is out of reach")
        except TimeoutError:
            _log.debug("a cancel request from %s was for nobody who answers", address)
        finally:
            self._cancelled_elsewhere.pop(digest, None)


async def _cancel_query(session: Cancellable) -> None:
    try:
        await session.cancel_query()
    except (TargetDown, TimeoutError) as error:
        _log.warning("a cancel request did not reach its target: %s", error)
    except Exception:
        # One client's cancel request must never take the other sessions with it.
        _log.exception("a cancel request failed")
