"""The keys that cookies are sealed with: the operator's, or one that we make and keep.

The one that we make suits a single machine. Behind a load balancer every machine needs the same.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from broker.config.faults import SettingsError
from broker.config.settings import Settings, read_secret
from broker.endpoints import state_dir

_KEY_BYTES = 32
_FILE = "cookie-key"


def read_cookie_keys(settings: Settings, config: Path) -> tuple[bytes, ...]:
    """Return the keys, the newest first. Raises SettingsError."""
    references = settings.identity.sign_in.cookie_keys
    if not references:
        path = state_dir(settings, config) / _FILE
        return (_key(_own(path, config), f"state_dir: file {path}", config),)
    named = ((f"identity.sign_in.cookie_keys.{n}", each) for n, each in enumerate(references))
    return tuple(_key(read_secret(each, name, config), name, config) for name, each in named)


def _own(path: Path, config: Path) -> str:
    """Return the key in `path`, made now if there is none."""
    try:
        if not path.exists():
            _make(path)
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(
            str(config),
            [f"  state_dir: file {path} cannot be used ({why}); for example: /var/lib/pgcurfew"],
        ) from None


def _make(path: Path) -> None:
    """Put a new key in place, whole and for us alone, unless somebody else has just done so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{_FILE}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()


def _key(text: str, name: str, config: Path) -> bytes:
    with suppress(ValueError):
        key = bytes.fromhex(text)
        if len(key) == _KEY_BYTES:
            return key
    raise SettingsError(
        str(config),
        [
            f"  {name}: must be {_KEY_BYTES} bytes in hexadecimal; "
            f"for example: openssl rand -hex {_KEY_BYTES}"
        ],
    )
