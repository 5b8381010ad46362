"""What a process is told from outside: to leave, or to read its settings again."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Orders:
    stop: asyncio.Event
    reload: asyncio.Event
