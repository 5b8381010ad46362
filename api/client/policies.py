"""What is in force, what was, and what it would say."""

from collections.abc import AsyncIterator
from datetime import datetime
from urllib.parse import quote

from api.client.calls import TIMEOUT_OF_STREAM, Calls, query_of
from api.failures import ApiError, ApiUnreachable
from api.schemas import Page
from api.schemas.policies import (
    REPLAY_LINE,
    AccessView,
    AnswerView,
    ErrorLine,
    InForceView,
    PolicyQuestion,
    ProgressLine,
    ReplayEndLine,
    ShiftLine,
    VersionDetailsView,
    VersionList,
)


class PolicyCalls(Calls):
    async def get_policies(self) -> InForceView:
        """Return the policies in force."""
        return await self._get(InForceView, "/v1/policies")

    async def list_versions(
        self, *, kind: str | None = None, after: int | None = None, limit: int = 50
    ) -> VersionList:
        """Return what was in force, newest first."""
        query = query_of(kind=kind, after=after, limit=limit)
        return await self._get(VersionList, "/v1/policies/versions", query)

    async def get_version(self, number: int) -> VersionDetailsView:
        return await self._get(VersionDetailsView, f"/v1/policies/versions/{number}")

    async def test_policies(self, question: PolicyQuestion) -> AnswerView:
        """Return what would be decided, and why."""
        body = question.model_dump(mode="json")
        return AnswerView.model_validate(await self._call("POST", "/v1/policies/test", body=body))

    async def list_access(self, email: str | None = None) -> Page[AccessView]:
        """Return all that a person may ask for; without an address, oneself."""
        path = f"/v1/people/{quote(email or 'me', safe='')}/access"
        return await self._get(Page[AccessView], path)

    async def replay_policies(
        self, text: str, since: datetime
    ) -> AsyncIterator[ShiftLine | ProgressLine | ReplayEndLine]:
        """Yield past requests that the policy file `text` would have answered otherwise, with how
        far it has come, and at last the end."""
        body = {"policies": text, "since": since.isoformat()}
        line = None
        async with self._open(
            "POST", "/v1/policies/replay", body=body, timeout=TIMEOUT_OF_STREAM
        ) as response:
            async for each in response.content:
                line = REPLAY_LINE.validate_json(each)
                if isinstance(line, ErrorLine):
                    raise ApiError(500, line.code, line.detail)
                yield line
        if not isinstance(line, ReplayEndLine):
            raise ApiUnreachable("the answer broke off; nothing more is known, try again")
