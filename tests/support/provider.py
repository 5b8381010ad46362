"""An OpenID Connect provider over HTTP on this machine: oidc-provider-mock, with what it lacks.

That is: it checks PKCE, answers as RFC 6749 and 9207 want it (with state and issuer), and lets
people sign in from a command line (RFC 8628).
"""

import secrets
import time
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import authlib.deprecate
import flask
import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from broker.tls import web_context

with warnings.catch_warnings():
    # It uses a part of Authlib that is to go. The import above keeps this from being overruled.
    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    from oidc_provider_mock._app import User, app
    from oidc_provider_mock._server import _threaded_server

WEB_CLIENT = "pgcurfew"
CLI_CLIENT = "pgcurfew-cli"
NEWCOMER = "newcomer@example.com"
"""Somebody whom no list names."""

VOUCHED_FOR: dict[str, dict[str, Any]] = {
    NEWCOMER: {"name": "Nina Newcomer", "groups": ["developers"], "manager": "lead@example.com"},
    "dev@example.com": {"name": "Dev Eloper", "groups": ["night-shift"]},
    "elsewhere@example.net": {},
    "unverified@example.com": {"email_verified": False},
}
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(slots=True)
class Whims:
    """What a test lets the provider do: `says` changes its answers to browsers (None leaves a
    parameter out), `gives` its ID tokens, `is_broken` lets it fail at everything but its addresses,
    `is_terse` keep all but the subject out of its ID tokens, `tells_of` tell of somebody else where
    it tells the rest, and `first` are its answers to command lines before what the person has
    decided: to let somebody in, or not."""

    says: dict[str, str | None] = field(default_factory=dict)
    gives: str | None = None
    is_broken: bool = False
    is_terse: bool = False
    tells_of: str | None = None
    first: list[str] = field(default_factory=list)
    allowed: str | None = None
    is_denied: bool = False


@dataclass(slots=True)
class Provider:
    people: dict[str, dict[str, Any]]
    issuer: str = ""
    whims: Whims = field(default_factory=Whims)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    _key: RSAKey | None = None
    _challenges: dict[str, str] = field(default_factory=dict)

    def id_token(self, email: str, audience: str = CLI_CLIENT, **changes: Any) -> str:
        """Return an ID token as of now; a change to None leaves a claim out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": email, "aud": audience, "iat": now, "exp": now + 600}
        claims |= {"jti": secrets.token_hex(8), "email": email, "email_verified": True}
        claims |= {**self.people[email], **changes}
        assert self._key is not None
        given = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": self._key.kid}, given, self._key)

    async def let_in(self, url: str, email: str | None) -> str:
        """Say there who one is, as a person would, or that one would rather not. Returns where the
        browser is sent then."""
        sent = {"action": "deny"} if email is None else {"sub": email}
        async with httpx2.AsyncClient(verify=web_context()) as browser:
            answer = await browser.post(url, data=sent)
        assert answer.status_code == httpx2.codes.FOUND, answer.text
        return str(answer.headers["Location"])


@contextmanager
def run_provider(people: dict[str, dict[str, Any]]) -> Iterator[Provider]:
    """Run a provider that knows these people and more of what is to be said of them."""
    provider = Provider(people)
    known = [
        User(sub=email, claims={"email": email, "email_verified": True, **more})
        for email, more in people.items()
    ]
    served = app(user_claims=known)
    served.debug = False
    served.before_request(lambda: _before(provider))
    served.after_request(lambda response: _after(provider, response))
    with _threaded_server(app=served, poll_interval=0.01) as server:
        provider.issuer = f"http://localhost:{server.server_port}"
        served.test_client().get("/jwks")
        yield provider


def _before(provider: Provider) -> flask.Response | None:
    if provider.whims.is_broken and flask.request.method == "POST":
        return flask.Response("<h1>Bad gateway</h1>", status=502)
    if provider._key is None:
        jwk = flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True)
        provider._key = RSAKey.import_key(jwk)
    if flask.request.path == "/oauth2/device":
        return flask.jsonify(
            device_code="the-device-code",
            user_code="WDJB-MJHT",
            verification_uri=f"{provider.issuer}/device",
            verification_uri_complete=f"{provider.issuer}/device?user_code=WDJB-MJHT",
            expires_in=600,
            interval=0.01,
        )
    if flask.request.path == "/oauth2/token":
        provider.token_requests.append(flask.request.form.to_dict())
        if flask.request.form["grant_type"] == _DEVICE_GRANT:
            return _device_answer(provider)
        digest = sha256(flask.request.form["code_verifier"].encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")
        if provider._challenges.pop(flask.request.form["code"], None) != challenge:
            return _error("invalid_grant")
    return None


def _device_answer(provider: Provider) -> flask.Response:
    whims = provider.whims
    if whims.first:
        return _error(whims.first.pop(0))
    if whims.is_denied:
        return _error("access_denied")
    if whims.allowed is None:
        return _error("authorization_pending")
    token = whims.gives or provider.id_token(whims.allowed, flask.request.form["client_id"])
    return flask.jsonify(access_token="an-access-token", token_type="Bearer", id_token=token)


def _error(name: str) -> flask.Response:
    response = flask.jsonify(error=name)
    response.status_code = 400
    return response


def _after(provider: Provider, response: flask.Response) -> flask.Response:
    path = flask.request.path
    if path.endswith("/openid-configuration"):
        more = {
            "device_authorization_endpoint": f"{provider.issuer}/oauth2/device",
            "authorization_response_iss_parameter_supported": True,
        }
        response.set_data(flask.json.dumps(flask.json.loads(response.get_data()) | more))
    elif path == "/oauth2/authorize" and response.status_code == httpx2.codes.FOUND:
        _answer_the_browser(provider, response)
    elif path == "/userinfo" and provider.whims.tells_of:
        told = flask.json.loads(response.get_data()) | {"sub": provider.whims.tells_of}
        response.set_data(flask.json.dumps(told))
    elif path == "/oauth2/token" and response.status_code == httpx2.codes.OK:
        _give(provider, response)
    return response


def _answer_the_browser(provider: Provider, response: flask.Response) -> None:
    asked, where = flask.request.args, urlsplit(response.headers["Location"])
    answer = {name: values[0] for name, values in parse_qs(where.query).items()}
    if "code" in answer:
        provider._challenges[answer["code"]] = asked["code_challenge"]
        assert asked["code_challenge_method"] == "S256"
    said = {**answer, "state": asked["state"], "iss": provider.issuer, **provider.whims.says}
    query = urlencode({name: value for name, value in said.items() if value is not None})
    response.headers["Location"] = where._replace(query=query).geturl()


def _give(provider: Provider, response: flask.Response) -> None:
    """Change the ID token that is given, if that is wished."""
    given = flask.json.loads(response.get_data())
    assert provider._key is not None
    if provider.whims.is_terse:
        said = jwt.decode(given["id_token"], provider._key).claims
        kept = {name: said[name] for name in ("iss", "sub", "aud", "iat", "exp", "nonce")}
        header = {"alg": "RS256", "kid": provider._key.kid}
        given["id_token"] = jwt.encode(header, kept, provider._key)
    given["id_token"] = provider.whims.gives or given["id_token"]
    response.set_data(flask.json.dumps(given))
