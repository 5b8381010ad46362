"""ETags: what somebody has already is not sent again (RFC 9110, 8.8.3 and 13.1.2).

Ours are weak: they are of what is said, however it is compressed.
"""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from http import HTTPStatus

from aiohttp import hdrs, web

from api.callers.browsers import Handler

_DIGEST_BYTES = 18  # 24 characters: nobody looks for two answers with the same
_TAG = re.compile(r'(?:W/)?("[!#-~\x80-\U0010ffff]*")')


@web.middleware
async def etags(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    body = _shown(request, response)
    if body is None or not isinstance(response, web.Response):
        return response
    etag = etag_of(body)
    response.headers[hdrs.ETAG] = etag
    known = ",".join(request.headers.getall(hdrs.IF_NONE_MATCH, ()))
    if is_known(known, etag):
        # The same answer without its body: whatever else it says, cookies too, still holds.
        response.set_status(HTTPStatus.NOT_MODIFIED)
        response.body = None
        response.headers.pop(hdrs.CONTENT_TYPE, None)
    return response


def _shown(request: web.Request, response: web.StreamResponse) -> bytes | bytearray | None:
    """Return the body of what the API shows as a whole, and lets people keep."""
    is_shown = (
        request.method in {hdrs.METH_GET, hdrs.METH_HEAD}
        and request.path.startswith(("/v1/", "/openapi."))
        and response.status == HTTPStatus.OK
        and "no-store" not in response.headers.get(hdrs.CACHE_CONTROL, "")
    )
    body = response.body if is_shown and isinstance(response, web.Response) else None
    return body if isinstance(body, bytes | bytearray) else None


def etag_of(body: bytes | bytearray) -> str:
    digest = sha256(body).digest()[:_DIGEST_BYTES]
    return f'W/"{urlsafe_b64encode(digest).decode()}"'


def is_known(if_none_match: str, etag: str) -> bool:
    """Say whether the header, all of its lines in one, names the ETag or any there is."""
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in _TAG.findall(if_none_match)
