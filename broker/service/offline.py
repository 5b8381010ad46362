"""Checks an export of the record without the ledger, and without the rest of us: everything that is
needed here and below is the standard library, so that it goes into a script of its own.
"""

import argparse
import base64
import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from broker.domain.statement.checking import Tally
from broker.domain.statement.checkpoint import Checkpoint, key_id
from broker.domain.statement.ed25519 import is_signature
from broker.domain.statement.export import LineChecker

# What comes before the 32 bytes of every Ed25519 public key in its PEM (RFC 8410).
_ED25519 = bytes.fromhex("302a300506032b6570032100")
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END PUBLIC KEY-----")
UNREADABLE = (OSError, EOFError, zlib.error)  # what reading a file, maybe a compressed one, raises
_LONGEST_LINE = 64 * 1024**2  # bytes; texts are kept up to 2 MB, and JSON may write six for one


class UnusableKeys(Exception):
    """A file has no public keys of ours."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Ed25519 keys, raw, by their ids."""

    by_id: dict[str, bytes]

    def is_genuine(self, checkpoint: Checkpoint) -> bool:
        """Say whether one of these keys signed it."""
        key = self.by_id.get(checkpoint.key_id)
        return key is not None and _is_signature(
            key, checkpoint.signature, checkpoint.body.encode()
        )


def read_public_keys(pem: bytes) -> PublicKeys:
    """Return the keys of a file. Raises UnusableKeys if one of them is not Ed25519, or there are
    none."""
    found = {}
    for text in _PEM.findall(pem):
        try:
            der = base64.b64decode(text)
        except ValueError:
            raise UnusableKeys("it has a public key that is not PEM") from None
        raw = der.removeprefix(_ED25519)
        if len(raw) != 32 or len(der) != len(_ED25519) + 32:
            raise UnusableKeys("it has a public key that is not Ed25519")
        found[key_id(raw)] = raw
    if not found:
        raise UnusableKeys("it has no public key in PEM")
    return PublicKeys(found)


def lines_of(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, or of standard input for a dash; of a compressed one, too."""
    if str(path) == "-":
        yield from _bounded(sys.stdin.buffer)
        return
    with path.open("rb") as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if is_compressed:
            with gzip.open(file) as expanded:
                yield from _bounded(expanded)  # type: ignore[arg-type]
        else:
            yield from _bounded(file)


def told_of(tallies: Iterable[tuple[str, Tally]]) -> Iterator[str]:
    """Say how much of each chain was checked."""
    for name, tally in tallies:
        links = "receipts" if name == "receipts" else f"blocks of {name}"
        rows = "" if name == "receipts" else f" with {tally.rows} rows"
        dropped = f", {tally.dropped_rows} more dropped by retention" if tally.dropped_rows else ""
        unsigned = f"; {tally.unsigned} under no checkpoint here" if tally.unsigned else ""
        yield f"{tally.links} {links}{rows}{dropped}{unsigned}"


def main(arguments: list[str]) -> int:
    """Check an export, print what is wrong with it, and return the exit code."""
    parser = argparse.ArgumentParser(description="Checks an export of the record of pgcurfew.")
    here = Path(__file__).parent
    parser.add_argument("file", nargs="?", type=Path, default=here / "record.jsonl")
    parser.add_argument(
        "--public-key", type=Path, default=here / "audit.pub", help="PEM of the keys to trust"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    try:
        keys = read_public_keys(asked.public_key.read_bytes())
        checker = LineChecker(keys.is_genuine)
        return _report(checker, lines_of(asked.file), as_json=asked.json)
    except (*UNREADABLE, UnusableKeys) as error:
        print(f"it cannot be checked: {error}", file=sys.stderr)  # noqa: T201
        return 2


def summary(checker: LineChecker, found: int) -> dict[str, object]:
    """Return what a check came to, as JSON values."""
    seen = checker.checker
    return {
        "holds": found == 0,
        "found": found,
        "whole": seen is not None and checker.header.get("whole") is True,
        "checkpoints": seen.checkpoints if seen is not None else 0,
        "rows_checked_alone": checker.alone,
        "chains": {
            name.value: {
                "links": tally.links,
                "rows": tally.rows,
                "dropped_rows": tally.dropped_rows,
                "last": tally.last,
                "unsigned": tally.unsigned,
            }
            for name, tally in (seen.tallies.items() if seen is not None else ())
        },
    }


def words(checker: LineChecker, found: int) -> Iterator[str]:
    """Say what a check came to, line by line."""
    seen = checker.checker
    if seen is not None:
        yield from told_of((name.value, tally) for name, tally in seen.tallies.items())
        if checker.alone:
            yield f"{checker.alone} rows were checked alone: their blocks are not whole here"
        yield f"{seen.checkpoints} checkpoints"
    yield "The record holds." if found == 0 else f"The record does not hold: {found} faults."


def _report(checker: LineChecker, lines: Iterable[bytes], *, as_json: bool) -> int:
    found = 0
    for flaw in checker.check(lines):
        found += 1
        print(json.dumps(flaw.to_json()) if as_json else flaw)  # noqa: T201
    told = [json.dumps(summary(checker, found))] if as_json else list(words(checker, found))
    print(*told, sep="\n")  # noqa: T201
    return 1 if found else 0


def _bounded(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines, cut where one is longer than any of ours: it is then no JSON, and said to be."""
    while line := file.readline(_LONGEST_LINE):
        yield line


def _is_signature(key: bytes, signature: bytes, body: bytes) -> bool:
    """Ask the package cryptography, which is a thousand times faster, if it is there."""
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  (may be absent)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )
    except ImportError:
        return is_signature(key, body, signature)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, body)
    except InvalidSignature:
        return False
    return True
