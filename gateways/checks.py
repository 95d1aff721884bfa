"""System checks: settings that would let money or secrets go the wrong way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connection

from .envelopes import key_ids
from .rotation import keys_in_use


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
def check_keys_in_use(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """``manage.py check --database default``: credentials that an old key has to stay for."""
    if "default" not in (databases or ()):
        return []
    with connection.cursor() as cursor:  # before the first migration there is no table
        if "gateways_processoraccount" not in connection.introspection.table_names(cursor):
            return []
    late = {each: number for each, number in keys_in_use().items() if each != key_ids()[0]}
    return [
        Warning(
            f"The credentials of {number} accounts hang on key {key_id}, which is not the first.",
            hint="Run manage.py rotate_credentials before you drop a key.",
            id="gateways.W002",
        )
        for key_id, number in sorted(late.items())
    ]
