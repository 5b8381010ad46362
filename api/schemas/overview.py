"""Views of how much of everything there is and was, and of what needs attention."""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from api.input.values import Duration
from api.schemas import View
from broker.domain.overview import Urgency

if TYPE_CHECKING:  # as in api.schemas
    from broker.domain.overview import Attention
    from broker.ledger.overview import Waits
    from broker.service.overview import Bucket, Overview


class AttentionView(View):
    """Something to look at: `count` things, which `sentence` says in plain words. `code` is stable,
    and `link` is the path of the page on which to go on."""

    code: str
    severity: Urgency
    sentence: str
    count: int
    link: str

    @classmethod
    def of(cls, attention: "Attention") -> "AttentionView":
        return cls.model_construct(
            code=attention.code,
            severity=attention.urgency,
            sentence=attention.sentence,
            count=attention.count,
            link=attention.link,
        )


class WaitsView(View):
    """How many requests were approved `by_people`, and how many by policy or by what was agreed to
    beforehand; and how long people took, in seconds: half of the time at most `median_s`, nine in
    ten times at most `p90_s`. Null if nobody had to."""

    by_people: int
    by_itself: int
    median_s: float | None
    p90_s: float | None

    @classmethod
    def of(cls, waits: "Waits") -> "WaitsView":
        return cls.model_construct(**waits._asdict())


class BucketView(View):
    """A stretch of time from `start` on: the requests made in it, by the state in which they are
    now, and how long their approvals took; how many grants lived at some time of it; and how many
    statements came on record, which is null for who does not see everybody's."""

    start: AwareDatetime
    requests: dict[str, int]
    waits: WaitsView
    grants: int
    statements: int | None

    @classmethod
    def of(cls, bucket: "Bucket") -> "BucketView":
        return cls.model_construct(
            start=bucket.start,
            requests=bucket.requests,
            waits=WaitsView.of(bucket.waits),
            grants=bucket.grants,
            statements=bucket.statements,
        )


class TopView(View):
    """How often a role was asked for."""

    target: str
    role: str
    requests: int


class OverviewView(View):
    """The last days in `buckets` of `step`, the oldest first: of everybody's things, or of one's
    own and what one approves. `requests` and `waits` are of the whole time; `grants` are those that
    live now, by state; `top` are the roles asked for most."""

    at: AwareDatetime
    of_everybody: bool
    step: Duration
    attention: tuple[AttentionView, ...]
    requests: dict[str, int]
    waits: WaitsView
    grants: dict[str, int]
    top: tuple[TopView, ...]
    buckets: tuple[BucketView, ...]

    @classmethod
    def of(cls, overview: "Overview") -> "OverviewView":
        figures = overview.figures
        return cls.model_construct(
            at=figures.at,
            of_everybody=overview.of_everybody,
            step=figures.window.step,
            attention=tuple(AttentionView.of(each) for each in overview.attention),
            requests=figures.requests,
            waits=WaitsView.of(figures.waits),
            grants=figures.grants,
            top=tuple(TopView(**each._asdict()) for each in figures.top),
            buckets=tuple(BucketView.of(each) for each in figures.buckets),
        )
