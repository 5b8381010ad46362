"""An issuer of JWTs over HTTP on this machine, whose every word a test may choose."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

AUDIENCE = "pgcurfew"
REPOSITORY = "acme/orders"


class _Anything(JWSRegistry):
    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_ANY = _Anything(strict_check_header=False)


@cache
def key_of(kind: str, kid: str) -> Key:
    """Return the same key each time: making one takes long."""
    match kind:
        case "RSA":
            return RSAKey.generate_key(2048, {"kid": kid})
        case "Ed25519":
            return OKPKey.generate_key("Ed25519", {"kid": kid})
        case curve:
            return ECKey.generate_key(curve, {"kid": kid})


def public(key: Key) -> dict[str, Any]:
    return dict(key.as_dict(private=False))


@dataclass(slots=True)
class Issuer:
    """`published` is its key set. `answers` take the place of what it would answer, by path."""

    url: str = ""
    published: list[dict[str, Any]] = field(default_factory=lambda: [public(key_of("P-256", "k1"))])
    cache_control: str = ""
    answers: dict[str, web.Response | dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def times_asked_for_keys(self) -> int:
        return self.asked.count("/keys")

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a job, as of now; a change to None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": f"repo:{REPOSITORY}:ref:refs/heads/main",
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "repository": REPOSITORY,
            "ref": "refs/heads/main",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        *,
        key: Key | None = None,
        alg: str = "ES256",
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """Return a token of a job, signed like this."""
        key = key or key_of("P-256", "k1")
        said = {"alg": alg, "kid": key.kid, **(header or {})}
        given = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(given, self.claims(**changes), key, registry=_ANY)

    def workload(self, **changes: Any) -> dict[str, Any]:
        """Return settings of a workload that takes the word of this issuer."""
        match = {"repository": REPOSITORY, "ref": "refs/heads/main"}
        return {
            "name": "ci",
            "issuer": self.url,
            "audience": AUDIENCE,
            "machines": [{"name": "deploy-orders", "match": match, "groups": ["deployers"]}],
            **changes,
        }


def sign_with_published(key: Key, bits: int, claims: dict[str, Any]) -> str:
    """Return what HS256 (384, 512) makes of a published key as the secret; libraries refuse to."""
    assert not isinstance(key, OctKey)
    parts = ({"alg": f"HS{bits}", "kid": key.kid}, claims)
    text = ".".join(encoded(json.dumps(each).encode()) for each in parts)
    secret = key.as_pem(private=False)
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), f'sha{bits}'))}"


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


@asynccontextmanager
async def run_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()

    async def answer(request: web.Request) -> web.StreamResponse:
        issuer.asked.append(request.path)
        chosen = issuer.answers.get(request.path)
        if isinstance(chosen, web.Response):
            return web.Response(status=chosen.status, body=chosen.body, headers=chosen.headers)
        if chosen is None and request.path == "/keys":
            chosen = {"keys": issuer.published}
        if chosen is None:
            chosen = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
        return web.json_response(chosen, headers={"Cache-Control": issuer.cache_control})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        issuer.url = f"http://{host}:{port}"
        yield issuer
    finally:
        await runner.cleanup()
