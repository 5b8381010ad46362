"""The facts that policies are decided on: who is on call, what was agreed beforehand, what somebody
has already."""

from collections.abc import Iterable
from datetime import timedelta

from broker.domain.allowance import Allowance
from broker.domain.on_call import NOBODY_ON_CALL, OnCallNow
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.quorum import Panel, Vote, tally
from broker.domain.policy.rule import Policy
from broker.ledger import allowances, grants
from broker.ledger.connection import Db
from broker.service.context import Context
from broker.service.people import People


class Circumstances:
    def __init__(self, context: Context, people: People) -> None:
        self._context = context
        self._people = people

    async def on_call(self, policies: Iterable[Policy]) -> OnCallNow:
        """Return who is on call now on the schedules that these policies name, by schedule.

        Asks other services, so never inside a transaction.
        """
        schedules: set[str] = set()
        for policy in policies:
            if policy.approval is not None:
                schedules |= policy.approval.escalation
                if policy.approval.on_call is not None:
                    schedules |= policy.approval.on_call.schedules
        return await self._context.on_call.who(schedules) if schedules else NOBODY_ON_CALL

    async def gather(
        self,
        db: Db,
        policies: PolicyBook,
        ask: Ask,
        on_call: OnCallNow,
        *,
        within: str | None = None,
    ) -> tuple[Facts, list[Allowance]]:
        """Return the facts of now, and the allowances that cover what is asked for. Grant `within`
        is the one in question, which is no other.

        Whoever decides by these facts decides by the same `policies`.
        """
        now = self._context.now()
        covering = await allowances.fetch_covering(
            db, ask.person, target=ask.target, database=ask.database, role=ask.role, now=now
        )
        living = await grants.count_living(db, ask.person.id)
        facts = Facts(
            now=now,
            on_call=on_call,
            pre_approved=await self._pre_approved(db, policies, ask, covering),
            living=living - (within is not None),
        )
        return facts, covering

    async def _pre_approved(
        self, db: Db, policies: PolicyBook, ask: Ask, covering: list[Allowance]
    ) -> dict[str, timedelta]:
        """Return the policies under which as many have agreed beforehand as are needed, and the
        longest that they agree to."""
        agreed: dict[str, timedelta] = {}
        for name in {each.policy for each in covering}:
            policy = policies.find(name)
            if policy is None:
                continue
            mine = [each for each in covering if each.policy == name]
            approvers = [await self._people.vouched_for(db, each.approver) for each in mine]
            panel = Panel(policy=policy, person=ask.person, requester=ask.requester)
            if tally(panel, [Vote(each) for each in approvers if each is not None]).agreed:
                agreed[name] = min(each.duration for each in mine)
        return agreed
