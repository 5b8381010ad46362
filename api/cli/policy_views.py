"""What is said about policies, printed for people."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.text import Text

from api.cli.output import moment, out, print_fields, print_table
from api.schemas.policies import (
    AccessView,
    AnswerView,
    ConsideredView,
    InForceView,
    PolicyView,
    ShiftLine,
    SideView,
    VersionDetailsView,
    VersionView,
)
from broker.domain.duration import format_duration

if TYPE_CHECKING:  # only checking a file needs more of it
    from broker.domain.policy.book import PolicyBook

_VERDICTS = {
    "given": ("Given at once", "bold green", "nobody has to agree."),
    "ask": ("To be approved", "bold yellow", "it would wait until its approvers agree."),
    "denied": ("Denied", "bold red", "it could not be asked for like this."),
}
_PARTS = {
    "decides": "→ decides",
    "denies": "✗ denies",
    "fits": "· fits too",
    "misfit": "✗ does not fit",
    "others": "· for others",
    "elsewhere": "· elsewhere",
    "disabled": "· disabled",
}
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_MOST_ENTRIES = 40
_MOST_NAMES = 3
_DIGEST_CHARS = 12


def print_answer(answer: AnswerView) -> None:
    verdict, style, meaning = _VERDICTS[answer.outcome]
    out.print(Text.assemble((verdict, style), f": {meaning}"))
    out.print()
    print_fields(
        [
            ("who", answer.person),
            ("in groups", ", ".join(answer.groups)),
            ("manager", answer.manager or ""),
            ("asked by", answer.requester if answer.requester != answer.person else ""),
            ("asks for", f"{answer.role} on {answer.target}, database {answer.database}"),
            ("at", moment(answer.at)),
            ("why not" if answer.outcome == "denied" else "why", _why(answer)),
            ("how long", _how_long(answer)),
            ("from", ", ".join(map(str, answer.networks))),
            ("held to", "\n".join(answer.conditions)),
            ("approvers", _all_of(answer.approvers)),
            ("or else", "\n".join(answer.other_ways)),
            ("not known", "\n".join(_not_known(answer))),
        ]
    )
    if answer.considered:
        out.print()
        _print_considered(answer.considered)


def _why(answer: AnswerView) -> str:
    # Who must agree, and what cuts it, have lines of their own.
    shown = {"ask": 1, "given": 2}.get(answer.outcome)
    return "\n".join(answer.why[:shown])


def _not_known(answer: AnswerView) -> Iterator[str]:
    for schedule, why in answer.silent.items():
        yield f"who is on call ({schedule}): {why}"


def _how_long(answer: AnswerView) -> str:
    if answer.duration is None:
        return ""
    given = format_duration(answer.duration)
    if not answer.cuts:
        return given
    asked = format_duration(answer.asked) if answer.asked else "as long as the policy says"
    return "\n".join(
        [
            f"{given} instead of {asked}",
            *(f"cut to {format_duration(cut.to)}: {cut.by}" for cut in answer.cuts),
        ]
    )


def _all_of(approvers: Sequence[str]) -> str:
    return ", and ".join(approvers)


def _print_considered(considered: Sequence[ConsideredView]) -> None:
    print_table(
        "Policies about this role",
        ("policy", "what it does", "why"),
        [
            (
                each.policy,
                "· does not deny" if each.deny and each.part == "misfit" else _PARTS[each.part],
                "" if each.part == "decides" else "\n".join(each.why),
            )
            for each in considered
        ],
    )


def print_in_force(found: InForceView) -> None:
    version = found.version
    out.print(
        f"Version {version.number}, in force since {moment(version.since)}; sha256 "
        f"{version.digest[:_DIGEST_CHARS]}…",
        markup=False,
    )
    for each in found.policies:
        state = "" if each.enabled else " (disabled)"
        out.print()
        out.print(f"{each.name}{state}", style="bold" if each.enabled else "dim", markup=False)
        print_fields(
            [
                ("  who", "\n".join(each.people)),
                ("  may not have" if each.denies else "  may have", "\n".join(each.gives)),
                ("  but not", "\n".join(each.except_for)),
                ("  for", _at_most(each)),
                ("  approvers", "" if each.denies else _all_of(each.approvers) or "nobody"),
                ("  or else", "\n".join(each.other_ways)),
                ("  terms", "\n".join(each.terms)),
            ]
        )


def _at_most(policy: PolicyView) -> str:
    if policy.longest is None or policy.usual is None:
        return ""
    longest = f"at most {format_duration(policy.longest)}"
    if policy.usual == policy.longest:
        return longest
    return f"{longest}, by default {format_duration(policy.usual)}"


def print_access(found: Sequence[AccessView], person: str | None) -> None:
    who = "You" if person is None else person
    if not found:
        out.print(f"{who} may ask for nothing.", markup=False)
        return
    out.print(f"{who} may ask for:", markup=False)
    for each in found:
        out.print()
        where = "any database" if each.database == "*" else f"database {each.database}"
        out.print(f"{each.role} on {each.target}, {where}", style="bold", markup=False)
        print_fields(
            [
                ("  at most", format_duration(each.longest)),
                ("  approvers", _all_of(each.approvers) or "nobody has to agree"),
                ("  notes", "\n".join(each.notes)),
                ("  policy", each.policy),
            ]
        )


def print_replay(shifts: Sequence[ShiftLine], *, considered: int, since: datetime) -> None:
    """Like requests with like answers are one entry, the most frequent first."""
    count = f"{len(shifts)} of {considered}" if shifts else f"None of {considered}"
    out.print(
        f"{count} requests since {moment(since)} would be answered otherwise.", soft_wrap=False
    )
    groups: dict[tuple[str, ...], list[ShiftLine]] = defaultdict(list)
    for each in shifts:
        before, after = _said(each.before, each), _said(each.after, each)
        groups[each.target, each.role, before, after].append(each)
    entries = sorted(groups.items(), key=lambda group: -len(group[1]))
    for (target, role, before, after), alike in entries[:_MOST_ENTRIES]:
        out.print()
        noun = "request" if len(alike) == 1 else "requests"
        out.print(f"{len(alike)} {noun} for {role} on {target}", style="bold", markup=False)
        print_fields(
            [
                ("  who", _some(each.person for each in alike)),
                ("  now", before),
                ("  then", after),
                ("  newest", alike[-1].request),
            ]
        )
    left_out = sum(len(alike) for _, alike in entries[_MOST_ENTRIES:])
    if left_out:
        out.print(f"\n… and {left_out} more requests; --json lists them all.")


def _said(side: SideView, line: ShiftLine) -> str:
    """Return an answer in words: as much of it as the other differs in. Beside a denial, how long
    and how else do not matter, and would only tell like requests apart."""
    if side.outcome == "denied":
        why = "; ".join(line.why) if side is line.after else ""
        return f"denied: {why}" if why else "denied"
    what = [f"policy {side.policy}"]
    changed = () if "denied" in (line.before.outcome, line.after.outcome) else line.changed
    if side.duration is not None and "duration" in changed:
        what.append(f"for {format_duration(side.duration)}")
    if side.networks and "networks" in changed:
        what.append(f"from {', '.join(map(str, side.networks))}")
    if "conditions" in changed:
        what += side.conditions or ["held to nothing"]
    if side.outcome == "given":
        return f"given at once, {', '.join(what)}"
    if "other_ways" in changed:
        what += [f"or {way}" for way in side.other_ways] or ["and in no other way"]
    return f"needs {_all_of(side.approvers)}; {', '.join(what)}"


def _some(names: Iterable[str]) -> str:
    different = sorted(set(names))
    more = len(different) - _MOST_NAMES
    return ", ".join(different[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def print_history(found: Sequence[VersionView]) -> None:
    print_table(
        "What was in force",
        ("number", "what", "since", "on", "sha256"),
        [
            (
                str(each.number),
                each.kind,
                moment(each.since),
                each.loaded_by,
                f"{each.digest[:_DIGEST_CHARS]}…",
            )
            for each in found
        ],
    )


def print_diff(details: VersionDetailsView) -> None:
    version = details.version
    against = f", against version {details.before}" if details.before else ", the first"
    out.print(
        f"Version {version.number} of the {version.kind}{against}: "
        f"in force since {moment(version.since)} on {version.loaded_by}.",
        markup=False,
        soft_wrap=False,
    )
    for line in details.diff.split("\n"):
        out.print(Text(line, style=_DIFF_STYLES.get(line[:1], "")))
    if details.lines_left_out:
        out.print(f"… {details.lines_left_out} more lines; --json has the whole text.")


def print_book(book: "PolicyBook", name: str) -> None:
    disabled = sum(not each.enabled for each in book.policies)
    denying = sum(each.denies for each in book.policies)
    out.print(
        f"{name} can come into force. Policies: {len(book.policies)}, "
        f"of which deny: {denying}, are disabled: {disabled}.",
        markup=False,
    )
