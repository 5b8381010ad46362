"""Saving what comes over the network: a file is there when all of it is, and not before."""

import gzip
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import typer

from api.cli.output import ExitCode, fail, until_nobody_reads


async def save(pieces: AsyncIterator[bytes], file: Path | None) -> int:
    """Write to the file, compressed if its name ends in .gz, or to standard output; return how many
    bytes came."""
    count = 0
    with _open(file) as output:
        async for each in pieces:
            output.write(each)
            count += len(each)
    return count


@contextmanager
def _open(file: Path | None) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if file is None:
        with until_nobody_reads():
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        # What sessions did is nobody's but its reader's.
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise typer.Exit(fail(f"{file}: {error.strerror}", ExitCode.ERROR)) from None
    try:
        with os.fdopen(descriptor, "wb") as raw:
            if file.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as output:
                    yield output
            else:
                yield raw
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
