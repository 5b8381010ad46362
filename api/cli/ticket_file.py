"""The file that a sealed ticket is kept in: all that its holder needs when nothing else works."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.cli.output import ExitCode, fail
from broker.service.sealing import NewTicket

_HOW_TO = (
    "A sealed break-glass ticket. Use it: pgcurfew break-glass use FILE. Without pgcurfew: psql "
    "with this host, port, user, password, dbname and sslmode, and root_certificate in a file that "
    "sslrootcert names."
)


class TicketFile(BaseModel):
    """`user` is the signed ticket and `password` its secret; the rest is where to go with them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    pgcurfew_ticket: Literal[1] = 1
    how_to: str = _HOW_TO
    host: str
    port: int = Field(ge=1, le=65535)
    dbname: str
    sslmode: Literal["verify-full", "prefer"]
    user: str
    password: str = Field(repr=False)
    root_certificate: str

    @classmethod
    def of(cls, new: NewTicket) -> "TicketFile":
        return cls(
            host=new.entrance.host,
            port=new.entrance.port,
            dbname=new.ticket.database,
            sslmode=new.entrance.sslmode,
            user=new.user,
            password=new.password,
            root_certificate=new.entrance.read_root_certificate(),
        )

    def text(self) -> str:
        return self.model_dump_json(indent=2) + "\n"


def read_ticket_file(path: Path) -> TicketFile:
    """Leaves with one line if it is not one."""
    try:
        return TicketFile.model_validate_json(path.read_bytes())
    except OSError as error:
        why = error.strerror or str(error)
        raise typer.Exit(fail(f"{path} cannot be read: {why}", ExitCode.ERROR)) from None
    except ValidationError:
        raise typer.Exit(fail(f"{path} is no ticket file", ExitCode.DENIED)) from None


@contextmanager
def new_private_file(path: Path) -> Iterator[IO[str]]:
    """Yield a file that only its owner can read. It must not exist before, nor stays if the block
    raises."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        why = error.strerror or str(error)
        raise typer.Exit(fail(f"{path} cannot be made: {why}", ExitCode.ERROR)) from None
    with os.fdopen(descriptor, "w") as file:
        try:
            yield file
        except BaseException:
            path.unlink()
            raise
