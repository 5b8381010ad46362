"""Other policies, tried on past requests: which would have been answered otherwise?

Both answers are worked out anew, by the policies in force and by the others, from the same facts:
those of when it was asked. Nobody is taken to have been on call. Where the policy in force wants an
approval in advance, those who asked under it are taken to have had one.

Requests that were refused at once were never requests, so they cannot be tried.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.domain.errors import NotApprover
from broker.domain.person import Person
from broker.domain.policy.ask import Ask, Facts
from broker.domain.policy.book import PolicyBook
from broker.domain.policy.replay import Shift, shift
from broker.domain.request import AccessRequest
from broker.domain.request_list import Place, Sort, Wanted
from broker.service.context import Context
from broker.service.insight import sees_policies
from broker.service.request_pages import ask, fetch_page

_AT_ONCE = 200  # requests: fetched and decided in some 20 ms, so that others need not wait long


@dataclass(frozen=True, slots=True)
class Shifted:
    request: AccessRequest
    shift: Shift


@dataclass(frozen=True, slots=True)
class Replayed:
    """A stretch of past requests: how many there were, and those with another answer."""

    considered: int
    shifted: tuple[Shifted, ...]


class PolicyReplay:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._one_at_a_time = asyncio.Lock()  # the arithmetic; there may be 100,000 requests

    async def prepare(self, text: str, asker: Person) -> PolicyBook:
        """Return the policies that `text` makes. Raises NotApprover or UnusablePolicies."""
        if not sees_policies(self._context, asker):
            raise NotApprover("only who approves under a policy tries others on past requests")
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._context.files.parse_policies, text)

    async def replay(
        self, proposed: PolicyBook, since: datetime, asker: Person
    ) -> AsyncGenerator[Replayed, None]:
        """Yield stretch after stretch, from the oldest request to the newest. Raises
        LedgerUnavailable."""
        in_force, past = self._context.policies, Wanted(since=since, until=self._context.now())
        question = await ask(self._context, asker, past, Sort.OLDEST)
        after: Place | None = None
        while True:
            page = await fetch_page(self._context.ledger, question, after, _AT_ONCE)
            if page.items:
                async with self._one_at_a_time:
                    shifted = await asyncio.to_thread(_compare, in_force, proposed, page.items)
                yield Replayed(len(page.items), shifted)
            if page.next is None:
                return
            after = page.next


def _compare(
    in_force: PolicyBook, proposed: PolicyBook, page: Sequence[AccessRequest]
) -> tuple[Shifted, ...]:
    found = []
    for request in page:
        ask, facts = _as_asked(in_force, request)
        other = shift(in_force, proposed, ask, facts)
        if other is not None:
            found.append(Shifted(request, other))
    return tuple(found)


def _as_asked(in_force: PolicyBook, request: AccessRequest) -> tuple[Ask, Facts]:
    ask = Ask(
        person=request.person,
        requester=request.requester,
        target=request.target,
        database=request.database,
        role=request.role,
        kind=request.kind,
        duration=request.duration,
        reason=request.reason,
        networks=request.networks,
    )
    policy = in_force.find(request.policy)
    was_approved_before = policy is not None and policy.pre_approval_required
    pre_approved = {request.policy: request.duration} if was_approved_before else {}
    return ask, Facts(now=request.created_at, pre_approved=pre_approved)
