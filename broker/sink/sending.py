"""A copy of what is on record, for whoever else wants it: lines of JSON over TLS syslog or HTTPS.

`send` returns once the other side has the lines, as far as its protocol can say that; whoever calls
it remembers then how far that was, and else sends the same again. So lines come at least once, and
in order.

Over HTTPS an answer of 2xx says so. Syslog (RFC 5425) has no answers. So a connection carries some
lines and is then closed as TLS asks for: the receiver answers that only after whatever it was sent,
https://www.rfc-editor.org/rfc/rfc5425#section-4.4. Without that answer all of it is sent again.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from broker.domain.errors import Unavailable
from broker.sink.address import HttpsSink, SinkAddress, SyslogSink

TIMEOUT_S = 10.0
_MUTE_PATIENCE_S = 0.5
_AUDIT = 13  # the facility, https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1
_INFORMATIONAL = 6
_PRIORITY = _AUDIT * 8 + _INFORMATIONAL
_APPLICATION = "pgcurfew"


class SinkUnreachable(Unavailable):
    """The lines were not taken, or nobody knows: they have to be sent again."""

    code = "sink-unreachable"


class Sender(Protocol):
    async def send(self, lines: Sequence[dict[str, Any]]) -> None:
        """Send each as a line of JSON, in order. Raises SinkUnreachable."""


@asynccontextmanager
async def open_sender(address: SinkAddress) -> AsyncIterator[Sender]:
    """Yield what sends there. Nothing is connected before there is something to send."""
    match address:
        case SyslogSink():
            yield _SyslogSender(address)
        case HttpsSink():
            # Commands that send nothing do not wait for what it needs.
            from broker.sink.https import open_https  # noqa: PLC0415

            async with open_https(address) as sender:
                yield sender


class _SyslogSender:
    """Some receivers are mute: they close without TLS's goodbye. That looks like one that dies, so
    the first time the lines are sent again, and from then on, if such a one lets a while pass and
    closes only when it is asked to, that is its answer."""

    def __init__(self, address: SyslogSink) -> None:
        self._address = address
        self._is_mute = False

    async def send(self, lines: Sequence[dict[str, Any]]) -> None:
        try:
            await asyncio.to_thread(self._send, b"".join(map(syslog_frame, lines)))
        except OSError as error:  # of TLS, too
            raise SinkUnreachable(str(error) or type(error).__name__) from error

    def _send(self, frames: bytes) -> None:
        """It blocks, in the plain order of steps that the end of a connection needs."""
        host, port, context = self._address.host, self._address.port, self._address.context
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(frames)
            if _is_closed_within(connection, _MUTE_PATIENCE_S if self._is_mute else 0.0):
                raise ConnectionResetError("the receiver closed the connection")
            try:
                connection.unwrap().close()
            except ssl.SSLEOFError:
                if self._is_mute:
                    return
                self._is_mute = True
                raise ConnectionResetError("the receiver closed without a word") from None
            self._is_mute = False


def _is_closed_within(connection: ssl.SSLSocket, patience_s: float) -> bool:
    """Say whether the receiver closes it before we do. It has nothing else to say."""
    connection.settimeout(patience_s)
    try:
        return connection.recv(1) == b""
    except (ssl.SSLWantReadError, TimeoutError):
        return False
    finally:
        connection.settimeout(TIMEOUT_S)


def json_line(facts: dict[str, Any]) -> bytes:
    """Return ASCII only: some receivers take syslog for anything but UTF-8."""
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def syslog_frame(facts: dict[str, Any]) -> bytes:
    """Return the message with its length before it, as RFC 5425 wants it; `row` is its MSGID."""
    at = facts.get("started_at") or facts.get("at") or _now()
    head = f"<{_PRIORITY}>1 {at} {_hostname()} {_APPLICATION} - {facts['row']} - "
    message = head.encode() + json_line(facts)
    return f"{len(message)} ".encode() + message


def _hostname() -> str:
    """Return this machine's name as RFC 5424 allows it."""
    name = "".join(char for char in socket.gethostname() if "!" <= char <= "~")
    return name[:255] or "-"


def _now() -> str:
    return f"{datetime.now(UTC).isoformat(timespec='microseconds')[:26]}Z"
