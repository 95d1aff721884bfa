"""Reading the log in tests."""

from __future__ import annotations

from typing import Any

from audit.models import AuditEntry


def told() -> list[tuple[str, str, str, dict[str, Any]]]:
    """What was recorded: kind, by whom, about what, and the data; oldest first."""
    return [
        (entry.kind, entry.actor_name, entry.about_name, entry.data)
        for entry in AuditEntry.objects.all()
    ]


def kinds() -> list[str]:
    return [entry.kind for entry in AuditEntry.objects.all()]
