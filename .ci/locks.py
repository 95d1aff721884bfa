# ruff: noqa: INP001 - a script, not a package
"""The locks of pyproject.toml: ``write`` compiles them, ``check`` says whether they are current.

The header of a lock carries a digest of what it was compiled from, so checking needs no network.
"""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

LOCKS = {"requirements.txt": [], "requirements-dev.txt": ["--group", "dev"]}


def header() -> str:
    """The command that the locks name as theirs, with the digest."""
    project = tomllib.loads(Path("pyproject.toml").read_text())
    inputs = [
        project["project"]["requires-python"],
        project["project"]["dependencies"],
        project["dependency-groups"],
        project["tool"]["uv"],
    ]
    digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
    return f"make lock    (pyproject.toml {digest})"


def write() -> None:
    """Compile both locks; versions that still fit stay."""
    options = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-annotate"]
    for lock, groups in LOCKS.items():
        uv = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--system-certs"]
        subprocess.run(  # noqa: S603
            [
                *(*uv, *options, "--python-version", "3.11", "--custom-compile-command", header()),
                *("pyproject.toml", *groups, "--output-file", lock),
            ],
            check=True,
        )


def check() -> None:
    """Exit with a sentence where a lock was compiled from something else."""
    stale = [lock for lock in LOCKS if header() not in Path(lock).read_text()[:500]]
    if stale:
        sys.exit(f"{' and '.join(stale)} do not fit pyproject.toml: run make lock.")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]]()
