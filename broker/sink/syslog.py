"""Lines of JSON as syslog messages over TLS: RFC 5424 in the frames of RFC 5425."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from broker.sink.address import SyslogSink
from broker.sink.sender import TIMEOUT_S, SinkUnreachable, json_line

_MUTE_PATIENCE_S = 0.5
_AUDIT = 13  # the facility, https://www.rfc-editor.org/rfc/rfc5424#section-6.2.1
_INFORMATIONAL = 6
_PRIORITY = _AUDIT * 8 + _INFORMATIONAL
_APPLICATION = "pgcurfew"


class SyslogSender:
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
