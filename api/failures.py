"""What may become of a call to the API. Apart from the client, which takes long to load."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrongField:
    """A field of the call that is wrong: in what, and what it may be, where there is a list."""

    field: str
    message: str
    allowed: tuple[str, ...] = ()


class ApiError(Exception):
    """The API answered with a problem (RFC 9457): `code` is stable, `detail` is for people, and
    `errors` are the fields that are wrong, if it is about fields."""

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[WrongField] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.errors = tuple(errors)


class ApiUnreachable(Exception):
    """Nobody answered at the URL."""
