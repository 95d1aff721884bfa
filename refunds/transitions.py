"""The only way a refund changes its status: the row, the sums of its transaction and the event.

Locks are taken in the order transaction → refund → attempt → event, everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateways.base import Operation
from transactions.models import Transaction, TransactionStatus

from .attention import settle_by_status
from .balance import change_sums
from .clock import database_now
from .history import record_event
from .models import Refund
from .states import MOVING, RESERVING, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def lock_refund(refund_id: UUID) -> Refund:
    """The refund as it is now, locked after its transaction. Needs a database transaction."""
    transaction_id = Refund.objects.values_list("transaction_id", flat=True).get(pk=refund_id)
    Transaction.objects.select_for_update().only("pk").get(pk=transaction_id)
    return Refund.objects.select_for_update(of=("self",)).get(pk=refund_id)


def lock_idle(refund_ids: Collection[UUID]) -> list[Refund]:
    """Those of the refunds that nobody holds, locked after their transactions, with requesters.

    Waiting for none of many means waiting for no one who waits for another of them.
    """
    theirs = Refund.objects.filter(pk__in=refund_ids).values("transaction_id")
    payments = Transaction.objects.filter(pk__in=theirs).select_for_update(skip_locked=True)
    held = list(payments.values_list("pk", flat=True))
    idle = Refund.objects.filter(pk__in=refund_ids, transaction_id__in=held)
    idle = idle.select_for_update(of=("self",), skip_locked=True).order_by("created_at", "pk")
    return list(idle.select_related("requested_by"))


def move(
    refund: Refund,
    to: Status,
    kind: str,
    *,
    actor: User | None = None,
    data: dict[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Take a locked refund over an edge, with ``changes`` to its fields, and say so.

    The database refuses an edge that does not exist. ``kind`` names the event. Whoever brings a
    refund anywhere but into ``sending`` has finished with it, unless ``changes`` say otherwise.
    """
    before = Status(refund.status)
    refund.status = to
    if to != Status.SENDING:
        refund.lease_owner = refund.lease_until = None
        refund.unfinished = 0
    for name, value in (changes or {}).items():
        setattr(refund, name, value)
    if to not in MOVING:
        refund.next_action_at = None
        refund.finished_at = database_now()
    refund.enqueued_at = None
    refund.save()
    _compute(refund, changes or {})
    _move_money(refund, before, to)
    record_event(refund, kind, from_status=before, to_status=to, actor=actor, data=data)
    settle_by_status(refund)


def _compute(refund: Refund, changes: Mapping[str, Any]) -> None:
    """Put values in the place of expressions: nobody is handed a row that cannot be read."""
    computed = [name for name, value in changes.items() if hasattr(value, "resolve_expression")]
    if computed:
        refund.refresh_from_db(fields=computed)


def _move_money(refund: Refund, before: Status, to: Status) -> None:
    reserved = ((to in RESERVING) - (before in RESERVING)) * refund.amount_minor
    refunded = ((to == Status.SUCCEEDED) - (before == Status.SUCCEEDED)) * refund.amount_minor
    if not reserved and not refunded:
        return
    is_void = to == Status.SUCCEEDED and refund.operation == Operation.VOID
    columns = {"status": TransactionStatus.VOIDED.value} if is_void else {}
    change_sums(refund, reserved=reserved, refunded=refunded, **columns)
