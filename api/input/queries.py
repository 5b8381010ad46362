"""Query strings, as pydantic knows them: what each list may be asked for.

A name that a query does not have is refused, and so is one that comes twice: a filter that is
misspelt would otherwise show everything, as if nothing had been left out.
"""

from typing import Annotated, Literal, TypeVar, get_origin

from multidict import MultiMapping
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from api.input.faults import Fault, InvalidInput, faults_of
from api.input.values import Email, Flag, Like, Moment, Whole, id_of, whole
from broker.domain.errors import InvalidStretch
from broker.domain.grant import GrantState
from broker.domain.ids import IdKind
from broker.domain.request import RequestState
from broker.domain.request_list import NO_SEARCH, Sort, Wanted, search_for
from broker.domain.version import VersionKind
from broker.service.exports import ExportFormat, What

MOST_AT_ONCE = 500
HEADS = r"([0-9]{1,18})\.([0-9]{1,18})"
"""How far somebody has read statements and events."""
PLACE = r"([0-9]{1,18})\.(ses_[0-9a-z]{1,32})\.([0-9]{1,18})"
"""Of a statement: microseconds since 1970, its session, its number."""

Limit = Annotated[
    int, Field(ge=1, le=MOST_AT_ONCE, description="How many at most."), BeforeValidator(whole)
]
GrantId = Annotated[str, id_of(IdKind.GRANT, "a grant")]
SessionId = Annotated[str, id_of(IdKind.SESSION, "a session")]
Who = Annotated[
    str,
    Like(
        r"[^\x00-\x20\x7f]{1,320}",
        "must be an e-mail address, for example alice@example.com",
        "alice@example.com",
    ),
]


Name = Annotated[
    str, Like(r"[^\x00-\x1f\x7f]{1,200}", "must be a name, for example orders", "orders")
]


class Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class NoQuery(Query):
    """Of what takes no parameters."""


QueryType = TypeVar("QueryType", bound=Query)


def read_query(given: MultiMapping[str], schema: type[QueryType]) -> QueryType:
    """Return what a query string asks for. Raises InvalidInput."""
    lists = {name for name, field in schema.model_fields.items() if _is_list(field.annotation)}
    values = {name: given.getall(name) for name in given}
    twice = [
        Fault(name, "is here more than once")
        for name, found in values.items()
        if len(found) > 1 and name not in lists
    ]
    if twice:
        raise InvalidInput(twice)
    try:
        return schema.model_validate(
            {name: found if name in lists else found[0] for name, found in values.items()}
        )
    except ValidationError as error:
        raise InvalidInput(faults_of(error, sorted(schema.model_fields))) from None


def _is_list(annotation: object) -> bool:
    return get_origin(annotation) is tuple


class PageQuery(Query):
    limit: Limit = 50


class RequestsFilter(Query):
    """Which requests, of those that one may see."""

    status: RequestState | None = None
    requester: (
        Annotated[Email, Field(description="Who asked, or whom it is for: an e-mail address.")]
        | None
    ) = None
    target: Name | None = None
    role: Name | None = None
    policy: Name | None = None
    since: Annotated[Moment, Field(description="Made at this time, or later.")] | None = None
    until: Annotated[Moment, Field(description="Made before this time.")] | None = None
    q: (
        Annotated[
            str,
            Like(
                r"[^\x00-\x1f\x7f]{1,200}",
                "must be 1 to 200 printable characters, for example INC-4711",
                "INC-4711",
            ),
            Field(
                description="Words, each as it begins, and all of them: in reasons, people's "
                "names and addresses, targets, databases and roles; or a request's or grant's id."
            ),
        ]
        | None
    ) = None
    needs: (
        Annotated[
            Literal["me"], Field(description="Only pending ones that wait for one's own decision.")
        ]
        | None
    ) = None
    sort: Annotated[
        Sort,
        Field(
            description="By what, and among the same the newest first; with a minus all of it "
            "the other way round."
        ),
    ] = Sort.NEWEST

    def wanted(self) -> Wanted:
        """Raises InvalidSearch or InvalidStretch."""
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InvalidStretch
        return Wanted(
            state=self.status,
            requester=self.requester.lower() if self.requester else None,
            target=self.target,
            role=self.role,
            policy=self.policy,
            since=self.since,
            until=self.until,
            search=search_for(self.q) if self.q is not None else NO_SEARCH,
            open_to_them=self.needs == "me",
        )


class RequestsQuery(RequestsFilter, PageQuery):
    after: (
        Annotated[
            str,
            Like(
                r"[A-Za-z0-9_-]{1,1000}",
                "must be what `next` of the page before was",
                "WyJuZXdlc3QiLG51bGwsInJlcV8wNmd6Z214MmIydjNzMHBzIl0",
            ),
            Field(description="Go on where a page with the same sort ended."),
        ]
        | None
    ) = None


class GrantsQuery(PageQuery):
    status: GrantState | None = None
    mine: Annotated[Flag, Field(description="Only one's own.")] = False
    after: GrantId | None = None


class OverviewQuery(Query):
    days: Annotated[Whole, Field(ge=1, le=366, description="Of how many days.")] = 30


class AllowancesQuery(PageQuery):
    status: Literal["living", "all"] = "living"
    after: Annotated[str, id_of(IdKind.ALLOWANCE, "an allowance")] | None = None


class SessionsQuery(PageQuery):
    status: Literal["open", "ended"] | None = None
    grant: GrantId | None = None
    after: SessionId | None = None


class NumberedQuery(PageQuery):
    """`after` is a number: of a statement in its session, or of an event in the audit trail."""

    after: Whole | None = None


class HeldCommitsQuery(PageQuery):
    status: Literal["open", "decided", "all"] = "open"
    after: Annotated[str, id_of(IdKind.HELD_COMMIT, "a held commit")] | None = None


class AlarmsQuery(PageQuery):
    status: Literal["open", "all"] = "open"
    after: Annotated[str, id_of(IdKind.ALARM, "an alarm")] | None = None


class TokensQuery(PageQuery):
    mine: Annotated[Flag, Field(description="Only one's own.")] = False
    after: Annotated[str, id_of(IdKind.TOKEN, "a token")] | None = None


class VersionsQuery(NumberedQuery):
    kind: VersionKind | None = None


class AuditQuery(NumberedQuery):
    grant: GrantId | None = None
    request: Annotated[str, id_of(IdKind.REQUEST, "a request")] | None = None
    person: (
        Annotated[
            Who,
            Field(description="What they did, and what was done to requests and grants of theirs."),
        ]
        | None
    ) = None
    kind: (
        Annotated[
            str,
            Like(
                r"[a-z_]{1,40}\.[a-z_]{1,40}",
                "must be a kind of event, for example grant.ended",
                "grant.ended",
            ),
        ]
        | None
    ) = None
    since: Moment | None = None


class VerificationQuery(Query):
    since: (
        Annotated[Whole, Field(description="Only from the checkpoint of this number on.")] | None
    ) = None


class RecordQuery(Query):
    """Of statements and events: whose, and where."""

    session: SessionId | None = None
    grant: GrantId | None = None
    person: Who | None = None
    target: (
        Annotated[
            str,
            Like(
                r"[^\x00-\x1f\x7f]{1,200}",
                "must be the name of a target, for example orders",
                "orders",
            ),
        ]
        | None
    ) = None


class StretchQuery(RecordQuery):
    since: Moment | None = None
    until: Moment | None = None


class StatementsQuery(StretchQuery, PageQuery):
    """Of the last day, unless a time, a session or a grant is given."""

    text: (
        Annotated[
            str,
            Like(
                r"[^\x00]{1,1000}",
                "must be at most 1000 characters, for example customers",
                "customers",
            ),
            Field(description="Anywhere in a statement, in either case."),
        ]
        | None
    ) = None
    after: (
        Annotated[
            str,
            Like(
                PLACE,
                "must be what `next` of the page before was",
                "1785542400000000.ses_06gzgmx2b2v3s0ps.7",
            ),
        ]
        | None
    ) = None


class StreamQuery(RecordQuery):
    what: Literal["statements", "events", "all"] = "all"
    after: (
        Annotated[
            str,
            Like(HEADS, "must be what `after` of a position was, for example 1207.88", "1207.88"),
            Field(description="Go on from this position."),
        ]
        | None
    ) = None
    follow: Annotated[Flag, Field(description="Or only what there is.")] = True


class ExportQuery(StretchQuery):
    what: What = What.ALL
    format: ExportFormat = ExportFormat.JSONL


class EventsQuery(Query):
    after: Annotated[str, Field(description="Go on after the event with this id.")] | None = None
