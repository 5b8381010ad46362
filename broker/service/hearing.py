"""Who hears of what: hints go to whoever could also see what they are about, and to nobody else."""

from typing import assert_never

from broker.domain.hints.hint import Topic
from broker.ledger.alarms import Audience
from broker.ledger.hints import Noted
from broker.service.visible import decides_about, shows_subject

_POLICIES = "policies."


def hears(audience: Audience, noted: Noted) -> bool:
    """Say whether a hint is for somebody, by the rule of the list in which they would look it up.

    Alarms are for those whom lists of alarms show them to: not for who holds a grant.
    """
    visible, subject, hint = audience.visible, noted.subject, noted.hint
    if visible.everything:
        return True
    match hint.topic:
        case Topic.ALARM:
            return (subject is not None and decides_about(visible, subject)) or (
                audience.general
                and (subject is None or subject.policy not in audience.looked_after)
            )
        case Topic.POLICY:
            return audience.general and hint.kind.startswith(_POLICIES)
        case Topic.REQUEST | Topic.GRANT | Topic.SESSION | Topic.STATEMENTS | Topic.COMMIT:
            return _is_theirs(audience, noted)
        case Topic.ALLOWANCE | Topic.IDENTITY:
            return _is_theirs(audience, noted)
        case Topic.TARGET | Topic.BAN | Topic.RECORD | Topic.OTHER:
            return False
        case Topic.HELLO | Topic.RESET:
            return True
        case _:
            assert_never(hint.topic)


def _is_theirs(audience: Audience, noted: Noted) -> bool:
    """What came to no request, such as a refusal or a sign-in, is its person's."""
    if noted.subject is not None:
        return shows_subject(audience.visible, noted.subject)
    return noted.person is not None and noted.person == audience.visible.person.email
