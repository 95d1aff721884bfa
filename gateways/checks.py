"""System checks: settings that would let money or secrets go the wrong way."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import ProgrammingError

from .models import Mode, ProcessorAccount


@register(Tags.security, deploy=True)
def check_settings(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if settings.PROVIDER_TEST_HOSTS:
        found.append(
            Warning(
                "PROVIDER_TEST_HOSTS is not empty: test accounts may send credentials there.",
                hint="Leave it empty in production.",
                id="gateways.W001",
            )
        )
    if any(len(key) < 20 for key in settings.CREDENTIALS_KEYS):
        found.append(
            Error(
                "A key in CREDENTIALS_KEYS is shorter than 20 characters.",
                hint="python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one.",
                id="gateways.E001",
            )
        )
    return found


@register(Tags.database)
def check_live_accounts(**options: Any) -> list[CheckMessage]:
    """Asked for with ``check --database default``, and before every migration."""
    if not (settings.DEBUG and options.get("databases")):
        return []
    if not _has_live_accounts():
        return []
    return [
        Error(
            "DEBUG is on, and there are live accounts: a mistake here would move real money.",
            hint="Unset DEBUG, or use a database that has test accounts only.",
            id="gateways.E002",
        )
    ]


def _has_live_accounts() -> bool:
    try:
        return ProcessorAccount.objects.filter(mode=Mode.LIVE, is_active=True).exists()
    except ProgrammingError:  # before the first migration
        return False
