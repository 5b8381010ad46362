"""A spool as a proxy worker might leave it: many statements, of which nothing was shipped yet."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from broker.domain.statement.statement import Ending, Protocol
from proxy.spool.records import (
    ENDING_NUMBERS,
    PROTOCOL_NUMBERS,
    encode_end,
    encode_plain_begin,
)
from proxy.spool.writer import SpoolRules, SpoolWriter

_SESSIONS = 16
_BETWEEN_US = 50  # two statements of whichever session
_DURATION_US = 400
_ROUND_TRIP = (80, 100)  # bytes from and to the client
_RULES = SpoolRules(limit=8 << 30, segment=16 << 20, refuse_at=1.0, holds=True)
_DONE = ENDING_NUMBERS[Ending.DONE]
_SIMPLE = PROTOCOL_NUMBERS[Protocol.SIMPLE]
_TEXTS = 1_000
_SEED = 20260301
_COLUMNS = ("id", "customer", "created_at", "status", "total", "currency", "note", "shipped_by")
_TABLES = ("orders", "order_lines", "customers", "deliveries", "invoices", "payments")


@dataclass(frozen=True, slots=True)
class Mix:
    """Statements of a size in bytes, and how many of ten have it. 60 is what pgbench -S asks."""

    name: str
    sizes: tuple[int, ...]


PGBENCH = Mix("pgbench", (60,) * 10)
MIXED = Mix("mixed", (60, 300, 60, 60, 2_000, 60, 300, 60, 300, 60))


async def fill_spool(folder: Path, mix: Mix, count: int) -> None:
    """Write as a worker does, which then leaves."""
    writer = SpoolWriter(folder, "wrk_bench00000000000", _RULES)
    try:
        for records in _records(mix, count):
            while not writer.append(records):
                await writer.take_room()
    finally:
        writer.close()


def _records(mix: Mix, count: int) -> Iterator[bytes]:
    """Yield what one statement of each session becomes: they all run at once, then all end."""
    sessions = [f"ses_bench{number:011}".encode() for number in range(_SESSIONS)]
    started_us = time.time_ns() // 1_000 - count * _BETWEEN_US
    texts = list(_texts(mix))
    for first in range(0, count, _SESSIONS):
        begins, ends = b"", b""
        for number in range(first, min(first + _SESSIONS, count)):
            session, seq = sessions[number % _SESSIONS], number // _SESSIONS + 1
            at_us, text = started_us + number * _BETWEEN_US, texts[number % _TEXTS]
            begins += encode_plain_begin(session, seq, at_us, _SIMPLE, text)
            ends += encode_end(
                session, seq, _DURATION_US, _DONE, 1, b"SELECT 1", None, *_ROUND_TRIP
            )
        yield begins + ends


def _texts(mix: Mix) -> Iterator[bytes]:
    chance = random.Random(_SEED)  # noqa: S311  (nothing secret)
    for number in range(_TEXTS):
        size = mix.sizes[number % len(mix.sizes)]
        text = f"SELECT abalance FROM pgbench_accounts WHERE aid = {chance.randrange(10**6)}"
        while len(text) < size:
            text += (
                f" OR aid IN (SELECT {chance.choice(_COLUMNS)} FROM shop.{chance.choice(_TABLES)}"
                f" WHERE {chance.choice(_COLUMNS)} = {chance.randrange(10**9)})"
            )
        yield text[:size].encode()
