"""A system check: keys that the second factors of people hang on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004
from django.db import connection

from gateways.envelopes import key_ids

from .factor_secrets import keys_in_use


@register(Tags.database)
def check_factor_keys(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """``manage.py check --database default``: nobody with a factor gets in without its key."""
    if "default" not in (databases or ()):
        return []
    with connection.cursor() as cursor:  # before the first migration there is no table
        if "mfa_authenticator" not in connection.introspection.table_names(cursor):
            return []
    return [
        Warning(
            f"{number} second factors hang on key {key_id}, which is not the first.",
            hint="Run manage.py rotate_credentials before you drop a key.",
            id="access.W001",
        )
        for key_id, number in sorted(keys_in_use().items())
        if key_id != key_ids()[0]
    ]
