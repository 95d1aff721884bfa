"""Our rows between runs and in time: all of them older, or all of them gone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache

from django.db import connection

# The audit trail is never changed, and nothing is decided by its times.
_TABLES = """
SELECT table_name, array_agg(column_name::text) FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
  AND table_name ~ '^(gateways|transactions|refunds)_'
  AND table_name NOT IN ('refunds_refundevent', 'refunds_auditline')
GROUP BY table_name ORDER BY table_name
"""
# Where to go on in a list is told by moments too, inside JSON or text.
_CURSORS = (("transactions_syncstate", "text"), ("refunds_reconciliation", "jsonb"))
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)")


def age_rows(by: timedelta) -> None:
    """Make all rows of ours older. Guards are off meanwhile: they hold some moments fast."""
    with connection.cursor() as cursor:
        cursor.execute(_ageing_of_all(), {"by": f"{by.total_seconds()} seconds"})
    for table, kind in _CURSORS:
        _age_cursors(table, kind, by)


@cache
def _ageing_of_all() -> str:
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        tables = cursor.fetchall()
    updates = [
        f"UPDATE {table} SET "
        + ", ".join(f"{name} = {name} - %(by)s::interval" for name in columns)
        for table, columns in tables
    ]
    return _without_guards(updates)


def _without_guards(statements: Iterable[str]) -> str:
    return ";".join(
        ["SET session_replication_role = replica", *statements, "RESET session_replication_role"]
    )


def _age_cursors(table: str, kind: str, by: timedelta) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, cursor::text FROM {table} WHERE cursor::text ~ '[0-9]T[0-9]'")
        for row_id, text in cursor.fetchall():
            older = _MOMENT.sub(lambda found: _older(found[0], by), text)
            cursor.execute(f"UPDATE {table} SET cursor = %s::{kind} WHERE id = %s", [older, row_id])


def _older(moment: str, by: timedelta) -> str:
    earlier = (datetime.fromisoformat(moment) - by).isoformat()
    return earlier.replace("+00:00", "Z") if moment.endswith("Z") else earlier


def empty_rows(keep: Iterable[str] = ("refunds_refundreason",)) -> None:
    """Forget every row of ours, so that the next run begins with nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_emptying_of_all(tuple(keep)))


@cache
def _emptying_of_all(keep: tuple[str, ...]) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            " AND table_type = 'BASE TABLE' AND table_name ~ '^(gateways|transactions|refunds)_'"
        )
        tables = [name for (name,) in cursor.fetchall() if name not in keep]
    return _without_guards(f"DELETE FROM {table}" for table in tables)
