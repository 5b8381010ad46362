"""The script that checks an export with Python alone: the same code, and nothing else."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from broker.domain.statement.chain import GENESIS, seal
from broker.domain.statement.checkpoint import (
    ChainName,
    Checkpoint,
    Head,
    checkpoint_body,
    key_id,
)
from broker.domain.statement.export import block_line, checkpoint_line, end_line, header_line
from broker.service.offline import UnusableKeys, lines_of, main, read_public_keys
from broker.service.standalone import verifier

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RAW = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
ROWS = [f'{{"row":"statement","seq":{n},"session":"ses_1"}}'.encode() for n in (1, 2)]


def _export() -> str:
    block = seal(1, ROWS, GENESIS)
    head = Head(1, block.hash)
    heads = {name: Head(0, GENESIS) for name in ChainName} | {ChainName.STATEMENTS: head}
    body = checkpoint_body(1, "2026-03-01T12:00:00.000000Z", heads, None)
    checkpoint = Checkpoint(
        number=1,
        made_at="2026-03-01T12:00:00.000000Z",
        body=body,
        key_id=key_id(RAW),
        signature=KEY.sign(body.encode()),
    )
    lines = [
        header_line("2026-03-01T12:00:00.000000Z", whole=True, of={}),
        checkpoint_line(checkpoint),
        block_line(ChainName.STATEMENTS, block),
        *(row.decode() for row in ROWS),
    ]
    return "".join(f"{line}\n" for line in (*lines, end_line(len(lines))))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "verify.py").write_text(verifier())
    (tmp_path / "record.jsonl").write_text(_export())
    (tmp_path / "audit.pub").write_bytes(PEM)
    return tmp_path


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Without a package of ours or of anybody else's."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_runs_on_python_alone_and_finds_that_all_is_well(folder: Path) -> None:
    done = _run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "0 receipts",
        "1 blocks of statements with 2 rows",
        "0 blocks of audit with 0 rows",
        "1 checkpoints",
        "The record holds.",
    ]


def test_it_names_a_row_that_was_changed(folder: Path) -> None:
    path = folder / "record.jsonl"
    path.write_text(path.read_text().replace('"seq":2', '"seq":3'))
    done = _run(folder)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        "statements block 1, row 2 (session ses_1, statement 3): this row was changed"
    )


def test_it_tells_a_forged_signature_without_any_library(folder: Path) -> None:
    path = folder / "record.jsonl"
    lines = path.read_text().splitlines()
    facts = json.loads(lines[1])
    facts["signature"] = "00" * 64
    path.write_text("\n".join([lines[0], json.dumps(facts), *lines[2:]]))
    done = _run(folder, "--json")
    flaw, told = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 1
    assert flaw["why"].startswith("its signature is not by a key that is trusted here")
    assert (told["holds"], told["found"]) == (False, 1)


@pytest.mark.parametrize("missing", ["record.jsonl", "audit.pub"])
def test_it_says_what_it_cannot_read(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    done = _run(folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert missing in done.stderr


def test_it_says_the_same_as_we_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = main([str(folder / "record.jsonl"), "--public-key", str(folder / "audit.pub")])
    done = _run(folder)
    assert (ours, capsys.readouterr().out) == (done.returncode, done.stdout)


def test_it_has_nothing_of_ours_that_is_not_in_it() -> None:
    script = verifier()
    assert "import broker" not in script
    assert "from broker" not in script
    assert "asyncpg" not in script


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        b"-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----",
    ],
)
def test_a_file_without_keys_of_ours_is_refused(pem: bytes) -> None:
    with pytest.raises(UnusableKeys):
        read_public_keys(pem)


def test_several_keys_may_be_in_one_file() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    more = other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert set(read_public_keys(PEM + b"a comment\n" + more).by_id.values()) == {
        RAW,
        other.public_bytes(Encoding.Raw, PublicFormat.Raw),
    }


def test_a_compressed_export_is_read_too(folder: Path) -> None:
    path = folder / "record.jsonl.gz"
    path.write_bytes(gzip.compress((folder / "record.jsonl").read_bytes()))
    assert list(lines_of(path)) == list(lines_of(folder / "record.jsonl"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert main([str(path), "--public-key", str(folder / "audit.pub")]) == 2
    path.write_bytes(whole[:30] + b"\xff" * 20 + whole[50:])
    assert main([str(path), "--public-key", str(folder / "audit.pub")]) == 2
