"""The browser that pages are tried in: the distribution's Chromium. `python -m` installs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_INSTALL = (
    ("apt-get", "update", "-qq"),
    ("apt-get", "install", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core"),
)
_HOW = "install Chromium with your system's packages (Debian: apt-get install chromium)"

# It talks to nobody but the pages: what it would look up by itself is switched off.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
)


class NoBrowser(Exception):
    pass


def find_chromium() -> Path:
    """Raises NoBrowser with what to do."""
    for name in _NAMES:
        if found := shutil.which(name):
            return Path(found)
    raise NoBrowser(f"there is no browser to try pages in: {_HOW}")


def install() -> None:
    """Install it if it is missing and we may. Raises NoBrowser."""
    try:
        find_chromium()
    except NoBrowser:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        print("Installing Chromium with apt-get …", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in _INSTALL:
            subprocess.run([*command], env=environment, check=True, stdin=subprocess.DEVNULL)
        find_chromium()


if __name__ == "__main__":
    try:
        install()
    except (NoBrowser, subprocess.CalledProcessError) as error:
        sys.exit(f"{error}")
