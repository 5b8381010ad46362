"""What should not be on a target, as the ledger and the target say it. Looks, and changes nothing:
broker.service.reconcile removes, and raises alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from broker.domain.errors import NotFound
from broker.domain.leftovers import Leftover, SeenLogin, TargetState, leftovers_of
from broker.domain.role.facts import Unseen
from broker.ledger import alarms, grants, standing_grants
from broker.ledger.connection import reading
from broker.service.context import Context
from broker.service.looks import look_or_say_why
from broker.target.connect import Target
from broker.target.leftovers import find_logins, find_missing

_MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetLeftovers:
    """`unseen` says why the target could not be looked at; what the ledger knows is here even so.
    What is not `complete` has more."""

    target: str
    items: tuple[Leftover, ...]
    unseen: Unseen | None
    complete: bool
    looked_at: datetime


class Leftovers:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def of(self, name: str) -> TargetLeftovers:
        """For who sees everything. Raises NotFound for a target that is not there."""
        if name not in self._context.targets:
            raise NotFound("target", name)
        target, now = self._context.targets[name], self._context.now()
        async with reading(self._context.ledger) as db:
            active = await grants.fetch_active_logins(db, name)
        seen = await look_or_say_why(lambda: _look(target, active))
        logins, missing = ((), {}) if isinstance(seen, Unseen) else seen
        # After the target: a grant that has begun meanwhile is then known.
        async with reading(self._context.ledger) as db:
            marked = [each.mark.grant_id for each in logins if each.mark is not None]
            living = await grants.fetch_living(db, name, marked)
            unfinished = await standing_grants.fetch_unfinished(db, name, now, _MOST)
            open_alarms = await alarms.fetch_open_on_target(db, name, _MOST)
            still_active = await grants.fetch_active_logins(db, name) if missing else {}
        state = TargetState(
            target=name,
            installation=self._context.installation,
            removes_unknown=self._context.terms[name].removes_unknown_logins,
            seen=None if isinstance(seen, Unseen) else logins,
            living=living,
            missing={grant: oid for grant, oid in missing.items() if grant in still_active},
            unfinished=tuple(unfinished),
            alarms=open_alarms,
        )
        found = leftovers_of(state)
        return TargetLeftovers(
            target=name,
            items=found[:_MOST],
            unseen=seen if isinstance(seen, Unseen) else None,
            complete=len(found) <= _MOST and len(unfinished) < _MOST,
            looked_at=now,
        )


async def _look(
    target: Target, active: Mapping[str, int]
) -> tuple[tuple[SeenLogin, ...], dict[str, int]]:
    """Return what looks like a login of ours, and which active grants have none."""
    found = await find_logins(target)
    missing = await find_missing(target, active.values()) if active else set()
    seen = tuple(SeenLogin(each.name, each.oid, each.mark) for each in found)
    return seen, {grant: oid for grant, oid in active.items() if oid in missing}
