"""How findings of `pgcurfew doctor` look: a page for people."""

from collections import Counter
from collections.abc import Iterable, Iterator
from textwrap import wrap

from rich.text import Text

from api.cli.output import out
from broker.domain.doctor.finding import Finding, Severity
from broker.service.doctor import Checkup

_STYLES = {Severity.BLOCKS: "bold red", Severity.RISK: "bold yellow", Severity.NOTE: "bold cyan"}
_VERDICTS = {
    Severity.BLOCKS: "Grants or removals would fail here.",
    Severity.RISK: "Grants and removals work here. Look at the risks.",
    Severity.NOTE: "Grants and removals work here.",
}
_WIDTH = 96  # of what a person reads; SQL is never broken
_INDENT = " " * 10


def show_checkup(checkup: Checkup) -> None:
    """Print one target: what it is, its findings, the worst first, and the verdict."""
    version = checkup.server_version
    server = f", PostgreSQL {version // 10000}.{version % 10000}" if version is not None else ""
    out.print(Text.assemble((checkup.target, "bold"), f" · {checkup.address}{server}"))
    for finding in checkup.findings:
        out.print()
        for line in _lines(finding):
            out.print(line)
    worst = checkup.findings[0].severity if checkup.findings else Severity.NOTE
    out.print(f"\n{_VERDICTS[worst]} {_counted(checkup.findings)}\n", markup=False)


def _lines(finding: Finding) -> Iterator[Text]:
    said = wrap(f"{finding.sentence} [{finding.code}]", _WIDTH - len(_INDENT))
    yield Text.assemble("  ", (f"{finding.severity:<8}", _STYLES[finding.severity]), said[0])
    for line in said[1:]:
        yield Text(_INDENT + line)
    for statement in finding.sql:
        yield Text.assemble(_INDENT, (f"{statement};", "green"))


def _counted(findings: Iterable[Finding]) -> str:
    count = Counter(each.severity for each in findings)
    words = [
        f"{count[severity]} {one if count[severity] == 1 else many}"
        for severity, one, many in (
            (Severity.BLOCKS, "thing blocks", "things block"),
            (Severity.RISK, "risk", "risks"),
            (Severity.NOTE, "note", "notes"),
        )
        if count[severity]
    ]
    return f"({', '.join(words)})" if words else ""
