"""A file is there when all of it is, and not before."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer

from api.cli.saving import save


async def pieces(*, breaking_off: bool = False) -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"
    if breaking_off:
        raise ConnectionError


async def test_a_file_has_everything_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    assert await save(pieces(), file) == 7
    assert file.read_bytes() == b"one two"
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_name_in_gz_is_compressed(tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl.gz"
    await save(pieces(), file)
    assert gzip.decompress(file.read_bytes()) == b"one two"


@pytest.mark.parametrize("name", ["export.csv", "export.csv.gz"])
async def test_what_broke_off_leaves_the_file_as_it_was(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("before")
    with pytest.raises(ConnectionError):
        await save(pieces(breaking_off=True), file)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert file.read_text() == "before"


async def test_a_file_that_cannot_be_made_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        await save(pieces(), tmp_path / "nowhere" / "export.csv")
    assert "No such file or directory" in capfd.readouterr().err


async def test_without_a_file_it_goes_to_standard_output(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    await save(pieces(), None)
    assert capfdbinary.readouterr().out == b"one two"
