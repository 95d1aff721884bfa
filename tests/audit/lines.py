"""Reading the log in tests."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from audit.models import AuditEntry


def told() -> list[tuple[str, str, str, dict[str, Any]]]:
    """What was recorded: kind, by whom, about what, and the data; oldest first."""
    return [(entry.kind, entry.actor_name, entry.about_name, entry.data) for entry in entries()]


def kinds() -> list[str]:
    return [entry.kind for entry in entries()]


def entries() -> QuerySet[AuditEntry]:
    """Without what every test does that opens a page."""
    return AuditEntry.objects.exclude(kind="sign_in.succeeded")
