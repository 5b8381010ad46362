"""Where a PostgreSQL server is, and how sure we want to be that it is the right one."""

from dataclasses import dataclass
from enum import StrEnum


class TlsMode(StrEnum):
    """The three of libpq's sslmodes that make a promise worth having (or none at all)."""

    VERIFY_FULL = "verify-full"
    REQUIRE = "require"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """`root_certificate` is a PEM file; without one, the system's trust store decides."""

    host: str
    port: int
    database: str
    tls: TlsMode = TlsMode.VERIFY_FULL
    root_certificate: str | None = None
