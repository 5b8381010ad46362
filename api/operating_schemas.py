"""Views of what only operators and auditors see."""

from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime

from api.schemas import View
from broker.domain.doctor.finding import Severity

if TYPE_CHECKING:  # as in api.schemas
    from broker.ledger.audit import AuditRow
    from broker.service.doctor import Checkup


class TargetFindingView(View):
    """One thing to be said about a target; `sql` mends it, where statements can."""

    severity: Severity
    code: str
    sentence: str
    sql: tuple[str, ...]


class CheckupView(View):
    """A target, looked over. `server_version` is null if it could not be looked at."""

    target: str
    address: str
    server_version: int | None
    usable: bool
    findings: tuple[TargetFindingView, ...]

    @classmethod
    def of(cls, checkup: "Checkup") -> "CheckupView":
        return cls.model_construct(
            target=checkup.target,
            address=checkup.address,
            server_version=checkup.server_version,
            usable=checkup.is_usable,
            findings=tuple(
                TargetFindingView(
                    severity=each.severity, code=each.code, sentence=each.sentence, sql=each.sql
                )
                for each in checkup.findings
            ),
        )


class AuditEventView(View):
    """One line of the audit trail. `actor` is an e-mail address, or a part of pgcurfew."""

    seq: int
    at: AwareDatetime
    actor: str
    kind: str
    request_id: str | None
    grant_id: str | None
    session_id: str | None
    data: dict[str, Any]

    @classmethod
    def of(cls, row: "AuditRow") -> "AuditEventView":
        return cls.model_construct(**{name: getattr(row, name) for name in cls.model_fields})
