"""A secret that we make once and keep in state_dir, whole and for us alone."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from broker.config.faults import SettingsError


def read_or_make(path: Path, make: Callable[[], str], config: Path) -> str:
    """Return what is in the file, made now if there is none. Raises SettingsError."""
    try:
        if not path.exists():
            _put(path, make())
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            str(config),
            [f"  state_dir: file {path} cannot be used ({why}); for example: /var/lib/pgcurfew"],
        ) from None


def _put(path: Path, text: str) -> None:
    """Put it in place, unless somebody else has just done so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
