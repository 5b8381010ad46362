"""What browsers keep for us: sealed, so that only we can make it and read it.

Every purpose has keys of its own, made from the operator's: what was sealed for one is nothing to
another. The first key seals and all of them open, so that one can take another's place.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta

from aiohttp import web
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_PREFIX = "__Host-"  # RFC 6265bis, 4.1.3.2: only this host, over TLS, can have set it


class Sealer:
    def __init__(self, keys: Sequence[bytes], purpose: str) -> None:
        own = [Fernet(_derived(key, purpose)) for key in keys]
        self._newest = own[0]
        self._all = MultiFernet(own)

    def seal(self, content: bytes, now: datetime) -> str:
        return self._newest.encrypt_at_time(content, int(now.timestamp())).decode()

    def open(self, sealed: str, now: datetime, at_most: timedelta) -> bytes | None:
        """Return what was sealed, or None if it was not by us or was longer ago than `at_most`."""
        seconds = int(at_most.total_seconds())
        try:
            return self._all.decrypt_at_time(sealed, seconds, int(now.timestamp()))
        except (InvalidToken, ValueError):  # ValueError: it is not even ASCII
            return None

    def is_of_the_newest_key(self, sealed: str) -> bool:
        try:
            self._newest.extract_timestamp(sealed)
        except (InvalidToken, ValueError):
            return False
        return True


class SealedCookie:
    """A cookie that no script sees, and that comes along with no other site's forms and frames."""

    def __init__(self, name: str, keys: Sequence[bytes], *, secure: bool) -> None:
        self.name = _PREFIX + name if secure else name
        self._sealer = Sealer(keys, name)
        self._secure = secure

    def read(self, request: web.Request, now: datetime, at_most: timedelta) -> bytes | None:
        """Return what the browser keeps for us, if it is ours and not older than that."""
        sealed = request.cookies.get(self.name)
        return None if sealed is None else self._sealer.open(sealed, now, at_most)

    def is_there(self, request: web.Request) -> bool:
        return self.name in request.cookies

    def shown(self, request: web.Request) -> str | None:
        return request.cookies.get(self.name)

    def is_of_the_newest_key(self, request: web.Request) -> bool:
        return self._sealer.is_of_the_newest_key(request.cookies.get(self.name, ""))

    def give(
        self, response: web.StreamResponse, content: bytes, now: datetime, lifetime: timedelta
    ) -> None:
        response.set_cookie(
            self.name,
            self._sealer.seal(content, now),
            max_age=int(lifetime.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Lax",  # Strict would keep it back from who follows a link in a chat
        )

    def take_back(self, response: web.StreamResponse) -> None:
        # Browsers ignore this for a __Host- cookie, unless it is as Secure as the cookie.
        response.set_cookie(
            self.name,
            "",
            max_age=0,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )


def _derived(key: bytes, purpose: str) -> bytes:
    info = b"pgcurfew cookie " + purpose.encode()
    return urlsafe_b64encode(HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(key))
