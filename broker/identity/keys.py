"""The public keys of one issuer, held for a while.

A key that we do not hold makes us ask again, so that issuers can rotate them; but only so often,
so that nobody can use us to flood one. While an issuer is down, the keys that it had go on serving.
"""

import asyncio
import logging
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, OKPKey, RSAKey

from broker.domain.errors import ProviderUnreachable
from broker.domain.identity.issuer import Metadata
from broker.identity.fetching import Document, Unusable, fetch_document
from broker.identity.metadata import fetch_metadata

ASK_AGAIN_AFTER_S = 10.0
_SHORTEST_AGE_S = 60.0
_USUAL_AGE_S = 600.0
_LONGEST_AGE_S = 3600.0  # a key that an issuer has withdrawn is forgotten by then
_LONGEST_WITHOUT_ISSUER_S = 86_400.0
_MOST_KEYS = 100
_SHORTEST_RSA_KEY = 2048  # bits; NIST SP 800-131A

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    metadata: Metadata
    keys: KeySet
    fetched_at: float
    fresh_until: float

    def has(self, kid: str | None) -> bool:
        return kid is None or any(key.kid == kid for key in self.keys)


class IssuerKeys:
    """`clock` is in seconds and never goes back."""

    def __init__(self, issuer: str, http: httpx2.AsyncClient, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._held: _Held | None = None
        self._asked_at: float | None = None
        self._last_failure = ""
        self._asking = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """Return the issuer's addresses. Raises ProviderUnreachable."""
        return (await self._get(None)).metadata

    async def find(self, unverified_kid: str | None) -> KeySet:
        """Return the issuer's keys, asked for anew if none has this id.

        Raises ProviderUnreachable.
        """
        return (await self._get(unverified_kid)).keys

    async def _get(self, unverified_kid: str | None) -> _Held:
        if self._is_wanting(unverified_kid):
            await self._ask(unverified_kid)
        held = self._held
        if held is None or self._clock() > held.fetched_at + _LONGEST_WITHOUT_ISSUER_S:
            raise ProviderUnreachable(self._issuer)
        return held

    def _is_wanting(self, kid: str | None) -> bool:
        held = self._held
        return held is None or self._clock() >= held.fresh_until or not held.has(kid)

    async def _ask(self, kid: str | None) -> None:
        if self._asking.locked() and self._held is not None and self._held.has(kid):
            return  # somebody else is asking, and what we hold will do
        async with self._asking:
            now = self._clock()
            too_soon = self._asked_at is not None and now < self._asked_at + ASK_AGAIN_AFTER_S
            if too_soon or not self._is_wanting(kid):
                return
            self._asked_at = now
            try:
                self._held = await self._fetch()
            except Unusable as error:
                self._complain(str(error))
            else:
                self._last_failure = ""

    async def _fetch(self) -> _Held:
        metadata = await fetch_metadata(self._http, self._issuer)
        document = await fetch_document(self._http, metadata.jwks_uri)
        now = self._clock()
        return _Held(metadata, _key_set(document, metadata), now, now + _age(document))

    def _complain(self, failure: str) -> None:
        if failure != self._last_failure:
            _log.warning("issuer %s: %s; trying again", self._issuer, failure)
            self._last_failure = failure


def _age(document: Document) -> float:
    said = re.search(r"\bmax-age=(\d{1,9})\b", document.cache_control)
    age = float(said.group(1)) if said else _USUAL_AGE_S
    return min(max(age, _SHORTEST_AGE_S), _LONGEST_AGE_S)


def _key_set(document: Document, metadata: Metadata) -> KeySet:
    entries = document.content.get("keys")
    if not isinstance(entries, list):
        raise Unusable(f"{metadata.jwks_uri} is no key set")
    keys = [key for entry in entries[:_MOST_KEYS] if (key := _usable(entry)) is not None]
    if not keys:
        raise Unusable(f"{metadata.jwks_uri} has no key that we could use")
    return KeySet(keys)


def _usable(entry: Any) -> Key | None:
    """Return the key, or None for one that is not for us: one by one, since an issuer may publish
    keys of kinds that nobody has heard of yet beside those that it signs with."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # short keys are refused below
            key = JWKRegistry.import_key(entry)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    match key:
        case RSAKey():
            return key if key.public_key.key_size >= _SHORTEST_RSA_KEY else None
        case ECKey() | OKPKey():
            return key
        case _:
            return None  # a shared secret is no secret once it is published
