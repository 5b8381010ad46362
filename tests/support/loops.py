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


async def stop_listening(server: asyncio.Server) -> None:
    """Close the server when what it has just accepted is a connection: it never closes that."""
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    await asyncio.sleep(0)
    server.close()
