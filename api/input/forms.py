"""What a form of one of our pages sends."""

from aiohttp import web

from broker.domain.errors import Invalid

_FORM = "application/x-www-form-urlencoded"  # the only way in which our pages send any


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields; a body of another kind has none. Raises Invalid."""
    if request.content_type != _FORM:
        return {}
    try:
        return {name: str(value) for name, value in (await request.post()).items()}
    except (ValueError, LookupError):  # bytes that are no text, or of a charset that nobody knows
        raise Invalid("this is no form of ours") from None
