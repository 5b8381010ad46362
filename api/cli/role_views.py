"""How roles, and the risk of giving one, look: pages for people."""

from rich.text import Text

from api.cli.output import moment, out, print_fields, print_json
from api.schemas.insight import (
    AssessmentView,
    BlastRadiusView,
    ExtentView,
    MemberView,
    RoleInsightView,
)
from broker.domain.duration import format_duration
from broker.domain.role.predefined import Danger
from broker.domain.size import rough_size

_STYLES = {Danger.ALL: "bold red", Danger.WIDE: "bold yellow", Danger.NONE: ""}
_TOLD = 10  # of sensitive columns and of people: the rest is counted


def short_ability(role: RoleInsightView) -> str:
    if role.assessment is None:
        return f"could not be looked at: {role.unseen}"
    return role.assessment.summary


def print_role(role: RoleInsightView) -> None:
    print_fields(
        (
            ("role", role.name),
            ("description", role.description),
            ("problem", role.problem or ""),
            ("at most", format_duration(role.longest) if role.longest else "not for you"),
            ("living grants", str(role.living_grants)),
            ("could not be looked at", role.unseen or ""),
        )
    )
    if role.assessment is not None:
        _print_assessment(role.assessment)


def print_blast_radius(radius: BlastRadiusView, *, as_json: bool) -> None:
    if as_json:
        print_json(radius)
        return
    print_fields(
        (
            ("request", radius.request_id),
            ("role", f"{radius.role} on {radius.target}, database {radius.database}"),
            ("could not be looked at", radius.unseen or ""),
            ("has it now", _holders(radius)),
            ("has it always", _members(radius)),
            ("smaller roles", _smaller(radius)),
        )
    )
    if radius.assessment is not None:
        _print_assessment(radius.assessment)


def who_has(member: MemberView) -> str:
    if member.grant_id is not None:
        return f"{member.name} ({member.person or 'somebody'}, grant {member.grant_id})"
    return f"{member.name} (no login of ours)" if member.stranger else member.name


def way_of(member: MemberView) -> str:
    """Say how somebody is in a role, such as `LOGIN, inherits, through team`."""
    can = [
        ("LOGIN", member.can_login),
        *((each, True) for each in member.attributes),
        ("inherits", member.inherits),
        ("may SET ROLE", member.sets),
        ("may give it to others", member.admin),
        (f"through {', '.join(member.through)}", bool(member.through)),
        (f"until {moment(member.valid_until)}", member.valid_until is not None),
    ]
    return ", ".join(text for text, is_so in can if is_so)


def _print_assessment(assessment: AssessmentView) -> None:
    out.print()
    print_fields(
        (
            ("level", assessment.level),
            ("because it", "; ".join(assessment.reasons)),
            ("reads", _extent(assessment.reads)),
            ("changes", _extent(assessment.changes)),
            ("sensitive", _sensitive(assessment)),
        )
    )
    out.print("\nWhat it may do:")
    for line in assessment.lines:
        out.print(Text(f"  {line.text}", style=_STYLES[line.danger]))


def _extent(extent: ExtentView) -> str:
    if not extent.tables:
        return "no table"
    unknown = f", {extent.rows_unknown} never analyzed" if extent.rows_unknown else ""
    tables = "1 table" if extent.tables == 1 else f"{extent.tables:,} tables"
    return f"{tables}, about {extent.rows:,} rows and {rough_size(extent.bytes)}{unknown}"


def _sensitive(assessment: AssessmentView) -> str:
    names = [each.name for each in assessment.sensitive]
    return _some(names, assessment.sensitive_count)


def _holders(radius: BlastRadiusView) -> str:
    if radius.holders is None:
        return str(radius.holder_count) if radius.holder_count else ""
    return _some([each.person for each in radius.holders], radius.holder_count)


def _members(radius: BlastRadiusView) -> str:
    if radius.members is None:
        return str(radius.member_count) if radius.member_count else ""
    return _some([each.name for each in radius.members], radius.member_count or 0)


def _smaller(radius: BlastRadiusView) -> str:
    return "; ".join(
        f"{each.name}{'' if each.may_ask else ' (no policy lets them ask for it)'}"
        for each in radius.smaller or ()
    )


def _some(names: list[str], count: int) -> str:
    told = names[:_TOLD]
    more = f" and {count - len(told)} more" if count > len(told) else ""
    return ", ".join(told) + more
