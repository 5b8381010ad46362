"""Where browsers come in: under which address, and what they keep for us from page to page."""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from aiohttp import web

from api.callers.cookies import KEY_BYTES, SealedCookie
from broker.domain.identity.code_flow import Transaction
from broker.domain.identity.sign_in import Pass

# From here to a provider and back, with a password and a second factor on the way.
_LONGEST_WAY = timedelta(minutes=10)
_LONGEST_SIGN_IN = timedelta(days=366)  # as identity.sign_in.lifetime may be
_NAME = "pgcurfew"
_SEPARATOR = b" "


class Door:
    """`public_url` is our address as people know it. Cookies are Secure if that is https."""

    def __init__(self, public_url: str | None = None, cookie_keys: Sequence[bytes] = ()) -> None:
        keys = cookie_keys or (os.urandom(KEY_BYTES),)  # good for as long as this process lives
        secure = public_url is not None and public_url.startswith("https://")
        self.public_url = public_url
        self._pass = SealedCookie(_NAME, keys, secure=secure)
        self._way = SealedCookie(f"{_NAME}_sign_in", keys, secure=secure)

    def read_pass(self, request: web.Request, now: datetime) -> Pass | None:
        """Return what proves that somebody has signed in with this browser.

        For how long it does, the ledger says.
        """
        content = self._pass.read(request, now, _LONGEST_SIGN_IN)
        if content is None:
            return None
        sign_in_id, _, secret = content.partition(_SEPARATOR)
        return Pass(sign_in_id.decode(), secret)

    def give_pass(
        self, response: web.StreamResponse, shown: Pass, now: datetime, until: datetime
    ) -> None:
        content = shown.sign_in_id.encode() + _SEPARATOR + shown.secret
        self._pass.give(response, content, now, until - now)

    def says_what_becomes_of_pass(self, response: web.StreamResponse) -> bool:
        """Whether the response already gives one or takes it back."""
        return self._pass.name in response.cookies

    def take_pass_back(self, response: web.StreamResponse) -> None:
        self._pass.take_back(response)

    def has_pass(self, request: web.Request) -> bool:
        """Whether the browser brings one along, whatever it is worth."""
        return self._pass.is_there(request)

    def shown_pass(self, request: web.Request) -> str | None:
        """Return it as the browser brings it along, whatever it is worth."""
        return self._pass.shown(request)

    def has_fresh_pass(self, request: web.Request) -> bool:
        return self._pass.is_of_the_newest_key(request)

    def read_way(self, request: web.Request, now: datetime) -> Transaction | None:
        """Return the sign-in that this browser began, if it did so lately."""
        packed = self._way.read(request, now, _LONGEST_WAY)
        return None if packed is None else Transaction.unpack(packed)

    def give_way(
        self, response: web.StreamResponse, transaction: Transaction, now: datetime
    ) -> None:
        self._way.give(response, transaction.pack(), now, _LONGEST_WAY)

    def take_way_back(self, response: web.StreamResponse) -> None:
        self._way.take_back(response)
