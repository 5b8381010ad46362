"""Views of what roles may do, what approving risks, and who and what is on a target."""

from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime

from api.input.values import Duration
from api.schemas import RoleView, TargetView, View
from broker.domain.leftovers import LeftoverKind
from broker.domain.role.facts import Unseen
from broker.domain.role.predefined import Danger

if TYPE_CHECKING:  # as in api.schemas
    from broker.domain.leftovers import Leftover
    from broker.domain.role.facts import StandingMember
    from broker.domain.role.holdings import Extent
    from broker.domain.role.membership import Group, KnownRole, Member, WhoIsInWhat
    from broker.ledger.standing_grants import Holder
    from broker.service.blast_radius import BlastRadius, SmallerRole
    from broker.service.leftovers import TargetLeftovers
    from broker.service.role_insights import Assessment, RoleInsight
    from broker.service.targets import Operating, TargetDetails


class OperatingView(View):
    """Where the server is, and as whom pgcurfew is there. `error` says why it does not answer."""

    address: str
    standbys: tuple[str, ...]
    login: str
    admin: str
    restricted: bool
    removes_unknown_logins: bool
    error: str | None

    @classmethod
    def of(cls, operating: "Operating") -> "OperatingView":
        return cls.model_construct(**{each: getattr(operating, each) for each in cls.model_fields})


class TargetDetailsView(TargetView):
    """`database` is what a request means unless it names another. `operating` is for those who see
    everything."""

    database: str
    operating: OperatingView | None

    @classmethod
    def with_details(
        cls, details: "TargetDetails", roles: tuple[RoleView, ...]
    ) -> "TargetDetailsView":
        operating = details.operating
        return cls.model_construct(
            **dict(TargetView.of(details.health, roles)),
            database=details.catalog.database,
            operating=OperatingView.of(operating) if operating is not None else None,
        )


class ExtentView(View):
    """Tables, with estimates of what they hold. Nobody ever counted the rows of `rows_unknown`
    tables and partitions, nor the bytes of `bytes_unknown`."""

    tables: int
    rows: int
    rows_unknown: int
    bytes: int
    bytes_unknown: int

    @classmethod
    def of(cls, extent: "Extent") -> "ExtentView":
        return cls.model_construct(
            tables=extent.tables,
            rows=extent.rows,
            rows_unknown=extent.rows_unknown,
            bytes=extent.size,
            bytes_unknown=extent.size_unknown,
        )


class MeaningLineView(View):
    """Something that a role may do: "reads 12 tables in schema shop". `all` is as good as
    superuser, `wide` reaches over everything."""

    text: str
    danger: Danger


class SensitiveColumnView(View):
    """`name` is schema.table.column, or a table of which each column is. `why` names who
    says so."""

    name: str
    why: str
    reads: bool
    changes: bool


class AssessmentView(View):
    """What a role may do, in plain words, and how dangerous that is: `level` is low, medium, high
    or critical. `sensitive` are the first of `sensitive_count` columns."""

    level: str
    reasons: tuple[str, ...]
    summary: str
    lines: tuple[MeaningLineView, ...]
    reads: ExtentView
    changes: ExtentView
    tables_by_privilege: dict[str, int]
    sensitive: tuple[SensitiveColumnView, ...]
    sensitive_count: int
    looked_at: AwareDatetime

    @classmethod
    def of(cls, assessed: "Assessment") -> "AssessmentView":
        meaning, risk = assessed.meaning, assessed.risk
        return cls.model_construct(
            level=risk.level.word,
            reasons=risk.reasons,
            summary=meaning.summary,
            lines=tuple(
                MeaningLineView(text=each.text, danger=each.danger) for each in meaning.lines
            ),
            reads=ExtentView.of(risk.reads),
            changes=ExtentView.of(risk.changes),
            tables_by_privilege=dict(risk.tables_by_privilege),
            sensitive=tuple(
                SensitiveColumnView(
                    name=each.name, why=each.why, reads=each.reads, changes=each.changes
                )
                for each in risk.sensitive
            ),
            sensitive_count=risk.sensitive_count,
            looked_at=assessed.look.looked_at,
        )


class RoleInsightView(RoleView):
    """A role that may be asked for, with what it may do; or with why that could not be looked at
    (`unseen`). `longest` is null for whom no policy lets ask. `living_grants` have not ended."""

    may_ask: bool
    longest: Duration | None
    living_grants: int
    assessment: AssessmentView | None
    unseen: str | None

    @classmethod
    def of(cls, insight: "RoleInsight") -> "RoleInsightView":
        assessment, unseen = _seen(insight.assessed)
        return cls.model_construct(
            name=insight.role.name,
            description=insight.role.description,
            kinds=tuple(sorted(insight.role.kinds)),
            problem=insight.problem,
            may_ask=insight.longest is not None,
            longest=insight.longest,
            living_grants=insight.living,
            assessment=assessment,
            unseen=unseen,
        )


class HolderView(View):
    """Somebody who has the role now, by so many grants, of which the last ends at `until`."""

    person: str
    grants: int
    until: AwareDatetime

    @classmethod
    def of(cls, holder: "Holder") -> "HolderView":
        return cls.model_construct(person=holder.email, grants=holder.grants, until=holder.until)


class StandingMemberView(View):
    """A login of the server that has the role all the time, through no grant."""

    name: str
    direct: bool
    superuser: bool
    valid_until: AwareDatetime | None

    @classmethod
    def of(cls, member: "StandingMember") -> "StandingMemberView":
        return cls.model_construct(**{each: getattr(member, each) for each in cls.model_fields})


class SmallerRoleView(View):
    """A role that may do less, and nothing else. `may_ask`: a policy lets the person ask for it."""

    name: str
    description: str
    reads: ExtentView
    changes: ExtentView
    may_ask: bool

    @classmethod
    def of(cls, role: "SmallerRole") -> "SmallerRoleView":
        return cls.model_construct(
            name=role.name,
            description=role.description,
            reads=ExtentView.of(role.reads),
            changes=ExtentView.of(role.changes),
            may_ask=role.may_ask,
        )


class BlastRadiusView(View):
    """What an approver risks by saying yes. Who does not decide about the request is not told the
    names of `holders` and `members` (null), and hears only of smaller roles that the person may ask
    for. `smaller` is null if it cannot be told."""

    request_id: str
    target: str
    database: str
    role: str
    assessment: AssessmentView | None
    unseen: str | None
    holders: tuple[HolderView, ...] | None
    holder_count: int
    members: tuple[StandingMemberView, ...] | None
    member_count: int | None
    smaller: tuple[SmallerRoleView, ...] | None

    @classmethod
    def of(cls, radius: "BlastRadius") -> "BlastRadiusView":
        assessment, unseen = _seen(radius.assessed)
        request, role = radius.request, radius.role
        return cls.model_construct(
            request_id=request.id,
            target=request.target,
            database=request.database,
            role=request.role,
            assessment=assessment,
            unseen=unseen,
            holders=None if radius.holders is None else tuple(map(HolderView.of, radius.holders)),
            holder_count=radius.holder_count,
            members=(
                tuple(map(StandingMemberView.of, role.members))
                if role is not None and radius.names_members
                else None
            ),
            member_count=role.member_count if role is not None else None,
            smaller=None
            if radius.smaller is None
            else tuple(map(SmallerRoleView.of, radius.smaller)),
        )


class ServerRoleView(View):
    """A role of a server."""

    name: str
    can_login: bool
    attributes: tuple[str, ...]
    valid_until: AwareDatetime | None
    predefined: bool

    @classmethod
    def of_role(cls, role: "KnownRole") -> "ServerRoleView":
        return cls.model_construct(**_role(role))


class MemberView(ServerRoleView):
    """Somebody who is in a role. `through` leads from them to it, and is empty for who is directly.
    Who neither `inherits` nor `sets` (SET ROLE) may at most give it to others (`admin`). The login
    of a grant says whose it is; a `stranger` only looks like one."""

    through: tuple[str, ...]
    inherits: bool
    sets: bool
    admin: bool
    grantors: tuple[str, ...]
    grant_id: str | None
    person: str | None
    stranger: bool

    @classmethod
    def of(cls, member: "Member") -> "MemberView":
        mark = member.role.mark
        return cls.model_construct(
            **_role(member.role),
            through=member.through,
            inherits=member.inherits,
            sets=member.sets,
            admin=member.admin,
            grantors=member.grantors,
            grant_id=member.grant_id,
            person=(mark.person or None) if mark is not None else None,
            stranger=member.stranger,
        )


class GroupView(ServerRoleView):
    """A role with the first of its `member_count` members."""

    in_catalog: bool
    members: tuple[MemberView, ...]
    member_count: int

    @classmethod
    def of(cls, group: "Group") -> "GroupView":
        return cls.model_construct(
            **_role(group.role),
            in_catalog=group.in_catalog,
            members=tuple(map(MemberView.of, group.members)),
            member_count=group.member_count,
        )


class MembersView(View):
    """Who is in what on a server, catalog roles first. `unseen` says why it could not be looked at;
    what is not `complete` has more."""

    groups: tuple[GroupView, ...]
    superusers: tuple[ServerRoleView, ...]
    complete: bool
    looked_at: AwareDatetime | None
    unseen: str | None

    @classmethod
    def of(cls, found: "WhoIsInWhat | Unseen") -> "MembersView":
        if isinstance(found, Unseen):
            return cls.model_construct(
                groups=(), superusers=(), complete=False, looked_at=None, unseen=found.why
            )
        return cls.model_construct(
            groups=tuple(map(GroupView.of, found.groups)),
            superusers=tuple(map(ServerRoleView.of_role, found.superusers)),
            complete=found.complete,
            looked_at=found.looked_at,
            unseen=None,
        )


class LeftoverView(View):
    """What should not be on a target, or no longer. `sql` ends what it may do, where pgcurfew does
    not; `since` is when it should have been over."""

    kind: LeftoverKind
    name: str | None
    sentence: str
    grant_id: str | None
    person: str | None
    since: AwareDatetime | None
    sql: tuple[str, ...]
    alarm_id: str | None

    @classmethod
    def of(cls, leftover: "Leftover") -> "LeftoverView":
        return cls.model_construct(**{each: getattr(leftover, each) for each in cls.model_fields})


class LeftoversView(View):
    """`unseen` says why the target could not be looked at; what the ledger knows is here even so.
    What is not `complete` has more."""

    target: str
    items: tuple[LeftoverView, ...]
    unseen: str | None
    complete: bool
    looked_at: AwareDatetime

    @classmethod
    def of(cls, found: "TargetLeftovers") -> "LeftoversView":
        return cls.model_construct(
            target=found.target,
            items=tuple(map(LeftoverView.of, found.items)),
            unseen=found.unseen.why if found.unseen is not None else None,
            complete=found.complete,
            looked_at=found.looked_at,
        )


def _seen(assessed: "Assessment | Unseen") -> tuple[AssessmentView | None, str | None]:
    """Return what there is to show, or why there is nothing."""
    if isinstance(assessed, Unseen):
        return None, assessed.why
    return AssessmentView.of(assessed), None


def _role(role: "KnownRole") -> dict[str, Any]:
    return {
        "name": role.name,
        "can_login": role.can_login,
        "attributes": tuple(sorted(role.attributes)),
        "valid_until": role.valid_until,
        "predefined": role.predefined,
    }
