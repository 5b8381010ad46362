"""Views of what only operators and auditors see."""

from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime

from api.schemas import View
from broker.domain.doctor.finding import Severity

if TYPE_CHECKING:  # as in api.schemas
    from broker.ledger.audit import AuditRow
    from broker.service.doctor import Checkup
    from broker.service.verification import Report


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


class FlawView(View):
    """Something that is wrong with the record. `row` names a statement, an outcome or an event, and
    `place` is its position in the block of that `number`, from 0."""

    what: str
    number: int | None
    place: int | None
    row: dict[str, Any] | None
    why: str


class ChainView(View):
    """How much of a chain was checked, up to link `last`. `unsigned` links are under no checkpoint
    yet."""

    links: int
    rows: int
    dropped_rows: int
    last: int
    unsigned: int


class VerificationView(View):
    """What a check of the record found: it `holds` as far as it was looked at, which is all of it
    if it `finished`. `flaws` are the first of those that were `found`."""

    holds: bool
    finished: bool
    found: int
    flaws: tuple[FlawView, ...]
    chains: dict[str, ChainView]
    checkpoints: int
    newest_checkpoint: int | None
    dropped_days: int
    unsealed_events: int

    @classmethod
    def of(cls, report: "Report") -> "VerificationView":
        newest = report.newest_checkpoint
        return cls.model_construct(
            holds=report.found == 0,
            finished=report.finished,
            found=report.found,
            flaws=tuple(FlawView.model_validate(each.to_json()) for each in report.flaws),
            chains={
                name.value: ChainView(
                    links=each.links,
                    rows=each.rows,
                    dropped_rows=each.dropped_rows,
                    last=each.last,
                    unsigned=each.unsigned,
                )
                for name, each in report.tallies.items()
            },
            checkpoints=report.checkpoints,
            newest_checkpoint=newest.number if newest is not None else None,
            dropped_days=report.dropped_days,
            unsealed_events=report.unsealed_events,
        )
