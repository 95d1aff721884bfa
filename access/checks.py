"""A system check: keys that the second factors of people hang on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004

from gateways.checks import has_table, not_first

from .factor_secrets import keys_in_use


@register(Tags.database)
def check_factor_keys(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """``manage.py check --database default``: nobody with a factor gets in without its key."""
    if not has_table(databases, "mfa_authenticator"):
        return []
    return [
        Warning(
            f"{number} second factors hang on key {key_id}, which is not the first.",
            hint="Run manage.py rotate_credentials before you drop a key.",
            id="access.W001",
        )
        for key_id, number in not_first(keys_in_use())
    ]
