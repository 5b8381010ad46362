"""The ways in which somebody has to do with requests, as conditions on a row `r` of requests.

All of them at once say what a person may see, as `broker.ledger.sight` does. One by one, each has
an index in the order of ids, along which it can be walked: then what is wanted is on one of the
ways, and nothing is on two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from broker.ledger.sight import Deciding, Visible

# The planner takes gathering for cheaper than so long a walk; but most walks are over at once.
WALKING = """
    SET LOCAL random_page_cost = 1.1; SET LOCAL max_parallel_workers_per_gather = 0;
    SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off
"""
GATHERING = """
    SET LOCAL random_page_cost TO DEFAULT; SET LOCAL max_parallel_workers_per_gather TO DEFAULT;
    SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = on
"""
# Of an extension who asked for the grant counts, since an approver may extend it themselves.
_ASKED_BY = """
    coalesce((SELECT o.requester_id FROM curfew.grants g JOIN curfew.requests o
                ON o.id = g.request_id WHERE g.id = r.extends), r.requester_id)
"""


@dataclass(slots=True)
class Arguments:
    """The arguments of one statement, while it is written."""

    values: list[object] = field(default_factory=list)

    def put(self, value: object) -> str:
        """Return the place of one more argument."""
        self.values.append(value)
        return f"${len(self.values)}"


def all_of(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "true"


def of_person(arguments: Arguments, person_id: str) -> str:
    """By or for one person."""
    own, asked = lanes_of_person(arguments, person_id)
    return f"({all_of(own)} OR ({all_of(asked)}))"


def seen(arguments: Arguments, visible: Visible) -> Iterator[str]:
    """What one may see; no condition if that is everything."""
    if not visible.everything:
        ways = [of_person(arguments, visible.person.id), *_decided(arguments, visible)]
        yield f"({' OR '.join(ways)})"


def lanes_of_person(arguments: Arguments, person_id: str) -> Iterator[list[str]]:
    yield [f"r.person_id = {arguments.put(person_id)}"]
    yield [f"r.requester_id = {arguments.put(person_id)}", "r.requester_id <> r.person_id"]


def lanes_seen(arguments: Arguments, visible: Visible) -> Iterator[list[str]]:
    """The same as `seen`, of somebody who does not see everything."""
    put = arguments.put

    def others() -> str:
        return f"NOT {of_person(arguments, visible.person.id)}"

    yield from lanes_of_person(arguments, visible.person.id)
    for policy in visible.policies:
        yield [f"r.policy = {put(policy)}", others()]
    if visible.managed:
        other_policy = f"r.policy <> ALL ({put(visible.policies)})"
        yield [*_managed(arguments, visible), other_policy, others()]
    for policy in set(visible.on_call) - set(visible.policies):
        lane = ["r.escalated_at IS NOT NULL", f"r.policy = {put(policy)}", others()]
        if policy in visible.managed:
            lane.append(f"r.person_manager IS DISTINCT FROM {put(visible.person.email)}")
        yield lane


def open_to(arguments: Arguments, deciding: Deciding, now: datetime) -> Iterator[str]:
    """What waits for one's own decision."""
    put, me = arguments.put, deciding.person.id
    yield "r.state = 'pending'"
    yield f"r.lapses_at > {put(now)}"
    yield f"({' OR '.join(_decided(arguments, deciding)) or 'false'})"
    others = f"r.person_id <> {put(me)} AND {_ASKED_BY} <> {put(me)}"
    yield f"(r.policy = ANY ({put(deciding.one_party)}) OR ({others}))"
    decided = f"d.request_id = r.id AND d.decider_id = {put(me)}"
    yield f"NOT EXISTS (SELECT FROM curfew.decisions d WHERE {decided})"


def _decided(arguments: Arguments, of: Visible | Deciding) -> Iterator[str]:
    if of.policies:
        yield f"r.policy = ANY ({arguments.put(of.policies)})"
    if of.managed:
        yield f"({all_of(_managed(arguments, of))})"
    if of.on_call:
        yield f"(r.escalated_at IS NOT NULL AND r.policy = ANY ({arguments.put(of.on_call)}))"


def _managed(arguments: Arguments, of: Visible | Deciding) -> list[str]:
    return [
        f"r.person_manager = {arguments.put(of.person.email)}",
        f"r.policy = ANY ({arguments.put(of.managed)})",
    ]
