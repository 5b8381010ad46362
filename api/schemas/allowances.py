"""What approvers agree to beforehand."""

from pydantic import AwareDatetime

from api.input.values import Duration, Email, Identifier, Moment, Text
from api.schemas.base import Body, View
from broker.domain.allowance import Allowance


class NewAllowance(Body):
    """From `starts_at` (now) to `ends_at` each request that fits has its maker's consent."""

    person: Email
    target: Identifier
    role: Identifier
    database: Identifier | None = None
    duration: Duration
    starts_at: Moment | None = None
    ends_at: Moment
    reason: Text = ""


class AllowanceView(View):
    """Between `starts_at` and `ends_at` a request by `person` for this has `approver`'s consent."""

    id: str
    person: str
    approver: str
    target: str
    database: str
    role: str
    policy: str
    duration: Duration
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    reason: str
    made_at: AwareDatetime
    revoked_at: AwareDatetime | None
    revoked_by: str | None

    @classmethod
    def of(cls, allowance: Allowance) -> "AllowanceView":
        values = {name: getattr(allowance, name) for name in cls.model_fields}
        return cls.model_construct(
            **{
                **values,
                "person": allowance.person.email,
                "approver": allowance.approver.email,
            }
        )
