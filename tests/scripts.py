"""Code in a process of its own, for what an environment decides when a process starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

NO_BROKER = "redis://127.0.0.1:9/0"  # nobody listens on the discard port


def environment_of_scripts() -> dict[str, str]:
    """What another process needs to work on this test's database and broker."""
    from django.db import connection

    address = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(address._replace(path=f"/{connection.settings_dict['NAME']}"))
    ours = {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "refunds_site.settings"}
    return os.environ | ours


def run_script(script: str, **environment: str) -> str:
    """What a script prints that runs after ``django.setup()`` on this test's database."""
    done = subprocess.run(
        _command(script),
        env=_environment(environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    return done.stdout.strip()


@contextmanager
def script_process(script: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process that runs such a script; killed at the end, if it still runs."""
    with subprocess.Popen(_command(script), env=_environment(environment)) as process:
        try:
            yield process
        finally:
            process.kill()


def _command(script: str) -> list[str]:
    return [sys.executable, "-c", f"import django; django.setup()\n{script}"]


def _environment(more: dict[str, str]) -> dict[str, str]:
    from django.db import connection

    address = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(address._replace(path=f"/{connection.settings_dict['NAME']}"))
    ours = {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "refunds_site.settings"}
    return os.environ | ours | more
