"""System checks: settings that would let money or secrets go the wrong way."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004


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
