"""A copy of what is on record, for whoever else wants it: lines of JSON over TLS syslog or HTTPS.

`send` returns once the other side has the lines, as far as its protocol can say that; whoever calls
it remembers then how far that was, and else sends the same again. So lines come at least once, and
in order.

Over HTTPS an answer of 2xx says so. Syslog (RFC 5425) has no answers. So a connection carries some
lines and is then closed as TLS asks for: the receiver answers that only after whatever it was sent,
https://www.rfc-editor.org/rfc/rfc5425#section-4.4. Without that answer all of it is sent again.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broker.sink.address import HttpsSink, SinkAddress, SyslogSink
from broker.sink.sender import Sender
from broker.sink.syslog import SyslogSender


@asynccontextmanager
async def open_sender(address: SinkAddress) -> AsyncIterator[Sender]:
    """Yield what sends there. Nothing is connected before there is something to send."""
    match address:
        case SyslogSink():
            yield SyslogSender(address)
        case HttpsSink():
            # Commands that send nothing do not wait for what it needs.
            from broker.sink.https import open_https  # noqa: PLC0415

            async with open_https(address) as sender:
                yield sender
