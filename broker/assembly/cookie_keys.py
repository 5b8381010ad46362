"""The keys that cookies are sealed with: the operator's, or one that we make and keep.

The one that we make suits a single machine. Behind a load balancer every machine needs the same.
"""

import secrets
from contextlib import suppress
from pathlib import Path

from broker.assembly.kept_file import read_or_make
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
        text = read_or_make(path, lambda: secrets.token_hex(_KEY_BYTES), config)
        return (_key(text, f"state_dir: file {path}", config),)
    named = ((f"identity.sign_in.cookie_keys.{n}", each) for n, each in enumerate(references))
    return tuple(_key(read_secret(each, name, config), name, config) for name, each in named)


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
