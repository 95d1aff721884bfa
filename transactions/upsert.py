"""Payments into the table: one statement per page, which counts what was new and what changed.

Sums of refunds are never touched. A report that leaves something out, as lists do (``has_details``
False), never blanks what is known already. An amount that falls below what went back sets
``over_refunded``: what a processor reports is recorded and flagged, not refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError, connection
from django.db import transaction as database
from django.utils.translation import gettext as _

from gateways.base import BadRecord, Payment
from gateways.models import ProcessorAccount
from gateways.registry import gateway_class

from .text import as_stored, clean
from .twins import mark_twins

# How many refused records are kept with their reasons; the rest is only counted.
KEPT_REJECTED = 100

_ID = re.compile(r"[!-~]{1,100}")


@dataclass
class SyncCounts:
    """What became of the records that were read; ``awaited`` of the unchanged are still open."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    awaited: int = 0
    rejected: list[BadRecord] = field(default_factory=list)

    @property
    def read(self) -> int:
        return self.new + self.changed + self.unchanged + self.refused

    def reject(self, record: BadRecord) -> None:
        self.refused += 1
        if len(self.rejected) < KEPT_REJECTED:
            self.rejected.append(record)

    def add(self, other: SyncCounts) -> None:
        self.new += other.new
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.refused += other.refused
        self.awaited += other.awaited
        self.rejected += other.rejected[: KEPT_REJECTED - len(self.rejected)]

    def as_json(self) -> dict[str, int]:
        return {
            "new": self.new,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "refused": self.refused,
        }


def store_payments(account: ProcessorAccount, payments: Iterable[Payment]) -> SyncCounts:
    """Insert or update payments of an account. One that the database refuses stops no other."""
    counts = SyncCounts()
    rows: dict[str, dict[str, Any]] = {}
    for payment in payments:
        try:
            row = row_of(payment)
        except ValueError as error:
            counts.reject(BadRecord(clean(payment.external_id, 100), str(error)))
            continue
        counts.unchanged += row["external_id"] in rows  # listed twice on one page
        rows[row["external_id"]] = row
    try:
        counts.add(_upsert(account, list(rows.values())))
    except (DataError, IntegrityError):
        for row in rows.values():
            try:
                counts.add(_upsert(account, [row]))
            except (DataError, IntegrityError) as error:
                counts.reject(BadRecord(row["external_id"], why_refused(error)))
    mark_twins(account, list(rows))
    return counts


def row_of(payment: Payment) -> dict[str, Any]:
    """The payment as it goes into the columns of its row; times in ISO 8601.

    Raises ValueError, with a sentence, for an id that is none.
    """
    if not _ID.fullmatch(payment.external_id):
        raise ValueError(_("Its id is not 1 to 100 printable characters without spaces."))
    related = (each for each in payment.related_ids if _ID.fullmatch(each))
    return {
        "external_id": payment.external_id,
        "currency": payment.amount.currency,
        "amount_minor": payment.amount.minor,
        "status": payment.status.value,
        "disputed": payment.disputed,
        "created_at": payment.created_at.isoformat(),
        "settled_at": payment.settled_at.isoformat() if payment.settled_at else None,
        "has_details": payment.has_details,
        "related_ids": clean(" ".join(related), 300),
        "method_type": clean(payment.method.type, 20) or "other",
        "brand": clean(payment.method.brand, 30),
        "last4": clean(payment.method.last4, 4),
        "wallet": clean(payment.method.wallet, 30),
        "customer_name": as_stored(payment.payer.name, 300),
        "customer_email": as_stored(payment.payer.email, 320),
        "order_reference": as_stored(payment.order_reference, 300),
        "description": as_stored(payment.description, 1000),
    }


# Column → its type in the rows that are handed over, and what an update makes of it. Where only one
# of the two rows has details its word counts; what it leaves empty is taken from the other.
_TAKEN = "EXCLUDED.{0}"
_DETAIL = (
    "CASE WHEN kept.has_details AND NOT EXCLUDED.has_details"
    " THEN coalesce(nullif(kept.{0}, {1}), EXCLUDED.{0})"
    " ELSE coalesce(nullif(EXCLUDED.{0}, {1}), kept.{0}) END"
)
_TEXT = _DETAIL.format("{0}", "''")
_COLUMNS = {
    "currency": ("text", _TAKEN),
    "amount_minor": ("bigint", _TAKEN),
    "status": ("text", _TAKEN),
    "disputed": (
        "boolean",
        "EXCLUDED.{0} OR kept.{0} AND NOT (EXCLUDED.has_details OR %(lists_disputes)s)",
    ),
    "settled_at": ("timestamptz", "coalesce(EXCLUDED.{0}, kept.{0})"),
    "has_details": ("boolean", "kept.{0} OR EXCLUDED.{0}"),
    "created_at": ("timestamptz", _DETAIL.format("{0}", "NULL")),
    "related_ids": ("text", _TEXT),
    "method_type": ("text", _DETAIL.format("{0}", "'other'")),
    "brand": ("text", _TEXT),
    "last4": ("text", _TEXT),
    "wallet": ("text", _TEXT),
    "customer_name": ("text", _TEXT),
    "customer_email": ("text", _TEXT),
    "order_reference": ("text", _TEXT),
    "description": ("text", _TEXT),
}
# Of an erased payment nothing that tells of its payer comes back.
PERSONAL = ("customer_name", "customer_email", "description")
_UNLESS_ERASED = "CASE WHEN kept.is_erased THEN kept.{0} ELSE {1} END"
_IS_DISPUTED = _COLUMNS["disputed"][1].format("disputed")
_NAMES = ", ".join(_COLUMNS)
_TYPES = ", ".join(f"{name} {kind}" for name, (kind, _rule) in _COLUMNS.items())
_RULES = {name: rule.format(name) for name, (_kind, rule) in _COLUMNS.items()} | {
    **{name: _UNLESS_ERASED.format(name, _TEXT.format(name)) for name in PERSONAL},
    "customer_id": _UNLESS_ERASED.format("customer_id", _DETAIL.format("customer_id", "NULL")),
    # Since when, for what was known not to be: lists without disputes do not tell.
    "disputed_at": f"CASE WHEN {_IS_DISPUTED} THEN CASE WHEN kept.disputed"
    " OR NOT (kept.has_details OR %(lists_disputes)s) THEN kept.disputed_at ELSE now() END END",
    "voided_at": "CASE WHEN EXCLUDED.status = 'voided' AND kept.status IN ('captured', 'settled')"
    " THEN now() ELSE kept.voided_at END",
    "over_refunded": "EXCLUDED.amount_minor < kept.refunded_minor + kept.reserved_minor",
}

# Rows are locked in the order of their ids, so that two writers never wait for each other in turn.
# A row that was inserted has no xmax, one that was updated has.
_STATEMENT = f"""
INSERT INTO transactions_transaction AS kept
  (account_id, processor, mode, refunded_minor, reserved_minor, over_refunded, synced_at,
   external_id, customer_id, {_NAMES})
SELECT %(account)s, %(processor)s, %(mode)s, 0, 0, false, now(),
       row.external_id, coalesce(customer.merged_into_id, customer.id),
       {", ".join(f"row.{name}" for name in _COLUMNS)}
FROM jsonb_to_recordset(%(rows)s::jsonb) AS row (external_id text, {_TYPES})
LEFT JOIN transactions_customer AS customer ON customer.email = lower(row.customer_email)
ORDER BY row.external_id
ON CONFLICT (account_id, external_id) DO UPDATE
SET synced_at = now(), {", ".join(f"{name} = {rule}" for name, rule in _RULES.items())}
WHERE ({", ".join(f"kept.{name}" for name in _RULES)}) IS DISTINCT FROM
      ({", ".join(_RULES.values())})
RETURNING xmax = 0
"""  # noqa: S608 - made of the constants above

_CUSTOMERS = """
INSERT INTO transactions_customer AS kept (email, name, locale, created_at)
SELECT DISTINCT ON (lower(customer_email)) lower(customer_email), customer_name, '', now()
FROM jsonb_to_recordset(%(rows)s::jsonb)
  AS row (external_id text, customer_email text, customer_name text)
WHERE customer_email LIKE '%%@%%' AND NOT EXISTS (
  SELECT FROM transactions_transaction AS paid
  WHERE paid.account_id = %(account)s AND paid.external_id = row.external_id AND paid.is_erased
) AND NOT EXISTS (
  SELECT FROM transactions_customer AS known
  WHERE known.email = lower(customer_email) AND (known.name <> '' OR customer_name = ''))
ORDER BY lower(customer_email), customer_name DESC
ON CONFLICT (email) DO UPDATE SET name = EXCLUDED.name
WHERE kept.name = '' AND EXCLUDED.name <> ''
"""


def _upsert(account: ProcessorAccount, rows: list[dict[str, Any]]) -> SyncCounts:
    if not rows:
        return SyncCounts()
    capabilities = gateway_class(account.processor).capabilities
    values: dict[str, str | int] = {
        "lists_disputes": capabilities.lists_disputes,
        "rows": json.dumps(rows),
        "account": account.pk,
        "processor": account.processor,
        "mode": account.mode,
    }
    with database.atomic(), connection.cursor() as cursor:
        cursor.execute(_CUSTOMERS, values)
        cursor.execute(_STATEMENT, values)
        written = [inserted for (inserted,) in cursor.fetchall()]
    new = sum(written)
    return SyncCounts(new=new, changed=len(written) - new, unchanged=len(rows) - len(written))


def why_refused(error: DataError | IntegrityError) -> str:
    """A sentence with the constraint that a row breaks."""
    diagnosis = getattr(error.__cause__, "diag", None)
    constraint: str = getattr(diagnosis, "constraint_name", None) or ""
    said: str = getattr(diagnosis, "message_primary", None) or str(error)
    return _("The database refuses it: %s.") % (constraint.replace("_", " ") or clean(said, 300))
