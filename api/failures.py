"""What may become of a call to the API. Apart from the client, which takes long to load."""


class ApiError(Exception):
    """The API answered with a problem (RFC 9457): `code` is stable, `detail` is for people."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class ApiUnreachable(Exception):
    """Nobody answered at the URL."""
