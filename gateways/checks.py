"""System checks: settings that would let money or secrets go the wrong way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connection

from .envelopes import key_ids
from .models import Mode, ProcessorAccount
from .rotation import keys_in_use

_ACCOUNTS = "gateways_processoraccount"


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
    if not has_table(databases, _ACCOUNTS):
        return []
    return [
        Warning(
            f"The credentials of {number} accounts hang on key {key_id}, which is not the first.",
            hint="Run manage.py rotate_credentials before you drop a key.",
            id="gateways.W002",
        )
        for key_id, number in not_first(keys_in_use())
    ]


@register(Tags.database)
def check_live_accounts(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """``manage.py check --database default``, and before every migration."""
    is_in_danger = settings.DEBUG and not settings.ALLOW_LIVE_WITH_DEBUG
    if not (is_in_danger and has_table(databases, _ACCOUNTS)):
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


def has_table(databases: Sequence[str] | None, table: str) -> bool:
    """Whether the database is to be looked at; it has no table before the first migration."""
    if "default" not in (databases or ()):
        return False
    with connection.cursor() as cursor:
        return table in connection.introspection.table_names(cursor)


def not_first(used: Counter[str]) -> list[tuple[str, int]]:
    """The keys beside the first that something hangs on, by their ids, and how much."""
    return sorted((key_id, number) for key_id, number in used.items() if key_id != key_ids()[0])
