"""``manage.py database_roles``: what the role that web and workers connect with may do.

Run as the owner of the tables, after each migrate: it grants what the desk needs of every table,
and takes away what would let the audit trail be rewritten.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError, connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from audit.models import AuditEntry
from refunds.models import ApprovalRule, Refund, RefundAttempt, RefundEvent

# Rows that never change and never go; rows that change and never go; what only migrate writes.
_APPEND_ONLY = (AuditEntry, RefundEvent, ApprovalRule)
_NEVER_DELETED = (Refund, RefundAttempt)
_READ_ONLY = (MigrationRecorder.Migration,)

_PROBLEM = """
SELECT CASE
  WHEN rolsuper THEN 'is a superuser'
  WHEN rolbypassrls OR rolcreaterole THEN 'may change roles'
  WHEN pg_has_role(oid, current_user, 'MEMBER') THEN 'is the owner, or a member of it'
END FROM pg_roles WHERE rolname = %s
"""


class Command(BaseCommand):
    help = "Grants a role what web and workers need, and nothing that would change the audit trail."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", help="the role of web and workers, such as refund_desk_app")

    def handle(self, *_args: Any, role: str, **_options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_PROBLEM, [role])
            found = cursor.fetchone()
        if found is None:
            raise CommandError(
                f"There is no role {role}. Make it first: CREATE ROLE {role} LOGIN PASSWORD '…'."
            )
        if found[0]:
            raise CommandError(f"{role} {found[0]}: what is taken from it, it can give itself.")
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for statement in statements(role):
                    cursor.execute(statement)
        except ProgrammingError as error:
            raise CommandError(f"Nothing was changed. PostgreSQL says: {error}".strip()) from None
        self.stdout.write(
            f"{role} may do what web and workers need. Let them connect with it, and run this "
            f"again after each migrate."
        )


def statements(role: str) -> list[str]:
    """The SQL that does it, in order."""
    quote = connection.ops.quote_name
    to = quote(role)

    def names(models: tuple[Any, ...]) -> str:
        return ", ".join(quote(model._meta.db_table) for model in models)

    return [
        f"GRANT USAGE ON SCHEMA public TO {to}",
        f"REVOKE CREATE ON SCHEMA public FROM {to}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {to}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {to}",
        f"REVOKE UPDATE, DELETE ON {names(_APPEND_ONLY)} FROM {to}",
        f"REVOKE DELETE ON {names(_NEVER_DELETED)} FROM {to}",
        f"REVOKE INSERT, UPDATE, DELETE ON {names(_READ_ONLY)} FROM {to}",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {to}",
    ]
