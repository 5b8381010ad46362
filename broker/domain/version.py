"""What the operator wrote, version by version, and what differs from one to the next."""

from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from enum import StrEnum
from hashlib import sha256

MOST_LINES = 400
_LONGEST_LINE = 500  # characters


class VersionKind(StrEnum):
    POLICIES = "policies"
    SETTINGS = "settings"


@dataclass(frozen=True, slots=True)
class Written:
    """One file of the operator's. `environment` names the variables that win over what it says;
    their values stay where they are."""

    kind: VersionKind
    text: str
    environment: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text, as sha256sum prints it of the file."""
        return sha256(self.text.encode()).digest()

    def lines(self) -> list[str]:
        # Not splitlines(), which also splits at characters that no editor shows as an end of line.
        overrides = [f"# {name} is set in the environment" for name in self.environment]
        return [*self.text.removesuffix("\n").split("\n"), *overrides]


@dataclass(frozen=True, slots=True)
class Version:
    """A file as it came into force. Numbers count both kinds."""

    number: int
    written: Written
    loaded_at: datetime
    loaded_by: str


@dataclass(frozen=True, slots=True)
class Change:
    """A unified diff. `left_out` of its lines are missing at its end, so that it stays readable."""

    diff: str
    left_out: int = 0


def change(before: Written | None, after: Written, *, most_lines: int = MOST_LINES) -> Change:
    """Say what differs. Nothing before is an empty file."""
    found = unified_diff(before.lines() if before else [], after.lines(), lineterm="")
    lines = [_cut(line) for line in list(found)[2:]]  # the first two would name files
    left_out = max(0, len(lines) - most_lines)
    return Change("\n".join(lines[:most_lines]), left_out)


def _cut(line: str) -> str:
    left_out = len(line) - _LONGEST_LINE
    return line if left_out <= 0 else f"{line[:_LONGEST_LINE]}… ({left_out} more characters)"
