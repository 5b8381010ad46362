"""How much of policies and settings somebody may look into.

Everybody hears what policies say about themselves. Who approves under one of them may see them all,
and ask about others; operators and auditors may see the settings, too.
"""

from broker.domain.person import Person
from broker.domain.version import VersionKind
from broker.service.context import Context


def kinds_seen(context: Context, person: Person) -> tuple[VersionKind, ...]:
    """Return the files whose contents the person may see."""
    if context.authority.sees_everything(person):
        return tuple(VersionKind)
    return (VersionKind.POLICIES,) if context.policies.approvable_by(person) else ()


def sees_policies(context: Context, person: Person) -> bool:
    return VersionKind.POLICIES in kinds_seen(context, person)
