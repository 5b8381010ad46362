"""A proxy's own certificate, for tests that need any."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from proxy.own_certificate import CertificateFiles, ensure_certificate


def make_certificate(folder: Path, names: Sequence[str] = ("localhost",)) -> CertificateFiles:
    """Make one for `names` in the folder, valid now."""
    files = CertificateFiles(folder / "proxy.crt", folder / "proxy.key", folder / "root.crt")
    ensure_certificate(files, names, datetime.now(UTC))
    return files
