"""The answer to "may they?": yes, or why not."""

from dataclasses import dataclass

from broker.domain.errors import BrokerError


@dataclass(frozen=True, slots=True)
class Allow:
    pass


@dataclass(frozen=True, slots=True)
class Deny:
    """Why not, as the error that a caller may raise or show."""

    error: BrokerError

    @property
    def reason(self) -> str:
        return str(self.error)
