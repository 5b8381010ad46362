"""PagerDuty, through the SDK that it maintains.

Asked is `GET /oncalls`, which works out layers, shifts and overrides by itself, for schedules of
both of PagerDuty's generations. It only knows schedules that an escalation policy uses:
https://developer.pagerduty.com/api-reference/3a6b910f11050-list-all-of-the-on-calls

Paging is an event for the Events API v2: idempotent by its `dedup_key`, with a key of its own that
can do nothing else, so that the REST token may be one that only reads.
https://developer.pagerduty.com/docs/events-api-v2/trigger-events/

The SDK is synchronous, and would by itself try again, after 429 for ever. So it works in threads of
its own, at a deadline, and is told to give up at once; whoever calls us knows when to try again.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from math import ceil
from typing import Any, TypeVar

from httpx2 import DecodingError, Response, TimeoutException
from pagerduty import ApiClient, Error, EventsApiV2Client, RestApiV2Client
from pydantic import AwareDatetime, BaseModel, ValidationError

from broker.domain.on_call import Page
from broker.oncall.asking import Asking, Shift, normal_email
from broker.oncall.failures import FailureKind, VendorFailed, failed_status

_VENDOR = "PagerDuty"
_PAGE_SIZE = 100  # the most it gives: https://developer.pagerduty.com/docs/pagination
_MOST_ENTRIES = 1000  # of one schedule at one moment; more is not a schedule's answer
_THREADS = 4  # one that PagerDuty keeps waiting holds up nothing but other questions to PagerDuty
_SEVERITY = "critical"  # somebody is to be woken

_Result = TypeVar("_Result")


class _Person(BaseModel):
    id: str
    email: str | None = None


class _Schedule(BaseModel):
    id: str


class _Entry(BaseModel):
    """Somebody on call by an escalation policy: the same person comes once for each."""

    user: _Person
    schedule: _Schedule | None
    start: AwareDatetime | None
    end: AwareDatetime | None

    def counts(self, schedule: str, now: datetime) -> bool:
        """PagerDuty was asked just that; were it to answer with more, more would get access."""
        return (
            self.schedule is not None
            and self.schedule.id == schedule
            and (self.start is None or self.start <= now)
            and (self.end is None or now < self.end)
        )


class _Entries(BaseModel):
    oncalls: list[_Entry]
    more: bool


class _Turned(Exception):
    """Carries a response past the SDK, which would wait and ask again."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class PagerDuty:
    def __init__(self, token: str, url: str, events_url: str, asking: Asking) -> None:
        self._token = token
        self._url = url
        self._events_url = events_url
        self._asking = asking
        self._threads = ThreadPoolExecutor(_THREADS, "pagerduty")

    async def shifts(self, schedule: str, now: datetime) -> tuple[Shift, ...]:
        """Return who is on call in the schedule with this id. Raises VendorFailed."""
        entries = await self._in_thread(lambda: self._fetch(schedule, now))
        return tuple(
            Shift(each.user.id, normal_email(each.user.email), each.end)
            for each in entries
            if each.counts(schedule, now)
        )

    async def trigger(self, routing_key: str, key: str, page: Page) -> None:
        """Page whoever is on call for the service that the routing key belongs to. Raises
        VendorFailed."""
        await self._in_thread(lambda: self._trigger(routing_key, key, page))

    def close(self) -> None:
        """Take no more work. A thread that still waits ends at its own time limit."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, schedule: str, now: datetime) -> list[_Entry]:
        moment = now.isoformat(timespec="seconds")
        params: dict[str, Any] = {
            "schedule_ids[]": [schedule],
            "include[]": ["users"],  # else without e-mail addresses
            "since": moment,
            "until": moment,
            "limit": _PAGE_SIZE,
        }
        entries: list[_Entry] = []
        with RestApiV2Client(self._token, base_url=self._url, **self._http()) as client:
            self._impatient(client)
            while True:
                said = client.get("/oncalls", params={**params, "offset": len(entries)})
                if not said.is_success:
                    raise self._failed(said)
                answer = _Entries.model_validate_json(said.content)
                entries += answer.oncalls
                if not answer.more:
                    return entries
                if not answer.oncalls or len(entries) > _MOST_ENTRIES:
                    raise VendorFailed(_VENDOR, FailureKind.MALFORMED)

    def _trigger(self, routing_key: str, key: str, page: Page) -> None:
        with EventsApiV2Client(routing_key, base_url=self._events_url, **self._http()) as client:
            self._impatient(client)
            client.trigger(
                page.title,
                f"pgcurfew {page.target}",
                dedup_key=key,
                severity=_SEVERITY,
                custom_details=page.details,
                links=[{"href": page.link, "text": "Approve or deny"}] if page.link else None,
            )

    def _http(self) -> dict[str, Any]:
        return {"verify": self._asking.trust, "event_hooks": {"response": [_turn]}}

    def _impatient(self, client: ApiClient) -> None:
        client.timeout = ceil(self._asking.deadline_s)  # of each read; the deadline is of it all
        client.max_network_attempts = 0
        client.retry = {}

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._asking.deadline_s):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError:
            raise VendorFailed(_VENDOR, FailureKind.SLOW) from None
        except (ValidationError, DecodingError, RecursionError):
            raise VendorFailed(_VENDOR, FailureKind.MALFORMED) from None
        except _Turned as turned:
            raise self._failed(turned.response) from None
        except Error as error:
            raise self._misfortune(error) from None

    def _misfortune(self, error: Error) -> VendorFailed:
        if error.response is not None:
            return self._failed(error.response)
        slow = isinstance(error.__cause__, TimeoutException)
        return VendorFailed(_VENDOR, FailureKind.SLOW if slow else FailureKind.UNREACHABLE)

    def _failed(self, response: Response) -> VendorFailed:
        if response.is_success:  # but nothing that the SDK could decode
            return VendorFailed(_VENDOR, FailureKind.MALFORMED)
        return failed_status(_VENDOR, response.status_code, response.headers, self._asking.now())


def _turn(response: Response) -> None:
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise _Turned(response)
