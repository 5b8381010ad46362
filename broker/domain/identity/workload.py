"""Verified claims of a CI job or another workload → the machine that it is, or why it is none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from broker.domain.identity.claims import MACHINE_DOMAIN, claim_at, text_at
from broker.domain.identity.identified import Identified, Refused
from broker.domain.person import PersonKind

_LONGEST_SHOWN = 100

# Claims that say who somebody is rather than what they are doing: on a public issuer, everybody in
# the world has a branch called main. GitHub's and GitLab's, and the one that every issuer sends.
SUBJECT_CLAIMS = (
    "sub",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "project_path",
    "project_id",
    "namespace_path",
    "namespace_id",
)
_WILDCARD = re.compile(r"[*?\[]")
# What a `sub` begins with on many issuers says of what kind it is, which is everybody's:
# repo:acme/orders, organization:acme, org/acme.
_KIND_OF_SUBJECT = re.compile(r"^[a-z_]+[:/]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine, and what a token must say for its bearer to be that: for each claim one of its
    anchored globs must match."""

    email: str
    name: str
    match: Mapping[str, tuple[str, ...]]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    name: str
    machines: tuple[Machine, ...]


def machine_email(machine: str, workload: str) -> str:
    """Return the made-up address by which policies and people name the machine."""
    return f"{machine}@{workload}{MACHINE_DOMAIN}"


def identify_machine(workload: Workload, claims: Mapping[str, Any]) -> Identified | Refused:
    """Say which machine the claims, whose signature was verified, mean: the first that fits."""
    for machine in workload.machines:
        if all(_matches(claim_at(claims, path), globs) for path, globs in machine.match.items()):
            return Identified(
                email=machine.email,
                name=machine.name,
                groups=machine.groups,
                manager=None,
                kind=PersonKind.MACHINE,
                provider=workload.name,
                subject=text_at(claims, "sub") or "",
            )
    said = ", ".join(
        f"{path} is {_shown(claims, path)}"
        for path in sorted({path for machine in workload.machines for path in machine.match})
    )
    return Refused(f"no machine of workload {workload.name} is meant: {said}")


def names_its_subject(match: Mapping[str, tuple[str, ...]]) -> bool:
    """Say whether the globs leave no doubt about whose job it is.

    One of SUBJECT_CLAIMS has to be whole, or whole up to a separator: `acme/*`, but neither
    `*/orders` nor `acme*`, which is acme-evil too.
    """
    return any(
        all(_is_particular(claim, glob) for glob in globs)
        for claim, globs in match.items()
        if claim in SUBJECT_CLAIMS
    )


def _is_particular(claim: str, glob: str) -> bool:
    particular = _KIND_OF_SUBJECT.sub("", glob) if claim == "sub" else glob
    named, *rest = _WILDCARD.split(particular, maxsplit=1)
    return bool(named) and (not rest or named[-1] in "/:")


def _matches(value: Any, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word, glob) for word in _words(value) for glob in globs)


def _words(value: Any) -> list[str]:
    match value:
        case bool():
            return ["true" if value else "false"]
        case str() | int():
            return [str(value)]
        case [*members]:
            return [each for each in members if isinstance(each, str)]
        case _:
            return []


def _shown(claims: Mapping[str, Any], path: str) -> str:
    words = _words(claim_at(claims, path))
    return repr(" ".join(words)[:_LONGEST_SHOWN]) if words else "missing"
