"""The password of the broker's own login on a target, as the settings name it.

It is read afresh for every connection, so that a broker notices when it has been replaced. One that
lies in a file can be replaced by the broker itself, in two steps: the new one is put beside the old
one first, and takes its place once the target knows it. A crash in between leaves both, and one of
them works.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from broker.config.settings import beside, read_secret


class AdminPassword:
    """Raises SettingsError wherever the password cannot be read."""

    def __init__(self, reference: str, key: str, config: Path) -> None:
        self._reference = reference
        self._key = key
        self._config = config
        kind, _, name = reference.partition(":")
        self._path = beside(config, Path(name)) if kind == "file" else None
        self.candidates()

    @property
    def changed_at(self) -> datetime | None:
        """When the password was last replaced, or None if it cannot be."""
        if self._path is None:
            return None
        read_secret(self._reference, self._key, self._config)  # names a file that is gone
        return datetime.fromtimestamp(self._path.stat().st_mtime, UTC)

    @property
    def waiting(self) -> str | None:
        """The password that was to take the place of the current one, if a crash came between."""
        both = self.candidates()
        return both[1] if len(both) > 1 else None

    def candidates(self) -> tuple[str, ...]:
        """Return the passwords that may be valid now, the likeliest first."""
        found = [read_secret(self._reference, self._key, self._config)]
        if self._path is not None:
            # Another process may put it in place between any two looks at it.
            with suppress(FileNotFoundError):
                found.append(_beside(self._path, "next").read_text().strip())
        return tuple(filter(None, found))

    def put_beside(self, password: str) -> None:
        """Store `password` as the next one, durably, whole or not at all."""
        assert self._path is not None
        draft = _beside(self._path, "draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(_beside(self._path, "next"))
        _sync(self._path.parent)

    def put_in_place(self) -> None:
        """Let the next password be the current one, durably."""
        assert self._path is not None
        following = _beside(self._path, "next")
        os.utime(following)
        following.replace(self._path)
        _sync(self._path.parent)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}.{what}")


def _sync(folder: Path) -> None:
    """Make renames in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
