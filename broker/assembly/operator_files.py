"""The operator's two files, read again and again: the settings, and the policies they name.

Secrets are never in them, only the names of secrets. Should one stand there all the same, say in a
comment, it is left out of what the ledger keeps, and complained about.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from broker.assembly.identity import authority_of, directory_of
from broker.config.faults import SettingsError
from broker.config.policy_file import load_policies, parse_policies
from broker.config.settings import Settings, beside, load_settings, overrides, read_secret
from broker.domain.errors import UnusablePolicies
from broker.domain.policy.book import PolicyBook
from broker.domain.version import VersionKind, Written
from broker.service.in_force import Broken, InForce, PoliciesRead, Reading, SettingsRead, Terms

_TAKEN_UP = ("identity", "policies")
_KEPT_OF_IDENTITY = ("providers", "workloads", "sign_in", "clock_skew")
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+")
_SENT = "the proposed policies"  # what their faults call a file that somebody sent
_LEFT_OUT = "[a secret, left out]"


class FilesOnDisk:
    """`started` is what everything was made from that is not taken up again."""

    def __init__(self, config: Path, started: Settings) -> None:
        self._config = config
        self._started = started
        self._newest = started

    def read_first(self) -> InForce:
        """Return what is in force to begin with. Raises SettingsError."""
        return InForce(
            policies=load_policies(self._started, self._config).book,
            directory=directory_of(self._started.identity),
            authority=authority_of(self._started.identity),
            terms=_terms(self._started),
        )

    def look(self) -> bytes:
        """Return what tells the files' contents from others, cheaply."""
        digests = (_digest(path) for path in (self._config, self._policy_file()))
        return b"\0".join(digests)

    def read(self) -> Reading | None:
        """Read both files, or return None if they were changing meanwhile.

        Policies are held against the newest settings that are usable.
        """
        for _ in range(2):  # the settings may name another policy file than the last
            before = self.look()
            reading = Reading(seen=before, settings=self._settings(), policies=self._policies())
            if self.look() == before:
                return reading
        return None

    def parse_policies(self, text: str) -> PolicyBook:
        """Return the policies of a file that somebody sent. Raises UnusablePolicies."""
        try:
            return parse_policies(text, _SENT, self._newest)
        except SettingsError as error:
            raise UnusablePolicies(str(error)) from None

    def _settings(self) -> SettingsRead | Broken:
        try:
            settings = load_settings(self._config)
            text = self._config.read_text("utf-8-sig")
        except SettingsError as error:
            return Broken(str(error))
        except (OSError, UnicodeDecodeError) as error:  # YAML may be UTF-16, too
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            return Broken(f"settings in {self._config} cannot be used:\n  {why}")
        self._newest = settings
        text, spills = self._without_secrets(text, self._config, settings)
        return SettingsRead(
            written=Written(VersionKind.SETTINGS, text, overrides()),
            directory=directory_of(settings.identity),
            authority=authority_of(settings.identity),
            terms=_terms(settings),
            waiting=tuple(_differing(self._started, settings)),
            spills=spills,
        )

    def _policies(self) -> PoliciesRead | Broken:
        try:
            found = load_policies(self._newest, self._config)
        except SettingsError as error:
            return Broken(str(error))
        text, spills = self._without_secrets(found.text, found.path, self._newest)
        return PoliciesRead(
            written=Written(VersionKind.POLICIES, text), policies=found.book, spills=spills
        )

    def _policy_file(self) -> Path:
        return beside(self._config, self._newest.policies.file)

    def _without_secrets(
        self, text: str, path: Path, settings: Settings
    ) -> tuple[str, tuple[str, ...]]:
        """Return what the file says but for secrets, and where those are."""
        spills = []
        for key, reference in _references(settings.model_dump()):
            with suppress(SettingsError):  # what we may not read is the secret of another process
                secret = read_secret(reference, key, self._config)
                # As a whole word: a poor password may be part of many a name.
                found = re.compile(rf"(?<!\w){re.escape(secret)}(?!\w)")
                for match in found.finditer(text):
                    line = text.count("\n", 0, match.start()) + 1
                    spills.append(
                        f"{path}:{line}: what {key} names is written out here; take it out, and "
                        "replace the secret"
                    )
                text = found.sub(_LEFT_OUT, text)
        return text, tuple(spills)


def _terms(settings: Settings) -> Terms:
    return Terms(
        longest_token=settings.identity.tokens.longest,
        request_lapses_after=settings.policies.request_lapses_after,
        review_within=settings.policies.review_within,
    )


def _differing(started: Settings, settings: Settings) -> Iterator[str]:
    """Yield what differs from what we started with, and is not taken up."""
    for name in Settings.model_fields:
        if name not in _TAKEN_UP and getattr(settings, name) != getattr(started, name):
            yield name
    for name in _KEPT_OF_IDENTITY:
        if getattr(settings.identity, name) != getattr(started.identity, name):
            yield f"identity.{name}"


def _references(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield everything in the settings that names a secret, with its key."""
    for name, value in values.items():
        key = f"{path}{name}"
        match value:
            case dict():
                yield from _references(value, f"{key}.")
            case list() | tuple() | set() | frozenset():
                yield from _references({str(n): each for n, each in enumerate(value)}, f"{key}.")
            case str() if _REFERENCE.fullmatch(value):
                yield key, value
            case _:
                pass


def _digest(path: Path) -> bytes:
    try:
        return sha256(path.read_bytes()).digest()
    except OSError as error:
        return str(error.errno).encode()
