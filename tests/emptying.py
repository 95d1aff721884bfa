"""How the database is emptied after a test that commits.

Django works out content types, permissions, roles and reasons anew each time, which took a third of
a run. Here they are copied once, and put back with one statement for each table.
"""

from __future__ import annotations

from django.core.management import call_command
from django.db import connection, transaction
from django.test import TransactionTestCase

_SCHEMA = "after_migrations"


def keep_rows() -> None:
    """Remember what every table holds in a database that was just migrated, and empty it so."""
    quote = connection.ops.quote_name
    _flush(inhibit_post_migrate=False)
    tables = []
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {_SCHEMA}")
        for table in connection.introspection.django_table_names(only_existing=True):
            cursor.execute(f"CREATE TABLE {_SCHEMA}.{quote(table)} AS TABLE {quote(table)}")
            if cursor.rowcount:
                tables.append(quote(table))

    def empty(_case: TransactionTestCase) -> None:
        _flush(inhibit_post_migrate=True)
        with transaction.atomic(), connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {_SCHEMA}.{table}")

    TransactionTestCase._fixture_teardown = empty


def _flush(*, inhibit_post_migrate: bool) -> None:
    call_command(
        "flush",
        verbosity=0,
        interactive=False,
        reset_sequences=False,
        inhibit_post_migrate=inhibit_post_migrate,
    )
