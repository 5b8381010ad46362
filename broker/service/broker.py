"""The broker as its doors see it: every use case, with the work on targets done right away."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from broker.domain.authorization import EVERY_REACH, Reach
from broker.domain.errors import BrokerError, IllegalTransition
from broker.domain.person import Person
from broker.ledger.sessions import SessionRow
from broker.service.alarms import Alarms
from broker.service.allowances import Allowances
from broker.service.approvals import Approvals, Consent
from broker.service.asking import Asking, Wish
from broker.service.authentication import Authentication
from broker.service.bans import Bans
from broker.service.blast_radius import BlastRadii
from broker.service.checkpoints import Checkpoints
from broker.service.circumstances import Circumstances
from broker.service.context import Context
from broker.service.copying import Copying
from broker.service.doctor import Doctor
from broker.service.dossiers import Dossiers
from broker.service.event_stream import Events
from broker.service.evidence import Evidence
from broker.service.exports import Exports
from broker.service.extensions import Extensions, More
from broker.service.following import Following
from broker.service.grants import Credential, GrantDetails, Grants
from broker.service.health import Health
from broker.service.held_commits import HeldCommits
from broker.service.idempotency import Idempotency
from broker.service.instruments import Instruments
from broker.service.leftovers import Leftovers
from broker.service.logins import Logins
from broker.service.looks import Looks
from broker.service.means import Means
from broker.service.memberships import Memberships
from broker.service.offers import Offers
from broker.service.overview import Overviews
from broker.service.own_access import OwnAccess
from broker.service.paging import Paging
from broker.service.people import People
from broker.service.policies import Policies
from broker.service.policy_history import PolicyHistory
from broker.service.policy_questions import PolicyQuestions
from broker.service.policy_replay import PolicyReplay
from broker.service.privilege_fit import PrivilegeFits
from broker.service.proofs import Proofs
from broker.service.receipts import Receipts
from broker.service.reconcile import Reconciliation
from broker.service.refusals import Refusals
from broker.service.request_cards import RequestCards
from broker.service.request_exports import RequestExports
from broker.service.requests import RequestDetails, Requests
from broker.service.retention import Retention
from broker.service.reviews import Reviews
from broker.service.role_checks import RoleChecks
from broker.service.role_insights import RoleInsights
from broker.service.rotation import Rotation
from broker.service.sealing import Sealing
from broker.service.sessions import Sessions
from broker.service.sign_ins import SignIns
from broker.service.statements import Statements, Watched
from broker.service.sweep import Sweep
from broker.service.targets import Targets
from broker.service.ticket_uses import TicketUses
from broker.service.tickets import Tickets
from broker.service.timelines import Timelines
from broker.service.tokens import Tokens
from broker.service.trail import Trail
from broker.service.trail_sealing import TrailSealing
from broker.service.verification import Verification
from broker.service.work import Work

# How long a caller waits for a target. The work is in the ledger: what is not done by then, or
# dies with this process, the reaper finishes.
_PATIENCE_S = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Approved:
    """A request after somebody's consent, and what it gave once nobody else has to agree."""

    request: RequestDetails
    grant: GrantDetails | None

    @property
    def given(self) -> GrantDetails:
        """The grant. Raises LookupError while others have to agree."""
        if self.grant is None:
            raise LookupError(f"others still have to agree to request {self.request.request.id}")
        return self.grant


@dataclass(frozen=True, slots=True)
class Obtained:
    """A grant with its secret, and a token that gives it back and does nothing else."""

    grant: GrantDetails
    credential: Credential
    token: str = field(repr=False)


class Broker:
    def __init__(self, context: Context) -> None:  # noqa: PLR0915  (a line for each use case)
        self.context = context
        self.alarms = Alarms(context)
        self.receipts = Receipts(context, self.alarms)
        self.people = People(context)
        circumstances = Circumstances(context, self.people)
        self.approvals = Approvals(context, self.people, circumstances, self.alarms)
        self.asking = Asking(context, self.people, circumstances, self.approvals)
        self.requests = Requests(context, self.approvals)
        self.request_exports = RequestExports(context)
        self.extensions = Extensions(context, circumstances, self.asking, self.approvals)
        self.allowances = Allowances(context, self.people)
        self.reviews = Reviews(context, self.alarms)
        self.grants = Grants(context, self.receipts, circumstances, self.approvals)
        self.own_access = OwnAccess(context)
        self.policies = Policies(context, self.alarms)
        self.policy_history = PolicyHistory(context)
        self.policy_questions = PolicyQuestions(context, self.people, circumstances)
        self.policy_replay = PolicyReplay(context)
        means = Means(context, self.receipts, Sweep(context), RoleChecks(context))
        self.work = Work(context, self.alarms, Logins(means), Memberships(means))
        self.reconciliation = Reconciliation(context, self.alarms)
        self.rotation = Rotation(context)
        self.sessions = Sessions(context)
        self.copying = Copying(context)
        self.instruments = Instruments(context)
        self.held_commits = HeldCommits(context)
        self.statements = Statements(context)
        self.exports = Exports(context)
        self.following = Following(context)
        self.privilege_fits = PrivilegeFits(context)
        self.bans = Bans(context)
        self.tokens = Tokens(context, self.people)
        self.tickets = Tickets(context, self.work)
        self.sealing = Sealing(context, self.people, self.tickets)
        self.ticket_uses = TicketUses(context, self.alarms)
        self.refusals = Refusals(context)
        self.authentication = Authentication(context, self.people, self.tokens, self.refusals)
        proofs = Proofs(context, self.people, self.tokens, self.refusals)
        self.sign_ins = SignIns(context, self.people, self.tokens, proofs)
        self.verifier = context.verifier
        self.trail_sealing = TrailSealing(context)
        self.events = Events(context, self.trail_sealing)
        self.health = Health(context, self.events.tell_of_target)
        self.targets = Targets(context, self.health)
        self.doctor = Doctor(context)
        looks = Looks(context)
        self.role_insights = RoleInsights(context, looks, self.health)
        self.offers = Offers(context, self.role_insights, self.health)
        self.blast_radius = BlastRadii(context, looks)
        self.leftovers = Leftovers(context)
        self.trail = Trail(context)
        self.timelines = Timelines(context)
        self.overview = Overviews(context, self.health, self.instruments)
        self.request_cards = RequestCards(context, self.approvals, self.requests)
        self.dossiers = Dossiers(context, self.request_cards, self.timelines)
        self.trail_sealing = TrailSealing(context)
        self.checkpoints = Checkpoints(context)
        self.evidence = Evidence(context, self.exports, self.trail_sealing, self.checkpoints)
        self.retention = Retention(context)
        self.verification = Verification(context)
        self.paging = Paging(context)
        self.idempotency = Idempotency(context)

    async def ask(self, wish: Wish, requester: Person) -> RequestDetails:
        """Make a request, and what it gives if nobody has to agree to it."""
        request, grant = await self.asking.ask(wish, requester)
        if grant is not None:
            await self._attend(grant.id)
        return await self.requests.get(request.id, requester)

    async def obtain(self, wish: Wish, person: Person) -> Obtained:
        """Ask for what nobody has to agree to, make it, and hand it out, in one go.

        Raises ApprovalNeeded if somebody has to agree; nothing is asked for then. What cannot be
        handed out is given back.
        """
        _, grant = await self.asking.ask(replace(wish, at_once=True), person)
        assert grant is not None
        try:
            await self._attend(grant.id)
            credential = await self.hand_out(grant.id, person, source=wish.source)
        except BrokerError:
            with suppress(IllegalTransition):  # it ends already, which is why
                await self.relinquish(grant.id, person)
            raise
        details = await self.grants.details(grant.id)
        token = await self.tokens.create_to_give_back(person, details.grant)
        return Obtained(details, credential, token.secret)

    async def approve(self, request_id: str, person: Person, consent: Consent) -> Approved:
        """Consent to a request, and once enough have, make what it gives. The grant is active, or
        still provisioning if its target does not answer."""
        grant = await self.approvals.approve(request_id, person, consent)
        given = await self._attend(grant.id) if grant is not None else None
        return Approved(await self.requests.get(request_id, person), given)

    async def deny(self, request_id: str, person: Person, *, reason: str) -> RequestDetails:
        await self.approvals.deny(request_id, person, reason=reason)
        return await self.requests.get(request_id, person)

    async def extend(
        self, grant_id: str, person: Person, more: More, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> Approved:
        """Ask for a later curfew. It has moved, or others still have to agree."""
        request = await self.extensions.extend(grant_id, person, more, reach=reach)
        details = await self.requests.get(request.id, person)
        return Approved(details, await self.grants.details(grant_id))

    async def hand_out(self, grant_id: str, person: Person, *, source: str | None) -> Credential:
        """Return a new secret, and start the clock of a grant that has waited for this."""
        if await self.grants.activate(grant_id, person):
            await self._attend(grant_id)
        return await self.grants.hand_out(grant_id, person, source=source)

    async def relinquish(self, grant_id: str, person: Person) -> GrantDetails:
        """Give the grant back and remove its login. It has ended, or is still revoking."""
        await self.grants.relinquish(grant_id, person)
        return await self._attend(grant_id)

    async def revoke(
        self, grant_id: str, person: Person, *, reason: str, reach: frozenset[Reach] = EVERY_REACH
    ) -> GrantDetails:
        """Take the grant away and remove its login. It has ended, or is still revoking."""
        await self.grants.revoke(grant_id, person, reason=reason, reach=reach)
        return await self._attend(grant_id)

    async def watch_sessions(
        self,
        person: Person,
        *,
        grant_id: str | None,
        is_open: bool | None,
        before: str | None,
        limit: int,
    ) -> Sequence[Watched]:
        """Return the sessions that the person may see, newest first, and what they do."""
        rows = await self.sessions.list(
            person, grant_id=grant_id, is_open=is_open, before=before, limit=limit
        )
        return await self.statements.watch(rows, person)

    async def watch_session(self, session_id: str, person: Person) -> Watched:
        """Raises NotFound for a session that is not there or not this person's to see."""
        row = await self.sessions.get(session_id, person)
        return await self.statements.watch_one(row, person)

    async def kill_session(
        self, session_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> SessionRow:
        """End the session. It has ended, or its proxy is slow to."""
        await self.sessions.kill(session_id, person, reach=reach)
        (row,) = await self.sessions.await_ends([session_id])
        return row

    async def kill_sessions(
        self, grant_id: str, person: Person, *, reach: frozenset[Reach] = EVERY_REACH
    ) -> Sequence[SessionRow]:
        """End the grant's open sessions. They have ended, or a proxy is slow to."""
        killed = await self.sessions.kill_all(grant_id, person, reach=reach)
        return await self.sessions.await_ends(killed)

    async def _attend(self, grant_id: str) -> GrantDetails:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.work.work_on(grant_id)
        except TimeoutError:
            _log.warning("grant %s: the target is slow; the reaper goes on", grant_id)
        return await self.grants.details(grant_id)
