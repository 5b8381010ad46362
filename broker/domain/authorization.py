"""Who may do what, and to whose things: the one place that decides it. Pure.

All that people and machines do is an Action, and reaches things: their own, those under policies
that they approve, or everybody's. Both come from where they stand:

    standing    acts                       reaches
    requester   READ, ASK, GIVE_BACK,      OWN
                TOKENS, SIGN
    reviewer    DECIDE                     APPROVED
    operator    OPERATE                    EVERYTHING
    auditor                                EVERYTHING, and changes nothing, whatever else they are

Whether a reviewer is one depends on the thing at hand, and is asked of its policy; until then every
human counts as one. So operators approve nothing by being operators; nor do they see a secret or
act for others. A machine is a requester only, and makes no tokens. What a token allows is a set of
actions, and only ever takes away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from broker.domain.errors import (
    AuditorChangesNothing,
    NotForMachines,
    NotYourToken,
    OutOfScope,
    StandingNeeded,
)
from broker.domain.person import Person, PersonKind
from broker.domain.policy.people import People
from broker.domain.verdict import Allow, Deny


class Standing(StrEnum):
    REQUESTER = "requester"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"


class Action(StrEnum):
    READ = "read"  # look
    ASK = "ask"  # ask for access and use it
    GIVE_BACK = "give_back"  # which whoever may ask may, too
    DECIDE = "decide"  # approve, deny, prolong and end the access of others
    OPERATE = "operate"  # keep the service running
    TOKENS = "tokens"  # make and revoke one's own tokens
    SIGN = "sign"  # in and out


class Reach(StrEnum):
    OWN = "own"
    APPROVED = "approved"
    EVERYTHING = "everything"


EVERY_ACTION = frozenset(Action)
EVERY_REACH = frozenset(Reach)

_ACTIONS: Mapping[Standing, frozenset[Action]] = {
    Standing.REQUESTER: frozenset(
        {Action.READ, Action.ASK, Action.GIVE_BACK, Action.TOKENS, Action.SIGN}
    ),
    Standing.REVIEWER: frozenset({Action.DECIDE}),
    Standing.OPERATOR: frozenset({Action.OPERATE}),
    Standing.AUDITOR: frozenset(),
}
_REACHES = {
    Standing.REQUESTER: Reach.OWN,
    Standing.REVIEWER: Reach.APPROVED,
    Standing.OPERATOR: Reach.EVERYTHING,
    Standing.AUDITOR: Reach.EVERYTHING,
}
# Tokens: their own, which then only read.
_LEFT_TO_AUDITORS = {Action.READ, Action.TOKENS, Action.SIGN}
_LEFT_TO_MACHINES = {Action.READ, Action.ASK, Action.GIVE_BACK}


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts: where they stand, and what the token they came with allows."""

    person: Person
    standings: frozenset[Standing]
    scopes: frozenset[Action] = EVERY_ACTION


@dataclass(frozen=True, slots=True)
class Authority:
    """Who keeps the service running and who looks over its shoulder, as the settings say."""

    operators: People = field(default_factory=People)
    auditors: People = field(default_factory=People)

    def standings(self, person: Person) -> frozenset[Standing]:
        if person.kind is PersonKind.MACHINE:
            return frozenset({Standing.REQUESTER})
        special = ((Standing.OPERATOR, self.operators), (Standing.AUDITOR, self.auditors))
        return frozenset(
            {
                Standing.REQUESTER,
                Standing.REVIEWER,
                *(standing for standing, people in special if people.includes(person)),
            }
        )

    def actor(self, person: Person, scopes: frozenset[str] | None = None) -> Actor:
        """Return the person as they come: with a token for `scopes`, or with all that they may.

        A scope that is no action allows nothing.
        """
        allowed = {action for action in Action if scopes is None or action in scopes}
        if Action.ASK in allowed:
            allowed.add(Action.GIVE_BACK)
        return Actor(person, self.standings(person), frozenset(allowed))

    def sees_everything(self, person: Person) -> bool:
        return bool(self.standings(person) & {Standing.OPERATOR, Standing.AUDITOR})

    def usual_scopes(self, person: Person) -> frozenset[Action] | None:
        """Return what a token of theirs is good for unless they say; None is all that they may."""
        is_auditor = Standing.AUDITOR in self.standings(person)
        return frozenset({Action.READ}) if is_auditor else None

    def operates(self, person: Person) -> bool:
        """Say whether the person acts on things that are neither theirs nor theirs to approve."""
        return isinstance(may(self.actor(person), Action.OPERATE), Allow)


def may(actor: Actor, action: Action) -> Allow | Deny:
    """Say whether the actor does such things at all; to which ones, `reach` says."""
    if Standing.AUDITOR in actor.standings and action not in _LEFT_TO_AUDITORS:
        return Deny(AuditorChangesNothing())
    if actor.person.kind is PersonKind.MACHINE and action not in _LEFT_TO_MACHINES:
        return Deny(NotForMachines())
    givers = [standing for standing in Standing if action in _ACTIONS[standing]]
    if not actor.standings.intersection(givers):
        return Deny(StandingNeeded(givers))
    if action not in actor.scopes:
        return Deny(OutOfScope(action.value, sorted(actor.scopes)))
    return Allow()


def reach(actor: Actor, through: Mapping[Reach, Action]) -> frozenset[Reach] | Deny:
    """Return how far the actor reaches in doing something, where each reach takes an action."""
    near = [each for each in Reach if each in through and each in _reaches(actor.standings)]
    if not near:
        needed = [standing for standing in Standing if _REACHES[standing] in through]
        return Deny(StandingNeeded(needed))
    verdicts = {each: may(actor, through[each]) for each in near}
    allowed = frozenset(each for each in near if isinstance(verdicts[each], Allow))
    return allowed or next(each for each in verdicts.values() if isinstance(each, Deny))


def may_make_token(actor: Actor, holder: Person, scopes: frozenset[str] | None) -> Allow | Deny:
    """Say whether the actor may make a token of the holder's that is good for `scopes`, or for all.

    People make their own, operators those of machines, and auditors such as only read.
    """
    own = actor.person.email == holder.email
    if not own and holder.kind is not PersonKind.MACHINE:
        return Deny(NotYourToken())
    verdict = may(actor, Action.TOKENS if own else Action.OPERATE)
    if isinstance(verdict, Deny):
        return verdict
    if Standing.AUDITOR in actor.standings and (scopes is None or scopes - {Action.READ}):
        return Deny(AuditorChangesNothing("their tokens only read"))
    return Allow()


def _reaches(standings: frozenset[Standing]) -> set[Reach]:
    return {_REACHES[standing] for standing in standings}
