"""One client from accept to goodbye.

    network filter → TLS → who is it → SCRAM → may they, now and from here → write it down
    → log in to the target with derived keys → relay until the client leaves or the curfew comes

Attackers learn less than operators: until the secret is proved, an unknown name and a wrong secret
are one and the same. What is wrong with a grant is said only after that.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.domain.credential import ClientKeys
from broker.domain.errors import LedgerUnavailable
from broker.domain.grant import Grant, GrantState
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.ledger.logins import ProxyLogin
from broker.ledger.sessions import NewSession
from proxy.authentication import Authenticator
from proxy.dial import LoginRefused, TargetDown, Upstream
from proxy.gate import EndedSession, Gate
from proxy.ipfilter import Address, Deny, IpFilter
from proxy.opening import Client, open_client
from proxy.refusals import (
    Refusal,
    as_the_target_says,
    ended,
    goodbye_of,
    keys_not_accepted,
    ledger_away,
    no_access_from,
    no_live_grant,
    not_served,
    not_this_database,
    our_fault,
    target_down,
)
from proxy.registry import Registry, cancel_digest
from proxy.relay import Goodbye, Relay
from proxy.scram import NONCE_BYTES, ScramError
from proxy.startup import (
    Cancel,
    application_name,
    client_name,
    upstream_parameters,
    wanted_database,
)
from proxy.stream import Disconnected, MessageStream
from proxy.upstream import LoggedIn, UpstreamLogin
from proxy.wire.errors import WireError
from proxy.wire.messages import (
    AUTHENTICATION_OK,
    BackendKeyData,
    CancelRequest,
    encode_backend_key,
    encode_negotiate_protocol,
)

_CANCEL_KEY_BYTES = 4  # protocol 3.0's only length
_CLOCK_TOLERANCE = timedelta(minutes=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What all sessions of a worker share."""

    gate: Gate
    registry: Registry
    ip_filter: IpFilter
    tls: ssl.SSLContext | None
    tls_required: bool
    authenticator: Authenticator
    upstreams: Mapping[str, Upstream]
    worker_id: str
    startup_timeout_s: float


async def serve_client(house: House, sock: socket.socket, address: Address) -> None:
    """Serve one connection to its end. Never raises but for cancellation."""
    # Decided before anything is read. It can only be said once the client listens: libpq shows no
    # error that comes before the end of the TLS handshake.
    refused = isinstance(house.ip_filter.decide(address), Deny)
    deadline = asyncio.get_running_loop().time() + house.startup_timeout_s
    try:
        async with asyncio.timeout_at(deadline):
            arrival = await open_client(sock, house.tls, tls_required=house.tls_required)
            if isinstance(arrival, Cancel) and not refused:
                await cancel_query(house, arrival.request)
    except (Disconnected, TimeoutError):
        sock.close()
        return
    if isinstance(arrival, Cancel):
        sock.close()
    elif refused:
        _log.info("refused a connection from %s: no network of the settings allows it", address)
        arrival.stream.say_goodbye(no_access_from(address).encoded)
    else:
        await Session(house, arrival, address).serve(deadline)


async def cancel_query(house: House, request: CancelRequest) -> None:
    """Cancel the query that the key belongs to, here or on another worker. There is no answer."""
    digest = cancel_digest(request.pid, request.key)
    if house.registry.find_cancellable(digest) is not None:
        await cancel_here(house.registry, digest)
        return
    try:
        await house.gate.pass_on_cancel(digest)
    except LedgerUnavailable:
        _log.warning("a cancel request for another worker was lost: the ledger is out of reach")


async def cancel_here(registry: Registry, digest: str) -> None:
    session = registry.find_cancellable(digest)
    if session is not None:
        try:
            await session.upstream.cancel(session.upstream_key)
        except (TargetDown, TimeoutError) as error:
            _log.warning("a cancel request did not reach its target: %s", error)


class Session:
    """A client that wants to log in, and then its session."""

    def __init__(self, house: House, client: Client, address: Address) -> None:
        self._house = house
        self._stream = client.stream
        self._startup = client.startup
        self._address = address
        self._login: ProxyLogin | None = None
        self._relay: Relay | None = None
        self._goodbye: Goodbye | None = None
        self._curfew: asyncio.TimerHandle | None = None
        self._recorded_id: str | None = None
        self._cancel_digest = ""
        self._upstream: Upstream | None = None
        self._upstream_stream: MessageStream | None = None
        self._logged_in: LoggedIn | None = None
        self._failure = "ended before it began"

    @property
    def grant_id(self) -> str:
        assert self._login is not None
        return self._login.grant.id

    @property
    def upstream(self) -> Upstream:
        assert self._upstream is not None
        return self._upstream

    @property
    def upstream_key(self) -> BackendKeyData:
        assert self._logged_in is not None
        return self._logged_in.cancel_key

    async def serve(self, deadline: float) -> None:
        """Let the client in by `deadline` (the loop's time), or tell it why not; then relay."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.begin()
            await self.relay()
        except Refusal as refusal:
            self._refuse(refusal)
        except WireError as error:
            self._refuse(Refusal(error.sqlstate, str(error)))
        except LedgerUnavailable:
            self._refuse(ledger_away())
        except TimeoutError:
            # Who has not proved anything gets no answer; else it was the target that took so long.
            if self._login is None:
                self._stream.transport.abort()
            else:
                self._refuse(target_down(self._login.grant))
        except Disconnected:
            self._stream.transport.abort()
        except Exception:
            # One client must never take the others with it, and is told nothing of our insides.
            _log.exception("a session failed")
            self._refuse(our_fault())
        finally:
            self.close()

    def _refuse(self, refusal: Refusal) -> None:
        # Quoted, because the name may hold anything and the message may hold the name.
        user = self._startup.parameters["user"]
        _log.info("refused %r from %s: %r", user, self._address, str(refusal))
        self._stream.say_goodbye(refusal.encoded)

    async def begin(self) -> None:
        """Do everything up to the moment when the client may send its first query.

        Raises Refusal, WireError, LedgerUnavailable, Disconnected.
        """
        if self._startup.minor or self._startup.protocol_options:
            self._stream.write(encode_negotiate_protocol(self._startup.protocol_options))
        user = self._startup.parameters["user"]
        login, keys = await self._house.authenticator.authenticate(self._stream, user)
        self._login = login
        self._stream.write(AUTHENTICATION_OK)
        await self._authorise(login.grant)
        # Known to the registry before its grant is read for the last time: if that ends from here
        # on, this session hears of it.
        self._house.registry.add(self)
        self._set_curfew(login.grant)
        await self._record()
        await self._log_in(login, keys)
        if self._goodbye is not None:
            raise ended(self._goodbye)
        self._greet()

    async def relay(self) -> None:
        """Pass everything on until the session ends."""
        assert self._upstream_stream is not None
        self._relay = Relay()
        await self._relay.run(self._stream, self._upstream_stream)

    def end(self, goodbye: Goodbye) -> None:
        """End the session with a last word, whatever it is doing."""
        self._goodbye = self._goodbye or goodbye
        self._failure = goodbye.reason
        if self._relay is not None:
            self._relay.end(goodbye)

    def close(self) -> None:
        """Forget the session and write down its end."""
        if self._curfew is not None:
            self._curfew.cancel()
        if self._login is not None:
            self._house.registry.remove(self)
        self._house.registry.remove_cancel_key(self._cancel_digest)
        if self._relay is None and self._upstream_stream is not None:
            self._upstream_stream.transport.abort()
        if self._recorded_id is not None:
            ended_session = self._ended(self._recorded_id)
            _log.info("session %s ends: %s", ended_session.id, ended_session.reason)
            self._house.gate.close_session(ended_session)

    async def _authorise(self, grant: Grant) -> None:
        """Refuse a session that its grant does not cover, and write that down."""
        refusal = self._why_not(grant)
        if refusal is not None:
            assert self._login is not None
            await self._house.gate.record_refusal(self._login, str(self._address), str(refusal))
            raise refusal

    def _why_not(self, grant: Grant) -> Refusal | None:
        if grant.state is not GrantState.ACTIVE or grant.expires_at <= _now():
            return no_live_grant(grant)
        database = wanted_database(self._startup, granted=grant.database)
        if database != grant.database:
            return not_this_database(grant, database)
        if grant.target not in self._house.upstreams:
            return not_served(grant)
        return None

    def _set_curfew(self, grant: Grant) -> None:
        seconds = (grant.expires_at - _now()).total_seconds()
        self._curfew = asyncio.get_running_loop().call_later(
            max(seconds, 0), self.end, goodbye_of(grant)
        )

    async def _record(self) -> None:
        now = _now()
        session = NewSession(
            id=new_id(IdKind.SESSION, now, os.urandom(RANDOM_BYTES)),
            grant_id=self.grant_id,
            worker_id=self._house.worker_id,
            client_address=str(self._address),
            client_application=client_name(self._startup),
            started_at=now,
        )
        grant = await self._house.gate.open_session(session)
        # The client took its time to log in, and may have lost the grant meanwhile.
        await self._authorise(grant)
        self._recorded_id = session.id
        _log.info("session %s of %s from %s opens", session.id, grant.person.email, self._address)

    async def _log_in(self, login: ProxyLogin, keys: ClientKeys) -> None:
        grant = login.grant
        self._upstream = self._house.upstreams[grant.target]
        parameters = upstream_parameters(
            self._startup,
            user=login.name,
            database=grant.database,
            application=application_name(
                self._startup, grant_id=grant.id, address=str(self._address)
            ),
        )
        try:
            self._upstream_stream, self._logged_in = await self._upstream.log_in(
                UpstreamLogin(keys, os.urandom(NONCE_BYTES)), parameters
            )
        except LoginRefused as error:
            self._failure = f"refused by the target: {error.error.sqlstate}"
            await self._explain(login, error)
        except (TargetDown, WireError, ScramError) as error:
            self._failure = "the target was unreachable"
            _log.warning("target %s: %s", grant.target, error)
            raise target_down(grant) from error

    async def _explain(self, login: ProxyLogin, refused: LoginRefused) -> None:
        """Pass on what the target said, unless it is about the keys, which are not the client's."""
        error = refused.error
        if error.sqlstate in ("28P01", "28000"):
            _log.error("target %s refuses login %s: %s", login.grant.target, login.name, refused)
            # Near the curfew it may only be the target's clock that is ahead of ours.
            if error.sqlstate == "28P01" and login.grant.expires_at - _now() > _CLOCK_TOLERANCE:
                await self._house.gate.report_rejected(login)
            raise keys_not_accepted(login.grant) from refused
        raise as_the_target_says(error) from refused

    def _greet(self) -> None:
        """Tell the client what the target told us, with a cancel key of our own."""
        assert self._logged_in is not None
        key = BackendKeyData(
            int.from_bytes(os.urandom(4)) & 0x7FFFFFFF, os.urandom(_CANCEL_KEY_BYTES)
        )
        self._cancel_digest = cancel_digest(key.pid, key.key)
        self._house.registry.add_cancel_key(self._cancel_digest, self)
        self._stream.write(
            self._logged_in.greeting + encode_backend_key(key) + self._logged_in.ready
        )

    def _ended(self, session_id: str) -> EndedSession:
        relay = self._relay
        return EndedSession(
            id=session_id,
            grant_id=self.grant_id,
            reason=relay.reason if relay is not None else self._failure,
            bytes_from_client=relay.bytes_from_client if relay is not None else 0,
            bytes_to_client=relay.bytes_to_client if relay is not None else 0,
            ended_at=_now(),
        )


def _now() -> datetime:
    return datetime.now(UTC)
