"""How the database is emptied after a test that commits.

Django truncates every table, which makes each one and its indexes anew, and then works out content
types, permissions, roles and reasons: together that took a third of a run. Here the few rows of a
test are deleted, and those of the migrations put back from a copy.
"""

from __future__ import annotations

from itertools import count

from django.core.management import call_command
from django.db import connection, transaction
from django.test import TransactionTestCase

from tests.refunds.raw import triggers_off

_SCHEMA = "after_migrations"
# Deleted rows stay in their files until these are made anew.
_TRUNCATE_EVERY = 50


def keep_rows() -> None:
    """Remember what every table holds in a database that was just migrated, and empty it so."""
    quote = connection.ops.quote_name
    _truncate(inhibit_post_migrate=False)
    tables = [*map(quote, connection.introspection.django_table_names(only_existing=True))]
    kept = []
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {_SCHEMA}")
        for table in tables:
            cursor.execute(f"CREATE TABLE {_SCHEMA}.{table} AS TABLE {table}")
            if cursor.rowcount:
                kept.append(table)
    times = count(1)

    def empty(_case: TransactionTestCase) -> None:
        if next(times) % _TRUNCATE_EVERY == 0:
            _truncate(inhibit_post_migrate=True)
        else:
            _delete(tables)
        with transaction.atomic(), connection.cursor() as cursor:
            for table in kept:
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {_SCHEMA}.{table}")

    TransactionTestCase._fixture_teardown = empty


def _delete(tables: list[str]) -> None:
    """Without triggers: some keep rows from being deleted, and the order would matter."""
    filled = " UNION ALL ".join(f"(SELECT '{table}' FROM {table} LIMIT 1)" for table in tables)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(filled)
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")


def _truncate(*, inhibit_post_migrate: bool) -> None:
    """Without triggers, as well."""
    with triggers_off():
        call_command(
            "flush",
            verbosity=0,
            interactive=False,
            reset_sequences=False,
            inhibit_post_migrate=inhibit_post_migrate,
        )
