"""The processes of an installation as in production, on the test's database and broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from tests.scripts import environment_of_scripts


def production_environment(**more: str) -> dict[str, str]:
    """Without DEBUG: JSON lines, and nothing is open that has to be closed.

    The same keys as this process has, and processors on this machine.
    """
    return (
        environment_of_scripts()
        | {
            "DEBUG": "0",
            "SECRET_KEY": settings.SECRET_KEY,
            "CREDENTIALS_KEYS": settings.CREDENTIALS_KEYS[0],
            "ALLOWED_HOSTS": "127.0.0.1",
            "PROVIDER_TEST_HOSTS": "127.0.0.1",
            "SECURE_SSL_REDIRECT": "0",
        }
        | more
    )


def lines(log: Path) -> list[dict[str, Any]]:
    """The structured lines of a process; what servers print at their start is none."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
