"""Everything that the database holds, as text."""

from collections.abc import Iterable, Iterator

from django.db import connection

# Columns of these types can hold what somebody wrote.
_TYPES = ("text", "character varying", "jsonb", "json", "bytea")


def holding(words: Iterable[str], *, tables: str = "%") -> Iterator[str]:
    """Columns in which one of the words stands, in any case: ``table.column: word``."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = ANY (%s) AND table_name LIKE %s"
            " GROUP BY table_name ORDER BY table_name",
            [list(_TYPES), tables],
        )
        for table, columns in cursor.fetchall():
            shown = ", ".join(f'lower(string_agg("{name}"::text, chr(10)))' for name in columns)
            cursor.execute(f'SELECT {shown} FROM "{table}"')
            for name, text in zip(columns, cursor.fetchone(), strict=True):
                yield from (
                    f"{table}.{name}: {word}" for word in words if word.lower() in (text or "")
                )
