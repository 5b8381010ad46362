"""Where a copy of the record goes."""

import ssl
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SyslogSink:
    """A receiver of RFC 5424 messages over TLS."""

    host: str
    port: int
    context: ssl.SSLContext

    @property
    def name(self) -> str:
        return f"syslog {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpsSink:
    """A URL that takes lines of JSON in POST requests."""

    url: str
    context: ssl.SSLContext
    token: str | None = field(repr=False)

    @property
    def name(self) -> str:
        return self.url.partition("?")[0]


SinkAddress = SyslogSink | HttpsSink
