"""Signing in from a command line (RFC 8628): the person allows it in a browser of any device, while
the command asks the provider again and again whether they have."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from broker.domain.errors import ProviderUnreachable, SignInFailed
from broker.domain.identity.relying import Answered

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL_S = 5  # RFC 8628, 3.2: if the provider names none
_SLOWER = timedelta(seconds=5)  # 3.5
_LONGEST_INTERVAL_S = 60
_LONGEST_LIFE_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """What the provider wants a person to do: open a page and compare or type a code there."""

    device_code: str = field(repr=False)
    user_code: str
    page: str
    page_with_code: str | None
    interval: timedelta
    until: datetime


def read_device_code(answer: Mapping[str, Any], now: datetime, provider: str) -> DeviceCode:
    """Raises ProviderUnreachable for an answer that nobody could act on."""
    page, with_code = answer.get("verification_uri"), answer.get("verification_uri_complete")
    device_code, user_code = answer.get("device_code"), answer.get("user_code")
    if not (_is_shown(user_code) and _is_page(page) and device_code):
        raise ProviderUnreachable(provider)
    return DeviceCode(
        device_code=str(device_code),
        user_code=str(user_code),
        page=str(page),
        page_with_code=with_code if _is_page(with_code) else None,
        interval=_seconds(answer.get("interval"), _INTERVAL_S, _LONGEST_INTERVAL_S),
        until=now + _seconds(answer.get("expires_in"), _LONGEST_LIFE_S, _LONGEST_LIFE_S),
    )


def slower(code: DeviceCode) -> DeviceCode:
    """Return the code to ask for less often from now on, as after an answer that never came."""
    return replace(code, interval=code.interval + _SLOWER)


def read_answer(
    answer: Mapping[str, Any], code: DeviceCode, provider: str
) -> DeviceCode | Answered:
    """Return the code to go on asking with, or the end of it. Raises SignInFailed if it is no."""
    match answer:
        case {"error": "authorization_pending"}:
            return code
        case {"error": "slow_down"}:
            return slower(code)
        case {"error": "expired_token"}:
            raise SignInFailed(f"{provider} waited too long for you; run pgcurfew login again")
        case {"error": "access_denied"}:
            raise SignInFailed(f"{provider} says no: you were not let in, or did not want to be")
        case {"error": error}:
            raise SignInFailed(f"{provider} says no: {_word(error)}")
        case {"id_token": str(token)} if token:
            access_token = answer.get("access_token")
            return Answered(token, access_token if isinstance(access_token, str) else None)
        case _:
            raise SignInFailed(
                f"{provider} gave no ID token; an operator adds openid to its scopes"
            )


def _seconds(value: Any, otherwise: int, longest: int) -> timedelta:
    usable = isinstance(value, int | float) and 0 < value <= longest
    return timedelta(seconds=value if usable else otherwise)


def _is_page(text: Any) -> bool:
    return _is_shown(text) and text.startswith(("https://", "http://")) and " " not in text


def _is_shown(text: Any) -> bool:
    """Whether a terminal shows just this: what a provider says is printed."""
    return isinstance(text, str) and 0 < len(text) <= 2000 and text.isascii() and text.isprintable()


def _word(error: Any) -> str:
    return error if _is_shown(error) and len(error) <= 100 else "an error that has no name"
