"""What the operator may change while we run: policies and people.

It is one value, `InForce`, that is replaced whole: nobody ever decides by half of a file. Reading
the files needs settings, which use cases know nothing of: `OperatorFiles` is their door.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from broker.domain.authorization import Authority
from broker.domain.identity.directory import Directory
from broker.domain.policy.book import PolicyBook
from broker.domain.version import Version, VersionKind, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things take that the settings limit: a token's life, a request's wait for an answer,
    the wait for a review of broken glass."""

    longest_token: timedelta
    request_lapses_after: timedelta
    review_within: timedelta


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that cannot be used: every fault, with its line."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsRead:
    """The part of the settings that is taken up while we run. `waiting` names the sections that
    differ from what we started with, and are not. `spills` says where a secret is written out."""

    written: Written
    directory: Directory
    authority: Authority
    terms: Terms
    waiting: tuple[str, ...] = ()
    spills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoliciesRead:
    written: Written
    policies: PolicyBook
    spills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Both files as they were at one moment. `seen` tells these contents from others."""

    seen: bytes
    settings: SettingsRead | Broken
    policies: PoliciesRead | Broken


class OperatorFiles(Protocol):
    """The operator's files. `look` blocks on the disk, the others on much arithmetic too."""

    def look(self) -> bytes:
        """Return what tells the files' contents from others, cheaply."""

    def read(self) -> Reading | None:
        """Read both files, or return None if they were changing meanwhile.

        Policies are held against the newest settings that are usable.
        """

    def parse_policies(self, text: str) -> PolicyBook:
        """Return the policies of a file that somebody sent. Raises UnusablePolicies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """`versions` are those of the ledger; a process that serves nobody has none."""

    policies: PolicyBook
    directory: Directory
    authority: Authority
    terms: Terms
    versions: Mapping[VersionKind, Version] = field(default_factory=dict)


@dataclass(slots=True)
class Live:
    """What is in force now. Only `broker.service.policies` replaces it."""

    in_force: InForce
