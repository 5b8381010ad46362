"""One session, from a client's first message to its goodbye.

    who is it → may they, now and from here → write it down → log in to the target with derived keys
    → relay until the client leaves, the curfew comes, or somebody ends it

Attackers learn less than operators: until the secret is proved, an unknown name and a wrong secret
are one and the same. What is wrong with a grant is said only after that.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from broker.domain.credential import ClientKeys
from broker.domain.errors import LedgerUnavailable
from broker.domain.grant import Grant, GrantState
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.network import Address
from broker.domain.statement.budget import spent
from broker.ledger.logins import ProxyLogin
from broker.ledger.sessions import EndedSession, NewSession
from proxy.authentication import Authenticated, Claim, authenticate
from proxy.dial import LoginRefused, TargetDown, Upstream
from proxy.door import Door
from proxy.goodbye import Goodbye
from proxy.ipfilter import Deny
from proxy.keeper import Keeper
from proxy.opening import Client
from proxy.refusals import (
    Refusal,
    as_the_target_says,
    budget_spent,
    ended,
    goodbye_of,
    keys_not_accepted,
    killed,
    ledger_away,
    no_live_grant,
    not_from_here,
    not_served,
    not_this_database,
    not_your_certificate,
    nothing_can_be_recorded,
    old_secret,
    our_fault,
    pinned_elsewhere,
    record_full,
    shown,
    target_down,
    too_many_sessions,
)
from proxy.registry import cancel_digest
from proxy.relay import Relay
from proxy.rules import Rules
from proxy.scram import ScramError
from proxy.startup import (
    application_name,
    client_name,
    upstream_parameters,
    wanted_database,
)
from proxy.stream import Disconnected, MessageStream
from proxy.timekeeper import Timekeeper
from proxy.tls import CertificateHolder, certificate_holder
from proxy.transcript import Transcript
from proxy.upstream import LoggedIn
from proxy.wire.errors import WireError
from proxy.wire.messages import (
    BackendKeyData,
    encode_backend_key,
    encode_negotiate_protocol,
)
from proxy.workplace import Workplace

_CLOCK_TOLERANCE = timedelta(minutes=1)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a client comes from, and the binding of the certificate that it was shown."""

    address: Address
    channel_binding: bytes | None


class Session:
    """A client that wants to log in, and then its session."""

    def __init__(
        self,
        client: Client,
        origin: Origin,
        rules: Rules,
        door: Door,
        place: Workplace,
    ) -> None:
        self.id = new_id(IdKind.SESSION, _now(), os.urandom(RANDOM_BYTES))
        self._stream = client.stream
        self._startup = client.startup
        self._origin = origin
        self._rules = rules
        self._door = door
        self._place = place
        self._keeper: Keeper | None = None
        self._login: ProxyLogin | None = None
        self._started_at = _now()
        self._relay: Relay | None = None
        self._goodbye: Goodbye | None = None
        self._timekeeper: Timekeeper | None = None
        self._recording = False  # begun, whether or not the ledger has said that it is done
        self._recorded = False
        self._cancel_digest = ""
        self._upstream_stream: MessageStream | None = None
        self._logged_in: LoggedIn | None = None
        self._failure = "ended before it began"

    @property
    def grant(self) -> Grant:
        assert self._login is not None
        return self._login.grant

    @property
    def grant_id(self) -> str:
        return self.grant.id

    @property
    def _upstream(self) -> Upstream:
        return self._rules.targets[self.grant.target].upstream

    async def cancel_query(self) -> None:
        """Ask the target to cancel what this session is doing, and wait until it has tried.

        Meanwhile nothing new is passed on: a cancel request names no query, and must not hit the
        one after. Raises TargetDown, TimeoutError.
        """
        stream = self._upstream_stream
        if self._logged_in is None or stream is None or stream.transport.is_closing():
            return
        if self._relay is not None:
            self._relay.transcript.cancelled()
        with self._relay.client_held() if self._relay is not None else nullcontext():
            await self._upstream.cancel(self._logged_in.cancel_key, stream)

    async def begin(self) -> bool:
        """Do everything up to the moment when the client may send its first query.

        Returns False if it may not, and was told so.
        """
        try:
            await self._begin()
        except Refusal as refusal:
            self._refuse(refusal)
        except WireError as error:
            self._refuse(Refusal(error.sqlstate, str(error)))
        except LedgerUnavailable:
            self._refuse(ledger_away())
        except Disconnected:
            self._stream.transport.abort()
        except Exception:
            # One client must never take the others with it, and is told nothing of our insides.
            _log.exception("a session failed")
            self._refuse(our_fault())
        else:
            return True
        return False

    def out_of_time(self) -> None:
        """Give up a client that has not got in by its deadline. Who has not proved anything gets no
        answer; else it was the ledger or the target that took so long."""
        if self._login is None:
            self._stream.transport.abort()
        elif self._recorded or self._door.counts_from_first_use:
            self._refuse(target_down(self.grant))
        else:
            self._refuse(ledger_away())

    async def relay(self) -> None:
        """Pass everything on until the session ends."""
        conditions = self.grant.conditions
        transcript = Transcript(
            self.id,
            self._place.spool,
            _now_us,
            longest_text=self._rules.longest_text,
            recorded=conditions.parameters,
        )
        try:
            if conditions.bind:
                await self._relay_under_conditions(transcript)
            else:
                await self._run(Relay(transcript, self._wait_for_room))
        finally:
            transcript.close()

    async def _relay_under_conditions(self, transcript: Transcript) -> None:
        assert self._login is not None
        self._keeper = keeper = Keeper(
            self.id, self._login, self._place.ledger, self._rules.guide, self.end
        )
        relay = Relay(transcript, self._wait_for_room, keeper.watching(transcript))
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(keeper.keep(relay))
            await self._run(relay)
            keeping.cancel()

    async def _run(self, relay: Relay) -> None:
        assert self._upstream_stream is not None
        assert self._timekeeper is not None
        self._relay = relay
        self._timekeeper.watch(relay)
        await relay.run(self._stream, self._upstream_stream)

    def _wait_for_room(self, call: Callable[[], None]) -> None:
        """Nothing is run that is not on record: wait until there is room, or end."""
        if self._place.spool.rules.holds:
            self._place.spool.when_room(call)
        else:
            self.end(record_full(self.id))

    def end(self, goodbye: Goodbye) -> None:
        """End the session with a last word, whatever it is doing."""
        self._goodbye = self._goodbye or goodbye
        self._failure = goodbye.reason
        if self._relay is not None:
            self._relay.end(goodbye)

    def follow(self, grant: Grant) -> None:
        """Live as the grant now says: until its curfew, or not at all."""
        assert self._login is not None
        grant = self._door.bounded(grant)
        self._login = replace(self._login, grant=grant)
        if grant.state is GrantState.ACTIVE:
            if self._timekeeper is not None:
                self._timekeeper.follow(grant)
            if self._keeper is not None:
                self._keeper.follow(grant)
        else:
            self.end(goodbye_of(grant, self._rules.guide))

    def killed(self, by: str) -> None:
        self.end(killed(self.id, by))

    def close(self) -> None:
        """Forget the session and write down its end."""
        if self._timekeeper is not None:
            self._timekeeper.stop()
        if self._login is not None:
            self._place.registry.remove(self)
        self._place.registry.remove_cancel_key(self._cancel_digest)
        if self._relay is None and self._upstream_stream is not None:
            self._upstream_stream.transport.abort()
        if self._recording:
            over = self._ended()
            _log.debug("session %s ends: %s", self.id, over.reason)
            self._door.close_session(over)

    async def _begin(self) -> None:
        startup = self._startup
        if startup.needs_negotiation:
            self._stream.write(
                encode_negotiate_protocol(startup.spoken_minor, startup.protocol_options)
            )
        user = startup.parameters["user"]
        claim = Claim(
            user=user,
            database=startup.parameters.get("database", user),
            address=self._origin.address,
            channel_binding=self._origin.channel_binding,
        )
        proved = await authenticate(self._stream, claim, self._door, self._rules)
        self._login = proved.login  # proved: from here on it is told what is wrong
        self._login = await self._door.look_again(proved.login)
        holder = self._certificate_holder()
        await self._authorise(proved, holder)
        # Known to the registry before its grant is read for the last time: if that ends from here
        # on, this session hears of it.
        self._place.registry.add(self)
        await self._record_and_log_in(proved, holder)
        rules = self._rules
        self._timekeeper = Timekeeper(rules.sessions_of(self.grant), rules.guide, self.end)
        self._timekeeper.follow(self.grant)
        if self._goodbye is not None:
            raise ended(self._goodbye)
        self._greet()

    def _refuse(self, refusal: Refusal) -> None:
        # Quoted, because the name may hold anything and the message may hold the name.
        user = shown(self._startup.parameters["user"])
        _log.info("refused %r from %s: %r", user, self._origin.address, str(refusal))
        self._stream.say_goodbye(refusal.encoded)

    def _certificate_holder(self) -> CertificateHolder | None:
        shown = self._stream.peer_certificate()
        return certificate_holder(shown) if shown is not None else None

    async def _authorise(self, proved: Authenticated, holder: CertificateHolder | None) -> None:
        """Refuse a session that its grant does not cover, and write that down."""
        refusal = self._why_not(proved, holder)
        if refusal is not None:
            why = " ".join(filter(None, (str(refusal), refusal.detail)))
            await self._door.record_refusal(proved.login, self._origin.address, why)
            raise refusal

    def _why_not(self, proved: Authenticated, holder: CertificateHolder | None) -> Refusal | None:
        grant, likeliest, address = self.grant, proved.likeliest.grant, self._origin.address
        if not _lives(grant):
            if likeliest.id != grant.id and _lives(likeliest):
                return old_secret(grant, likeliest)
            return no_live_grant(grant, self._rules.guide)
        if grant.target not in self._rules.targets:
            return not_served(grant)
        if self._place.spool.refuses is not None:
            return nothing_can_be_recorded(self._place.spool.refuses)
        gone = spent(grant.conditions, proved.login.used)
        if gone is not None:
            return budget_spent(grant, gone, self._rules.guide)
        decision = self._rules.may_come_from(address, grant)
        if isinstance(decision, Deny):
            return not_from_here(grant, address, decision)
        if grant.pinned_to not in (None, address):
            return pinned_elsewhere(grant, address)
        if holder is not None and holder.emails and grant.person.email not in holder.emails:
            return not_your_certificate(grant)
        database = wanted_database(self._startup, granted=grant.database)
        if database != grant.database:
            return not_this_database(grant, database)
        return None

    async def _record_and_log_in(
        self, proved: Authenticated, holder: CertificateHolder | None
    ) -> None:
        """Do both at once, as neither needs the other. Nobody is let in before both are done."""
        if self._door.counts_from_first_use:
            await self._log_in(proved.keys)
            await self._record(proved, holder)
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                logging_in = tasks.create_task(self._try_to_log_in(proved.keys))
                await self._record(proved, holder)
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        failure = logging_in.result()
        if failure is not None:
            raise failure

    async def _try_to_log_in(self, keys: ClientKeys) -> Exception | None:
        """Return what went wrong: raised, it would stop the recording half-way."""
        try:
            await self._log_in(keys)
        except Exception as error:
            return error
        return None

    async def _record(self, proved: Authenticated, holder: CertificateHolder | None) -> None:
        session = NewSession(
            id=self.id,
            grant_id=self.grant_id,
            worker_id=self._place.worker_id,
            client_address=self._origin.address,
            client_application=client_name(self._startup),
            client_certificate=holder.subject if holder is not None else None,
            started_at=self._started_at,
        )
        # From here on the ledger may know the session, even if its answer is lost on the way.
        self._recording = True
        before = self._login
        grant = await self._door.open_session(session, self.grant, self._startup.parameters["user"])
        # The client took its time to log in: the grant may have ended or moved meanwhile, or been
        # pinned to where another first session came from.
        if self._login is before:  # else it has heard of something newer
            self._login = replace(proved.login, grant=grant)
        await self._authorise(proved, holder)
        self._recorded = True
        _log.debug(
            "session %s of %s from %s opens", self.id, grant.person.email, self._origin.address
        )

    async def _log_in(self, keys: ClientKeys) -> None:
        assert self._login is not None
        parameters = upstream_parameters(
            self._startup,
            user=self._login.name,
            database=self.grant.database,
            application=application_name(
                self._startup, grant_id=self.grant_id, address=str(self._origin.address)
            ),
        )
        try:
            self._upstream_stream, self._logged_in = await self._upstream.log_in(keys, parameters)
        except LoginRefused as error:
            self._failure = f"refused by the target: {error.error.sqlstate}"
            await self._explain(self._login, error)
        except (TargetDown, WireError, ScramError) as error:
            self._failure = "the target was unreachable"
            _log.warning("target %s: %s", self.grant.target, error)
            raise target_down(self.grant) from error

    async def _explain(self, login: ProxyLogin, refused: LoginRefused) -> None:
        """Pass on what the target said, unless it is about the keys, which are not the client's."""
        error = refused.error
        if error.sqlstate in ("28P01", "28000"):
            _log.error("target %s refuses login %s: %s", login.grant.target, login.name, refused)
            # Near the curfew it may only be the target's clock that is ahead of ours.
            if error.sqlstate == "28P01" and login.grant.expires_at - _now() > _CLOCK_TOLERANCE:
                await self._door.report_rejected(login)
            raise keys_not_accepted(login.grant, self._rules.guide) from refused
        if error.sqlstate == "53300" and login.name in error.message:
            raise too_many_sessions(login.grant, login.connection_limit) from refused
        raise as_the_target_says(error) from refused

    def _greet(self) -> None:
        """Tell the client what the target told us, with a cancel key of our own."""
        assert self._logged_in is not None
        key = BackendKeyData(
            int.from_bytes(os.urandom(4)) & 0x7FFFFFFF, os.urandom(self._startup.cancel_key_bytes)
        )
        self._cancel_digest = cancel_digest(key.pid, key.key)
        self._place.registry.add_cancel_key(self._cancel_digest, self)
        self._stream.write(
            self._logged_in.greeting + encode_backend_key(key) + self._logged_in.ready
        )

    def _ended(self) -> EndedSession:
        relay = self._relay
        return EndedSession(
            id=self.id,
            reason=relay.reason if relay is not None else self._failure,
            bytes_from_client=relay.bytes_from_client if relay is not None else 0,
            bytes_to_client=relay.bytes_to_client if relay is not None else 0,
            ended_at=_now(),
        )


def _lives(grant: Grant) -> bool:
    return grant.state is GrantState.ACTIVE and grant.expires_at > _now()


def _now() -> datetime:
    return datetime.now(UTC)


def _now_us() -> int:
    return time.time_ns() // 1_000
