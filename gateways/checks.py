"""System checks: settings that would let money or secrets go the wrong way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connection

from .envelopes import key_ids
from .models import Mode, ProcessorAccount
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
    if not _has_accounts_in(databases):
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


@register(Tags.database)
def check_live_accounts(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """``manage.py check --database default``, and before every migration."""
    is_in_danger = settings.DEBUG and not settings.ALLOW_LIVE_WITH_DEBUG
    if not (is_in_danger and _has_accounts_in(databases)):
        return []
    if not ProcessorAccount.objects.filter(mode=Mode.LIVE, is_active=True).exists():
        return []
    return [
        Error(
            "DEBUG is on, and there are live accounts: a mistake here would move real money.",
            hint="Unset DEBUG, or use a database that has test accounts only. "
            "ALLOW_LIVE_WITH_DEBUG=1 is for who means it.",
            id="gateways.E002",
        )
    ]


def _has_accounts_in(databases: Sequence[str] | None) -> bool:
    """Whether the database is to be looked at; it has no table before the first migration."""
    if "default" not in (databases or ()):
        return False
    with connection.cursor() as cursor:
        return "gateways_processoraccount" in connection.introspection.table_names(cursor)
