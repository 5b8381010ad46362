"""The last word that a session has for its client."""

from dataclasses import dataclass

from proxy.wire.messages import encode_error


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Why a session ends: `reason` for the record, the rest for the client."""

    reason: str
    sqlstate: str
    message: str
    hint: str | None = None

    def encode(self) -> bytes:
        return encode_error(self.sqlstate, self.message, hint=self.hint)
