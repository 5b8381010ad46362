"""An event loop that runs beside the test, whatever the test itself waits for."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Run the loop in a thread of its own; stop and close it at the end."""
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
