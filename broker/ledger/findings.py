"""Every statement on table findings: what a grant's life changed on its target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from broker.domain.picture import Finding, describe
from broker.ledger.connection import Db

_INSERT = """
    INSERT INTO curfew.findings (grant_id, number, kind, disposition, description, data)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_OF_GRANT = """
    SELECT kind, disposition, description, data FROM curfew.findings
     WHERE grant_id = $1 ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class StoredFinding:
    kind: str
    disposition: str
    description: str
    data: dict[str, Any]


async def insert(db: Db, grant_id: str, findings: Sequence[Finding]) -> None:
    await db.executemany(
        _INSERT,
        [
            (
                grant_id,
                number,
                finding.change.kind,
                finding.disposition,
                describe(finding),
                finding.to_json(),
            )
            for number, finding in enumerate(findings, 1)
        ],
    )


async def fetch(db: Db, grant_id: str) -> list[StoredFinding]:
    return [StoredFinding(**dict(row)) for row in await db.fetch(_OF_GRANT, grant_id)]
