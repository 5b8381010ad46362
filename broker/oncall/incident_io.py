"""incident.io, over its HTTP API: https://api-docs.incident.io

There is an SDK, generated from the whole API: 1,700 modules that take two seconds to import, and
that refuse an answer for any field that is missing or new. We need five fields of two calls.

Paging is an escalation, which the documentation recommends for somebody who presses a button, and
which is idempotent by its key: https://api-docs.incident.io/tag/Escalations-V2
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from pydantic import AwareDatetime, BaseModel, ValidationError

from broker.domain.on_call import Page
from broker.hanging_up import HANGING_UP
from broker.oncall.asking import Asking, Shift, normal_email
from broker.oncall.failures import FailureKind, VendorFailed, failed_status

_VENDOR = "incident.io"
_WINDOW = timedelta(minutes=1)  # what is asked for, from now on
_MOST_PAGES = 20  # of one schedule in one minute


class _User(BaseModel):
    id: str
    email: str | None = None


class _Entry(BaseModel):
    start_at: AwareDatetime
    end_at: AwareDatetime
    user: _User | None = None  # a gap has none


class _Entries(BaseModel):
    final: list[_Entry]  # every rotation and layer, with overrides worked out


class _Pagination(BaseModel):
    after: str | None = None


class _Answer(BaseModel):
    schedule_entries: _Entries
    pagination_meta: _Pagination | None = None

    @property
    def next(self) -> str | None:
        return self.pagination_meta.after if self.pagination_meta else None


class IncidentIo:
    def __init__(self, token: str, url: str, asking: Asking) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._url = url
        self._asking = asking

    async def shifts(self, schedule: str, now: datetime) -> tuple[Shift, ...]:
        """Return who is on call in the schedule with this id. Raises VendorFailed."""
        async with self._connected() as client:
            entries = await self._fetch(client, schedule, now)
        return tuple(
            Shift(each.user.id, normal_email(each.user.email), each.end_at)
            for each in entries
            if each.user is not None and each.start_at <= now < each.end_at
        )

    async def escalate_along(self, path: str, key: str, page: Page) -> None:
        """Page along an escalation path. Raises VendorFailed."""
        await self._escalate({"escalation_path_id": path}, key, page)

    async def escalate_to_schedule(self, schedule: str, key: str, page: Page) -> None:
        """Page the people who are on call in the schedule now. Raises VendorFailed."""
        shifts = await self.shifts(schedule, self._asking.now())
        if not shifts:
            raise VendorFailed(_VENDOR, FailureKind.NOBODY)
        await self._escalate({"user_ids": sorted({each.person for each in shifts})}, key, page)

    async def _fetch(
        self, client: httpx2.AsyncClient, schedule: str, now: datetime
    ) -> list[_Entry]:
        params = {
            "schedule_id": schedule,
            "entry_window_start": _written(now),
            "entry_window_end": _written(now + _WINDOW),
        }
        found: list[_Entry] = []
        for _ in range(_MOST_PAGES):
            response = self._checked(await client.get("/v2/schedule_entries", params=params))
            answer = _Answer.model_validate_json(response.content)
            found += answer.schedule_entries.final
            if not answer.next:
                return found
            # So it is documented: the cursor takes the place of the window's start.
            params["entry_window_start"] = answer.next
        raise VendorFailed(_VENDOR, FailureKind.MALFORMED)

    async def _escalate(self, to: dict[str, Any], key: str, page: Page) -> None:
        details = "\n".join(f"{name}: {value}" for name, value in page.details.items())
        body = {"title": page.title, "description": details, "idempotency_key": key, **to}
        async with self._connected() as client:
            self._checked(await client.post("/v2/escalations", json=body))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Yield a client that has until the deadline. Raises VendorFailed for what goes wrong."""
        deadline_s = self._asking.deadline_s
        try:
            async with (
                asyncio.timeout(deadline_s),
                httpx2.AsyncClient(
                    base_url=self._url,
                    headers=self._headers,
                    verify=self._asking.trust,
                    timeout=deadline_s,
                    event_hooks=HANGING_UP,
                ) as client,
            ):
                yield client
        except (TimeoutError, httpx2.TimeoutException):
            raise VendorFailed(_VENDOR, FailureKind.SLOW) from None
        except (ValidationError, httpx2.DecodingError):
            raise VendorFailed(_VENDOR, FailureKind.MALFORMED) from None
        except httpx2.TransportError:
            raise VendorFailed(_VENDOR, FailureKind.UNREACHABLE) from None

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if not response.is_success:
            status, headers = response.status_code, response.headers
            raise failed_status(_VENDOR, status, headers, self._asking.now())
        return response


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
