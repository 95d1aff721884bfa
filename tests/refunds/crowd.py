"""Very many open refunds, written without the services and without the guards."""

from __future__ import annotations

from django.db import connection

from refunds.models import Refund
from refunds.states import Status

from .raw import triggers_off

_COPY = """
INSERT INTO refunds_refund ({columns})
SELECT {values} FROM refunds_refund, generate_series(1, %(count)s) AS number WHERE id = %(id)s
"""


def multiply(refund: Refund, count: int, **columns: str) -> None:
    """Add copies of a row. ``columns`` are SQL expressions, in which ``number`` counts the copies.

    A copy without its own transaction breaks the sums: this is for measuring passes over the rows.
    """
    own = {"id": "gen_random_uuid()", "idem_key": "gen_random_uuid()"} | columns
    names = [field.column for field in Refund._meta.concrete_fields]
    statement = _COPY.format(
        columns=", ".join(names), values=", ".join(own.get(name, name) for name in names)
    )
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(statement, {"count": count, "id": refund.pk})
        cursor.execute("ANALYZE refunds_refund")


def due_now(status: Status) -> dict[str, str]:
    """Columns of copies that are due in ``status``, the one before the other."""
    columns = {
        "status": f"'{status}'",
        "next_action_at": "now() - number * interval '1 millisecond'",
        "enqueued_at": "NULL",
    }
    if status == Status.UNKNOWN:
        columns["unknown_since"] = "now() - interval '1 minute'"
    return columns


def ended() -> dict[str, str]:
    """Columns of copies that succeeded long ago."""
    return {
        "status": f"'{Status.SUCCEEDED}'",
        "processor_refund_id": "'re_' || number",
        "next_action_at": "NULL",
        "enqueued_at": "NULL",
        "finished_at": "now()",
    }
