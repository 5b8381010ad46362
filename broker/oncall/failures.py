"""What can go wrong with a vendor's answer, in words of ours."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

_LONGEST_WAIT = timedelta(minutes=5)  # whatever a vendor says


class FailureKind(StrEnum):
    REFUSED = "refuses the token that the settings name"
    UNKNOWN = "knows no such schedule"
    BUSY = "has been asked too often"
    BROKEN = "answers with an error"
    SLOW = "does not answer in time"
    UNREACHABLE = "cannot be reached"
    MALFORMED = "gives an answer that cannot be understood"
    NOBODY = "has nobody on call"


class VendorFailed(Exception):
    """`wait` is how long the vendor wants to be left alone, if it says so. The text tells no host
    and no token."""

    def __init__(
        self,
        vendor: str,
        kind: FailureKind,
        status: int | None = None,
        wait: timedelta | None = None,
    ) -> None:
        super().__init__(f"{vendor} {kind}" + (f" (HTTP {status})" if status else ""))
        self.kind = kind
        self.status = status
        self.wait = wait


def failed_status(
    vendor: str, status: int, headers: Mapping[str, str], now: datetime
) -> VendorFailed:
    """Return what a response means that is not a success."""
    match status:
        case 401 | 403:
            return VendorFailed(vendor, FailureKind.REFUSED, status)
        case 404:
            return VendorFailed(vendor, FailureKind.UNKNOWN, status)
        case 429:
            return VendorFailed(vendor, FailureKind.BUSY, status, _wait(headers, now))
        case _:
            return VendorFailed(vendor, FailureKind.BROKEN, status)


def _wait(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return how long the vendor wants to be left alone, within reason.

    Retry-After is seconds or a date (RFC 9110, 10.2.3); PagerDuty says ratelimit-reset instead:
    https://developer.pagerduty.com/docs/rest-api-rate-limits
    """
    said = headers.get("retry-after") or headers.get("ratelimit-reset") or ""
    if re.fullmatch(r"[0-9]{1,9}", said, re.ASCII):
        return min(timedelta(seconds=int(said)), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return max(timedelta(), min(wait, _LONGEST_WAIT))
