"""What is proved of the end of a grant, and what it left behind."""

from typing import TYPE_CHECKING

from pydantic import AwareDatetime, ConfigDict

from api.schemas.base import View

if TYPE_CHECKING:  # clients, too, load this module, and need none of the broker
    from broker.ledger.findings import StoredFinding


class LineView(View):
    """One claim of a receipt. `count` is what the question found, null if it could not be asked."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    claim: str
    proved: bool
    count: int | None
    question: str
    read_at: AwareDatetime | None
    note: str = ""


class StepView(View):
    at: AwareDatetime
    database: str
    statement: str


class ReceiptFacts(View):
    """What was read from the target after the end of a grant, and what was done to end it."""

    model_config = ConfigDict(extra="allow")

    grant: str
    target: str
    ended_at: AwareDatetime
    proved: bool
    lines: tuple[LineView, ...]
    steps: tuple[StepView, ...]
    findings: tuple[str, ...]
    unseen: tuple[str, ...]


class ReceiptView(View):
    """A receipt in its chain: `hash` is SHA-256 over `previous` (32 bytes), `number` (8 bytes, big
    end first), and `receipt` as JSON with sorted keys and no spaces."""

    number: int
    previous: str
    hash: str
    receipt: ReceiptFacts


class FindingView(View):
    """One thing that changed on the target during a grant's life."""

    kind: str
    disposition: str
    description: str
    action: str
    database: str | None
    identity: str
    owner: str | None
    before: str | None
    after: str | None
    note: str

    @classmethod
    def of(cls, finding: "StoredFinding") -> "FindingView":
        return cls.model_validate({**finding.data, "description": finding.description})
