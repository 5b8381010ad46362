"""Sign-ins of the command line, kept in the person's own folder: one file per server, for their
eyes only."""

import os
import re
import secrets
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import typer
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

_NAME_CHARS = 40


class Kept(BaseModel):
    """What `pgcurfew login` got from the server at `url`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    url: str
    email: str
    token: str = Field(repr=False)
    until: AwareDatetime


def find_kept(url: str) -> Kept | None:
    """Return the sign-in at this server, over or not. A file that makes no sense is none."""
    with suppress(OSError, ValidationError):
        kept = Kept.model_validate_json(_path(url).read_bytes())
        return kept if kept.url == url else None
    return None


def keep(kept: Kept) -> Path:
    """Store the sign-in, whole and for this user alone, in place of an earlier one."""
    path = _path(kept.url)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(kept.model_dump_json())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def forget(url: str) -> None:
    _path(url).unlink(missing_ok=True)


def _path(url: str) -> Path:
    # The digest tells apart what looks the same once it is fit for a file's name.
    readable = re.sub(r"[^a-z0-9.]+", "-", url.lower().partition("://")[2])[:_NAME_CHARS].strip(
        "-."
    )
    name = f"{readable}-{sha256(url.encode()).hexdigest()[:12]}.json"
    return Path(typer.get_app_dir("pgcurfew")) / "sign-ins" / name
